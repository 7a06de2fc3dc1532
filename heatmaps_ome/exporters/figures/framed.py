"""The frame around a picture of a slide: title, prediction, scale bar and colour legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters.figures.captions import RESEARCH, drawable, width_px, wrapped
from heatmaps_ome.exporters.figures.colour_bar import draw_legend, legend_height
from heatmaps_ome.exporters.figures.layout import (
    DPI,
    FAINT,
    INK,
    Layout,
    Line,
    draw_scale_bar,
    pixels_of,
)
from heatmaps_ome.geometry import Shape, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.geometry import Grid

_LEAST_WIDTH_PX = 760
_LEGEND_WIDTH_PX = 480
_BORDER = "#adadad"


@dataclass(frozen=True)
class Caption:
    """The words of a figure.

    Attributes
    ----------
    slide_name, map_title, prediction, note : str
        From top to bottom; the note may be empty.
    """

    slide_name: str
    map_title: str
    prediction: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Framed:
    """A figure with a place for a picture, which is not part of it.

    Attributes
    ----------
    figure : Figure
        72 dots per inch.
    box : Window
        Where in the figure the picture belongs, in px.
    """

    figure: Figure
    box: Window

    def drawn(self) -> np.ndarray:
        """Return the figure as (rows, cols, 3) uint8, to paste the picture into."""
        return pixels_of(self.figure)


@dataclass(frozen=True, eq=False)
class Frame:
    """A figure with title and scale bar, a place for a picture, and one below for its legend.

    Attributes
    ----------
    layout : Layout
    box : Window
        Where the picture belongs, in px.
    below : tuple of four int
        Left, top, width and height of the legend's first line.
    """

    layout: Layout
    box: Window
    below: tuple[int, int, int, int]


def framed(extent: Grid, caption: Caption, drawn: DisplayMap) -> Framed:
    """Return a figure with title, scale bar and legend around a place for a picture of a slide.

    Parameters
    ----------
    extent : Grid
        The picture's pixels.
    """
    around = frame(extent, caption, lambda unit, width: legend_height(drawn, unit, width))
    draw_legend(around.layout, drawn, around.below)
    return Framed(around.layout.figure, around.box)


def frame(extent: Grid, caption: Caption, legend_px: Callable[[float, float], float]) -> Frame:
    """Return a figure with title and scale bar around a place for a picture of a slide.

    Parameters
    ----------
    extent : Grid
        The picture's pixels.
    legend_px : callable
        Returns the height of a legend of a text's size and a width; all in px.
    """
    from matplotlib.figure import Figure

    rows, cols = extent.shape
    width = max(cols, _LEAST_WIDTH_PX)
    unit = float(np.clip(width / 72, 13, 20))
    lines = _lines(caption, unit, width)
    margin = round(1.5 * unit)
    head = round(sum(1.4 * line.size for line in lines) + 0.6 * unit)
    bar_width = round(min(0.55 * width, 34 * unit))
    foot = round(max(5.2 * unit, 1.8 * unit + legend_px(unit, bar_width)))
    full = (2 * margin + width, 2 * margin + head + rows + foot)
    figure = Figure(figsize=(full[0] / DPI, full[1] / DPI), dpi=DPI, facecolor="white")
    layout = Layout(figure, full, unit)
    _write_lines(layout, lines, margin)
    box = Window(margin + head, margin + (width - cols) // 2, rows, cols)
    around = box.grown(1, Shape(full[1], full[0]))
    layout.fill(around.col, around.row, around.cols, around.rows, _BORDER)
    draw_scale_bar(layout, (margin, box.row_stop + 1.5 * unit), extent.um_cell.x, 0.3 * width)
    research = Line(RESEARCH, 0.8 * unit, False, FAINT)
    layout.text(margin, full[1] - margin - 0.4 * unit, research)
    left = margin + width - bar_width - round(1.5 * unit)
    below = (left, box.row_stop + round(1.2 * unit), bar_width, round(unit))
    return Frame(layout, box, below)


def legend_figure(drawn: DisplayMap) -> Figure:
    """Return a figure of nothing but the meaning of a map's colours."""
    from matplotlib.figure import Figure

    width, unit = _LEGEND_WIDTH_PX, 13.0
    bar_width = round(width - 3 * unit)
    height = round(max(5.2 * unit, 2 * unit + legend_height(drawn, unit, bar_width)))
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    layout = Layout(figure, (width, height), unit)
    draw_legend(layout, drawn, (round(1.5 * unit), round(unit), bar_width, round(unit)))
    return figure


def _lines(caption: Caption, unit: float, width: float) -> list[Line]:
    """Return the lines above the picture."""
    styles = (
        (caption.slide_name, 1.35 * unit, True, INK),
        (caption.map_title, 1.15 * unit, False, INK),
        (caption.prediction, unit, False, FAINT),
        *([(caption.note, 0.85 * unit, False, FAINT)] if caption.note else []),
    )
    return [
        Line(line, size, bold, colour)
        for text, size, bold, colour in styles
        for line in wrapped(
            drawable(text), lambda part, s=size, b=bold: width_px(part, s, b) <= width
        )
    ]


def _write_lines(layout: Layout, lines: list[Line], margin: int) -> None:
    """Write the lines one below the other."""
    top = float(margin)
    for line in lines:
        layout.text(margin, top, line)
        top += 1.4 * line.size
