"""Maps of tiles: the table that everything follows from, and the raster that is drawn of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.geometry import Shape
from heatmaps_ome.maps.finer_raster import finer_raster
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.kinds import (
    ATTENTION,
    CLASS_ATTENTION,
    CONTRIBUTION,
    KINDS,
    SCORE,
    VALUE,
)
from heatmaps_ome.maps.set_facts import known
from heatmaps_ome.maps.tile_raster import tile_raster
from heatmaps_ome.maps.tile_store import table_grid
from heatmaps_ome.models.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from heatmaps_ome.features.bag import GivenKind, Tiles, TileScores
    from heatmaps_ome.slides.reader import SlideReader

_KIND_OF: Final[dict[GivenKind, str]] = {
    "attention": CLASS_ATTENTION,
    "probability": SCORE,
    "contribution": CONTRIBUTION,
    "value": VALUE,
}
_NAMES_OF_ATTENTION: Final = ("attention", "attention_scores", "attention_score", "attn", "att")
"""Names of the one attention of a slide, which needs no name beside its kind."""


def table_of(
    slide: SlideReader, tiles: Tiles, target: Target, maps: Mapping[str, np.ndarray], **facts: Any
) -> HeatmapSet:
    """Return a table of tiles.

    Parameters
    ----------
    maps : mapping of kind → (n,) or, for kinds per class, (classes, n) float
    **facts
        Further attributes of the HeatmapSet.
    """
    count = tiles.count
    shape = Shape(1, max(1, count))
    n_outputs = len(target.outputs)
    unknown = np.full(n_outputs, np.nan)
    rows = {kind: _as_row(values, shape) for kind, values in maps.items()}
    return HeatmapSet(
        slide_name=slide.name,
        slide_shape=slide.shape,
        grid=table_grid(count, slide.mpp),
        classes=target.outputs,
        # A tile without any value is as good as none.
        tissue=known(_planes(rows)),
        maps=rows,
        **{"logits": unknown, "prediction": unknown, **facts},
        aim=target,
        places=tiles.l0_places,
    )


def _planes(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return all maps of all kinds as one (maps, rows, cols) array."""
    return np.concatenate([values.reshape(-1, *values.shape[-2:]) for values in maps.values()])


def _as_row(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Return values of tiles, (…, n), as a row of cells, (…, 1, n) float32; NaN without tiles."""
    row = np.full((*values.shape[:-1], *shape), np.nan, np.float32)
    row[..., 0, : values.shape[-1]] = values
    return row


def given_maps(slide: SlideReader, scores: TileScores) -> HeatmapSet:
    """Return the table of maps that another tool gave, without any prediction."""
    given = {one.name: one for one in scores.maps}
    names = _names_by_kind({one.name: one.kind for one in scores.maps})
    # Every kind per class is listed, so that none is taken to have all classes.
    listed = {key: names.get(key, ()) for key, kind in KINDS.items() if kind.per_class}
    values = {
        kind: np.stack([given[name].values for name in group]) for kind, group in names.items()
    }
    if ATTENTION in values:
        [values[ATTENTION]] = values[ATTENTION]
    return table_of(
        slide, scores, Target("none", _classes(names), "identity"), values,
        names=listed,
        units_given={one.name: one.unit for one in scores.maps if one.unit},
        explanation={"system": scores.system, "notes": list(scores.notes)},
    )  # fmt: skip


def given_classes(kinds: Mapping[str, GivenKind]) -> tuple[str, ...]:
    """Return the names that stand for classes where maps of some names and kinds are given."""
    return _classes(_names_by_kind(kinds))


def _names_by_kind(kinds: Mapping[str, GivenKind]) -> dict[str, tuple[str, ...]]:
    """Return the names of given maps by our kinds; that of a slide's one attention among them."""
    names: dict[str, tuple[str, ...]] = {}
    for name, kind in kinds.items():
        names[_KIND_OF[kind]] = (*names.get(_KIND_OF[kind], ()), name)
    attention = names.get(CLASS_ATTENTION, ())
    if len(attention) == 1 and attention[0].casefold() in _NAMES_OF_ATTENTION:
        names[ATTENTION] = names.pop(CLASS_ATTENTION)
    return names


def _classes(names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of all kinds that have one for each map."""
    return tuple(
        dict.fromkeys(name for kind, group in names.items() if kind != ATTENTION for name in group)
    )


def rasterised(table: HeatmapSet) -> HeatmapSet:
    """Return the raster of a table of tiles; any other set as it is."""
    if table.places is None:
        return table
    if table.finer is not None:
        return _with_finer(table, table.finer)
    count = len(table.places)
    n_maps = sum(len(_planes(maps)) for maps in (table.maps, table.spread) if maps)
    raster = tile_raster(table.places, table.grid.mpp, table.slide_shape, n_maps)

    def drawn(maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            kind: raster.drawn(values[..., 0, :count], summed=KINDS[kind].summed)
            for kind, values in maps.items()
        }

    maps = drawn(table.maps)
    return replace(
        table,
        grid=raster.grid,
        tissue=known(_planes(maps)),
        maps=maps,
        spread=drawn(table.spread),
        places=None,
        tiles=table,
    )


def without_finer(heatmaps: HeatmapSet) -> HeatmapSet:
    """Return the raster of a table without its finer tiles; any other set as it is.

    Regions, sums and scalings follow from the tiles that the prediction follows from.
    """
    table = heatmaps.tiles
    if table is None or table.finer is None:
        return heatmaps
    return rasterised(replace(table, finer=None))


def _with_finer(table: HeatmapSet, finer: HeatmapSet) -> HeatmapSet:
    """Return the raster that shows finer tiles between a table's own.

    Values of kinds that are summed are divided by the mean number of a tile's cells, so that those
    of both are drawn on the scale of the tiles; kinds that finer tiles lack are the tiles' own.
    """
    coarse = rasterised(replace(table, finer=None))
    if table.places is None or finer.places is None or not len(table.places):
        return replace(coarse, tiles=table)
    count, n_finer = len(table.places), len(finer.places)
    n_maps = len(_planes(table.maps))
    whole = tile_raster(table.places, table.grid.mpp, table.slide_shape, n_maps)
    raster, owner = finer_raster(whole, table.places, finer.places, table.slide_shape, n_maps)
    between = owner >= 0
    drawn = {kind: raster.drawn(values[..., 0, :count]) for kind, values in table.maps.items()}
    tissue = known(_planes(drawn))
    for kind, values in drawn.items():
        own = finer.maps.get(kind)
        if own is not None:
            values[..., between] = own[..., 0, :n_finer][..., owner[between]]
        if KINDS[kind].summed:
            values *= np.float32(table.tissue_cells / max(1, np.count_nonzero(tissue)))
    return replace(coarse, grid=raster.grid, tissue=known(_planes(drawn)), maps=drawn, tiles=table)
