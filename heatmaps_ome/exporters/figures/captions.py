"""Text for figures, measured, wrapped and made drawable; round lengths and numbers."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.maps.ensemble import prediction_sd
from heatmaps_ome.maps.numbers import predicted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.font_manager import FontProperties
    from PIL.ImageFont import FreeTypeFont

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

RESEARCH = "For research, not for diagnosis."
"""Stands at the foot of every figure."""
FAMILY = "DejaVu Sans"
"""matplotlib's own font, so that figures look the same everywhere."""
_UM_PER_MM = 1000


def font(size_px: float, bold: bool = False) -> FontProperties:
    """Return the font of all figures; its size is in px of a figure of 72 dpi."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=FAMILY, size=size_px, weight="bold" if bold else "normal")


def drawable(text: str) -> str:
    """Return text with a replacement character where the font has no glyph."""
    known = _glyphs()
    return "".join(character if ord(character) in known else "\ufffd" for character in text)


def width_px(text: str, size_px: float, bold: bool = False) -> float:
    """Return how wide a text is drawn, in px of a figure of 72 dpi."""
    # As drawn: hinting makes text a twentieth wider than its outlines.
    return letters(size_px, bold=bold).getlength(text)


def wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a text in lines that fit, broken at blanks and, where a word is too long, inside it.

    >>> wrapped("a slide with averylongname", lambda line: len(line) <= 8)
    ['a slide', 'with', 'averylon', 'gname']
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if fits(joined):
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while not fits(line) and len(line) > 1:
            length = max(1, _longest_fit(line, fits))
            lines.append(line[:length])
            line = line[length:]
    return [*lines, line]


def shortened(text: str, size_px: float, width: float) -> str:
    """Return a text cut to a width, with an ellipsis for the missing part.

    >>> shortened("short enough", 13, 200)
    'short enough'
    """
    if width_px(text, size_px) <= width or len(text) <= 1:
        return text
    length = _longest_fit(text, lambda part: width_px(part + "…", size_px) <= width)
    return text[:length] + "…"


def answer_text(heatmaps: HeatmapSet, label: str | None) -> str:
    """Return a slide's predictions, and the ground truth if one was given, for a figure.

    The text breaks only between predictions; it is empty if there is nothing to state.
    """
    sd, n_models = prediction_sd(heatmaps), len(heatmaps.members)
    prediction = prediction_text(heatmaps.predicted, heatmaps.target.record(), sd, n_models)
    truth = "" if label is None else glued(f"ground truth: {label}")
    return " · ".join(filter(None, [prediction, truth]))


def prediction_text(
    prediction: Mapping[str, float],
    target: Mapping[str, Any],
    sd: Mapping[str, float] | None = None,
    n_models: int = 1,
) -> str:
    """Return all predictions as one text that breaks only between them; "" if there are none.

    Parameters
    ----------
    target : mapping
        The `Target.record` of what is predicted.
    sd : mapping of class → float
        Standard deviations over several models; None or empty for a single one.

    >>> prediction_text({"MSIH": 0.8342, "nonMSIH": 0.1658}, {}).replace(chr(160), " ")
    'Prediction: MSIH 0.834 · nonMSIH 0.166'
    """
    if not prediction:
        return ""
    if any(math.isnan(p) for p in prediction.values()):
        return "No prediction: no tissue was found"
    texts = (
        f"{name} {predicted_text(p, target)}"
        + (f" ± {predicted_text(sd[name], target)}" if sd else "")
        for name, p in prediction.items()
    )
    listed = " · ".join(map(glued, texts))
    return f"Prediction: {listed}" + (f" (mean ± SD of {n_models} models)" if sd else "")


def glued(text: str) -> str:
    """Return a text that breaks nowhere."""
    return text.replace(" ", "\u00a0")


def scale_bar(um_longest: float) -> tuple[float, str]:
    """Return the longest round length in µm up to a limit, and its text.

    >>> scale_bar(730.0)
    (500.0, '500 µm')
    >>> scale_bar(2900.0)
    (2000.0, '2 mm')
    """
    magnitude = 10.0 ** math.floor(math.log10(um_longest))
    um = max(m * magnitude for m in (1, 2, 5) if m * magnitude <= um_longest * (1 + 1e-9))
    return um, f"{um / _UM_PER_MM:g} mm" if um >= _UM_PER_MM else f"{um:g} µm"


_UNSEEN = 5e-4
"""Share of a span that three digits do not show."""


def number(value: float, span: float = math.inf) -> str:
    """Return a number with three digits, or more where numbers in a span need them to differ.

    >>> number(-0.12345), number(100.25, span=0.5), number(5.5e-6, span=1.0)
    ('−0.123', '100.25', '0')
    """
    if abs(value) < _UNSEEN * span < math.inf:
        return "0"
    more = math.floor(math.log10(abs(value) / span)) if abs(value) > span else 0
    return f"{value + 0.0:.{3 + more}g}".replace("-", "\u2212")


def spaced(candidates: Sequence[float], gap: float) -> list[float]:
    """Return the candidates, the most important first, that keep a gap to all chosen before."""
    chosen: list[float] = []
    for value in candidates:
        if all(abs(value - other) >= gap for other in chosen):
            chosen.append(value)
    return sorted(chosen)


def round_numbers(lower: float, upper: float) -> np.ndarray:
    """Return about five round numbers between two ends."""
    from matplotlib.ticker import MaxNLocator

    ticks = np.asarray(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(lower, upper))
    return ticks[(ticks > lower) & (ticks < upper)]


def _longest_fit(word: str, fits: Callable[[str], bool]) -> int:
    """Return how many of a word's characters fit."""
    return bisect_left(range(1, len(word)), True, key=lambda n: not fits(word[:n]))


@lru_cache(maxsize=64)
def letters(size_px: float, *, bold: bool) -> FreeTypeFont:
    """Return the font of all figures for Pillow, which draws text as matplotlib does, but faster.

    matplotlib reads its font from disk again for every letter.
    """
    from matplotlib.font_manager import findfont
    from PIL import ImageFont

    path = findfont(font(10, bold))
    return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Return the code points that the font can draw."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont(font(10))).get_charmap())
