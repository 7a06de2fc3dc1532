"""A map made ready for viewers: 255 quantised levels, what each stands for, and its colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from heatmaps_ome.geometry import Grid

ATTENTION = "attention"
"""Kind of the map that others may fade with."""
TISSUE = "tissue"
"""Name of the map of the foreground, which is a label only: every other map shows it too."""
WINNER = "winner"
"""Name of the map of the class with the highest score."""
MARGIN = "margin"
"""Begin of the name of the map of how far a class is ahead: "margin-MSIH"."""
ARTEFACTS = "artefacts"
"""Name of the map of artefacts."""


@dataclass(frozen=True, eq=False)
class DisplayMap:
    """One map on its grid, as every exporter needs it.

    Attributes
    ----------
    name : str
        Names the files and labels: "attention", "score-MSIH", "contribution-MSIH",
        "leave-one-out-MSIH", "winner", "margin-MSIH", "tissue", "artefacts".
    kind : str
        Key of the kind of map: "attention", "score", "sd-score".
    kind_title : str
        Of the kind, for people, who choose a map by it: "Attention", "Score", "Spread of score".
    title : str
        For people: "Attention", "Score of MSIH".
    quantity : str
        What the numbers are, with their unit: "attention (logit)", "probability of MSIH".
    unit : str
        Of the numbers: "probability", "logit", "log ratio"; empty of categories.
    grid : Grid
        Where the cells lie.
    levels : (rows, cols) uint8
        0 where there is no value, else 1..255.
    values : (256,) float32
        The value that each level stands for; NaN for those that stand for none.
    colours : (256, 4) uint8, RGBA
        Opaque colour of each level; level 0 is (0, 0, 0, 0).
    opacity : (rows, cols) uint8
        Of the cell when it is laid over the slide; 0 where there is no value.
    colour_map : str
        Name of the matplotlib colour map.
    lower, upper : float
        Values at the ends of the colour map.
    middle : float or None
        Value to mark on a diverging colour map: its middle, unless it is drawn otherwise.
    ends : tuple of two str
        What values below and above the middle speak for: "against MSIH", "for MSIH"; empty where
        the quantity says it.
    alpha : float
        Opacity of the map over the slide, in [0, 1]: the most it reaches if it fades.
    fades : bool
        Whether a cell is as opaque as its attention is high, rather than all cells alike.
    note : str
        What one must know of how it is drawn; empty if it is drawn as usual.
    categories : tuple of str
        Names of the levels 1, 2, … of a map that sorts cells into kinds, whose values are these
        numbers; empty of a map of quantities.
    class_name : str or None
        The model's class that the map is of; None of a kind with one map for all classes.
    """

    name: str
    kind: str
    kind_title: str
    title: str
    quantity: str
    unit: str
    grid: Grid
    levels: np.ndarray
    values: np.ndarray
    colours: np.ndarray
    opacity: np.ndarray
    colour_map: str
    lower: float
    upper: float
    middle: float | None = None
    ends: tuple[str, str] = ("", "")
    alpha: float = 1.0
    fades: bool = False
    note: str = ""
    categories: tuple[str, ...] = ()
    class_name: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return what one must know to read the map's colours, for the files that show it."""
        return {
            "title": self.title,
            "quantity": self.quantity,
            "colour_map": self.colour_map,
            "lower": self.lower,
            "upper": self.upper,
            "middle": self.middle,
            "categories": list(self.categories),
        }


def pictured(maps: Iterable[DisplayMap]) -> list[DisplayMap]:
    """Return the maps that overlays and pictures are made of: all but tissue and artefacts."""
    return [shown for shown in maps if shown.name not in (TISSUE, ARTEFACTS)]
