"""Index-mapped images: cells plus row and column indices, halved without expanding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import Shape

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid

_STRIP = 64
"""Rows of patches that are averaged at a time, to save memory."""


@dataclass(frozen=True, eq=False)
class Patchwork:
    """A picture with straight alpha whose pixel (y, x) has the colour of patch (rows[y], cols[x]).

    Attributes
    ----------
    patches : (n, m, 4) uint8
        RGBA; colour is 0 where alpha is.
    rows, cols : (height,) and (width,) int64
        Row of patches for each row of pixels, and column of patches for each column of pixels.
    """

    patches: np.ndarray
    rows: np.ndarray
    cols: np.ndarray

    @property
    def shape(self) -> Shape:
        """Size in pixels."""
        return Shape(len(self.rows), len(self.cols))

    def halved(self) -> Patchwork:
        """Return the picture at half the size: the mean of 2 × 2 pixels, colours weighed by alpha.

        Equal pairs of rows become one row of patches. Such a row lies in one row of cells or across
        the line between two. At any level there are thus at most twice as many rows of patches as
        of cells. Sides must be even.
        """
        row_pairs, rows = _pairs(self.rows, len(self.patches))
        col_pairs, cols = _pairs(self.cols, self.patches.shape[1])
        weighed = self.patches.astype(np.uint16)
        weighed[..., :3] *= weighed[..., 3:]
        # A patch is moved as one number, in a fraction of the time of four.
        packed = weighed.view(np.uint64)[..., 0]
        patches = np.empty((len(row_pairs), len(col_pairs), 4), np.uint8)
        for top in range(0, len(row_pairs), _STRIP):
            patches[top : top + _STRIP] = _means(packed, row_pairs[top : top + _STRIP], col_pairs)
        return Patchwork(patches, rows, cols)


def drawn(cells: np.ndarray, grid: Grid, raster: Grid, shape: Shape) -> Patchwork:
    """Return cells drawn on a raster, equal to ``geometry.sample``.

    Parameters
    ----------
    cells : (rows, cols, 4) uint8
        RGBA of the grid's cells.
    shape : Shape
        Size of the result; beyond the raster it is transparent, as where no cell lies.
    """
    # An additional, empty row and column is for pixels that lie in no cell.
    patches = np.pad(cells, [(0, 1), (0, 1), (0, 0)])
    rows, cols = (
        np.pad(np.where(index < 0, cells_along, index), (0, size - len(index)),
               constant_values=cells_along)
        for index, size, cells_along in zip(
            grid.cells_under(raster), shape, grid.shape, strict=True
        )
    )  # fmt: skip
    return Patchwork(patches, rows, cols)


def _means(packed: np.ndarray, row_pairs: np.ndarray, col_pairs: np.ndarray) -> np.ndarray:
    """Return the means of patches of two rows and two columns, rounded to nearest.

    Parameters
    ----------
    packed : (rows, cols) uint64
        Four uint16 each: colours times alpha, and alpha.
    row_pairs, col_pairs : (n, 2) and (m, 2) int64

    Returns
    -------
    (n, m, 4) uint8
    """
    total = np.zeros((len(row_pairs), len(col_pairs), 4), np.uint32)
    for row in row_pairs.T:
        strip = packed[row]
        for col in col_pairs.T:
            total += np.take(strip, col, axis=1)[..., None].view(np.uint16)
    alpha = total[..., 3:]
    mean = (alpha + 2) // 4
    total[..., :3] = (total[..., :3] + alpha // 2) // np.maximum(alpha, 1)
    total[..., 3:] = mean
    # Where alpha is rounded to 0, so is colour: no reader that drops alpha shall see a fringe.
    return (total * (mean > 0)).astype(np.uint8)


def _pairs(index: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pairs of neighbours, and the index of the pair at each two pixels.

    Parameters
    ----------
    index : (2 n,) int64, below ``count``

    Returns
    -------
    pairs, index : (m, 2) and (n,) int64
    """
    codes, pair_index = np.unique(index[::2] * count + index[1::2], return_inverse=True)
    return np.stack(np.divmod(codes, count), axis=1), pair_index
