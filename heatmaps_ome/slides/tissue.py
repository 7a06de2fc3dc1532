"""Find the cells of a slide that hold tissue, by the reference's brightness threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape, Window

if TYPE_CHECKING:
    from heatmaps_ome.slides.reader import SlideReader

PER_CELL = 8
"""Brightness samples along a cell's side; the mean over them is the cell's brightness."""

LUMA = np.array([299, 587, 114], np.float32) / 1000
"""ITU-R 601-2 luma, which is Pillow's mode "L"."""

_STRIP_CELLS = 64


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
            bright = brightness(self._slide, self._grid, row, self._n_rows)
            self._tissue[row : self._n_rows] = bright < self._threshold
        return self._tissue[rows]


def tissue_cells(slide: SlideReader, grid: Grid, threshold: float) -> np.ndarray:
    """Return the cells darker than ``threshold``: (rows, cols) bool."""
    return TissueCells(slide, grid, threshold)[:]


def brightness(slide: SlideReader, grid: Grid, row: int, stop: int) -> np.ndarray:
    """Return the mean brightness of rows of cells, over their part on the slide.

    The mean of the pixels under a cell stands for the reference's resized slide
    (create_heatmaps.py:373-380); transparent pixels count as background.

    Returns
    -------
    (stop - row, cols) float32, luma in 0..255; white outside the slide
    """
    rgb, inside = cell_samples(slide, grid, row, stop)
    n_samples = inside.sum(axis=(1, 3), dtype=np.float32)
    total = (rgb @ LUMA * inside).sum(axis=(1, 3))
    return np.where(n_samples > 0, total / np.maximum(n_samples, 1), 255)


def cell_samples(
    slide: SlideReader, grid: Grid, row: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``PER_CELL`` × ``PER_CELL`` colours of each cell in rows of cells.

    Returns
    -------
    rgb : (stop - row, PER_CELL, cols, PER_CELL, 3) uint8
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
        rgb[where] = slide.read(fine, Window(start, first, end - start, last - first))
        inside[where] = True
    cells = (stop - row, PER_CELL, grid.shape.cols, PER_CELL)
    return rgb.reshape(*cells, 3), inside.reshape(cells)


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
