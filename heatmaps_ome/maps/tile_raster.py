"""Tiles at any places → the cells of a grid: which tile each cell shows. A table becomes a picture.

On a lattice of equal tiles, each tile has one cell of the lattice's stride around its centre, so
that overlapping tiles neither blur one another nor shift. Tiles on no common lattice are drawn on
cells of a quarter of the smallest side, each of which shows the tile over it whose centre is
nearest. No value is ever blended: whoever reads a map at a tile's centre finds the tile's value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CELLS: Final = 4_000_000
"""Cells of a raster of irregular tiles over the slide; more only take time."""
MOST_NUMBERS: Final = 60_000_000
"""Numbers of all maps of a raster: readers refuse larger arrays if nearly all of them are empty."""
_PART: Final = 4
"""Cells of irregular tiles along the smallest side."""
_ROUNDING: Final = 1.0
"""Level-0 pixels by which sides may differ, and tiles lie off their lattice: places are often
rounded to pixels, to the nearest or down, and so are both ends of a side."""
_CELLS_AT_ONCE: Final = 1_000_000
_WITH_NEIGHBOUR: Final = 0.5
"""Share of the tiles of a lattice that have a neighbour one stride away. Lattices of several
outlines, each with an origin of its own, have hardly any."""
_ROUNDS: Final = 4


@dataclass(frozen=True, eq=False)
class TileRaster:
    """The cells that show tiles.

    Attributes
    ----------
    grid : Grid
        Covers the slide.
    owner : (rows, cols) int32
        Index of the tile that a cell shows; -1 for none.
    cells : (n,) int64
        Number of cells of each tile; 0 where others hide it.
    hosts : (n,) int64
        Flat index of the cell at each tile's centre, or nearest to it where that is off the grid.
    regular : bool
        Whether each tile has exactly one cell.
    """

    grid: Grid
    owner: np.ndarray = field(repr=False)
    cells: np.ndarray = field(repr=False)
    hosts: np.ndarray = field(repr=False)
    regular: bool

    def drawn(self, values: np.ndarray, *, summed: bool = False) -> np.ndarray:
        """Return values of tiles, (…, n), as maps, (…, rows, cols) float32; NaN where no tile is.

        Parameters
        ----------
        summed : bool
            Whether a tile's cells share its value, so that sums stay as they are; a tile without
            cells adds its value to the cell at its centre.
        """
        values = np.asarray(values, np.float32)
        if summed and not self.regular:
            shares = (values / np.maximum(1, self.cells)).astype(np.float32)
        else:
            shares = values
        # The last column is for cells without a tile: owner -1.
        padded = np.concatenate([shares, np.full((*shares.shape[:-1], 1), np.nan, np.float32)], -1)
        out = padded[..., self.owner]
        if summed and (self.cells == 0).any():
            self._add_hidden(out.reshape(-1, self.owner.size), values.reshape(-1, len(self.cells)))
        return out

    def _add_hidden(self, planes: np.ndarray, values: np.ndarray) -> None:
        """Add the values of tiles without cells, (maps, n), to the cells at their centres."""
        for plane, own in zip(planes, values, strict=True):
            hidden = np.flatnonzero((self.cells == 0) & ~np.isnan(own))
            hosts = self.hosts[hidden]
            # Not every host shows another tile.
            plane[hosts] = np.nan_to_num(plane[hosts])
            np.add.at(plane, hosts, own[hidden])


def tile_raster(l0_places: np.ndarray, mpp: YX, slide_shape: Shape, n_maps: int = 1) -> TileRaster:
    """Return the raster of tiles.

    Parameters
    ----------
    l0_places : (n, 4) float64
        x0, y0, x1, y1 in level-0 pixels; n may be 0.
    n_maps : int
        The more maps there are, the fewer cells each of them may have.
    """
    if not len(l0_places):
        side = max(1.0, max(slide_shape) / 16)
        grid = covering(YX(side, side), YX(0.0, 0.0), mpp, slide_shape)
        nothing = np.zeros(0, np.int64)
        return TileRaster(grid, np.full(grid.shape, -1, np.int32), nothing, nothing, regular=True)
    limit = MOST_NUMBERS // n_maps
    return _regular(l0_places, mpp, slide_shape, min(4 * MOST_CELLS, limit)) or _irregular(
        l0_places, mpp, slide_shape, min(MOST_CELLS, limit)
    )


def covering(cell: YX, origin: YX, mpp: YX, slide_shape: Shape) -> Grid:
    """Return the smallest grid of cells in step with ``origin`` that covers the slide."""
    # Quotients that are whole but for float noise must not gain a row.
    before = (math.ceil(round(corner / side, 6)) for corner, side in zip(origin, cell, strict=True))
    first = YX(*(c - n * side for c, n, side in zip(origin, before, cell, strict=True)))
    spans = zip(slide_shape, first, cell, strict=True)
    shape = Shape(*(max(1, math.ceil(round((size - c) / side, 6))) for size, c, side in spans))
    return Grid(shape, cell, first, mpp)


def _regular(
    l0_places: np.ndarray, mpp: YX, slide_shape: Shape, most_cells: int
) -> TileRaster | None:
    """Return the raster of tiles of one size on one lattice; None if they lie on none."""
    sides = l0_places[:, 2:] - l0_places[:, :2]
    if (np.ptp(sides, axis=0) > _tolerance(sides.min(axis=0))).any():
        return None
    centres = (l0_places[:, :2] + l0_places[:, 2:]) / 2
    side = sides.mean(axis=0)
    across, down = (_lattice(centres[:, axis], side[axis]) for axis in (0, 1))
    if across is None or down is None:
        return None
    (cols, stride_x, centre_x), (rows, stride_y, centre_y) = across, down
    # Beyond a pixel of gap, a cell of the stride would colour ground that no tile covers.
    if stride_x > side[0] + _ROUNDING + 1e-6 or stride_y > side[1] + _ROUNDING + 1e-6:
        return None
    if not _has_neighbours(rows, cols):
        return None
    cell = YX(stride_y, stride_x)
    grid = covering(cell, YX(centre_y - stride_y / 2, centre_x - stride_x / 2), mpp, slide_shape)
    if grid.shape.rows * grid.shape.cols > most_cells:
        return None
    scaled = (centres - (grid.l0_origin.x, grid.l0_origin.y)) / (cell.x, cell.y)
    hosts, inside = hosts_of(scaled, grid.shape)
    owner = np.full(grid.shape, -1, np.int32)
    owner.reshape(-1)[hosts[inside]] = np.flatnonzero(inside)
    cells = np.bincount(owner[owner >= 0], minlength=len(hosts))
    # Two tiles in one cell are not on the lattice.
    if not (cells[inside] == 1).all():
        return None
    return TileRaster(grid, owner, cells, hosts, regular=bool(inside.all()))


def hosts_of(scaled_centres: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat index of the cell at or nearest to each place, and whether it is there.

    Parameters
    ----------
    scaled_centres : (n, 2) float64
        x and y in cells of the grid.
    """
    wanted = np.floor(scaled_centres).astype(np.int64)
    there = np.clip(wanted, 0, (shape.cols - 1, shape.rows - 1))
    return there[:, 1] * shape.cols + there[:, 0], (wanted == there).all(axis=1)


