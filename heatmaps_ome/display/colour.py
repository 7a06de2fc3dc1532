"""Colours of the 255 levels of a map, from matplotlib's colour maps, and of the classes."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.display.scaling import Range

N_LEVELS = 255
"""Levels 1..255 hold values; level 0 is "no value"."""

_CLASS_COLOURS: Final = (
    "#0072b2", "#d55e00", "#009e73", "#f0e442", "#56b4e9", "#e69f00", "#cc79a7",
)  # fmt: skip
"""The palette of Okabe and Ito, which people with any colour vision can distinguish. The two most
distinct colours come first, the one that is hard to see on stained tissue last."""
OUTLINE_COLOURS: Final = {"hot": "#d55e00", "cold": "#0072b2"}
"""Colours of the outlines of hot and cold regions, whatever their class: those two of the palette
that differ most, for eyes of any colour vision and on stained tissue."""
_GOLDEN_TURN = 0.61803398875
"""Step along the hue circle: no two colours come close, however many there are."""


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Return a colour per class, ``#rrggbb``, all different and the same for the same classes.

    >>> class_colours(["MSIH", "nonMSIH"])
    {'MSIH': '#0072b2', 'nonMSIH': '#d55e00'}
    """
    return {name: _class_colour(index) for index, name in enumerate(classes)}


def _class_colour(index: int) -> str:
    """Return the colour of a model's class number ``index``."""
    if index < len(_CLASS_COLOURS):
        return _CLASS_COLOURS[index]
    step = index - len(_CLASS_COLOURS)
    lightness = (0.35, 0.65, 0.5)[step % 3]
    rgb = colorsys.hls_to_rgb(step * _GOLDEN_TURN % 1, lightness, 0.55)
    return "#" + bytes(round(255 * part) for part in rgb).hex()


def quantised(values: np.ndarray, level_range: Range) -> np.ndarray:
    """Return the level of each value: uint8, 1..255 over the range, 0 for NaN."""
    position = level_range.position(values)
    levels = np.rint(np.nan_to_num(position) * (N_LEVELS - 1)) + 1
    return np.where(np.isnan(position), 0, levels).astype(np.uint8)


def opacity(alpha: np.ndarray) -> np.ndarray:
    """Return alpha in [0, 1] as uint8."""
    return np.rint(alpha * 255).astype(np.uint8)


def level_values(level_range: Range) -> np.ndarray:
    """Return the value that each level stands for: (256,) float32, NaN for level 0."""
    steps = np.linspace(level_range.lower, level_range.upper, N_LEVELS, dtype=np.float64)
    return np.concatenate([[np.nan], steps]).astype(np.float32)


def level_colours(positions: np.ndarray, colour_map: str) -> np.ndarray:
    """Return the colours of positions along a colour map, with a transparent level 0 before.

    Parameters
    ----------
    positions : (255,) float in [0, 1]
        Positions of levels 1..255 along the colour map.

    Returns
    -------
    (256, 4) uint8, RGBA
    """
    import matplotlib

    colours = np.zeros((N_LEVELS + 1, 4), np.uint8)
    colours[1:] = np.rint(matplotlib.colormaps[colour_map](positions) * 255)
    colours[1:, 3] = 255
    return colours


def palette(colour_map: str) -> list[str]:
    """Return 256 colours along a matplotlib colour map, as "#rrggbb"."""
    import matplotlib

    colours = np.rint(matplotlib.colormaps[colour_map](np.linspace(0, 1, 256)) * 255)
    return hex_colours(colours.astype(np.uint8))


def hex_colours(colours: np.ndarray) -> list[str]:
    """Return (n, 3 or 4) uint8 colours as "#rrggbb", whatever their alpha.

    >>> hex_colours(np.array([[255, 0, 16, 128]], np.uint8))
    ['#ff0010']
    """
    return ["#" + bytes(rgb.tolist()).hex() for rgb in colours[:, :3]]


def require_colour_map(name: str) -> None:
    """Refuse a name that matplotlib does not know.

    Raises
    ------
    OptionError
        Naming the closest known ones.
    """
    import difflib

    import matplotlib

    if name not in matplotlib.colormaps:
        close = difflib.get_close_matches(name, list(matplotlib.colormaps), 3, 0.4)
        known = ", ".join(close) or "viridis, magma, coolwarm"
        raise OptionError(f"matplotlib has no colour map {name!r}; use for example {known}")
