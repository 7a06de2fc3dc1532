"""Draws curves of a class's probability while a map's hottest cells are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.exporters.figures.captions import drawable, font, shortened
from heatmaps_ome.exporters.figures.framed import DPI, pixels_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heatmaps_ome.maps.faithfulness import Faithfulness

_SIZE_PX = (960, 640)
_TEXT_PX, _TITLE_PX = 15, 18
_LINES = {
    "contribution": ("#0072b2", "-"),
    "score": ("#009e73", "-"),
    "attention": ("#d55e00", "-"),
    "random": ("#767676", "--"),
}
"""Map → colour and dashes; the colour blind can distinguish Okabe and Ito's colours."""


def drawn_curves(faithfulness: Faithfulness, slide_name: str) -> np.ndarray:
    """Return a figure of the curves of a class, as (rows, cols, 3) uint8.

    Parameters
    ----------
    faithfulness : Faithfulness
        Curves of maps that have a line here.
    """
    return pixels_of(curves_figure(faithfulness, slide_name))


def curves_figure(faithfulness: Faithfulness, slide_name: str) -> Figure:
    """Return the figure itself: the curves with title, axes and areas under the curves."""
    from matplotlib.figure import Figure

    figure = Figure((_SIZE_PX[0] / DPI, _SIZE_PX[1] / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.09, 0.11, 0.88, 0.72))
    # A slide of one cell has a point for a curve.
    dot = "o" if len(faithfulness.removed) == 1 else ""
    for name, (colour, dashes) in _LINES.items():
        axes.plot(
            faithfulness.removed, faithfulness.curves[name], dashes, color=colour, linewidth=2,
            label=f"{name} {faithfulness.aupc[name]:.3f}", marker=dot,
        )  # fmt: skip
    name = drawable(faithfulness.class_name)
    _set_axes(axes, name)
    subtitle = f"Probability of {name} while the hottest cells of a map are removed first"
    for text, top, size in ((drawable(slide_name), 0.965, _TITLE_PX), (subtitle, 0.905, _TEXT_PX)):
        figure.text(
            0.09, top, shortened(text, size, 0.8 * _SIZE_PX[0]), va="top", parse_math=False,
            fontproperties=font(size, bold=size == _TITLE_PX),
        )  # fmt: skip
    return figure


def _set_axes(axes: Axes, name: str) -> None:
    """Give axes their ends, names, numbers and legend."""
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.set_xlabel("share of the cells removed", fontproperties=font(_TEXT_PX))
    probability = shortened(f"probability of {name}", _TEXT_PX, 0.7 * _SIZE_PX[1])
    axes.set_ylabel(probability, fontproperties=font(_TEXT_PX), parse_math=False)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font(_TEXT_PX - 2))
    axes.grid(color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        title="area under the curve (AUPC), lower is better", prop=font(_TEXT_PX - 1),
        title_fontproperties=font(_TEXT_PX - 1), framealpha=0.9, loc="best",
    )  # fmt: skip
