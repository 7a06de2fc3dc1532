"""The lattices that maps live on, and the only code that converts between frames.

Frames, distinguished by prefix:

- ``l0_``: level-0 pixels of the slide, as floats; (0, 0) is the *outer corner* of the first pixel.
- ``um_``: micrometres; level-0 pixels × mpp, same origin.
- ``g_``: cells of a grid, as floats; (0, 0) is the outer corner of the first cell.

Pairs are always (y, x).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class YX(NamedTuple):
    """A pair of floats, first along y (rows), then along x (columns)."""

    y: float
    x: float

    def times(self, other: YX | float) -> YX:
        """Return the product, part by part.

        >>> YX(2, 3).times(YX(10, 100))
        YX(y=20, x=300)
        """
        if isinstance(other, YX):
            return YX(self.y * other.y, self.x * other.x)
        return YX(self.y * other, self.x * other)

    def over(self, other: YX) -> YX:
        """Return the quotient, part by part."""
        return YX(self.y / other.y, self.x / other.x)

    def plus(self, other: YX) -> YX:
        """Return the sum, part by part."""
        return YX(self.y + other.y, self.x + other.x)


class Shape(NamedTuple):
    """A size in whole pixels or cells."""

    rows: int
    cols: int

    def halved(self, times: int = 1) -> Shape:
        """Return the size of a pyramid level ``times`` halvings down, rounded up.

        >>> Shape(513, 4).halved()
        Shape(rows=257, cols=2)
        """
        step = 2**times
        return Shape(-(-self.rows // step), -(-self.cols // step))


class Window(NamedTuple):
    """A rectangle of whole pixels or cells of some lattice."""

    row: int
    col: int
    rows: int
    cols: int

    @property
    def row_stop(self) -> int:
        """First row below the window."""
        return self.row + self.rows

    @property
    def col_stop(self) -> int:
        """First column right of the window."""
        return self.col + self.cols

    @property
    def area(self) -> int:
        """Number of pixels or cells."""
        return self.rows * self.cols

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window into an array on the same lattice."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def common(self, other: Window) -> Window:
        """Return the intersection of two windows, without rows or columns if they are disjoint."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        rows = min(self.row_stop, other.row_stop) - row
        cols = min(self.col_stop, other.col_stop) - col
        return Window(row, col, max(0, rows), max(0, cols))

    def within(self, outer: Window) -> Window:
        """Return the window as seen from another's first row and column."""
        return Window(self.row - outer.row, self.col - outer.col, self.rows, self.cols)

    def grown(self, margin: int, within: Shape) -> Window:
        """Return the window with a margin all round, clipped to a lattice of that size.

        >>> Window(0, 8, 4, 4).grown(2, within=Shape(100, 13))
        Window(row=0, col=6, rows=6, cols=7)
        """
        row, col = max(0, self.row - margin), max(0, self.col - margin)
        row_stop = min(within.rows, self.row_stop + margin)
        col_stop = min(within.cols, self.col_stop + margin)
        return Window(row, col, row_stop - row, col_stop - col)


def tiles_of(shape: Shape, side: int) -> list[Window]:
    """Return the windows of at most ``side`` × ``side`` that tile a lattice, row by row."""
    return [
        Window(row, col, min(side, shape.rows - row), min(side, shape.cols - col))
        for row in range(0, shape.rows, side)
        for col in range(0, shape.cols, side)
    ]


