"""The cells of a map, and their levels as a label shows them.

A label's pixel takes the cell around its centre. Cells along the slide's edge of which no pixel has
its centre are on no label, so that no picture made of labels can show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import zarr

    from heatmaps_ome.geometry import Grid

_BAND_ROWS = 1024


def on_label(levels: np.ndarray, grid: Grid, raster: Grid) -> np.ndarray:
    """Return the levels of cells, 0 for those that are on no label.

    Parameters
    ----------
    levels : (rows, cols) uint8 on ``grid``
    raster : Grid
        Lattice of the label's pixels.
    """
    rows, cols = (pixels >= 0 for pixels in _pixel_of_cells(grid, raster))
    return np.where(rows[:, None] & cols, levels, np.uint8(0))


def levels_of_cells(label: np.ndarray | zarr.Array, grid: Grid, raster: Grid) -> np.ndarray:
    """Return the levels of cells from the label that was drawn of them, 0 for those not on it.

    Parameters
    ----------
    label : (rows, cols) uint8 on ``raster``
        An array of numpy or zarr, of which a band at a time is in memory.

    Returns
    -------
    (rows, cols) uint8 on ``grid``
    """
    rows, cols = _pixel_of_cells(grid, raster)
    levels = np.zeros(grid.shape, np.uint8)
    for first in range(0, raster.shape.rows, _BAND_ROWS):
        here = np.flatnonzero((rows >= first) & (rows < first + _BAND_ROWS))
        if here.size:
            band = np.asarray(label[first : first + _BAND_ROWS])
            levels[here] = band[rows[here] - first][:, cols]
    levels[:, cols < 0] = 0
    return levels


def _pixel_of_cells(grid: Grid, raster: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return a row of pixels for each row of cells, and a column for each column; -1 for none."""
    pixels_of_cells = []
    for cells, count in zip(grid.cells_under(raster), grid.shape, strict=True):
        pixels = np.full(count, -1)
        pixels[cells[cells >= 0]] = np.flatnonzero(cells >= 0)
        pixels_of_cells.append(pixels)
    return pixels_of_cells[0], pixels_of_cells[1]
