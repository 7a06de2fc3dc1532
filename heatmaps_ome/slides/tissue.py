"""Find the cells of a slide that hold tissue: by brightness, and by no area of one colour.

Scanners and exporters fill the areas that were never scanned with black, or a grey. A square of a
cell's size in a single grey is such a fill: no camera sees tissue or ink without any noise.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.slides.reader import SlideReader

PER_CELL = 8
"""Brightness samples along a cell's side; the mean over them is the cell's brightness."""

LUMA = np.array([299, 587, 114], np.float32) / 1000
"""ITU-R 601-2 luma, which is Pillow's mode "L"."""

_STRIP_CELLS = 64

FILL_BELOW = 224.0
"""Luma below which a fill would be taken for tissue; a brighter one is background in any case."""


class TissueCells:
    """The cells darker than a threshold, computed on demand from the top down.

    Parameters
    ----------
    slide : SlideReader
    grid : Grid
    threshold : float
        Brightness in 0..255 from which a cell is background.
    """

    def __init__(self, slide: SlideReader, grid: Grid, threshold: float) -> None:
        self._slide, self._grid, self._threshold = slide, grid, threshold
        self._tissue = np.zeros(grid.shape, bool)
        self._brightness = np.zeros(grid.shape, np.float32)
        self._n_rows = 0

    @property
    def shape(self) -> Shape:
        """Cells of the grid."""
        return self._grid.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return rows of cells, (n, cols) bool; the rows above them are computed too."""
        stop = rows.indices(self.shape.rows)[1]
        while self._n_rows < stop:
            row = self._n_rows
            self._n_rows = min(row + _STRIP_CELLS, self.shape.rows)
            bright = brightness(self._slide, self._grid, row, self._n_rows, self._threshold)
            self._brightness[row : self._n_rows] = bright
            self._tissue[row : self._n_rows] = bright < self._threshold
        return self._tissue[rows]

    def median_brightness(self, cells: np.ndarray) -> float | None:
        """Return the median brightness of chosen cells, luma in 0..255; None if there are none.

        Parameters
        ----------
        cells : (rows, cols) bool
        """
        self[:]
        return float(np.median(self._brightness[cells])) if cells.any() else None


def tissue_cells(slide: SlideReader, grid: Grid, threshold: float) -> np.ndarray:
    """Return the cells darker than ``threshold``: (rows, cols) bool."""
    return TissueCells(slide, grid, threshold)[:]


def brightness(
    slide: SlideReader, grid: Grid, row: int, stop: int, fill_below: float = FILL_BELOW
) -> np.ndarray:
    """Return the mean brightness of rows of cells, over their part on the slide.

    The mean of the pixels under a cell stands for the reference's resized slide
    (create_heatmaps.py:373-380); transparent pixels count as background, and so do
    areas filled with one colour.

    Parameters
    ----------
    fill_below : float
        Luma from which a fill is left as it is.

    Returns
    -------
    (stop - row, cols) float32, luma in 0..255; white outside the slide
    """
    rgb, inside = cell_samples(slide, grid, row, stop, fill_below)
    n_samples = inside.sum(axis=(1, 3), dtype=np.float32)
    total = (rgb @ LUMA * inside).sum(axis=(1, 3))
    return np.where(n_samples > 0, total / np.maximum(n_samples, 1), 255)


def cell_samples(
    slide: SlideReader, grid: Grid, row: int, stop: int, fill_below: float = FILL_BELOW
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``PER_CELL`` × ``PER_CELL`` colours of each cell in rows of cells.

    Returns
    -------
    rgb : (stop - row, PER_CELL, cols, PER_CELL, 3) uint8
        White where the slide is filled with one colour.
    inside : (stop - row, PER_CELL, cols, PER_CELL) bool
        Samples that lie on the slide; the others are black.
    """
    fine = _sample_lattice(slide, grid)
    before = grid.l0_origin.over(grid.l0_cell).times(PER_CELL)
    top, left = round(before.y) + row * PER_CELL, round(before.x)
    shape = ((stop - row) * PER_CELL, grid.shape.cols * PER_CELL)
    rgb, inside = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool)
    start, end = max(0, top), min(fine.shape.rows, top + shape[0])
    first, last = max(0, left), min(fine.shape.cols, left + shape[1])
    if start < end and first < last:
        where = (slice(start - top, end - top), slice(first - left, last - left))
        # Whether a sample is filled depends on its surroundings.
        window = Window(start, first, end - start, last - first)
        around = window.grown(_FILL_REACH, fine.shape)
        read = slide.read(fine, around)
        read[filled(read, fill_below)] = 255
        rgb[where] = read[window.within(around).slices]
        inside[where] = True
    cells = (stop - row, PER_CELL, grid.shape.cols, PER_CELL)
    return rgb.reshape(*cells, 3), inside.reshape(cells)


_GREY_WITHIN = 2
"""Largest difference of the channels of a grey, in grey levels."""
_FILL_REACH = PER_CELL
"""How far beyond a sample the square and its rim reach that make it filled."""


def filled(rgb: np.ndarray, below: float) -> np.ndarray:
    """Return the samples in squares of a single grey as large as a cell, and those next to them.

    Samples beside a fill are mixed with it.

    Parameters
    ----------
    rgb : (rows, cols, 3) uint8
    below : float
        Luma from which a colour does not count.

    Returns
    -------
    (rows, cols) bool
    """
    mask = np.zeros(rgb.shape[:2], bool)
    colour = rgb.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    # JPEG turns a grey by one or two levels.
    grey = np.ptp(rgb, axis=-1) <= _GREY_WITHIN
    dark = grey & (rgb @ LUMA < below)
    along = dark[:, 1:] & (colour[:, 1:] == colour[:, :-1])
    # Nearly all slides have no fill, and are done here.
    if min(rgb.shape[:2]) < PER_CELL or np.count_nonzero(along) < PER_CELL * (PER_CELL - 1):
        return mask
    down = colour[1:] == colour[:-1]
    rows_alike = _running(np.logical_and, along, PER_CELL - 1, axis=1)
    firsts_alike = _running(np.logical_and, down, PER_CELL - 1, axis=0)
    corners = _running(np.logical_and, rows_alike, PER_CELL, axis=0)
    corners &= firsts_alike[:, : corners.shape[1]]
    if not corners.any():
        return mask
    rows = _running(np.logical_or, np.pad(corners, PER_CELL), PER_CELL + 2, axis=0)
    return _running(np.logical_or, rows, PER_CELL + 2, axis=1)


def _running(
    combined: Callable[[np.ndarray, np.ndarray], np.ndarray],
    values: np.ndarray,
    count: int,
    axis: int,
) -> np.ndarray:
    """Return each run of so many values along an axis combined, ``count`` - 1 fewer of them."""
    length = values.shape[axis] - count + 1
    along = np.moveaxis(values, axis, 0)
    parts = (along[k : k + length] for k in range(count))
    return np.moveaxis(reduce(combined, parts), 0, axis)


def _sample_lattice(slide: SlideReader, grid: Grid) -> Grid:
    """Return the lattice of brightness samples: a whole number of them just covers the slide.

    A sample that reached past the slide would be brightened by the white beyond it; so samples
    are stretched, over the whole slide by half of one at most (1/16 of a cell).
    """
    step = grid.l0_cell.times(1 / PER_CELL)
    shape = Shape(
        max(1, round(slide.shape.rows / step.y)), max(1, round(slide.shape.cols / step.x))
    )
    return Grid(
        shape,
        YX(slide.shape.rows / shape.rows, slide.shape.cols / shape.cols),
        YX(0.0, 0.0),
        grid.mpp,
    )
