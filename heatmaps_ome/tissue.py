"""Which cells of a slide hold tissue: the reference's brightness threshold, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape, Window

if TYPE_CHECKING:
    from heatmaps_ome.slide import SlideReader

_PER_CELL = 8
"""Brightness samples along a cell's side; the mean over them is the cell's brightness."""

_LUMA = np.array([299, 587, 114], np.float32) / 1000
"""ITU-R 601-2 luma, which is Pillow's mode "L"."""

_STRIP_CELLS = 64


def brightness(slide: SlideReader, grid: Grid) -> np.ndarray:
    """Return the mean brightness of each cell, over the part of it that lies on the slide.

    The mean of the pixels under a cell stands for the reference's resized slide
    (create_heatmaps.py:373-380); transparent pixels count as background.

    Returns
    -------
    (rows, cols) float32, luma in 0..255
    """
    fine = _sample_lattice(slide, grid)
    out = np.empty(grid.shape, np.float32)
    for row in range(0, grid.shape.rows, _STRIP_CELLS):
        stop = min(row + _STRIP_CELLS, grid.shape.rows)
        out[row:stop] = _strip_brightness(slide, fine, grid, row, stop)
    return out


def tissue_cells(slide: SlideReader, grid: Grid, threshold: float) -> np.ndarray:
    """Return the cells darker than ``threshold``.

    Returns
    -------
    (rows, cols) bool
    """
    return brightness(slide, grid) < threshold


def _sample_lattice(slide: SlideReader, grid: Grid) -> Grid:
    """Return the lattice of brightness samples: a whole number of them just covers the slide.

    A sample that reached past the slide would be brightened by what is not there; so samples
    are stretched, over the whole slide by half of one at most (1/16 of a cell).
    """
    step = grid.l0_cell.times(1 / _PER_CELL)
    shape = Shape(
        max(1, round(slide.shape.rows / step.y)), max(1, round(slide.shape.cols / step.x))
    )
    return Grid(
        shape,
        YX(slide.shape.rows / shape.rows, slide.shape.cols / shape.cols),
        YX(0.0, 0.0),
        grid.mpp,
    )


def _strip_brightness(
    slide: SlideReader, fine: Grid, grid: Grid, row: int, stop: int
) -> np.ndarray:
    """Return the brightness of the cells of rows [row, stop); white where no slide is."""
    before = grid.l0_origin.over(grid.l0_cell).times(_PER_CELL)
    top, left = round(before.y) + row * _PER_CELL, round(before.x)
    shape = ((stop - row) * _PER_CELL, grid.shape.cols * _PER_CELL)
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    start, end = max(0, top), min(fine.shape.rows, top + shape[0])
    first, last = max(0, left), min(fine.shape.cols, left + shape[1])
    if start < end and first < last:
        luma = slide.read(fine, Window(start, first, end - start, last - first)) @ _LUMA
        where = (slice(start - top, end - top), slice(first - left, last - left))
        total[where], weight[where] = luma, 1
    n_samples = _block_sum(weight)
    return np.where(n_samples > 0, _block_sum(total) / np.maximum(n_samples, 1), 255)


def _block_sum(samples: np.ndarray) -> np.ndarray:
    """Return the sums over the samples of each cell."""
    rows, cols = samples.shape
    blocks = samples.reshape(rows // _PER_CELL, _PER_CELL, cols // _PER_CELL, _PER_CELL)
    return blocks.sum(axis=(1, 3))
