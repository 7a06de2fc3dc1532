"""Finer tiles around those that count: what each would contribute in place of one of the bag.

The bag stays as it is, and so does the prediction. A finer tile's attention logit e and logits l
are the model's own, from that tile alone; its weight is exp(e) / Σ exp(eᵢ) over the bag's tiles i,
so that its contribution, weight · l, is on the scale of theirs. It sums to nothing.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.features.finer_tiles import PARTS, FinerTiles, finer_size
from heatmaps_ome.features.tile_lattice import TileLattice
from heatmaps_ome.maps.bag_maps import maps_of, of_slide, read_cached
from heatmaps_ome.maps.explanations.explanation import Explanation
from heatmaps_ome.maps.explanations.forwards import Forwards
from heatmaps_ome.maps.explanations.pooled import read_each
from heatmaps_ome.maps.kinds import ATTENTION, CLASS_ATTENTION
from heatmaps_ome.maps.slide_bag import bag_of_tiles
from heatmaps_ome.maps.tile_maps import table_of
from heatmaps_ome.maps.tile_store import TILES, write_table
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.pieces import WholePiece

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.maps.bag_maps import BagRecipe
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.raw_maps import Stages
    from heatmaps_ome.maps.slide_bag import OnTissue, Tiling
    from heatmaps_ome.models.protocol import MilModel
    from heatmaps_ome.slides.working_copy import WorkingCopy
    from heatmaps_ome.storage.cache import BagKey

logger = logging.getLogger(__name__)

_MEASURED_S = 2.0
"""Time after which the tiles that are done give the time of the others."""


@dataclass(frozen=True)
class Refinement:
    """The tiles that get finer ones.

    Attributes
    ----------
    share : float, in (0, 1]
        Of the tiles.
    class_name : str
        The class whose largest contributions, for or against it, decide.
    """

    share: float
    class_name: str

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {"share": self.share, "class": self.class_name, "parts": PARTS}

    def digest(self, bag: str) -> str:
        """Return the digest of the finer tiles of a bag with some digest."""
        return digest_of({"bag": bag, "finer": self.facts})

    def around(self, table: HeatmapSet) -> np.ndarray:
        """Return the indices of the tiles that get finer ones, largest contribution first."""
        contributions, count = table.contributions, table.n_places
        if contributions is None or not count:
            return np.zeros(0, np.int64)
        own = np.abs(contributions[table.classes.index(self.class_name), 0, :count])
        wanted = math.ceil(round(self.share * count, 6))
        return np.argsort(-own, kind="stable")[:wanted]


def finer_maps(
    slide: WorkingCopy,
    table: HeatmapSet,
    key: BagKey,
    how: tuple[Refinement, BagRecipe, Tiling],
    on_tissue: OnTissue,
    stage: Stages,
) -> HeatmapSet | None:
    """Return the table of the finer tiles of a slide; None if there are none.

    Parameters
    ----------
    table : HeatmapSet
        Of the bag, by a model that pools.
    key : BagKey
        Of the recipe, and of the finer tiles.
    """
    refinement, recipe, tiling = how
    piece = WholePiece(recipe.cache, key, slide.name)
    finer = read_cached(piece)
    if finer is not None:
        return of_slide(finer, slide)
    around = refinement.around(table)
    if not len(around):
        return None
    bag = _bag(slide, table, around, tiling, on_tissue, stage)
    if not bag.count:
        return None
    with stage("model") as progress:
        explanation = _explained(recipe.model, bag, table, progress)
    facts = {"method": explanation.method, "around": len(around), **refinement.facts}
    finer = table_of(
        slide, bag, recipe.model.target, maps_of(recipe.model, explanation),
        logits=table.logits, prediction=table.prediction, explanation=facts,
    )  # fmt: skip
    piece.write(lambda folder, made=finer: write_table(made, folder / TILES))
    return finer


def _bag(
    slide: WorkingCopy,
    table: HeatmapSet,
    around: np.ndarray,
    tiling: Tiling,
    on_tissue: OnTissue,
    stage: Stages,
) -> Bag:
    """Return the features of the finer tiles, computing those that the cache lacks."""
    tissue, _ = on_tissue()
    lattice = TileLattice(slide, finer_size(tiling.size))
    places = np.zeros((0, 4)) if table.places is None else table.places
    corners = np.rint(places[:, [1, 0]] / lattice.pixels.l0_cell).astype(np.int64)
    tiles = FinerTiles(lattice, tissue.others(lattice), corners, around)
    with stage("features") as progress:
        forecast = _Forecast(progress)
        return bag_of_tiles(slide, tiling, lattice, tiles, forecast, digest="", notes=())


class _Forecast:
    """Prints once, early on, how many finer tiles there are to compute, and in what time."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress, self._is_told, self._start = progress, False, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Take the (tiles done, tiles to do)."""
        self._progress(done, total)
        if not done:
            self._start = time.monotonic()
            if total:
                logger.warning("refine: %s finer tiles", f"{total:,}")
            return
        passed = time.monotonic() - self._start
        if not self._is_told and passed >= _MEASURED_S and done < total:
            self._is_told = True
            logger.warning(
                "refine: about %.2g min for %s finer tiles (as measured on the first %s)",
                passed / done * total / 60, f"{total:,}", f"{done:,}",
            )  # fmt: skip


def _explained(
    model: MilModel, bag: Bag, table: HeatmapSet, progress: Callable[[int, int], None]
) -> Explanation:
    """Return what each finer tile would contribute in place of one of the table's."""
    attention, tile_logits = read_each(Forwards(model, bag), progress)
    count = table.n_places
    kind = CLASS_ATTENTION if CLASS_ATTENTION in table.maps else ATTENTION
    rows = np.zeros((1, count)) if attention is None else table.maps[kind][..., 0, :count]
    known = np.atleast_2d(rows).astype(np.float64)
    peak = known.max(axis=1, keepdims=True)
    whole = np.exp(known - peak).sum(axis=1, keepdims=True)
    own = np.zeros(bag.count) if attention is None else attention
    weights = np.exp(np.atleast_2d(own).astype(np.float64) - peak) / whole
    return Explanation(
        logits=table.logits,
        prediction=table.prediction,
        method="contributions in place of a tile of the bag",
        attention=attention,
        tile_logits=tile_logits,
        contributions=(weights * tile_logits).astype(np.float32),
    )
