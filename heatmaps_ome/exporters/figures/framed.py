"""The frame around a picture of a slide: title, prediction, scale bar and colour legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.colour import hex_colours
from heatmaps_ome.exporters.figures.captions import (
    drawable,
    font,
    number,
    round_numbers,
    scale_bar,
    shortened,
    spaced,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.legend import SWATCH, Entry, legend
from heatmaps_ome.geometry import Shape, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.geometry import Grid

DPI = 72
"""At this resolution a point is a pixel, so that one unit serves text and layout."""
_LEAST_WIDTH_PX = 760
_LEGEND_WIDTH_PX = 480
_ALIKE = 1e-4
"""Relative difference below which two values count as equal: numbers of five digits help nobody."""
_LINE = 1.6
"""From one line of a legend to the next, in heights of its text."""
_INK, _FAINT, _BORDER, _RIM = "#1a1a1a", "#555555", "#adadad", "#999999"


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


def pixels_of(figure: Figure) -> np.ndarray:
    """Return a figure without transparency as (rows, cols, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba())
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


def framed(extent: Grid, caption: Caption, drawn: DisplayMap) -> Framed:
    """Return a figure with title, scale bar and legend around a place for a picture of a slide.

    Parameters
    ----------
    extent : Grid
        The picture's pixels.
    """
    from matplotlib.figure import Figure

    rows, cols = extent.shape
    width = max(cols, _LEAST_WIDTH_PX)
    unit = float(np.clip(width / 72, 13, 20))
    lines = _lines(caption, unit, width)
    margin = round(1.5 * unit)
    head = round(sum(1.4 * line.size for line in lines) + 0.6 * unit)
    bar_width = round(min(0.55 * width, 34 * unit))
    entries = legend(drawn, unit, bar_width)
    foot = round(max(6.7 if any(drawn.ends) else 5.2, _legend_height(entries)) * unit)
    full = (2 * margin + width, 2 * margin + head + rows + foot)
    figure = Figure(figsize=(full[0] / DPI, full[1] / DPI), dpi=DPI, facecolor="white")
    layout = Layout(figure, full, unit)
    _write_lines(layout, lines, margin)
    box = Window(margin + head, margin + (width - cols) // 2, rows, cols)
    around = box.grown(1, Shape(full[1], full[0]))
    layout.fill(around.col, around.row, around.cols, around.rows, _BORDER)
    draw_scale_bar(layout, (margin, box.row_stop + 1.5 * unit), extent.um_cell.x, 0.3 * width)
    left = margin + width - bar_width - round(1.5 * unit)
    draw_legend(layout, drawn, (left, box.row_stop + round(1.2 * unit), bar_width, round(unit)))
    return Framed(figure, box)


def legend_figure(drawn: DisplayMap) -> Figure:
    """Return a figure of nothing but the meaning of a map's colours."""
    from matplotlib.figure import Figure

    width, unit = _LEGEND_WIDTH_PX, 13.0
    bar_width = round(width - 3 * unit)
    height = round(max(5.2, 2 + _legend_height(legend(drawn, unit, bar_width))) * unit)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    layout = Layout(figure, (width, height), unit)
    draw_legend(layout, drawn, (round(1.5 * unit), round(unit), bar_width, round(unit)))
    return figure


def draw_legend(layout: Layout, drawn: DisplayMap, box: tuple[int, int, int, int]) -> None:
    """Draw the meaning of a map's colours: a bar with numbers, or swatches with names.

    Parameters
    ----------
    box : tuple of four int
        Left, top, width and height of the bar; numbers and names are written below it.
    """
    entries = legend(drawn, layout.unit, box[2])
    if entries:
        _draw_legend(layout, drawn, entries, box)
    else:
        _draw_colours(layout, drawn, box)


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


def _lines(caption: Caption, unit: float, width: float) -> list[Line]:
    """Return the lines above the picture."""
    styles = (
        (caption.slide_name, 1.35 * unit, True, _INK),
        (caption.map_title, 1.15 * unit, False, _INK),
        (caption.prediction, unit, False, _FAINT),
        *([(caption.note, 0.85 * unit, False, _FAINT)] if caption.note else []),
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


def draw_scale_bar(
    layout: Layout, place: tuple[float, float], um_per_px: float, longest_px: float
) -> None:
    """Draw a bar of a round length with its text below."""
    um, text = scale_bar(longest_px * um_per_px)
    (left, top), unit = place, layout.unit
    layout.fill(left, top, um / um_per_px, 0.35 * unit, _INK)
    layout.text(left, top + 0.8 * unit, Line(text, unit, False, _INK))


def _legend_height(entries: list[Entry]) -> float:
    """Return the height of a legend, in heights of its text; 0 for none."""
    return 1.2 + _LINE * (entries[-1].line + 2) if entries else 0.0


def _draw_legend(
    layout: Layout, drawn: DisplayMap, entries: list[Entry], box: tuple[int, int, int, int]
) -> None:
    """Draw swatches with their names, and the map's quantity above them."""
    left, top, width, height = box
    quantity = shortened(drawable(drawn.quantity), layout.unit, width)
    layout.text(left, top - 0.1 * layout.unit, Line(quantity, layout.unit, False, _FAINT))
    for entry in entries:
        place = left + entry.left
        row = top + round(_LINE * layout.unit) * (entry.line + 1)
        if entry.level:
            box_of = (round(place), row, height, height)
            layout.swatch(box_of, drawn.colours[entry.level])
            place += SWATCH * layout.unit
        line = Line(entry.text, layout.unit, False, _INK)
        layout.text(place, row - 0.1 * layout.unit, line)


def _draw_colours(layout: Layout, drawn: DisplayMap, box: tuple[int, int, int, int]) -> None:
    """Draw the colour bar with numbers, or one swatch where a map has one value only."""
    levels = np.flatnonzero(np.isfinite(drawn.values[1:])) + 1
    values = drawn.values[levels].astype(np.float64)
    left, top, width, height = box
    ends = _ends(drawn, values)
    if ends is None:
        used = drawn.levels[drawn.levels > 0]
        level = int(np.bincount(used).argmax()) if used.size else int(levels.max(initial=1))
        layout.swatch((left, top, height, height), drawn.colours[level])
        value = drawn.values[level]
        text = drawn.quantity if len(levels) < 2 else f"{drawn.quantity} = {number(float(value))}"
        line = Line(drawable(text), layout.unit, False, _INK)
        layout.text(left + 1.6 * height, top - 0.1 * layout.unit, line)
        return
    steps = np.linspace(*ends, 256)
    nearest = np.rint(np.interp(steps, values, levels)).astype(int)
    axes = layout.axes(box)
    axes.imshow(
        drawn.colours[nearest][None], extent=(*ends, 0, 1), interpolation="nearest", aspect="auto"
    )
    _number_axis(layout, axes, drawn, ends, box)
    quantity = shortened(drawable(drawn.quantity), layout.unit, width)
    line = Line(quantity, layout.unit, False, _INK)
    layout.text(left + width / 2, top + height + 1.9 * layout.unit, line, "center")
    _name_ends(layout, drawn.ends, box)


def _name_ends(layout: Layout, ends: tuple[str, str], box: tuple[int, int, int, int]) -> None:
    """Write the meaning of the two sides of a diverging colour bar at its ends."""
    if not any(ends):
        return
    left, top, width, height = box
    below = top + height + 3.4 * layout.unit
    against, speaks_for = (shortened(drawable(words), layout.unit, 0.42 * width) for words in ends)
    for place, text, align in (
        (left, f"← {against}", "left"),
        (left + width, f"{speaks_for} →", "right"),
    ):
        layout.text(place, below, Line(text, layout.unit, False, _INK), align)


def _ends(drawn: DisplayMap, values: np.ndarray) -> tuple[float, float] | None:
    """Return the ends of the colour bar: those of the colours, within the range of the levels."""
    if len(values) < 2:
        return None
    lower, upper = max(drawn.lower, values.min()), min(drawn.upper, values.max())
    alike = upper - lower <= _ALIKE * max(abs(lower), abs(upper))
    return None if alike else (float(lower), float(upper))


def _number_axis(
    layout: Layout,
    axes: Axes,
    drawn: DisplayMap,
    ends: tuple[float, float],
    box: tuple[int, int, int, int],
) -> None:
    """Write numbers under the colour bar: its ends, the middle, and round ones between."""
    lower, upper = ends
    between = [] if drawn.middle is None else [drawn.middle]
    wanted = [lower, upper, *(m for m in between if lower < m < upper)]
    candidates = [*wanted, *round_numbers(lower, upper).tolist()]
    size = 0.9 * layout.unit
    texts = {value: number(value, upper - lower) for value in candidates}
    widest = max(width_px(text, size) for text in texts.values())
    ticks = spaced(candidates, (upper - lower) * (widest + 0.8 * size) / box[2])
    axes.set_xticks(ticks, [texts[value] for value in ticks], fontproperties=font(size))
    axes.tick_params(axis="x", length=0.3 * size, color=_FAINT, labelcolor=_INK, pad=2)
    for middle in wanted[2:]:
        axes.axvline(middle, color=_INK, linewidth=1)
