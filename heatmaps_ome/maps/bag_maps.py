"""Features of tiles + models → tables of maps, or the same tables from the cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import OptionError, ResultError
from heatmaps_ome.maps import formulas
from heatmaps_ome.maps.explanations.compat import clam_percentiles, stamp_map
from heatmaps_ome.maps.explanations.explain import explain
from heatmaps_ome.maps.explanations.flipping import flippings
from heatmaps_ome.maps.kinds import (
    AS_CLAM,
    AS_STAMP,
    ATTENTION,
    CLASS_ATTENTION,
    CONTRIBUTION,
    EVIDENCE,
    LEAVE_ONE_OUT,
    PREDICTION,
    SCORE,
)
from heatmaps_ome.maps.tile_maps import table_of
from heatmaps_ome.maps.tile_store import TILES, read_table, write_table
from heatmaps_ome.models.model_set import cache_digest
from heatmaps_ome.storage.cache import BagKey
from heatmaps_ome.storage.pieces import WholePiece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.maps.curves import Faithfulness
    from heatmaps_ome.maps.explanations.explanation import Compat, Explain, Explanation
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.raw_maps import Stages
    from heatmaps_ome.models.protocol import MilModel
    from heatmaps_ome.slides.reader import SlideReader


@dataclass(frozen=True)
class BagRecipe:
    """How the maps of a bag are made by one model.

    Attributes
    ----------
    model : MilModel
    explain : Explain
        How its prediction is explained.
    classes : tuple of str
        The outputs whose faithfulness is measured.
    cache : Path
    compat : Compat or None
        The program whose own picture is added, to compare with.
    """

    model: MilModel
    explain: Explain
    classes: tuple[str, ...]
    cache: Path
    compat: Compat | None = None

    def key(self, fingerprint: str, bag: str) -> BagKey:
        """Return the key of a slide's maps in the cache."""
        return BagKey(
            fingerprint, bag, cache_digest(self.model), self.explain, self.classes, self.compat
        )


def bag_maps(
    slide: SlideReader, key: BagKey, read: Callable[[], Bag], recipe: BagRecipe, stage: Stages
) -> HeatmapSet:
    """Return the table of a model's maps of a slide's tiles.

    Parameters
    ----------
    key : BagKey
        Of the recipe.
    read : callable
        Returns the bag, if the maps are not in the cache.
    """
    piece = WholePiece(recipe.cache, key, slide.name)
    table = read_cached(piece)
    if table is None:
        bag = read()
        with stage("model") as progress:
            explanation = explain(recipe.model, bag, recipe.explain, progress)
            maps = maps_of(recipe.model, explanation)
            maps |= _own_picture(recipe, bag, explanation)
        with stage("faithfulness") as progress:
            curves = _curves(recipe, bag, maps, explanation, progress)
        table = _table(slide, bag, recipe.model, explanation, maps, curves)
        piece.write(lambda folder, made=table: write_table(made, folder / TILES))
    return of_slide(table, slide)


def of_slide(table: HeatmapSet, slide: SlideReader) -> HeatmapSet:
    """Return a table of the cache with the slide's name and scale.

    A slide keeps its maps when its file is renamed, or its pixel size is given otherwise.
    """
    grid = replace(table.grid, mpp=slide.mpp)
    return replace(table, slide_name=slide.name, slide_shape=slide.shape, grid=grid)


def read_cached(piece: WholePiece) -> HeatmapSet | None:
    """Return the table in a piece of the cache, or None if it is missing or damaged."""
    if not piece.is_intact():
        return None
    try:
        return read_table(piece.folder / TILES)
    except (OSError, ValueError, LookupError, TypeError, ResultError):
        return None


def maps_of(model: MilModel, explanation: Explanation) -> dict[str, np.ndarray]:
    """Return the maps of tiles by kind, (n,) or (outputs, n) each."""
    maps: dict[str, np.ndarray] = {}
    attention, target = explanation.attention, model.target
    if attention is not None:
        maps[ATTENTION if attention.ndim == 1 else CLASS_ATTENTION] = attention
    if explanation.tile_logits is not None:
        alone = target.predictions(explanation.tile_logits)
        maps[SCORE if target.has_classes else PREDICTION] = alone.astype(np.float32)
    if explanation.contributions is not None:
        maps[CONTRIBUTION] = explanation.contributions
        if target.link == "softmax":
            maps[EVIDENCE] = formulas.evidence(explanation.contributions)
    if explanation.fall is not None:
        maps[LEAVE_ONE_OUT] = explanation.fall
    return maps


def _own_picture(recipe: BagRecipe, bag: Bag, explanation: Explanation) -> dict[str, np.ndarray]:
    """Return the map that another program draws, if it is asked for.

    Raises
    ------
    OptionError
        If the model has no such picture.
    """
    if recipe.compat == "clam":
        attention = explanation.attention
        if attention is None:
            raise OptionError(
                f"--compat clam: a {recipe.model.family} model has no attention; leave it out"
            )
        drawn = clam_percentiles(attention)
        return {AS_CLAM: drawn if drawn.ndim == 1 else drawn[int(explanation.logits.argmax())]}
    if recipe.compat == "stamp":
        logits = explanation.tile_logits
        if logits is None:
            logits = explain(recipe.model, bag, "single").tile_logits
        if logits is not None:
            return {AS_STAMP: stamp_map(recipe.model, bag, logits)}
    return {}


def _curves(
    recipe: BagRecipe,
    bag: Bag,
    maps: Mapping[str, np.ndarray],
    explanation: Explanation,
    progress: Callable[[int, int], None],
) -> tuple[Faithfulness, ...]:
    """Return how faithful the maps of the drawn classes are."""
    if bag.count < 2:
        return ()
    outputs = recipe.model.target.outputs
    # Evidence is what moves a class's probability where classes are compared.
    ordered = [kind for kind in maps if kind != EVIDENCE]
    by_output = {
        index: {k: maps[k][index] if maps[k].ndim > 1 else maps[k] for k in ordered}
        for index in (outputs.index(name) for name in recipe.classes)
    }
    return flippings(recipe.model, bag, by_output, explanation, progress)


def _table(
    slide: SlideReader,
    bag: Bag,
    model: MilModel,
    explanation: Explanation,
    maps: Mapping[str, np.ndarray],
    curves: tuple[Faithfulness, ...],
) -> HeatmapSet:
    """Return the table of a slide's tiles."""
    return table_of(
        slide, bag, model.target, maps,
        logits=explanation.logits,
        prediction=explanation.prediction,
        curves=curves,
        explanation={
            "system": bag.system,
            "encoder": bag.encoder,
            "family": model.family,
            "additivity": model.additivity,
            "method": explanation.method,
            "residual": explanation.residual,
            "forwards": explanation.forwards,
            "regions": explanation.regions,
            "notes": [*bag.notes, *explanation.notes],
        },
    )  # fmt: skip
