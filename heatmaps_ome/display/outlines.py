"""The colours and dashes of regions' outlines, the same in pictures, pages and viewers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.maps.regions import Kind


@dataclass(frozen=True)
class OutlineStyle:
    """How the outlines of a kind of region are drawn, over a white casing.

    Attributes
    ----------
    colour : str
        "#rrggbb"
    dash : tuple of int
        Lengths of dashes and gaps in px of a screen; empty for a solid line.
    """

    colour: str
    dash: tuple[int, ...]

    @property
    def rgb(self) -> list[int]:
        """Red, green and blue, 0..255."""
        return list(bytes.fromhex(self.colour[1:]))


OUTLINES: Final[Mapping[Kind, OutlineStyle]] = {
    "hot": OutlineStyle("#d55e00", ()),
    "cold": OutlineStyle("#0072b2", (6, 4)),
}
"""Vermilion and blue of Okabe and Ito, which people with any colour vision tell apart; the dashes
tell them apart in print without colours."""


def outline_facts() -> dict[str, Any]:
    """Return the style of each kind of region as plain JSON values."""
    return {
        kind: {"colour": style.colour, "dash": list(style.dash)} for kind, style in OUTLINES.items()
    }