@dataclass(frozen=True)
class Grid:
    """A lattice of equal cells laid over a slide.

    Parameters
    ----------
    shape : Shape
        Number of cells, (rows, cols).
    l0_cell : YX
        Size of one cell in level-0 pixels.
    l0_origin : YX
        Outer corner of cell (0, 0) in level-0 pixels; may be negative.
    mpp : YX
        Micrometres per level-0 pixel.

    Examples
    --------
    >>> grid = Grid(Shape(2, 3), YX(64.0, 64.0), YX(-31.0, -31.0), YX(0.5, 0.5))
    >>> grid.l0_from_g(YX(1, 0.5))
    YX(y=33.0, x=1.0)
    >>> grid.um_cell
    YX(y=32.0, x=32.0)
    """

    shape: Shape
    l0_cell: YX
    l0_origin: YX
    mpp: YX

    def __post_init__(self) -> None:
        """Refuse a lattice that places nothing."""
        if min(self.shape) < 1:
            raise ValueError(f"a grid needs at least one cell; its shape is {tuple(self.shape)}")
        if not all(math.isfinite(v) and v > 0 for v in (*self.l0_cell, *self.mpp)):
            raise ValueError(f"cells of {self.l0_cell} px at {self.mpp} µm/px have no size")
        if not all(map(math.isfinite, self.l0_origin)):
            raise ValueError(f"{self.l0_origin} is no place for a grid")

    @property
    def um_cell(self) -> YX:
        """Size of one cell in µm."""
        return self.l0_cell.times(self.mpp)

    @property
    def um_origin(self) -> YX:
        """Outer corner of cell (0, 0) in µm."""
        return self.l0_origin.times(self.mpp)

    def l0_from_g(self, g: YX) -> YX:
        """Return the level-0 place of a grid place."""
        return self.l0_origin.plus(g.times(self.l0_cell))

    def g_from_l0(self, l0: YX) -> YX:
        """Return the grid place of a level-0 place."""
        return YX(l0.y - self.l0_origin.y, l0.x - self.l0_origin.x).over(self.l0_cell)

    def g_from_um(self, um: YX) -> YX:
        """Return the grid place of a place in µm.

        >>> Grid(Shape(2, 3), YX(64, 64), YX(-32, 0), YX(0.5, 0.25)).g_from_um(YX(16, 24))
        YX(y=1.0, x=1.5)
        """
        return self.g_from_l0(um.over(self.mpp))

    def um_from_g(self, g: YX) -> YX:
        """Return the place in µm of a grid place."""
        return self.l0_from_g(g).times(self.mpp)

    def l0_edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the level-0 places of all lines between cells, the outer ones included.

        Returns
        -------
        rows, cols : (shape.rows + 1,) and (shape.cols + 1,) float64
        """
        rows = self.l0_origin.y + np.arange(self.shape.rows + 1) * self.l0_cell.y
        cols = self.l0_origin.x + np.arange(self.shape.cols + 1) * self.l0_cell.x
        return rows, cols

    def l0_edges_on(self, slide_shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Return the lines between cells, clipped to the slide.

        >>> grid = Grid(Shape(1, 2), YX(64.0, 64.0), YX(0.0, -31.0), YX(0.5, 0.5))
        >>> [edges.tolist() for edges in grid.l0_edges_on(Shape(50, 90))]
        [[0.0, 50.0], [0.0, 33.0, 90.0]]
        """
        rows, cols = self.l0_edges()
        return np.clip(rows, 0, slide_shape.rows), np.clip(cols, 0, slide_shape.cols)

    def downsampled(self, times: int = 1) -> Grid:
        """Return the lattice of a pyramid level: cells twice as large per step, same corner."""
        step = 2.0**times
        return Grid(self.shape.halved(times), self.l0_cell.times(step), self.l0_origin, self.mpp)

    def enlarged(self, times: int) -> Grid:
        """Return the lattice with each cell cut into ``times`` × ``times``, same corner.

        >>> Grid(Shape(2, 3), YX(4, 4), YX(-1, 0), YX(0.5, 0.5)).enlarged(2).l0_cell
        YX(y=2.0, x=2.0)
        """
        shape = Shape(self.shape.rows * times, self.shape.cols * times)
        return Grid(shape, self.l0_cell.times(1 / times), self.l0_origin, self.mpp)

    def cells_under(self, raster: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and column of the cell at each pixel centre of ``raster``.

        Returns
        -------
        rows, cols : (raster.rows,) and (raster.cols,) int64
            Index of the cell, or -1 where the centre lies in none.
        """
        rows = _containing(
            raster.shape.rows, raster.l0_cell.y, raster.l0_origin.y,
            self.shape.rows, self.l0_cell.y, self.l0_origin.y,
        )  # fmt: skip
        cols = _containing(
            raster.shape.cols, raster.l0_cell.x, raster.l0_origin.x,
            self.shape.cols, self.l0_cell.x, self.l0_origin.x,
        )  # fmt: skip
        return rows, cols


def _containing(
    n_pixels: int, pixel: float, first_pixel: float, n_cells: int, cell: float, first_cell: float
) -> np.ndarray:
    """Return, along one axis, the index of the cell around each pixel centre, or -1."""
    centres = first_pixel + (np.arange(n_pixels) + 0.5) * pixel
    index = np.floor((centres - first_cell) / cell).astype(np.int64)
    index[(index < 0) | (index >= n_cells)] = -1
    return index


def sample(values: np.ndarray, grid: Grid, raster: Grid, fill: float) -> np.ndarray:
    """Return ``values`` of ``grid`` at each pixel centre of ``raster``.

    Parameters
    ----------
    values : (rows, cols) or (rows, cols, channels) array on ``grid``
    fill : value where no cell lies

    Returns
    -------
    (raster.rows, raster.cols[, channels]) array of the same dtype
    """
    rows, cols = grid.cells_under(raster)
    padded = np.pad(values, [(0, 1), (0, 1)] + [(0, 0)] * (values.ndim - 2), constant_values=fill)
    return padded[rows[:, None], cols[None, :]]


def network_pixels(slide_shape: Shape, slide_mpp: YX, target_mpp: float) -> Grid:
    """Return the lattice of network pixels: square in µm, anchored at the slide's corner.

    The last row and column may reach past the slide by a part of a pixel.
    """
    l0_pixel = YX(target_mpp / slide_mpp.y, target_mpp / slide_mpp.x)
    return _covering(slide_shape, slide_mpp, l0_pixel)


def raster_pixels(slide_shape: Shape, slide_mpp: YX, cell: YX) -> Grid:
    """Return the lattice that a map is drawn on for viewers.

    Its pixels are a whole number of level-0 pixels, anchored at the slide's corner, so that no
    viewer needs a translation; at least four of them span a cell where level 0 allows it.

    Parameters
    ----------
    cell : YX
        Size of the map's cells in level-0 pixels.
    """
    whole = max(1, min(_LARGEST_L0, math.floor(min(cell) / 4)))
    return anchored_pixels(slide_shape, slide_mpp, whole)


_LARGEST_L0 = 8
"""Upper limit of a raster's pixel in level-0 pixels."""


def anchored_pixels(slide_shape: Shape, slide_mpp: YX, side: int) -> Grid:
    """Return the lattice of squares of ``side`` level-0 pixels, anchored at the slide's corner."""
    return _covering(slide_shape, slide_mpp, YX(float(side), float(side)))


def _covering(slide_shape: Shape, slide_mpp: YX, l0_pixel: YX) -> Grid:
    """Return the smallest lattice of pixels of this size that covers the slide."""
    # A quotient that is whole but for float noise must not gain a row.
    rows = math.ceil(round(slide_shape.rows / l0_pixel.y, 6))
    cols = math.ceil(round(slide_shape.cols / l0_pixel.x, 6))
    return Grid(Shape(max(1, rows), max(1, cols)), l0_pixel, YX(0.0, 0.0), slide_mpp)