def _lattice(places: np.ndarray, side: float) -> tuple[np.ndarray, float, float] | None:
    """Return the steps, stride and first place of a lattice along one axis; None if there is none.

    The stride is fitted to all places: the least difference of floats means little, and even that
    of whole pixels may be off by one.
    """
    known = np.unique(places)
    gaps = np.diff(known)
    gaps = gaps[gaps > _tolerance(side)]
    if not len(gaps):
        # A single row or column: as wide as a tile.
        return np.zeros(len(places), np.int64), side, float(known[0])
    stride, first = float(np.percentile(gaps, 5)), float(known[0])
    for _ in range(_ROUNDS):
        steps = _steps(known, stride)
        if steps is None:
            return None
        # Whole numbers without the fit's noise, in which they usually are.
        stride, first = (round(float(number), 6) for number in np.polyfit(steps, known, 1))
    steps = np.rint((places - first) / stride).astype(np.int64)
    if np.abs(places - first - steps * stride).max() > _tolerance(stride):
        return None
    return steps, stride, first


def _tolerance(length: Any) -> Any:
    """Return the level-0 pixels that do not matter for sides or strides of such lengths."""
    return np.minimum(_ROUNDING + 1e-6, length / 4)


def _steps(known: np.ndarray, stride: float) -> np.ndarray | None:
    """Return the number of strides from the first of some sorted places to each; None if unfit."""
    gaps = np.diff(known) / stride
    whole = np.rint(gaps)
    if np.abs(gaps - whole).max() > 0.35 or whole.sum() < 1:
        return None
    return np.concatenate([[0.0], np.cumsum(whole)])


