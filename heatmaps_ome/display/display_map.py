"""A map made ready for viewers: 255 quantised levels, each with its value and its colour."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from heatmaps_ome.maps.kinds import KINDS, PREDICTION, SCORE, VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from heatmaps_ome.geometry import Grid


MapT = TypeVar("MapT", bound="DisplayMap | Mapping[str, Any]")
_BOUNDS: Final = ("at most", "at least")
"""What a level at the lower, and at the upper end of a clipped range means."""


@dataclass(frozen=True)
class RawQuantity:
    """The quantity of raw values that are not the drawn ones.

    Attributes
    ----------
    quantity, unit : str
        "share of the slide's MSIH logit", "logit".
    """

    quantity: str
    unit: str


@dataclass(frozen=True, eq=False)
class DisplayMap:
    """One map on its grid, as every exporter needs it.

    Attributes
    ----------
    name : str
        Names the files and labels: "attention", "score-MSIH"; not to be parsed, as classes may
        have any names.
    kind : str
        Key of the map's kind (see `kinds`): "score".
    class_name : str or None
        The map's class; None for a map of all classes.
    title : str
        Title for people: "Attention", "Score of MSIH".
    quantity : str
        The drawn quantity: "attention (logit)", "probability of MSIH".
    unit : str
        Unit of the drawn values: "logit", "probability"; empty for categories.
    grid : Grid
        Where the cells lie.
    levels : (rows, cols) uint8
        0 where there is no value, else 1..255.
    values : (256,) float32
        The drawn value that each level stands for; NaN for those that stand for none.
    colours : (256, 4) uint8, RGBA
        Opaque colour of each level; level 0 is (0, 0, 0, 0).
    opacity : (rows, cols) uint8
        Opacity of each cell over the slide; 0 where there is no value.
    colour_map : str
        Name of the matplotlib colour map.
    lower, upper : float
        Drawn values at the ends of the colour map.
    middle : float or None
        Value to mark on a diverging colour map: its middle, unless it is drawn otherwise.
    ends : tuple of two str
        Meaning of values below and above the middle: "against MSIH", "for MSIH"; empty where the
        quantity states it.
    alpha : float
        Opacity of the map over the slide, in [0, 1]; the maximum of a map that fades.
    fades : bool
        Whether a cell is as opaque as its attention is high, rather than all cells alike.
    note : str
        Remark on an unusual way of drawing; empty if the map is drawn as usual.
    categories : tuple of str
        Names of the levels 1, 2, … of a map that sorts cells into kinds, whose values are these
        numbers; empty for a map of quantities.
    factor : int
        Drawn values are the raw ones times this (see `HeatmapSet.factor`).
    raw : RawQuantity or None
        The quantity of the raw values; None where these are the drawn ones.
    clips : tuple of two bool
        Whether slides may have values beyond the lower and the upper end, which have its colour.
    over_grey : bool
        Whether pictures show the slide grey under it.
    """

    name: str
    kind: str
    class_name: str | None
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
    factor: int = 1
    raw: RawQuantity | None = None
    clips: tuple[bool, bool] = (False, False)
    over_grey: bool = False

    @property
    def bounds(self) -> dict[int, str]:
        """Levels whose values are bounds: cells there may have values beyond, "at most" these."""
        levels, ends = (1, len(self.values) - 1), (self.lower, self.upper)
        return {
            level: bound
            for level, end, bound, clips in zip(levels, ends, _BOUNDS, self.clips, strict=True)
            # A label may have more values than the colours tell apart.
            if clips and self.values[level] == np.float32(end)
        }

    @property
    def kind_title(self) -> str:
        """The kind's title, by which viewers group maps."""
        return KINDS[self.kind].title

    def label_facts(self) -> dict[str, Any]:
        """Return the facts that one needs to read the map's colours, for its label."""
        return {
            "kind": self.kind,
            "class": self.class_name,
            "title": self.title,
            "quantity": self.quantity,
            "unit": self.unit,
            "colour_map": self.colour_map,
            "lower": self.lower,
            "upper": self.upper,
            "middle": self.middle,
            "clips": list(self.clips),
            "factor": self.factor,
            "raw": self.raw and asdict(self.raw),
            "categories": list(self.categories),
        }

    def facts(self) -> dict[str, Any]:
        """Return the map's identity and its drawing, without colours and opacity, for viewers.

        ``levels`` are the values of the first and the last colour, between which the others lie
        evenly, None for categories; ``range`` has the values at the ends of the colour bar, and
        ``clips`` whether there may be values beyond them. All these are drawn values: the raw ones
        times ``factor``, of the quantity ``raw``, which is None where the factor is 1.
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "kind_title": self.kind_title,
            "class": self.class_name,
            "title": self.title,
            "quantity": self.quantity,
            "unit": self.unit,
            "colour_map": self.colour_map,
            "levels": None
            if KINDS[self.kind].scale == "categories"
            else {"lower": self.values[1], "upper": self.values[-1]},
            "range": {
                "lower": self.lower,
                "upper": self.upper,
                "middle": self.middle,
                "ends": list(self.ends),
                "clips": list(self.clips),
            },
            "factor": self.factor,
            "raw": self.raw and asdict(self.raw),
            "categories": list(self.categories),
            "note": self.note,
            "over_grey": self.over_grey,
        }


_FIRST_KINDS = (SCORE, PREDICTION, VALUE)


def first_map(maps: Sequence[MapT], true_class: str) -> MapT | None:
    """Return the map that every viewer shows first; None if there is none.

    It is the score of the class drawn hot, else its prediction, else its value, else the first map.

    Parameters
    ----------
    maps : sequence of DisplayMap, or of entries of ``maps.json``
    true_class : str
        The class drawn hot.
    """
    facts = {_kind_and_class(drawn): drawn for drawn in reversed(maps)}
    wanted = [facts[kind, true_class] for kind in _FIRST_KINDS if (kind, true_class) in facts]
    return next(iter([*wanted, *maps]), None)


def _kind_and_class(drawn: DisplayMap | Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what a map is of."""
    if isinstance(drawn, DisplayMap):
        return drawn.kind, drawn.class_name
    return drawn["kind"], drawn["class"]


def with_unit(quantity: str, unit: str) -> str:
    """Return a quantity with its unit, unless it names it.

    >>> with_unit("percentile of attention", "%"), with_unit("probability of A", "probability")
    ('percentile of attention (%)', 'probability of A')
    """
    return quantity if unit in quantity else f"{quantity} ({unit})"


def pictured(maps: Iterable[DisplayMap]) -> list[DisplayMap]:
    """Return the maps that are exported as overlays and pictures."""
    return [drawn for drawn in maps if KINDS[drawn.kind].pictured]
