"""Draws the meaning of a map's colours: a bar with numbers, or swatches with names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.display_map import with_unit
from heatmaps_ome.exporters.figures.captions import (
    drawable,
    font,
    number,
    round_numbers,
    shortened,
    spaced,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.layout import FAINT, INK, Layout, Line
from heatmaps_ome.exporters.figures.legend import SWATCH, Entry, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from heatmaps_ome.display.display_map import DisplayMap

_ALIKE = 2.5e-6
"""Relative width of the narrowest range, which a scaling of equal values has."""
_LINE = 1.6
"""From one line of a legend to the next, in heights of its text."""
_TEXT_LINE = 1.4
"""The same below a bar."""
_NUMBERS = 1.9
"""From a bar to the first line below its numbers."""
_FADING_BAR = 2.6
"""Height of the bar of a map that fades."""
_FADING_STEPS = 48
_HIGH, _LOW = "high attention", "low attention"
_FADES = "over the slide, it fades where attention is low"
_QUANTITY_LINES = 2


def draw_legend(layout: Layout, drawn: DisplayMap, box: tuple[int, int, int, int]) -> None:
    """Draw the meaning of a map's colours.

    Parameters
    ----------
    box : tuple of four int
        Left, top, width and height of the bar; numbers and names are written below it. Where the
        map fades, the bar is higher, and begins after the words beside it.
    """
    entries = legend(drawn, layout.unit, box[2])
    if entries:
        _draw_legend(layout, drawn, entries, box)
    else:
        _draw_colours(layout, drawn, box)


def legend_height(drawn: DisplayMap, unit: float, width: float) -> float:
    """Return the height in px that a legend takes.

    Parameters
    ----------
    unit, width : float
        Size of the text, and the width of the bar, in px.
    """
    entries = legend(drawn, unit, width)
    if entries:
        return _LINE * (entries[-1].line + 2) * unit
    lines = len(_quantity_lines(drawn, unit, width)) + any(drawn.ends) + drawn.fades
    return ((_FADING_BAR if drawn.fades else 1) + _NUMBERS + _TEXT_LINE * lines) * unit


def _quantity_lines(drawn: DisplayMap, unit: float, width: float) -> list[str]:
    """Return a map's quantity with its unit, in lines that fit a width."""
    text = drawable(with_unit(drawn.quantity, drawn.unit))
    lines = wrapped(text, lambda part: width_px(part, unit) <= width)
    if len(lines) > _QUANTITY_LINES:
        rest = " ".join(lines[_QUANTITY_LINES - 1 :])
        lines = [*lines[: _QUANTITY_LINES - 1], shortened(rest, unit, width)]
    return lines


def _draw_legend(
    layout: Layout, drawn: DisplayMap, entries: list[Entry], box: tuple[int, int, int, int]
) -> None:
    """Draw swatches with their names, and the map's quantity above them."""
    left, top, width, height = box
    quantity = shortened(drawable(drawn.quantity), layout.unit, width)
    layout.text(left, top - 0.1 * layout.unit, Line(quantity, layout.unit, False, FAINT))
    for entry in entries:
        place = left + entry.left
        row = top + round(_LINE * layout.unit) * (entry.line + 1)
        if entry.level:
            box_of = (round(place), row, height, height)
            layout.swatch(box_of, drawn.colours[entry.level])
            place += SWATCH * layout.unit
        line = Line(entry.text, layout.unit, False, INK)
        layout.text(place, row - 0.1 * layout.unit, line)


def _draw_colours(layout: Layout, drawn: DisplayMap, box: tuple[int, int, int, int]) -> None:
    """Draw the colour bar with numbers, or one swatch where a map has one value only."""
    levels = np.flatnonzero(np.isfinite(drawn.values[1:])) + 1
    values = drawn.values[levels].astype(np.float64)
    left, top, _, height = box
    ends = _ends(drawn, values)
    if ends is None:
        used = drawn.levels[drawn.levels > 0]
        level = int(np.bincount(used).argmax()) if used.size else int(levels.max(initial=1))
        layout.swatch((left, top, height, height), drawn.colours[level])
        value = drawn.values[level]
        text = drawn.quantity if len(levels) < 2 else f"{drawn.quantity} = {number(float(value))}"
        line = Line(drawable(text), layout.unit, False, INK)
        layout.text(left + 1.6 * height, top - 0.1 * layout.unit, line)
        return
    steps = np.linspace(*ends, 256)
    nearest = np.rint(np.interp(steps, values, levels)).astype(int)
    colours = drawn.colours[nearest][None, :, :3]
    bar = _bar_box(layout, drawn, box)
    axes = layout.axes(bar)
    axes.imshow(
        faded(colours, drawn.alpha) if drawn.fades else colours,
        extent=(*ends, 0, 1), interpolation="nearest", aspect="auto",
    )  # fmt: skip
    _number_axis(layout, axes, drawn, ends, bar)
    _write_below(layout, drawn, box, bar)


