"""Features on disk, chunk by chunk, in a folder whose name depends on their origin.

A slide's features live in ``CACHE/features/<key>/``, a zarr array whose chunks are squares of
cells, or of tiles where each went through the network alone; cells that were never computed are
NaN. The key is a digest of the slide's content, the extractor and the geometry, not of a file's
name or of the tissue mask. Chunks are written whole and with a checksum, so a killed run resumes
where it stopped, and damaged chunks are computed anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.geometry import Shape, Window, tiles_of
from heatmaps_ome.storage.cache import WHOLE_CHUNKS
from heatmaps_ome.storage.checked_store import CheckedStore, create_array
from heatmaps_ome.storage.pieces import GrowingPiece
from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.storage.cache import FeaturesKey, LatticeKey


class FeatureStore:
    """The features of one slide: (rows, cols, channels), NaN where none were computed.

    Attributes
    ----------
    folder : Path
    chunk_cells : int
        Side of a chunk.
    """

    def __init__(
        self, piece: GrowingPiece, shape: tuple[int, int, int], dtype: str, side: int
    ) -> None:
        self._piece, self.folder = piece, piece.folder
        self._array = _opened(piece, shape, dtype, side)
        written = zarr.open_array(CheckedStore(piece, "absent"), mode="r+")
        # zarr 3.1.6 takes no notice of a configuration when it opens an array.
        self._written = written.with_config(WHOLE_CHUNKS)
        self.chunk_cells: int = self._array.chunks[0]

    @property
    def shape(self) -> Shape:
        """Cells of the grid."""
        return Shape(*self._array.shape[:2])

    @property
    def channels(self) -> int:
        """Length of a feature vector."""
        return self._array.shape[2]

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
        if not tissue.any():
            return tissue
        try:
            return tissue & np.isnan(self.read(chunk)[..., 0])
        except DamagedPieceError as damage:
            self._piece.warn(damage)
            return tissue

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
        # A chunk that is damaged, or was removed, is taken as empty.
        stored = np.asarray(self._written[chunk.slices])
        for cells, features in parts:
            stored[cells.within(chunk).slices] = features
        self._written[chunk.slices] = stored

    def write_cells(self, chunk: Window, cells: np.ndarray, features: np.ndarray) -> None:
        """Add the features of single cells of a chunk to it.

        Parameters
        ----------
        cells : (n, 2) int
            Their rows and columns.
        features : (n, channels) float32

        Raises
        ------
        OutputError
            If the disk does not take them.
        ExtractorError
            If they are no numbers, or too large for the stored type.
        """
        stored = np.asarray(self._written[chunk.slices])
        stored[cells[:, 0] - chunk.row, cells[:, 1] - chunk.col] = kept(features, stored.dtype)
        self._written[chunk.slices] = stored

    def read(self, cells: Window) -> np.ndarray:
        """Return (rows, cols, channels) float16 or float32; NaN where none were computed.

        Raises
        ------
        DamagedPieceError
            If a chunk is damaged, or was removed.
        """
        return np.asarray(self._array[cells.slices])

    def read_cells(self, chunk: Window, cells: np.ndarray) -> np.ndarray:
        """Return the (n, channels) features of some of a chunk's cells, all of which have some.

        Parameters
        ----------
        cells : (chunk.rows, chunk.cols) bool

        Raises
        ------
        DamagedPieceError
            If the chunk is damaged, or another process removed or replaced it.
        """
        features = self.read(chunk)[cells]
        if np.isnan(features[:, 0]).any():
            raise DamagedPieceError("features that were computed are missing")
        return features


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
    key: FeaturesKey | LatticeKey,
    slide: str,
    shape: tuple[int, int, int],
    dtype: Literal["float16", "float32"],
) -> FeatureStore:
    """Return the store for a key, created if it does not exist.

    Parameters
    ----------
    slide : str
        The slide's name.
    shape : (rows, cols, channels)
        Shape of all features of the slide's grid.
    dtype : "float16" or "float32"
        float16 stores bfloat16 features, with three bits to spare; features computed in float32
        are stored unchanged.

    Raises
    ------
    OutputError
        If the cache cannot be made.
    """
    piece = GrowingPiece(cache, key, slide)
    return FeatureStore(piece, shape, dtype, key.chunk_cells)


def _opened(
    piece: GrowingPiece, shape: tuple[int, int, int], dtype: str, chunk_cells: int
) -> zarr.Array:
    """Return the array of features for reading, created if it is missing or damaged."""
    checked = CheckedStore(piece, "refused once written")
    try:
        return zarr.open_array(checked, mode="r")
    except DamagedPieceError as damage:
        piece.warn(damage)
    except FileNotFoundError:
        pass
    create_array(
        piece,
        shape=shape,
        chunks=(chunk_cells, chunk_cells, shape[2]),
        dtype=dtype,
        fill_value=float("nan"),
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        dimension_names=("y", "x", "channel"),
    )
    return zarr.open_array(checked, mode="r")
