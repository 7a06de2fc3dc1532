"""The levels of a slide's working copy on disk: arrays whose chunks are verified when read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import zarr

from heatmaps_ome.ome.ngff_store import chunk_names
from heatmaps_ome.ome.pyramid import BYTE_CODEC, CHUNK, write_rgb
from heatmaps_ome.storage.cache import WHOLE_CHUNKS
from heatmaps_ome.storage.checked_store import CheckedStore, create_array
from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.geometry import Shape, Window
    from heatmaps_ome.storage.pieces import GrowingPiece

_METADATA = (".zarray", ".zattrs")


class CopyLevels:
    """Arrays of (3, rows, cols) uint8 in zarr v2, chunked and compressed as OME-Zarr's.

    Parameters
    ----------
    shapes : sequence of Shape
        Size of each level, finest first.

    Raises
    ------
    OutputError
        If the cache cannot be written.
    """

    def __init__(self, piece: GrowingPiece, shapes: Sequence[Shape]) -> None:
        self._piece, self._shapes = piece, shapes
        self.open()

    def open(self) -> None:
        """Open the arrays; those that are missing or damaged are created."""
        opened = [self._opened(level, shape) for level, shape in enumerate(self._shapes)]
        self._written = [written for written, _ in opened]
        self._read = [read for _, read in opened]

    @property
    def folders(self) -> list[Path]:
        """The folders of the arrays."""
        return [self._piece.folder / str(level) for level in range(len(self._shapes))]

    def is_complete(self) -> bool:
        """Return whether all files were written, whether or not they are still intact."""
        unknown = [name for name in self._names() if not self._piece.was_written(name)]
        return all(self._is_there(name) for name in unknown)

    def _is_there(self, name: str) -> bool:
        """Return whether a file is there and intact; damage is reported."""
        try:
            return self._piece.read(name) is not None
        except DamagedPieceError as damage:
            self._piece.warn(damage)
            return False

    def require_intact(self, threads: int) -> None:
        """Read and verify all files.

        Raises
        ------
        DamagedPieceError
            If one is damaged or missing.
        """
        with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
            for _ in pool.map(self._verify, self._names()):
                pass

    def _verify(self, name: str) -> None:
        self._piece.read(name, required=True)

    def read(self, level: int, window: Window) -> np.ndarray:
        """Return a window that lies on a level, (rows, cols, 3) uint8.

        Raises
        ------
        DamagedPieceError
            If a chunk of it is damaged or missing.
        """
        planes = np.asarray(self._read[level][:, *window.slices])
        return np.ascontiguousarray(np.moveaxis(planes, 0, 2))

    def write(self, level: int, row: int, strip: np.ndarray) -> None:
        """Write whole rows of a level, (rows, cols, 3) uint8, from ``row`` on.

        Raises
        ------
        OutputError
            If the cache cannot be written.
        """
        write_rgb(self._written[level], row, strip)

    def _names(self) -> list[str]:
        """Return the paths of all files, relative to the piece."""
        return [
            f"{level}/{name}"
            for level, shape in enumerate(self._shapes)
            for name in (*_METADATA, *chunk_names((3, *shape), (3, CHUNK, CHUNK)))
        ]

    def _opened(self, level: int, shape: Shape) -> tuple[zarr.Array, zarr.Array]:
        """Return the array of a level to write and to read, created if it is missing or damaged.

        Chunks of a killed run are replaced by identical ones, and two runs can fill one copy at
        the same time.
        """
        path = str(level)
        if not self._is_made(level):
            create_array(
                self._piece,
                name=path,
                shape=(3, *shape),
                chunks=(3, CHUNK, CHUNK),
                dtype="uint8",
                fill_value=0,
                compressors=BYTE_CODEC,
                zarr_format=2,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
        lenient, strict = (CheckedStore(self._piece, how) for how in ("absent", "refused"))
        written = zarr.open_array(lenient, path=path, mode="r+", zarr_format=2)
        return (
            # zarr 3.1.6 takes no notice of a configuration when it opens an array.
            written.with_config(WHOLE_CHUNKS),
            zarr.open_array(strict, path=path, mode="r", zarr_format=2),
        )

    def _is_made(self, level: int) -> bool:
        """Return whether the array of a level was created and its metadata are intact."""
        try:
            files = [self._piece.read(f"{level}/{name}") for name in _METADATA]
        except DamagedPieceError as damage:
            self._piece.warn(damage)
            return False
        return None not in files