def _bar_box(
    layout: Layout, drawn: DisplayMap, box: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Return the box of the bar; write what its height means if the map fades."""
    left, top, width, height = box
    if not drawn.fades:
        return box
    size, high = 0.8 * layout.unit, round(_FADING_BAR * height)
    begin = left + round(max(width_px(text, size) for text in (_HIGH, _LOW)) + 0.6 * layout.unit)
    for text, place in ((_HIGH, top), (_LOW, top + high - 1.2 * size)):
        line = Line(text, size, False, FAINT)
        layout.text(begin - 0.5 * layout.unit, place, line, "right")
    return begin, top, width - (begin - left), high


def faded(colours: np.ndarray, alpha: float) -> np.ndarray:
    """Return colours on white as a map that fades draws them: of highest attention at the top.

    Parameters
    ----------
    colours : (1, n, 3) uint8
    alpha : float, in [0, 1]
        Opacity where the attention is highest; it is 0 where it is lowest.

    Returns
    -------
    (steps, n, 3) uint8
    """
    opacity = np.linspace(alpha, 0.0, _FADING_STEPS)[:, None, None]
    return np.rint(colours * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _write_below(
    layout: Layout,
    drawn: DisplayMap,
    box: tuple[int, int, int, int],
    bar: tuple[int, int, int, int],
) -> None:
    """Write the quantity, the meaning of the two sides and whether the map fades."""
    unit, (left, _, width, _) = layout.unit, box
    top = bar[1] + bar[3] + _NUMBERS * unit
    for text in _quantity_lines(drawn, unit, width):
        layout.text(left + width / 2, top, Line(text, unit, False, INK), "center")
        top += _TEXT_LINE * unit
    if any(drawn.ends):
        below, above = (shortened(drawable(words), unit, 0.42 * width) for words in drawn.ends)
        layout.text(bar[0], top, Line(f"← {below}", unit, False, INK))
        layout.text(left + width, top, Line(f"{above} →", unit, False, INK), "right")
        top += _TEXT_LINE * unit
    if drawn.fades:
        line = Line(_FADES, 0.9 * unit, False, FAINT)
        layout.text(left + width / 2, top, line, "center")


def _ends(drawn: DisplayMap, values: np.ndarray) -> tuple[float, float] | None:
    """Return the ends of the colour bar: those of the colours, within the range of the levels.

    None if there is one value only. Values that differ by little still have many colours, so their
    bar has numbers of as many digits as these need.
    """
    if len(values) < 2:
        return None
    lower, upper = max(drawn.lower, values.min()), min(drawn.upper, values.max())
    alike = upper - lower <= _ALIKE * max(abs(lower), abs(upper))
    used = drawn.levels[drawn.levels > 0]
    has_one_colour = not used.size or used.min() == used.max()
    if upper <= lower or (alike and has_one_colour):
        return None
    return float(lower), float(upper)


def _number_axis(
    layout: Layout,
    axes: Axes,
    drawn: DisplayMap,
    ends: tuple[float, float],
    box: tuple[int, int, int, int],
) -> None:
    """Write numbers under the colour bar: its ends, the middle, and round ones between.

    An end beyond which there may be values is written as a bound.
    """
    lower, upper = ends
    between = [] if drawn.middle is None else [drawn.middle]
    wanted = [lower, upper, *(m for m in between if lower < m < upper)]
    candidates = [*wanted, *round_numbers(lower, upper).tolist()]
    size = 0.9 * layout.unit
    texts = {value: number(value, upper - lower) for value in candidates}
    for end, sign, clips in zip(ends, ("≤", "≥"), drawn.clips, strict=True):
        if clips and end in (drawn.lower, drawn.upper):
            texts[end] = f"{sign} {texts[end]}"
    widest = max(width_px(text, size) for text in texts.values())
    ticks = spaced(candidates, (upper - lower) * (widest + 0.8 * size) / box[2])
    axes.set_xticks(ticks, [texts[value] for value in ticks], fontproperties=font(size))
    axes.tick_params(axis="x", length=0.3 * size, color=FAINT, labelcolor=INK, pad=2)
    for middle in wanted[2:]:
        axes.axvline(middle, color=INK, linewidth=1)
