"""Places shapes and text in a figure by px from its top left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.colour import hex_colours
from heatmaps_ome.exporters.figures.captions import font, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 72
"""At this resolution a point is a pixel, so that one unit serves text and layout."""
INK, FAINT = "#1a1a1a", "#555555"
"""Colours of text: what is to be read, and what stands beside it."""
_RIM = "#999999"


def pixels_of(figure: Figure) -> np.ndarray:
    """Return a figure without transparency as (rows, cols, 3) uint8."""
    from heatmaps_ome.exporters.figures.quick_text import rgba_of

    rgba = rgba_of(figure)
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    # Band by band takes a fifth of the time of all at once, which numpy copies pixel by pixel.
    for band in range(3):
        rgb[..., band] = rgba[..., band]
    return rgb


@dataclass(frozen=True)
class Line:
    """A line of text; sizes in px."""

    text: str
    size: float
    bold: bool
    colour: str


@dataclass(frozen=True)
class Layout:
    """A figure addressed in px from its top left corner."""

    figure: Figure
    size: tuple[int, int]
    unit: float

    def axes(self, box: tuple[float, float, float, float]) -> Axes:
        """Return axes without ticks in a (left, top, width, height) box."""
        (width, height), (left, top, cols, rows) = self.size, box
        place = (left / width, 1 - (top + rows) / height, cols / width, rows / height)
        axes = self.figure.add_axes(place)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=_RIM, linewidth=0.8)
        return axes

    def swatch(self, box: tuple[int, int, int, int], colour: np.ndarray) -> None:
        """Fill a (left, top, width, height) box with a colour, (4,) uint8, within a thin rim."""
        left, top, width, height = box
        self.fill(left, top, width, height, _RIM)
        [inside] = hex_colours(colour[None])
        self.fill(left + 1, top + 1, width - 2, height - 2, inside)

    def fill(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle."""
        from matplotlib.patches import Rectangle

        cols, rows = self.size
        place = (left / cols, 1 - (top + height) / rows)
        self.figure.add_artist(
            Rectangle(place, width / cols, height / rows, color=colour, linewidth=0)
        )

    def text(self, left: float, top: float, line: Line, align: str = "left") -> None:
        """Write a line that hangs from ``top``."""
        self.figure.text(
            left / self.size[0], 1 - top / self.size[1], line.text, color=line.colour,
            fontproperties=font(line.size, line.bold), ha=align, va="top", parse_math=False,
        )  # fmt: skip


def draw_scale_bar(
    layout: Layout, place: tuple[float, float], um_per_px: float, longest_px: float
) -> None:
    """Draw a bar of a round length with its text below."""
    um, text = scale_bar(longest_px * um_per_px)
    (left, top), unit = place, layout.unit
    layout.fill(left, top, um / um_per_px, 0.35 * unit, INK)
    layout.text(left, top + 0.8 * unit, Line(text, unit, False, INK))
