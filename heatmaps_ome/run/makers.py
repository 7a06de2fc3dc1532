"""Chooses the maker of a run's raw maps, by models and encoder and by the tiles that were given."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.errors import OptionError
from heatmaps_ome.extractors.protocol import is_dense
from heatmaps_ome.features.block_size import block_px, tiles_at_once
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.features.lanes import Lanes
from heatmaps_ome.features.lattice_features import Passes
from heatmaps_ome.features.pooling import TILE_CELLS
from heatmaps_ome.features.tile_features import require_side
from heatmaps_ome.features.tile_lattice import TileSize
from heatmaps_ome.maps.bag_maps import BagRecipe
from heatmaps_ome.maps.raw_maps import Recipe
from heatmaps_ome.maps.slide_bag import Tiling
from heatmaps_ome.models import read_model
from heatmaps_ome.models.attention_mil import AttentionMIL
from heatmaps_ome.models.model_set import ModelSet, model_files
from heatmaps_ome.models.stored import MARUGOTO
from heatmaps_ome.run.devices import are_beside, devices_of, extractors_of
from heatmaps_ome.run.encoder_match import require_match
from heatmaps_ome.run.maker import DenseMaker, Reading
from heatmaps_ome.slides.reading import reading_threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor, TileEncoder
    from heatmaps_ome.maps.finer_maps import Refinement
    from heatmaps_ome.run.attempts import Attempts
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.settings import Drawing, Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.run.slide_tiles_maker import SlideTilesMaker
    from heatmaps_ome.run.tile_maker import BagMaker, ScoresMaker

logger = logging.getLogger(__name__)


def maker_of(
    settings: RunSettings, rows: Sequence[SlideRow], tried: Attempts
) -> tuple[Maker | None, Look | None]:
    """Return the maker of raw maps, and how maps are drawn; None for what cannot be had.

    Parameters
    ----------
    tried : Attempts
        Collects the problems.
    """
    tiles, look = settings.tiles, settings.drawing.look
    if tiles.scores is not None:
        scores = tiles.scores
        tried(lambda: _require_scores(settings, rows))
        tried(lambda: _require_one_file_each(scores.path, rows, "SCORES"))
        return _scores_maker(settings), look
    models = _models(settings, tried)
    tiled = tiles.features is not None or any(row.features for row in rows)
    # Problems of the extractor are reported beside those of the models.
    devices = () if tiled else tried(lambda: devices_of(settings.encoder)) or ()
    extractors = tried(lambda: extractors_of(settings.encoder, devices)) if devices else None
    if models is None:
        return None, None
    look = tried(lambda: _look(settings.drawing, models))
    if look is None:
        return None, None
    if tiled:
        tried(lambda: _require_one_file_each(tiles.features, rows, "--features"))
        return tried(lambda: _bag_maker(settings, models, look)), look
    if extractors is None:
        return None, look
    tried(lambda: require_match(models, extractors[0]))
    dense = _dense_extractors(settings, models, extractors)
    if dense is None:
        return tried(lambda: _tiles_maker(settings, models, look, extractors, devices)), look
    return tried(lambda: _dense_maker(settings, models, dense, devices)), look


def _dense_extractors(
    settings: RunSettings, models: ModelSet, encoders: Sequence[TileEncoder]
) -> list[Extractor] | None:
    """Return the encoders if each cell of a slide gets a value; None if each tile gets one.

    Cells need an encoder that can be applied to them, of which those that are pooled are one tile
    of the training, and marugoto's models of classes, whose maps have always been of cells. An
    option on tiles asks for tiles.
    """
    dense = [
        encoder
        for encoder in encoders
        if is_dense(encoder) and TILE_CELLS * encoder.stride_px == encoder.tile_px
    ]
    fits = all(
        isinstance(model, AttentionMIL)
        and model.family == MARUGOTO
        and model.target.link == "softmax"
        for model in models.models
    )
    if len(dense) < len(encoders) or not fits or settings.making.tiles.are_asked:
        return None
    return dense


def reading_of(settings: RunSettings, devices: Sequence[str] = ()) -> Reading:
    """Return how slides are read.

    Parameters
    ----------
    devices : sequence of str
        The torch devices that wait for pixels.
    """
    making, resources = settings.making, settings.resources
    return Reading(
        making.target_mpp, making.read_from, making.bad_tiles, resources.cache,
        _threads(settings, devices), making.reader, making.icc,
    )  # fmt: skip


def _threads(settings: RunSettings, devices: Sequence[str]) -> int:
    """Return the threads that read a slide, if all devices wait for slides."""
    return reading_threads(
        settings.resources.threads,
        cpu_computes=not devices or not are_beside(devices),
        slides=max(1, len(devices)),
    )


def _dense_maker(
    settings: RunSettings,
    models: ModelSet,
    extractors: Sequence[Extractor],
    devices: Sequence[str],
) -> DenseMaker:
    """Return the maker of maps of a dense grid.

    Parameters
    ----------
    extractors, devices : sequence of Extractor, and of str
        The network on each of the devices.
    """
    if settings.tiles.compat is not None:
        raise OptionError(
            f"--compat {settings.tiles.compat} draws tiles, and these maps are of cells; add "
            "--tile-px 224 for tiles of the slide, or give those of a file with --features"
        )
    first = models.first
    if not isinstance(first, AttentionMIL):
        raise TypeError(f"{first.family} has no maps of cells")
    recipe = _recipe(settings, first, extractors, devices)
    return DenseMaker(recipe, models, settings.models.covariates, reading_of(settings, devices))


def _tiles_maker(
    settings: RunSettings,
    models: ModelSet,
    look: Look,
    encoders: Sequence[TileEncoder],
    devices: Sequence[str],
) -> SlideTilesMaker:
    """Return the maker of maps of a slide's own tiles."""
    from heatmaps_ome.run.slide_tiles_maker import SlideTilesMaker

    _require_explained(settings, models)
    making, resources, asked = settings.making, settings.resources, settings.making.tiles
    size = TileSize(asked.side_px, asked.stride_px, asked.network_mpp)
    require_side(encoders[0], size.side_px)
    at_once = min(
        tiles_at_once(encoder, size.side_px, device, resources.max_memory)
        for encoder, device in zip(encoders, devices, strict=True)
    )
    if not asked.scale_is_asked:
        logger.warning(
            "tiles are %d px of %.4g µm, %.4g µm, as no option states the size that the model's "
            "training had; give it with --tile-um or --target-mpp",
            size.side_px, size.target_mpp, size.um_side,
        )  # fmt: skip
    return SlideTilesMaker(
        tiling=Tiling(
            size, making.mask_threshold, making.excluded, Lanes(encoders, devices),
            Passes(at_once, _threads(settings, devices), resources.cache),
        ),
        recipe=_bag_recipe(settings, models, look),
        models=models,
        covariates=settings.models.covariates,
        reading=reading_of(settings, devices),
        overlaps=are_beside(devices),
        refinement=_refinement(settings, models, look),
    )  # fmt: skip


