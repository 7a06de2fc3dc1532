"""Colours of the 255 levels of a map, from matplotlib's colour maps or ours, and of the classes."""

from __future__ import annotations

import colorsys
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colors import Colormap

    from heatmaps_ome.display.scaling import Range

BLUE_ORANGE: Final = "blue-orange"
_OWN_COLOUR_MAPS: Final = {BLUE_ORANGE: ("#0000c8", "#2f6bff", "#f7f7f7", "#ffb000", "#d96a00")}
"""Colours of our own colour maps, evenly spaced. Stained tissue is pink and violet: at half opacity
over it, blue and orange are at least 14 from any of its colours (CIEDE2000; 10 to the eyes of
people with deuteranopia), the violet of matplotlib's PuOr 2.5 (0.9)."""
N_LEVELS = 255
"""Levels 1..255 hold values; level 0 is "no value"."""

_CLASS_COLOURS: Final = (
    "#0072b2", "#d55e00", "#009e73", "#f0e442", "#56b4e9", "#e69f00", "#cc79a7",
)  # fmt: skip
"""The palette of Okabe and Ito, which people with any colour vision can distinguish. The two most
distinct colours come first, the one that is hard to see on stained tissue last."""
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


@cache
def colour_map(name: str) -> Colormap:
    """Return a colour map: our own or matplotlib's; KeyError if there is none of this name."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    if name in _OWN_COLOUR_MAPS:
        return LinearSegmentedColormap.from_list(name, _OWN_COLOUR_MAPS[name])
    return matplotlib.colormaps[name]


def level_values(level_range: Range) -> np.ndarray:
    """Return the value that each level stands for: (256,) float32, NaN for level 0."""
    steps = np.linspace(level_range.lower, level_range.upper, N_LEVELS, dtype=np.float64)
    return np.concatenate([[np.nan], steps]).astype(np.float32)


def level_colours(positions: np.ndarray, name: str) -> np.ndarray:
    """Return the colours of positions along a colour map, with a transparent level 0 before.

    Parameters
    ----------
    positions : (255,) float in [0, 1]
        Positions of levels 1..255 along the colour map.
    name : str
        The colour map's.

    Returns
    -------
    (256, 4) uint8, RGBA
    """
    colours = np.zeros((N_LEVELS + 1, 4), np.uint8)
    colours[1:] = np.rint(colour_map(name)(positions) * 255)
    colours[1:, 3] = 255
    return colours


def palette(name: str) -> list[str]:
    """Return 256 colours along a colour map, as "#rrggbb"."""
    colours = np.rint(colour_map(name)(np.linspace(0, 1, 256)) * 255)
    return hex_colours(colours.astype(np.uint8))


def hex_colours(colours: np.ndarray) -> list[str]:
    """Return (n, 3 or 4) uint8 colours as "#rrggbb", whatever their alpha.

    >>> hex_colours(np.array([[255, 0, 16, 128]], np.uint8))
    ['#ff0010']
    """
    return ["#" + bytes(rgb.tolist()).hex() for rgb in colours[:, :3]]


def require_colour_map(name: str) -> None:
    """Refuse a name of no colour map, neither of ours nor of matplotlib's.

    Raises
    ------
    OptionError
        Naming the closest known ones.
    """
    import difflib

    import matplotlib

    known_maps = [*_OWN_COLOUR_MAPS, *matplotlib.colormaps]
    if name not in known_maps:
        close = difflib.get_close_matches(name, known_maps, 3, 0.4)
        known = ", ".join(close) or "viridis, magma, coolwarm"
        raise OptionError(f"there is no colour map {name!r}; use for example {known}")
