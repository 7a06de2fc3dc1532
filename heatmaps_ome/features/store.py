"""Features on disk, chunk by chunk, in a folder whose name depends on their origin.

A slide's features live in ``CACHE/features/<key>/``, a zarr array whose chunks are squares of
cells; cells that were never computed are NaN. The key is a digest of the slide's content, the
extractor and the geometry, not of a file's name or of the tissue mask. Chunks are written whole
(zarr renames them into place), so a killed run resumes where it stopped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from heatmaps_ome.errors import ExtractorError, OutputError
from heatmaps_ome.geometry import Shape, Window, tiles_of
from heatmaps_ome.storage.cache import WHOLE_CHUNKS, FeaturesKey, folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FeatureStore:
    """The features of one slide: (rows, cols, channels), NaN where none were computed.

    Attributes
    ----------
    folder : Path
    chunk_cells : int
        Side of a chunk.
    """

    def __init__(self, array: zarr.Array, folder: Path) -> None:
        self._array, self.folder = array, folder
        self.chunk_cells: int = array.chunks[0]

    @property
    def shape(self) -> Shape:
        """Cells of the grid."""
        return Shape(*self._array.shape[:2])

    @property
    def chunks(self) -> list[Window]:
        """The windows of cells that are written together, in reading order."""
        return tiles_of(self.shape, self.chunk_cells)

    def lacking(self, chunk: Window, tissue: np.ndarray) -> np.ndarray:
        """Return a mask of a chunk's tissue cells without features, (chunk.rows, chunk.cols) bool.

        Parameters
        ----------
        tissue : (chunk.rows, chunk.cols) bool
        """
        if not tissue.any() or not (self.folder / self._key(chunk)).is_file():
            return tissue
        return tissue & np.isnan(self.read(chunk)[..., 0])

    def packed(self, features: np.ndarray) -> np.ndarray:
        """Return (channels, rows, cols) features as they are stored: (rows, cols, channels).

        Raises
        ------
        ExtractorError
            If they are no numbers, or too large for the stored type.
        """
        return kept(np.ascontiguousarray(np.moveaxis(features, 0, -1)), self._array.dtype)

    def write(self, chunk: Window, parts: Sequence[tuple[Window, np.ndarray]]) -> None:
        """Add windows of a chunk, each with its packed features, to the chunk.

        Raises
        ------
        OutputError
            If the disk does not take them.
        """
        stored = self.read(chunk)
        for cells, features in parts:
            stored[cells.within(chunk).slices] = features
        try:
            self._array[chunk.slices] = stored
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}); free space there or choose "
                "another place with --cache-dir"
            ) from error

    def read(self, cells: Window) -> np.ndarray:
        """Return (rows, cols, channels) float16 or float32; NaN where none were computed."""
        return np.asarray(self._array[cells.slices])

    def _key(self, chunk: Window) -> str:
        """Return a chunk's path below the folder."""
        place = (chunk.row // self.chunk_cells, chunk.col // self.chunk_cells, 0)
        return self._array.metadata.encode_chunk_key(place)


def kept(features: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return features in the type that they are stored in.

    Raises
    ------
    ExtractorError
        If they are no numbers, or too large for that type.
    """
    with np.errstate(over="ignore"):
        rounded = features.astype(dtype, copy=False)
    if math.isfinite(_largest(rounded)):
        return rounded
    largest = _largest(features)
    # float16 turns numbers that it cannot hold into infinity; an infinite float32 is a real one.
    if math.isnan(largest) or (math.isinf(largest) and features.dtype != np.float16):
        raise ExtractorError("the extractor gives features that are no numbers; check its weights")
    size = f"as large as {largest:g}, which" if math.isfinite(largest) else "that"
    raise ExtractorError(
        f"the extractor gives features {size} {dtype} cannot hold; use --precision float32"
    )


def _largest(features: np.ndarray) -> float:
    """Return the largest magnitude, NaN if any is NaN; numpy takes twenty times as long."""
    import torch

    least, greatest = torch.aminmax(torch.from_numpy(features))
    return max(-least.item(), greatest.item())


def open_store(
    cache: Path,
    key: FeaturesKey,
    shape: tuple[int, int, int],
    dtype: Literal["float16", "float32"],
) -> FeatureStore:
    """Return the store for a key, created if it does not exist.

    Parameters
    ----------
    shape : (rows, cols, channels)
        Shape of all features of the slide's grid.
    dtype : "float16" or "float32"
        float16 stores bfloat16 features, with three bits to spare; features computed in float32
        are stored unchanged.

    Raises
    ------
    OutputError
        If the cache cannot be made or read.
    """
    folder = folder_of(cache, key)
    try:
        if (folder / "zarr.json").is_file():
            array = zarr.open_array(folder, mode="r+", config=WHOLE_CHUNKS)
        else:
            array = _created(folder, shape, key.chunk_cells, dtype)
    except OSError as error:
        raise OutputError(
            f"the cache {cache} cannot be used ({error.strerror}); choose another with --cache-dir"
        ) from error
    return FeatureStore(array, folder)


def _created(folder: Path, shape: tuple[int, int, int], chunk_cells: int, dtype: str) -> zarr.Array:
    """Return a new array of features."""
    return zarr.create_array(
        folder,
        shape=shape,
        chunks=(chunk_cells, chunk_cells, shape[2]),
        dtype=dtype,
        fill_value=float("nan"),
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        dimension_names=("y", "x", "channel"),
        config=WHOLE_CHUNKS,
    )
