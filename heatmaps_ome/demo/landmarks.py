"""Draws the slide of the fiducial self-test: sharp black landmarks at known level-0 places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape, network_pixels

MPP = 0.2183
TARGET_MPP, STRIDE_PX, CENTRE_PX = 0.5, 32, 0.5
"""The grid is that of a network with these facts: cells of 73.29 level-0 pixels, no whole number of
them, the first of which reaches over the slide's edge. Round cells would hide rounding."""
SHAPE = Shape(2299, 3081)
"""Odd on purpose: no level of a pyramid divides the sides."""

GLASS, TISSUE, BLACK = (244, 243, 245), (226, 178, 206), (0, 0, 0)

_L0_ARM, _L0_THICK = 84, 4
_L0_RING = (56, 61)


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


def _grid() -> Grid:
    """Return the cells, as `features.dense.feature_grid` lays them."""
    pixels = network_pixels(SHAPE, YX(MPP, MPP), TARGET_MPP)
    rows, cols = (-(-size // STRIDE_PX) for size in pixels.shape)
    corner = pixels.l0_cell.times(CENTRE_PX - STRIDE_PX / 2)
    return Grid(Shape(rows, cols), pixels.l0_cell.times(STRIDE_PX), corner, pixels.mpp)


GRID = _grid()
"""The self-test's cells."""

LANDMARKS = (
    Landmark("top left", (1, 1), "ring"),
    Landmark("top right", (1, 40), "ring"),
    Landmark("bottom left", (30, 1), "ring"),
    Landmark("bottom right", (30, 40), "ring"),
    Landmark("middle", (15, 20), "cross"),
    Landmark("above", (5, 13), "cross"),
    Landmark("right", (11, 33), "cross"),
    Landmark("below", (24, 26), "cross"),
    Landmark("left", (19, 8), "ring"),
    Landmark("on glass", (3, 37), "cross"),
)
"""All but the corners have a row and a column of their own, so none is mistaken for another. Labels
and overlays have these cells within 1 µm of their place, of others within a pixel of theirs."""


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
    """Draw a landmark on the pixels whose centres it covers, half a pixel off at most."""
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
