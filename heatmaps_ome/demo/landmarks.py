"""Draws the slide of the fiducial self-test: sharp black landmarks at known level-0 places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape

L0_CELL = 16
"""Side of a cell of the self-test in level-0 pixels."""
MPP = 0.5
SHAPE = Shape(2299, 3081)
"""Odd on purpose: no level of a pyramid divides the sides."""

GLASS, TISSUE, BLACK = (244, 243, 245), (226, 178, 206), (0, 0, 0)

_L0_ARM, _L0_THICK = 64, 4
_L0_RING = (24, 28)


@dataclass(frozen=True)
class Landmark:
    """A mark on the slide, centred on a cell.

    Attributes
    ----------
    cell : (row, column)
        The cell that marks it.
    shape : "cross" or "ring"
    """

    name: str
    cell: tuple[int, int]
    shape: Literal["cross", "ring"]

    @property
    def l0_centre(self) -> YX:
        """Centre in level-0 pixels."""
        return GRID.l0_from_g(YX(self.cell[0] + 0.5, self.cell[1] + 0.5))


GRID = Grid(
    Shape(-(-SHAPE.rows // L0_CELL), -(-SHAPE.cols // L0_CELL)),
    YX(float(L0_CELL), float(L0_CELL)),
    YX(0.0, 0.0),
    YX(MPP, MPP),
)
"""The self-test's cells."""

_LAST_ROW, _LAST_COL = SHAPE.rows // L0_CELL - 1, SHAPE.cols // L0_CELL - 1

LANDMARKS = (
    Landmark("top left", (0, 0), "ring"),
    Landmark("top right", (0, _LAST_COL), "ring"),
    Landmark("bottom left", (_LAST_ROW, 0), "ring"),
    Landmark("bottom right", (_LAST_ROW, _LAST_COL), "ring"),
    Landmark("middle", (71, 96), "cross"),
    Landmark("above", (29, 61), "cross"),
    Landmark("right", (53, 151), "cross"),
    Landmark("below", (113, 108), "cross"),
    Landmark("left", (90, 37), "ring"),
    Landmark("on glass", (14, 166), "cross"),
)
"""All but the corners have a row and a column of their own, so none is mistaken for another."""


def slide_pixels() -> np.ndarray:
    """Return the slide: (rows, cols, 3) uint8, the same every time."""
    y = np.arange(SHAPE.rows)[:, None] + 0.5
    x = np.arange(SHAPE.cols)[None, :] + 0.5
    pixels = np.full((*SHAPE, 3), GLASS, np.uint8)
    tissue = ((y / SHAPE.rows - 0.5) / 0.4) ** 2 + ((x / SHAPE.cols - 0.46) / 0.4) ** 2 < 1
    # A faint texture shows a viewer's interpolation, and that no area is a flat fill.
    stripes = (np.sin(y / 37) * np.sin(x / 53) * 6).astype(np.int16)[..., None]
    pixels[tissue] = (np.array(TISSUE) + stripes)[tissue].astype(np.uint8)
    for landmark in LANDMARKS:
        _draw(landmark, pixels, y, x)
    return pixels


def _draw(landmark: Landmark, pixels: np.ndarray, y: np.ndarray, x: np.ndarray) -> None:
    """Draw a landmark; its centre is the corner of four pixels, so it is symmetric exactly."""
    centre = landmark.l0_centre
    top, left = (max(0, round(place) - _L0_ARM - 1) for place in centre)
    window = (slice(top, round(centre.y) + _L0_ARM + 1), slice(left, round(centre.x) + _L0_ARM + 1))
    down, across = np.abs(y[window[0]] - centre.y), np.abs(x[:, window[1]] - centre.x)
    if landmark.shape == "ring":
        black = (np.hypot(down, across) > _L0_RING[0]) & (np.hypot(down, across) < _L0_RING[1])
    else:
        far, near = np.maximum(down, across), np.minimum(down, across)
        black = (far < _L0_ARM) & (near < _L0_THICK / 2)
    pixels[window][black] = BLACK
