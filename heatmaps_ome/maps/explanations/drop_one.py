"""Drop-one: the slide's logits without each tile or region of tiles, by plain forward passes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.maps.explanations.forwards import MANY_TILES, most_passes
from heatmaps_ome.maps.explanations.tile_regions import TileRegions, tile_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heatmaps_ome.maps.explanations.forwards import Forwards

MOST_FORWARDS: Final = 512
"""Forward passes over the slide, each without one region."""
LEAST_FORWARDS: Final = 16
"""Passes that any slide gets: with fewer regions, a map shows no place."""
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class DropOne:
    """The slide's logits without each tile, or without its region.

    Attributes
    ----------
    without : (C, n) float64
        NaN where nothing would remain.
    regions : TileRegions
        The tiles that were removed together.
    n_shorter : int
        Tiles whose removal the model itself has a closed form for.
    """

    without: np.ndarray
    regions: TileRegions
    n_shorter: int = 0

    @property
    def method(self) -> str:
        """The method in words."""
        n_tiles, count = len(self.regions.of_tile), self.regions.count
        if self.n_shorter:
            anew = f", {n_tiles - self.n_shorter:,} of them by a forward pass"
            return f"drop-one by {n_tiles:,} tiles{anew}"
        if self.regions.side == 1:
            return f"drop-one by {n_tiles:,} {'tile' if n_tiles == 1 else 'tiles'}"
        return f"drop-one by {count:,} regions of {self.regions.side} × {self.regions.side} tiles"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the limits."""
        n_tiles, side = len(self.regions.of_tile), self.regions.side
        if side == 1:
            return ()
        return (
            f"{n_tiles:,} tiles are removed in {self.regions.count:,} regions of up to {side} × "
            f"{side} neighbours, because a slide gets at most {MOST_FORWARDS} forward passes and, "
            f"from {MANY_TILES:,} tiles on, fewer; the fall of a region is shared "
            "equally by its tiles",
        )


def drop_one(forwards: Forwards, progress: Callable[[int, int], None]) -> DropOne:
    """Return the logits without each tile, by a shorter way than passes where the model has one.

    Where the tiles are too many for as many passes, they are removed by regions of neighbours.
    """
    n_tiles = forwards.n_tiles
    limit = min(MOST_FORWARDS, max(LEAST_FORWARDS, most_passes(n_tiles)))
    without = forwards.without_each()
    if without is not None and n_tiles > 1:
        anew = np.flatnonzero(np.isnan(without).any(axis=0))
        if len(anew) <= limit:
            _remove(forwards, without, [anew[[place]] for place in range(len(anew))], progress)
            return DropOne(without, TileRegions(np.arange(n_tiles), 1), n_tiles - len(anew))
    regions = tile_regions(forwards.bag.l0_places, limit)
    without = np.full((len(forwards.model.target.outputs), n_tiles), np.nan)
    if regions.count > 1:
        _remove(forwards, without, regions.members(), progress)
    return DropOne(without, regions)


def _remove(
    forwards: Forwards,
    without: np.ndarray,
    regions: Sequence[np.ndarray],
    progress: Callable[[int, int], None],
) -> None:
    """Write the logits without each of some regions into the columns of their tiles."""
    tiles, done = np.arange(forwards.n_tiles), 0
    # Bags of the same size can be read together.
    for _, same in groupby(sorted(regions, key=len), key=len):
        for some in _some_at_once(list(same)):
            logits = forwards.logits_of([np.delete(tiles, members) for members in some])
            for column, members in zip(logits.T, some, strict=True):
                without[:, members] = column[:, None]
            done += len(some)
            progress(done, len(regions))


def _some_at_once(regions: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Return the regions some at a time, so that progress is seen."""
    return [regions[start : start + _AT_ONCE] for start in range(0, len(regions), _AT_ONCE)]
