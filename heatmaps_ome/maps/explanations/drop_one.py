"""Drop-one: the slide's logits without each tile or region of tiles, by plain forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.maps.explanations.tile_regions import TileRegions, tile_regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.maps.explanations.forwards import Forwards

MOST_FORWARDS: Final = 512
"""Forward passes over the slide, each without one region."""
MOST_TILES: Final = 2**21
"""Tiles that all these passes read together: 512 passes up to 4,096 tiles, then fewer."""
LEAST_FORWARDS: Final = 16
"""Passes that any slide gets: with fewer regions, a map shows no place."""


def regions_to_drop(forwards: Forwards) -> TileRegions:
    """Return the regions that are dropped, so few that their number of passes is bounded."""
    affordable = max(LEAST_FORWARDS, MOST_TILES // forwards.n_tiles)
    return tile_regions(forwards.bag.l0_places, min(MOST_FORWARDS, affordable))


def logits_without(
    forwards: Forwards, regions: TileRegions, progress: Callable[[int, int], None]
) -> np.ndarray:
    """Return the slide's logits without the region of each tile, (C, n) float64.

    NaN where nothing would remain.
    """
    n_tiles = forwards.n_tiles
    without = np.full((len(forwards.model.target.outputs), n_tiles), np.nan)
    for done, members in enumerate(regions.members(), start=1):
        if len(members) < n_tiles:
            others = np.delete(np.arange(n_tiles), members)
            without[:, members] = forwards.logits(others)[:, None]
        progress(done, regions.count)
    return without


def describe_regions(regions: TileRegions) -> tuple[str, tuple[str, ...]]:
    """Return the method in words, and the sentences on its limits."""
    n_tiles = len(regions.of_tile)
    if regions.side == 1:
        return f"drop-one by {n_tiles:,} {'tile' if n_tiles == 1 else 'tiles'}", ()
    method = f"drop-one by {regions.count:,} regions of {regions.side} × {regions.side} tiles"
    note = (
        f"{n_tiles:,} tiles are removed in {regions.count:,} regions of up to {regions.side} × "
        f"{regions.side} neighbours, because a slide gets at most {MOST_FORWARDS} forward passes "
        f"and, from {MOST_TILES // MOST_FORWARDS:,} tiles on, fewer; the fall of a region is "
        "shared equally by its tiles"
    )
    return method, (note,)