def _refinement(settings: RunSettings, models: ModelSet, look: Look) -> Refinement | None:
    """Return the tiles that get finer ones; OptionError for models without exact contributions."""
    from heatmaps_ome.maps.finer_maps import Refinement

    share, explained = settings.making.tiles.refine, settings.tiles.explain
    if share is None:
        return None
    if len(models.models) > 1:
        raise OptionError(
            "--refine: each model has its own largest contributions; give one --model-path"
        )
    if models.first.additivity != "pooled":
        raise OptionError(
            f"--refine: a tile of a {models.first.family} model has no contribution of its own, "
            "apart from the other tiles; leave the option out"
        )
    if explained in ("ig", "single"):
        raise OptionError(
            f"--refine: --explain {explained} gives no exact contributions; leave either out"
        )
    return Refinement(share, look.true_class)


def _bag_recipe(settings: RunSettings, models: ModelSet, look: Look) -> BagRecipe:
    """Return how maps of tiles are made, with the first of the models."""
    tiles = settings.tiles
    return BagRecipe(
        models.first, tiles.explain, look.classes, settings.resources.cache, tiles.compat
    )


def _require_explained(settings: RunSettings, models: ModelSet) -> None:
    """Refuse models that have no explanation of the kind that is asked for."""
    for path, model in zip(models.paths, models.models, strict=True):
        if settings.tiles.explain == "contributions" and model.additivity == "none":
            raise OptionError(
                f"--explain contributions: {path.name} is a {model.family} model, which has none; "
                "use drop-one, or ig for integrated gradients"
            )


