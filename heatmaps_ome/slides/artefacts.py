"""Find the cells on pen, dark, blurred or empty parts of a slide.

Each kind has one plain measure of the slide's pixels; no model has a part in it. The measures are
made for brightfield slides stained with haematoxylin and eosin or alike, and each misses some:

- **pen**: the cell's share of samples with the colour of green, cyan or blue ink. Red ink has
  eosin's hue and is not distinguished from it; black ink is dark, if it covers the cell.
- **dark**: the cell's mean brightness. Ink, folds, dust, the edge of the cover glass.
- **empty**: hardly any sample of the cell is both darker than the tissue mask's threshold and
  coloured, so that it is grey glass, a scratch or a shadow, not stained tissue.
- **blurred**: the cell has contrast, but hardly any in fine detail, as if it had been blurred by a
  Gaussian of two network pixels or more. Camera noise and JPEG blocks can hide it, and where a
  smooth area meets another there is no detail either.

A cell has one kind, the first of these. Samples are those of the tissue mask, 8 × 8 a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.geometry import Shape, Window, tiles_of
from heatmaps_ome.slides.artefact_kinds import KINDS
from heatmaps_ome.slides.reading import in_order
from heatmaps_ome.slides.tissue import LUMA, cell_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.slides.reader import SlideReader

KIND_COLOURS: Final = ("#009e73", "#d55e00", "#56b4e9", "#f0e442")
"""The kinds' colours, in their order: those of Okabe and Ito's that stained tissue lacks."""
_FIRST: Final = ("pen", "dark", "empty", "blurred")
"""Precedence where a cell is of several kinds: an empty cell has nothing to be sharp."""

MEASURES: Final = {
    "pen_hue_from": 70.0,
    "pen_hue_to": 225.0,
    "pen_saturation": 0.3,
    "pen_share": 0.2,
    "dark_brightness": 50.0,
    "empty_saturation": 0.05,
    "empty_share": 0.1,
    "blurred_detail": 0.15,
}
"""Where artefacts begin.

