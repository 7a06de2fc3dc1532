"""Agreement of two results beyond values: tissue, categories, regions, top tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.maps.regions import KINDS, SHARE, find_regions
from heatmaps_ome.maps.top_tiles import picked_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shapely.geometry.base import BaseGeometry

    from heatmaps_ome.geometry import YX
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.top_tiles import PickedTile
    from heatmaps_ome.run.comparison.common_cells import CommonCells
    from heatmaps_ome.run.comparison.quantities import Sorted

TOP_TILES: Final = 8
"""Top tiles where a run's record does not state their number."""
_SAME_TILE: Final = 0.5
"""Share of the smaller of two tiles that both cover, from which they are the same place."""
_PX_PER_MM: Final = 1000


def overlap(first: float, second: float, both: float) -> dict[str, float | None]:
    """Return how two areas agree, given the areas and their common part.

    Returns
    -------
    dict
        ``dice`` and ``iou``, in [0, 1], None where both areas are empty.

    >>> overlap(3, 1, 1), overlap(0, 0, 0)
    ({'dice': 0.5, 'iou': 0.3333333333333333}, {'dice': None, 'iou': None})
    """
    either = first + second - both
    if either <= 0:
        return {"dice": None, "iou": None}
    return {"dice": 2 * both / (first + second), "iou": both / either}


def tissue_agreement(cells: CommonCells) -> dict[str, Any]:
    """Return the tissue that two results have in common, as plain JSON values."""
    counts = [int(np.count_nonzero(tissue)) for tissue in (*cells.tissues, cells.tissue)]
    areas = [count * cells.mm2_per_cell for count in counts]
    return {
        "cells_common": counts[2],
        "mm2_a": areas[0],
        "mm2_b": areas[1],
        "mm2_common": areas[2],
        "share_of_a": counts[2] / counts[0] if counts[0] else None,
        "share_of_b": counts[2] / counts[1] if counts[1] else None,
        **overlap(*map(float, counts)),
    }


def category_agreement(maps: Sorted, tissue: np.ndarray) -> dict[str, Any]:
    """Return how often two maps have one category, and the cells of each pair of categories.

    Returns
    -------
    dict
        ``cells``: cells compared; ``agree``: the share with the same category, None without cells;
        ``a``, ``b``: names of the categories; ``counts``: a row for each of A's, a column for
        each of B's.
    """
    names = [_with_none(own, values) for own, values in _sides(maps)]
    indices = [
        np.where(np.isfinite(values), np.nan_to_num(values), 0)[tissue].astype(np.int64)
        for _, values in _sides(maps)
    ]
    sizes = [len(own) + 1 for own, _ in _sides(maps)]
    flat = np.bincount(indices[0] * sizes[1] + indices[1], minlength=sizes[0] * sizes[1])
    table = flat.reshape(sizes)
    cells = int(table.sum())
    full = [("none", *own) for own, _ in _sides(maps)]
    same = sum(
        int(table[row, full[1].index(name)]) for row, name in enumerate(full[0]) if name in full[1]
    )
    rows, cols = ([full[side].index(name) for name in names[side]] for side in (0, 1))
    return {
        "map": maps.name,
        "kind": maps.kind,
        "cells": cells,
        "agree": same / cells if cells else None,
        "a": names[0],
        "b": names[1],
        "counts": table[np.ix_(rows, cols)].tolist(),
    }


def _sides(maps: Sorted) -> tuple[tuple[tuple[str, ...], np.ndarray], ...]:
    return (maps.categories[0], maps.a), (maps.categories[1], maps.b)


def _with_none(names: tuple[str, ...], values: np.ndarray) -> list[str]:
    """Return the categories, after "none" if some cell has none of them."""
    return [*(["none"] if (values == 0).any() else []), *names]


@dataclass(frozen=True, eq=False)
class RegionPair:
    """Hot or cold regions of two results.

    Attributes
    ----------
    kind : "hot" or "cold"
    a, b : geometry
        Their union, in level-0 pixels (x, y).
    counts : tuple of two int
    criteria : tuple of two str
    """

    kind: str
    a: BaseGeometry
    b: BaseGeometry
    counts: tuple[int, int]
    criteria: tuple[str, str]

    def record(self, mpp: YX) -> dict[str, Any]:
        """Return the agreement as plain JSON values, with areas in mm²."""
        mm2 = mpp.y * mpp.x / _PX_PER_MM**2
        both = self.a.intersection(self.b).area
        return {
            "regions_a": self.counts[0],
            "regions_b": self.counts[1],
            "mm2_a": self.a.area * mm2,
            "mm2_b": self.b.area * mm2,
            "mm2_common": both * mm2,
            **overlap(self.a.area, self.b.area, both),
            "criterion_a": self.criteria[0],
            "criterion_b": self.criteria[1],
        }


def region_pairs(
    sets: tuple[HeatmapSet, HeatmapSet], class_name: str, options: tuple[Mapping[str, Any], ...]
) -> list[RegionPair]:
    """Return the hot and the cold regions of two results of a slide, for one class.

    Parameters
    ----------
    options : tuple of two mapping
        The options of either run: each has its own shares of the evidence.
    """
    from shapely.ops import unary_union

    own_regions = [
        find_regions(one, class_name, _share(own, "region_hot"), _share(own, "region_cold"))
        for one, own in zip(sets, options, strict=True)
    ]
    return [
        RegionPair(
            kind,
            *(
                unary_union([region.l0_polygon for region in regions.of(kind)])
                for regions in own_regions
            ),
            counts=(len(own_regions[0].of(kind)), len(own_regions[1].of(kind))),
            criteria=(own_regions[0].criterion(kind), own_regions[1].criterion(kind)),
        )
        for kind in KINDS
    ]


def _share(options: Mapping[str, Any], name: str) -> float:
    """Return a share of the evidence that a run was asked for; the usual one if unknown."""
    value = options.get(name)
    return float(value) if isinstance(value, int | float) else SHARE


def tile_agreement(
    sets: tuple[HeatmapSet, HeatmapSet], class_name: str, options: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    """Return how many top tiles of A are top tiles of B too, as plain JSON values."""
    tiles_a, tiles_b = (
        [tile for tile in picked_tiles(one, class_name, _count(own)) if tile.kind == "top"]
        for one, own in zip(sets, options, strict=True)
    )
    free, common = list(tiles_b), 0
    for tile in tiles_a:
        nearest = max(free, key=lambda other, own=tile: _shared(own, other), default=None)
        if nearest is not None and _shared(tile, nearest) >= _SAME_TILE:
            free.remove(nearest)
            common += 1
    return {"tiles_a": len(tiles_a), "tiles_b": len(tiles_b), "common": common}


def _count(options: Mapping[str, Any]) -> int:
    """Return the number of top tiles that a run was asked for; the usual one if unknown or none."""
    value = options.get("top_tiles")
    return value if isinstance(value, int) and value > 0 else TOP_TILES


def _shared(first: PickedTile, second: PickedTile) -> float:
    """Return the share of the smaller of two tiles that both cover."""
    one, other = first.l0_window, second.l0_window
    rows = min(one.y + one.rows, other.y + other.rows) - max(one.y, other.y)
    cols = min(one.x + one.cols, other.x + other.cols) - max(one.x, other.x)
    smaller = min(one.rows * one.cols, other.rows * other.cols)
    return max(0.0, rows) * max(0.0, cols) / smaller
