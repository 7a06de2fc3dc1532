"""Lays out the named colours of a map that sorts cells into kinds, in lines that fit a width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters.figures.captions import drawable, shortened, width_px

if TYPE_CHECKING:
    from heatmaps_ome.display.display_map import DisplayMap

MOST_NAMED = 24
"""Maximum of colours that a legend names: nobody can distinguish more."""
SWATCH, GAP = 1.6, 1.5
"""From a swatch's left to its name, and from a name to the next swatch, in heights of the text."""


@dataclass(frozen=True)
class Entry:
    """A named colour of a legend.

    Attributes
    ----------
    level : int
        Level of the map; 0 for a text without a colour.
    text : str
    left : float
        Where its swatch begins, in px.
    line : int
    """

    level: int
    text: str
    left: float
    line: int


def legend(drawn: DisplayMap, size: float, width: float) -> list[Entry]:
    """Return the named colours of a map, in its order, side by side in as many lines as they take.

    If there are very many, only those with the most cells are named.

    Parameters
    ----------
    size : float
        Size of the text, in px.
    width : float
        Width of the legend, in px.
    """
    entries: list[Entry] = []
    left, line = 0.0, 0
    for level, name in _named(drawn):
        room = width - (SWATCH * size if level else 0)
        text = shortened(drawable(name), size, room)
        reach = (SWATCH * size if level else 0) + width_px(text, size)
        if left > 0 and left + reach > width:
            left, line = 0.0, line + 1
        entries.append(Entry(level, text, left, line))
        left += reach + GAP * size
    return entries


def _named(drawn: DisplayMap) -> list[tuple[int, str]]:
    """Return the levels to name with their names, and a text with the number of others."""
    names = list(enumerate(drawn.categories, start=1))
    if len(names) <= MOST_NAMED:
        return names
    cells = np.bincount(drawn.levels.ravel(), minlength=len(names) + 1)
    largest = set(np.argsort(-cells[1:], kind="stable")[:MOST_NAMED] + 1)
    named = [(level, name) for level, name in names if level in largest]
    return [*named, (0, f"and {len(names) - MOST_NAMED} more")]
