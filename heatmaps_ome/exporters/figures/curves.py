"""Draws curves of a class's probability while a map's hottest cells are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.exporters.figures.captions import (
    RESEARCH,
    drawable,
    font,
    shortened,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.layout import DPI, FAINT, pixels_of
from heatmaps_ome.maps.curves import nothing_to_measure
from heatmaps_ome.maps.numbers import number

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heatmaps_ome.maps.curves import Faithfulness
    from heatmaps_ome.models.target import Target

_SIZE_PX = (960, 640)
_SMALL_PX, _TEXT_PX, _TITLE_PX = 11, 15, 18
_LINES = {
    "contribution": ("#0072b2", "-"),
    "leave-one-out": ("#56b4e9", "-"),
    "score": ("#009e73", "-"),
    "prediction": ("#009e73", "-"),
    "attention": ("#d55e00", "-"),
    "class-attention": ("#d55e00", "-"),
    "as-stamp": ("#cc79a7", "-"),
    "as-clam": ("#cc79a7", "-"),
    "random": ("#767676", "--"),
}
"""Map → colour and dashes; the colour blind can distinguish Okabe and Ito's colours."""


def drawn_curves(
    faithfulness: Faithfulness,
    slide_name: str,
    target: Target | None = None,
    unit_name: str = "cell",
) -> np.ndarray:
    """Return a figure of the curves of a class, as (rows, cols, 3) uint8.

    Parameters
    ----------
    faithfulness : Faithfulness
        Curves of maps; those that have a line here are drawn.
    target : Target or None
        What falls: a probability, a value or a risk; None: a probability.
    unit_name : str
        What is removed: "cell" or "tile".
    """
    return pixels_of(curves_figure(faithfulness, slide_name, target, unit_name))


def curves_figure(
    faithfulness: Faithfulness,
    slide_name: str,
    target: Target | None = None,
    unit_name: str = "cell",
) -> Figure:
    """Return the figure itself: the curves with title, axes and areas under the curves."""
    from matplotlib.figure import Figure

    figure = Figure((_SIZE_PX[0] / DPI, _SIZE_PX[1] / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.09, 0.11, 0.88, 0.72))
    # A slide of one cell has a point for a curve.
    dot = "o" if len(faithfulness.removed) == 1 else ""
    is_probability = target is None or target.has_classes
    maps = [name for name in _LINES if name in faithfulness.curves]
    nothing = nothing_to_measure(faithfulness, maps) if is_probability and maps else ""
    for name in [] if nothing else maps:
        colour, dashes = _LINES[name]
        axes.plot(
            faithfulness.removed, faithfulness.curves[name], dashes, color=colour, linewidth=2,
            label=f"{name} {number(faithfulness.aupc[name])}", marker=dot,
        )  # fmt: skip
    if nothing:
        _write_across(axes, nothing)
    name = drawable(faithfulness.class_name)
    quantity = f"probability of {name}" if is_probability else name
    _set_axes(axes, quantity, unit_name, is_probability=is_probability)
    begin = quantity[:1].upper() + quantity[1:]
    subtitle = f"{begin} while the hottest {unit_name}s of a map are removed first"
    for text, top, size in ((drawable(slide_name), 0.965, _TITLE_PX), (subtitle, 0.905, _TEXT_PX)):
        figure.text(
            0.09, top, shortened(text, size, 0.8 * _SIZE_PX[0]), va="top", parse_math=False,
            fontproperties=font(size, bold=size == _TITLE_PX),
        )  # fmt: skip
    figure.text(
        0.09, 0.006, RESEARCH, va="bottom", color=FAINT, fontproperties=font(_SMALL_PX)
    )  # fmt: skip
    return figure


def _write_across(axes: Axes, sentence: str) -> None:
    """Write a sentence in the middle of axes, in as many lines as it takes."""
    lines = wrapped(drawable(sentence), lambda text: width_px(text, _TEXT_PX) <= 0.7 * _SIZE_PX[0])
    axes.text(
        0.5, 0.5, "\n".join(lines), transform=axes.transAxes, ha="center", va="center",
        parse_math=False, fontproperties=font(_TEXT_PX),
    )  # fmt: skip


def _set_axes(axes: Axes, quantity: str, unit_name: str, *, is_probability: bool) -> None:
    """Give axes their ends, names, numbers and legend."""
    axes.set(xlim=(0, 1))
    if is_probability:
        axes.set(ylim=(-0.02, 1.02))
    axes.set_xlabel(f"share of the {unit_name}s removed", fontproperties=font(_TEXT_PX))
    named = shortened(quantity, _TEXT_PX, 0.7 * _SIZE_PX[1])
    axes.set_ylabel(named, fontproperties=font(_TEXT_PX), parse_math=False)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font(_TEXT_PX - 2))
    axes.grid(color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    if not axes.get_lines():
        return
    axes.legend(
        title="area under the curve (AUPC), lower is better", prop=font(_TEXT_PX - 1),
        title_fontproperties=font(_TEXT_PX - 1), framealpha=0.9, loc="best",
    )  # fmt: skip