``pen_hue_from``, ``pen_hue_to`` (degrees), ``pen_saturation`` and ``empty_saturation`` are of HSV,
the latter two in [0, 1]; a cell is *pen* where more than ``pen_share`` of its samples are darker
than the mask's threshold, more saturated and of a hue between; haematoxylin's is from 240 on.
It is *dark* where its mean luma, 0..255, is below ``dark_brightness``. It is *empty* where less
than ``empty_share`` of its samples are darker than the mask's threshold and more saturated.
It is *blurred* where the mean square of the Laplacian of luma is below ``blurred_detail`` of its
variance. Noise that a Gaussian of σ pixels has blurred has 2/σ⁴, and slides in focus 0.2 to 5.
"""

_STRIP_CELLS = 64
_TILE_CELLS = 32


def find_artefacts(
    slide: SlideReader,
    grid: Grid,
    pixels: Grid,
    tissue: np.ndarray,
    threshold: float,
    threads: int = 1,
) -> np.ndarray:
    """Return the kind of artefact that each tissue cell lies on.

    Parameters
    ----------
    grid : Grid
        The cells.
    pixels : Grid
        Lattice of the network's pixels; a cell is a whole number of them.
    tissue : (rows, cols) bool
    threshold : float
        Brightness in 0..255 from which the tissue mask takes a cell for background.
    threads : int
        Threads that read the slide.

    Returns
    -------
    (rows, cols) uint8
        0 for none and where no tissue is, else 1 + the index in ``KINDS``.
    """
    kinds = np.zeros(grid.shape, np.uint8)
    masks = {
        **_coloured(slide, grid, tissue, threshold, threads),
        "blurred": _blurred(slide, grid, pixels, tissue, threads),
    }
    for kind in reversed(_FIRST):
        kinds[masks[kind]] = 1 + KINDS.index(kind)
    return kinds


def without(
    tissue: np.ndarray, artefacts: np.ndarray, kinds: tuple[str, ...]
) -> tuple[np.ndarray, dict[str, int]]:
    """Return tissue without its cells on kinds of artefacts, and the number of cells of each.

    Parameters
    ----------
    tissue : (rows, cols) bool
    artefacts : (rows, cols) uint8
        As `find_artefacts` gives them.
    """
    cells = {kind: artefacts == 1 + KINDS.index(kind) for kind in KINDS if kind in kinds}
    counts = {kind: int(np.count_nonzero(mask)) for kind, mask in cells.items()}
    return tissue & ~np.any(list(cells.values()), axis=0), counts


def _coloured(
    slide: SlideReader, grid: Grid, tissue: np.ndarray, threshold: float, threads: int
) -> dict[str, np.ndarray]:
    """Return masks of the tissue cells that are pen, dark and empty, (rows, cols) bool each."""
    masks = {kind: np.zeros(grid.shape, bool) for kind in ("pen", "dark", "empty")}

    def measured(rows: slice) -> dict[str, np.ndarray]:
        rgb, inside = cell_samples(slide, grid, rows.start, rows.stop, threshold)
        return _kinds_of(rgb, inside, tissue[rows], threshold)

    strips = (
        slice(row, min(row + _STRIP_CELLS, grid.shape.rows))
        for row in range(0, grid.shape.rows, _STRIP_CELLS)
    )
    with_tissue = (rows for rows in strips if tissue[rows].any())
    for rows, kinds in in_order(measured, with_tissue, threads):
        for kind, cells in kinds.items():
            masks[kind][rows][tissue[rows]] = cells
    return masks


def _kinds_of(
    rgb: np.ndarray, inside: np.ndarray, cells: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """Return masks of the chosen cells that are pen, dark and empty, (n,) bool each.

    Parameters
    ----------
    rgb : (rows, samples, cols, samples, 3) uint8
    inside : (rows, samples, cols, samples) bool
        Samples on the slide.
    cells : (rows, cols) bool
        The chosen cells, n of them.
    """
    from matplotlib.colors import rgb_to_hsv

    rgb, inside = rgb.swapaxes(1, 2)[cells], inside.swapaxes(1, 2)[cells]
    count = np.maximum(inside.sum(axis=(1, 2)), 1)
    luma = rgb @ LUMA
    hue, saturation, _ = np.moveaxis(rgb_to_hsv(rgb.astype(np.float32) / 255), -1, 0)
    stained = inside & (luma < threshold)
    low, high = MEASURES["pen_hue_from"] / 360, MEASURES["pen_hue_to"] / 360
    ink = stained & (saturation > MEASURES["pen_saturation"]) & (hue > low) & (hue < high)
    coloured = stained & (saturation > MEASURES["empty_saturation"])
    return {
        "pen": ink.sum(axis=(1, 2)) > MEASURES["pen_share"] * count,
        "dark": (luma * inside).sum(axis=(1, 2)) < MEASURES["dark_brightness"] * count,
        "empty": coloured.sum(axis=(1, 2)) < MEASURES["empty_share"] * count,
    }


def _blurred(
    slide: SlideReader, grid: Grid, pixels: Grid, tissue: np.ndarray, threads: int
) -> np.ndarray:
    """Return the mask of blurred tissue cells: (rows, cols) bool."""
    blurred = np.zeros(grid.shape, bool)

    def measured(window: Window) -> np.ndarray:
        detail, contrast = _detail_and_contrast(slide, grid, pixels, window)
        return detail < MEASURES["blurred_detail"] * contrast

    for window, cells in in_order(measured, _around_tissue(tissue), threads):
        blurred[window.slices] = cells
    return blurred & tissue


def _around_tissue(tissue: np.ndarray) -> Iterator[Window]:
    """Yield the rectangle around the tissue of each tile of cells that has any."""
    for tile in tiles_of(Shape(*tissue.shape), _TILE_CELLS):
        rows, cols = np.nonzero(tissue[tile.slices])
        if rows.size:
            yield Window(
                tile.row + int(rows.min()), tile.col + int(cols.min()),
                int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1,
            )  # fmt: skip


def _detail_and_contrast(
    slide: SlideReader, grid: Grid, pixels: Grid, cells: Window
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean square of the Laplacian and variance of luma of the cells of a window.

    Both are over the pixels of a cell whose four neighbours lie in the cell and on the slide.

    Returns
    -------
    two (rows, cols) float32, both times the same number
    """
    side, first = (
        tuple(map(round, pair.over(pixels.l0_cell))) for pair in (grid.l0_cell, grid.l0_origin)
    )
    whole = Window(
        first[0] + cells.row * side[0], first[1] + cells.col * side[1],
        cells.rows * side[0], cells.cols * side[1],
    )  # fmt: skip
    there = whole.common(Window(0, 0, *pixels.shape))
    laplacian, luma, counted = np.zeros((3, whole.rows, whole.cols), np.float32)
    if there.rows > 2 and there.cols > 2:
        # Values around 0, so that squares keep their digits.
        read = slide.read(pixels, there) @ LUMA - np.float32(128)
        within = there.within(whole)
        inner = (
            slice(within.row + 1, within.row_stop - 1),
            slice(within.col + 1, within.col_stop - 1),
        )
        centre = read[1:-1, 1:-1]
        laplacian[inner] = (
            read[:-2, 1:-1] + read[2:, 1:-1] + read[1:-1, :-2] + read[1:-1, 2:] - 4 * centre
        )
        luma[inner], counted[inner] = centre, 1

    def sums(values: np.ndarray) -> np.ndarray:
        # Whole rows are summed first: a fifth of the time of summing cell by cell.
        down = values.reshape(cells.rows, side[0], whole.cols)[:, 1:-1].sum(axis=1)
        return down.reshape(cells.rows, cells.cols, side[1])[..., 1:-1].sum(axis=2)

    count = sums(counted)
    return sums(laplacian**2) * count, sums(luma**2) * count - sums(luma) ** 2
