"""Rules for pyramid levels: each agrees with the finer ones, in windows spread over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.geometry import Shape
    from heatmaps_ome.validate.ngff import Pyramid

_SIDE = 64
_PLACES = 3
"""Windows along each side of a level, the corners among them."""
_GREY_LEVELS = 2


def spread(length: int, side: int, places: int = _PLACES) -> list[int]:
    """Return the starts of windows that are spread evenly over a length, with both ends.

    >>> spread(100, 10), spread(8, 10)
    ([0, 45, 90], [0])
    """
    last = max(0, length - side)
    return sorted({round(last * index / max(1, places - 1)) for index in range(places)})


def area_mean(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of 2 × 2 pixels; an odd last row or column counts twice.

    Parameters
    ----------
    pixels : (rows, cols, ...) numbers

    Returns
    -------
    (ceil(rows / 2), ceil(cols / 2), ...) float64
    """
    rows, cols = pixels.shape[:2]
    pads = [(0, rows % 2), (0, cols % 2)] + [(0, 0)] * (pixels.ndim - 2)
    even = np.pad(pixels, pads, mode="edge").astype(np.float64)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def images_agree(image: Pyramid) -> Iterator[str]:
    """Demand that each level is the mean of the finer one, within two grey levels."""
    for level in range(1, len(image.levels)):
        coarse, fine = image.levels[level], image.levels[level - 1]
        rows, cols = image.shapes[level]
        for row in spread(rows, _SIDE):
            for col in spread(cols, _SIDE):
                pixels = np.asarray(coarse[:, row : row + _SIDE, col : col + _SIDE])
                finer = fine[:, 2 * row : 2 * (row + _SIDE), 2 * col : 2 * (col + _SIDE)]
                wanted = np.moveaxis(area_mean(np.moveaxis(np.asarray(finer), 0, -1)), -1, 0)
                high, wide = np.minimum(pixels.shape[1:], wanted.shape[1:])
                both = (slice(None), slice(high), slice(wide))
                off = float(np.abs(pixels[both] - wanted[both]).max(initial=0))
                if off > _GREY_LEVELS:
                    yield (
                        f"level {level} differs by up to {off:.0f} grey levels from the mean of "
                        f"level {level - 1} near row {row}, column {col}"
                    )


def labels_agree(label: Pyramid) -> Iterator[str]:
    """Demand that each coarse pixel is one of the four finest pixels around its centre.

    A coarse pixel takes the cell around its centre, a corner of four of the finest pixels; as
    cells are wider than those, one of the four has the same cell.
    """
    finest, shape = label.levels[0], label.shapes[0]
    for level in range(1, len(label.levels)):
        rows, cols = (
            _inner(length, level, whole)
            for length, whole in zip(label.shapes[level], shape, strict=True)
        )
        if not (len(rows) and len(cols)):
            continue
        pixels = _pixels(label, level, rows, cols)
        corners = ((rows * 2 + 1) << (level - 1), (cols * 2 + 1) << (level - 1))
        around = [
            finest.get_orthogonal_selection((corners[0] - up, corners[1] - left))
            for up in (0, 1)
            for left in (0, 1)
        ]
        wrong = np.all([pixels != corner for corner in around], axis=0)
        if wrong.any():
            row, col = np.argwhere(wrong)[0]
            yield (
                f"level {level} differs from level 0 in {wrong.sum()} of {wrong.size} pixels "
                f"tried, first in row {rows[row]}, column {cols[col]}"
            )


def _pixels(label: Pyramid, level: int, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return the pixels where rows and columns cross."""
    return np.asarray(label.levels[level].get_orthogonal_selection((rows, cols)))


def _inner(length: int, level: int, finest: int) -> np.ndarray:
    """Return at most 96 places along an axis whose centre has finest pixels on both sides."""
    places = np.unique(np.linspace(0, length - 1, min(length, 96)).round().astype(np.int64))
    return places[((places * 2 + 1) << (level - 1)) < finest]


IMAGE_LEVELS: tuple[Rule[Pyramid], ...] = (
    Rule("levels-agree", "each level of the image is the mean of the finer one", images_agree),
)
LABEL_LEVELS: tuple[Rule[Pyramid], ...] = (
    Rule("label-levels-agree", "each level of a label shows the cells that level 0 does",
         labels_agree),
)  # fmt: skip


def sampled_tiles(shape: Shape) -> list[tuple[int, int]]:
    """Return the (row, column) of tiles spread over a lattice of tiles."""
    return [(row, col) for row in spread(shape.rows, 1) for col in spread(shape.cols, 1)]