def _has_neighbours(rows: np.ndarray, cols: np.ndarray) -> bool:
    """Return whether most tiles of a lattice lie beside another, as they do on a true one."""
    if len(rows) == 1:
        return True
    rows, cols = rows - rows.min(), cols - cols.min()
    width = int(cols.max()) + 2
    flat = np.sort(rows * width + cols)
    beside = np.isin(flat + 1, flat) | np.isin(flat - 1, flat)
    below = np.isin(flat + width, flat) | np.isin(flat - width, flat)
    return float((beside | below).mean()) >= _WITH_NEIGHBOUR


def _irregular(l0_places: np.ndarray, mpp: YX, slide_shape: Shape, most_cells: int) -> TileRaster:
    """Return the raster of tiles of any size at any places."""
    sides = l0_places[:, 2:] - l0_places[:, :2]
    least = float(np.sqrt(slide_shape.rows * slide_shape.cols / most_cells))
    side = max(float(sides.min()) / _PART, least, float(sides.max()) / 1024)
    grid = covering(YX(side, side), YX(*l0_places[:, 1::-1].min(axis=0).tolist()), mpp, slide_shape)
    rows, cols = grid.shape
    scaled = (l0_places - np.array([grid.l0_origin.x, grid.l0_origin.y] * 2)) / side
    nearest = np.full(rows * cols, np.inf)
    owner = np.full(rows * cols, -1, np.int32)
    for tiles, cells, distances in _covered(scaled, grid.shape):
        better = distances < nearest[cells]
        tiles, cells, distances = tiles[better], cells[better], distances[better]
        # Where several tiles have one cell, the last assignment counts: that of the nearest.
        order = np.argsort(-distances, kind="stable")
        nearest[cells[order]] = distances[order]
        owner[cells[order]] = tiles[order]
    counts = np.bincount(owner[owner >= 0], minlength=len(scaled))
    hosts, _ = hosts_of((scaled[:, :2] + scaled[:, 2:]) / 2, grid.shape)
    return TileRaster(grid, owner.reshape(rows, cols), counts, hosts, regular=False)


def _covered(
    scaled: np.ndarray, shape: Shape
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield tiles, cells under them, and ranks: squared distances between their centres.

    Parameters
    ----------
    scaled : (n, 4) float64
        x0, y0, x1, y1 in cells of the grid.
    """
    first = np.ceil(scaled[:, :2] - 0.5).astype(np.int64)
    last = np.ceil(scaled[:, 2:] - 0.5).astype(np.int64)
    # A tile smaller than a cell has the cell at its centre.
    middle = (scaled[:, :2] + scaled[:, 2:]) / 2
    first = np.where(last > first, first, np.floor(middle).astype(np.int64))
    spans = np.maximum(last - first, 1)
    areas = spans.prod(axis=1)
    # In parts of about as many cells each, whatever the tiles' sizes.
    for part in np.split(np.arange(len(scaled)), _part_ends(areas)):
        tiles = np.repeat(part, areas[part])
        within = np.arange(len(tiles)) - np.repeat(
            np.cumsum(areas[part]) - areas[part], areas[part]
        )
        cols = first[tiles, 0] + within % spans[tiles, 0]
        rows = first[tiles, 1] + within // spans[tiles, 0]
        inside = (cols >= 0) & (cols < shape.cols) & (rows >= 0) & (rows < shape.rows)
        tiles, cols, rows = tiles[inside], cols[inside], rows[inside]
        off_x, off_y = cols + 0.5 - middle[tiles, 0], rows + 0.5 - middle[tiles, 1]
        # The cell at a tile's centre shows the tile, even where another centre just outside the
        # cell is nearer to its middle.
        own = (off_x > -0.5) & (off_x <= 0.5) & (off_y > -0.5) & (off_y <= 0.5)
        yield tiles, rows * shape.cols + cols, off_x**2 + off_y**2 - own


def _part_ends(areas: np.ndarray) -> np.ndarray:
    """Return where to split tiles so that the parts have about ``_CELLS_AT_ONCE`` cells."""
    return np.flatnonzero(np.diff(np.cumsum(areas) // _CELLS_AT_ONCE)) + 1
