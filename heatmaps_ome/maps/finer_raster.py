"""The raster of tiles with finer tiles between them.

Each finer tile has the square of its stride around its centre, as far as that lies on a tile of the
table; the rest, and each centre of such a tile, shows the table's tiles. Cells are half a finer
stride, in which both lattices fit, or wider where a slide would have too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.features.finer_tiles import PARTS
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.tile_raster import MOST_NUMBERS, TileRaster, covering, hosts_of

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid, Shape

_PER_STRIDE = 2
"""Cells along a finer stride."""


def finer_raster(
    coarse: TileRaster, places: np.ndarray, finer: np.ndarray, slide_shape: Shape, n_maps: int
) -> tuple[TileRaster, np.ndarray]:
    """Return the raster of tiles on finer cells, and the finer tile that each cell shows.

    Parameters
    ----------
    coarse : TileRaster
        Of the tiles.
    places, finer : (n, 4), (m, 4) float64
        x0, y0, x1, y1 of the tiles, and of one or more finer ones, in level-0 pixels.
    n_maps : int
        The more maps there are, the fewer cells each of them may have.

    Returns
    -------
    raster : TileRaster
        Its owners are tiles, also where finer ones are shown.
    owner : (rows, cols) int32
        Index of the finer tile; -1 for none.
    """
    stride = YX(*((finer[0, 2:] - finer[0, :2]) / PARTS)[::-1].tolist())
    cell = stride.times(1 / _PER_STRIDE)
    grid = covering(cell, YX(0.0, 0.0), coarse.grid.mpp, slide_shape)
    while grid.shape.rows * grid.shape.cols > MOST_NUMBERS // n_maps:
        cell = cell.times(2)
        grid = covering(cell, YX(0.0, 0.0), coarse.grid.mpp, slide_shape)
    tiles = coarse.owner[np.ix_(*_sampled(grid, coarse.grid))]
    owner = _finer_owners(grid, finer, stride)
    owner[tiles < 0] = -1
    centres = _in_cells(grid, (places[:, :2] + places[:, 2:]) / 2)
    hosts, inside = hosts_of(centres, grid.shape)
    owner.reshape(-1)[hosts[inside]] = -1
    counts = np.bincount(tiles[tiles >= 0], minlength=len(places))
    return TileRaster(grid, tiles, counts, hosts, regular=False), owner


def _sampled(grid: Grid, coarse: Grid) -> list[np.ndarray]:
    """Return the coarse row of each row's middle, and the coarse column of each column's."""
    indices = []
    for axis in (0, 1):
        middles = (np.arange(grid.shape[axis]) + 0.5) * grid.l0_cell[axis]
        wanted = np.floor((middles - coarse.l0_origin[axis]) / coarse.l0_cell[axis])
        indices.append(np.clip(wanted.astype(np.int64), 0, coarse.shape[axis] - 1))
    return indices


def _finer_owners(grid: Grid, finer: np.ndarray, stride: YX) -> np.ndarray:
    """Return the finer tile whose square has each cell's middle, (rows, cols) int32; -1: none."""
    centres = (finer[:, :2] + finer[:, 2:])[:, ::-1] / 2
    steps = np.rint(centres / stride).astype(np.int64)
    first = steps.min(axis=0) - 1
    numbered = np.full(tuple(steps.max(axis=0) - first + 2), -1, np.int32)
    numbered[tuple((steps - first).T)] = np.arange(len(finer))
    indices = []
    for axis in (0, 1):
        middles = (np.arange(grid.shape[axis]) + 0.5) * grid.l0_cell[axis]
        # Half-way between two, the first: each of the finer tiles then has as many cells.
        nearest = np.ceil(np.round(middles / stride[axis] - 0.5, 6)).astype(np.int64) - first[axis]
        indices.append(np.clip(nearest, 0, numbered.shape[axis] - 1))
    return numbered[np.ix_(*indices)]


def _in_cells(grid: Grid, centres: np.ndarray) -> np.ndarray:
    """Return places, (n, 2) x and y in level-0 pixels, in cells of a grid."""
    return (centres - (grid.l0_origin.x, grid.l0_origin.y)) / (grid.l0_cell.x, grid.l0_cell.y)
