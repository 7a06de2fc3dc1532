"""Maps drawn on a raster strip by strip, equal to ``geometry.sample`` without its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.display import DisplayMap
    from heatmaps_ome.geometry import Grid


def sampled_strips(
    values: np.ndarray, grid: Grid, raster: Grid, strip_rows: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``values`` of ``grid`` at the pixel centres of ``raster``, 0 where no cell lies.

    Parameters
    ----------
    values : (rows, cols) array on ``grid``

    Yields
    ------
    first row, (at most strip_rows, raster.cols) array of the same dtype
    """
    rows, cols = grid.cells_under(raster)
    padded = np.pad(values, [(0, 1), (0, 1)])
    for row in range(0, raster.shape.rows, strip_rows):
        wide = padded[rows[row : row + strip_rows]]
        yield row, np.take(wide, cols, axis=1)


def coloured_cells(shown: DisplayMap) -> np.ndarray:
    """Return a map's cells as they lie over the slide.

    Returns
    -------
    (rows, cols, 4) uint8
        RGBA with straight alpha; colour is 0 where alpha is, so that no reader that drops alpha
        shows a fringe.
    """
    rgba = shown.colours[shown.levels]
    rgba[..., 3] = np.where(shown.levels == 0, 0, shown.opacity)
    rgba[rgba[..., 3] == 0] = 0
    return rgba
