"""The colour maps that our page offers beside a map's own."""

from __future__ import annotations

from functools import cache
from typing import Final

from heatmaps_ome.display.colour import BLUE_ORANGE, palette

_PALETTES: Final = (
    "magma", "viridis", "inferno", "cividis", "turbo", "gray",
    "coolwarm", BLUE_ORANGE, "PuOr_r", "RdBu_r", "PiYG_r",
)  # fmt: skip


@cache
def palettes() -> dict[str, list[str]]:
    """Return each colour map as 256 colours "#rrggbb", by name, in the order to offer."""
    return {name: palette(name) for name in _PALETTES}
