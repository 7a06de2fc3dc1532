"""The size of a picture's tiles before they are made, from a sample of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.viewers.share.tiling import jpeg

if TYPE_CHECKING:
    from heatmaps_ome.viewers.share.pixels import Pixels
    from heatmaps_ome.viewers.share.plan import TilePlan

_SAMPLED: Final = (96, 48, 24, 16)
"""Number of tiles that are sampled, level by level; coarser ones hold next to nothing, and their
tiles cover much of a slide."""


def level_bytes(pixels: Pixels, plan: TilePlan) -> tuple[int, ...]:
    """Return the estimated bytes of the tiles of each level, finest first."""
    sizes: list[int] = []
    per_px = 0.0
    for level, mask in enumerate(plan.masks):
        if level < len(_SAMPLED) and mask.any():
            per_px = _bytes_per_px(pixels, plan, level, _SAMPLED[level])
        sizes.append(round(per_px * plan.area_px(level)))
    return tuple(sizes)


def _bytes_per_px(pixels: Pixels, plan: TilePlan, level: int, count: int) -> float:
    """Return the mean size of tiles that are evenly spread over those of a level."""
    tiles = list(plan.tiles(level))
    steps = np.linspace(0, len(tiles) - 1, min(count, len(tiles)))
    windows = [plan.window(level, *tiles[index]) for index in np.rint(steps).astype(int)]
    sizes = [len(jpeg(pixels.read(level, window))) for window in windows]
    return sum(sizes) / sum(window.area for window in windows)
