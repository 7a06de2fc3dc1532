"""Windows of arrays whose chunks are kept: zarr unpacks a whole chunk for every window of it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import zarr

    from heatmaps_ome.geometry import Window

_MOST_BYTES = 64 << 20


class Chunks:
    """An array of which windows are read.

    Parameters
    ----------
    array : zarr.Array
        (..., rows, cols).
    """

    def __init__(self, array: zarr.Array) -> None:
        self._array = array
        self._side = array.chunks[-2:]
        n_bytes = math.prod((*array.shape[:-2], *self._side)) * array.dtype.itemsize
        self._chunk = lru_cache(max(1, _MOST_BYTES // max(1, n_bytes)))(self._read)

    def window(self, window: Window) -> np.ndarray:
        """Return a window inside the array, (..., rows, cols); zarr's errors if it is damaged."""
        (rows, cols), (high, wide) = window.slices, self._side
        return np.concatenate(
            [
                np.concatenate(
                    [
                        self._part(row, col, window)
                        for col in range(cols.start // wide, -(-cols.stop // wide))
                    ],
                    axis=-1,
                )
                for row in range(rows.start // high, -(-rows.stop // high))
            ],
            axis=-2,
        )

    def _part(self, row: int, col: int, window: Window) -> np.ndarray:
        """Return what a chunk has of a window."""
        inside = [
            slice(max(0, part.start - index * side), part.stop - index * side)
            for part, index, side in zip(window.slices, (row, col), self._side, strict=True)
        ]
        return self._chunk(row, col)[..., inside[0], inside[1]]

    def _read(self, row: int, col: int) -> np.ndarray:
        high, wide = self._side
        rows = slice(row * high, (row + 1) * high)
        return np.asarray(self._array[..., rows, col * wide : (col + 1) * wide])