def _bag_maker(settings: RunSettings, models: ModelSet, look: Look) -> BagMaker:
    """Return the maker of maps of features of tiles."""
    from heatmaps_ome.run.tile_maker import BagMaker

    _require_explained(settings, models)
    tiles = settings.tiles
    return BagMaker(
        models=models,
        covariates=settings.models.covariates,
        features=tiles.features,
        facts=tiles.facts,
        explain=tiles.explain,
        compat=tiles.compat,
        classes=look.classes,
        reading=reading_of(settings),
    )


def _scores_maker(settings: RunSettings) -> ScoresMaker:
    """Return the maker of maps that were given."""
    from heatmaps_ome.run.tile_maker import ScoresMaker

    scores = settings.tiles.scores
    return ScoresMaker(
        None if scores is None else scores.path,
        settings.tiles.facts,
        reading_of(settings),
        None if scores is None else scores.in_memory,
    )


def _require_scores(settings: RunSettings, rows: Sequence[SlideRow]) -> None:
    """Refuse an export without scores."""
    scores = settings.tiles.scores
    if scores is None or scores.path or scores.in_memory or any(row.scores for row in rows):
        return
    raise OptionError(
        "SCORES is missing; name the file of scores, a folder with one for each slide, or a table "
        "of --slides with a column scores"
    )


def _require_one_file_each(given: Path | None, rows: Sequence[SlideRow], flag: str) -> None:
    """Refuse one file of tiles for several slides: it can be of one of them only."""
    if given is not None and given.is_file() and len(rows) > 1:
        raise OptionError(
            f"{flag}: {given} is one file, and there are {len(rows)} slides; give the folder with "
            "a file for each of them, or name each in the table of --slides"
        )


def _recipe(
    settings: RunSettings,
    model: AttentionMIL,
    extractors: Sequence[Extractor],
    devices: Sequence[str],
) -> Recipe:
    """Return the recipe of the raw maps."""
    making, resources = settings.making, settings.resources
    sides = (
        block_px(extractor, device, resources.block_px, resources.max_memory)
        for extractor, device in zip(extractors, devices, strict=True)
    )
    return Recipe(
        lanes=Lanes(extractors, devices),
        model=model,
        pooling=making.pooling,
        extraction=Extraction(
            target_mpp=making.target_mpp,
            # The cache is cut alike whatever device takes a slide.
            block_px=min(sides),
            threads=_threads(settings, devices),
            cache=resources.cache,
        ),
        mask_threshold=making.mask_threshold,
        read_from=making.read_from,
        overlaps=are_beside(devices),
        consistency_tiles=making.consistency_tiles,
        bad_tiles=making.bad_tiles,
        excluded=making.excluded,
    )


def _models(settings: RunSettings, tried: Attempts) -> ModelSet | None:
    """Return the MIL models without covariates, or None if any of them cannot be used."""
    files = settings.models
    attempts = [
        (
            path,
            tried(
                lambda path=path: read_model(
                    path, facts=files.facts, allow_pickle=files.allow_pickle
                )
            ),
        )
        for path in tried(lambda: model_files(files.paths)) or ()
    ]
    read = [(path, model) for path, model in attempts if model is not None]
    if not read or len(read) < len(attempts):
        return None
    models = tried(lambda: ModelSet.of(read))
    if models is not None:
        tried(lambda: _require_covariates(models, settings))
    return models


def _require_covariates(models: ModelSet, settings: RunSettings) -> None:
    """Refuse covariates that no model takes; without a table, demand all that models take.

    Training may have imputed missing ones, but a forgotten option is not a missing value.
    """
    given = settings.models.covariates
    models.require_covariates(given)
    if settings.slides.table is None:
        models.require_all_covariates(given)


def _look(drawing: Drawing, models: ModelSet) -> Look:
    """Return how maps are drawn, with the classes to draw in the models' order."""
    known, true_class = models.classes, drawing.look.true_class
    if not true_class:
        if len(known) > 1:
            raise OptionError(
                f"--true-class is missing: name the class to draw hot, one of {', '.join(known)}"
            )
        true_class = models.first.target.outputs[0]
    wanted = known if drawing.classes is None else drawing.classes
    for flag, names in (("--true-class", (true_class,)), ("--classes", wanted)):
        for name in names:
            if name not in known:
                raise OptionError(
                    f"{flag}: {models.paths[0].name} has no class {name!r}; its classes are "
                    f"{', '.join(known)}"
                )
    return replace(
        drawing.look,
        classes=tuple(name for name in known if name in {*wanted, true_class}),
        true_class=true_class,
    )
