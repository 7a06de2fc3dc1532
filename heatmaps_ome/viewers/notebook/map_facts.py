"""Facts of a map, as ``maps.json`` states them: kind, class, texts, colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.display_map import with_unit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ColourScale:
    """How values become colours.

    Attributes
    ----------
    colour_map : str
        Name of the matplotlib colour map.
    lower, upper : float
        Drawn values at its ends.
    categories : tuple of str
        Names of the values 1, 2, … of a map that sorts cells into categories; else empty.
    colours : tuple of str, "#rrggbb"
        Of the values 1, 2, …, for categories; empty for quantities, which have the colour map.
    factor : int
        Drawn values are the map's values times this: the slide's tissue cells for contributions,
        which are then comparable between slides of any size.
    quantity : str
        Of the drawn values, with its unit; empty where they are the map's values.
    clips : tuple of two bool
        Whether there may be drawn values beyond the ends.
    """

    colour_map: str
    lower: float
    upper: float
    categories: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    factor: int = 1
    quantity: str = ""
    clips: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class MapFacts:
    """A map's kind, class, texts and colours.

    Attributes
    ----------
    kind : str
        Key of its kind: "score".
    class_name : str or None
        The model's class that it is of; None for a map of all classes.
    title : str
        For people: "Score of tumour".
    quantity, unit : str
        Of the values: "probability of tumour", "probability"; the unit is empty for categories.
    colours : ColourScale
    """

    kind: str
    class_name: str | None
    title: str
    quantity: str
    unit: str
    colours: ColourScale

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> MapFacts:
        """Return the facts in an entry of ``maps.json``.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no such entry.
        """
        lower, upper = (float(entry["range"][end]) for end in ("lower", "upper"))
        sorts = entry["levels"] is None
        if not (lower < upper or (sorts and lower == upper)):
            raise ValueError(f"{lower} to {upper} is no range")
        colours = tuple(str(colour) for colour in entry["colours"][: round(upper)]) if sorts else ()
        categories = tuple(str(name) for name in entry["categories"])
        raw = entry["raw"] or entry
        clips_below, clips_above = entry["range"]["clips"]
        return cls(
            kind=str(entry["kind"]),
            class_name=None if entry["class"] is None else str(entry["class"]),
            title=str(entry["title"]),
            quantity=str(raw["quantity"]),
            unit=str(raw["unit"]),
            colours=ColourScale(
                str(entry["colour_map"]),
                lower,
                upper,
                categories,
                colours,
                factor=int(entry["factor"]),
                quantity=with_unit(str(entry["quantity"]), str(entry["unit"])),
                clips=(bool(clips_below), bool(clips_above)),
            ),
        )

    @property
    def quantity_text(self) -> str:
        """The values' quantity with its unit, unless it names it: "attention (logit)"."""
        return with_unit(self.quantity, self.unit)
