"""Checks that find every foreseeable error of a run before the first block is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.errors import HeatmapsError, OptionError
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.block_size import block_px
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.maps.kinds import LEAVE_ONE_OUT
from heatmaps_ome.maps.raw_maps import Recipe
from heatmaps_ome.models import read_model
from heatmaps_ome.models.attention_mil import AttentionMIL
from heatmaps_ome.models.model_set import ModelSet, model_files
from heatmaps_ome.run.applied_scaling import require_all_slides, scaling_to_apply
from heatmaps_ome.run.idle_options import warn_of_idle_options
from heatmaps_ome.run.maker import DenseMaker, Reading
from heatmaps_ome.run.planning import (
    PlannedSlide,
    Replaced,
    planned_slide,
    planned_slides,
    result_names,
    shared_facts,
)
from heatmaps_ome.run.slide_list import slide_rows
from heatmaps_ome.storage.result_folder import remove_leftovers, require_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.settings import Drawing, Encoder, Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.run.tile_maker import BagMaker, ScoresMaker
    from heatmaps_ome.storage.result_folder import ResultFolder

logger = logging.getLogger(__name__)

CheckedT = TypeVar("CheckedT")


class PreflightError(HeatmapsError):
    """All problems of a run, one sentence per line.

    Attributes
    ----------
    problems : list of HeatmapsError
    """

    def __init__(self, problems: list[HeatmapsError]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a run.

    Attributes
    ----------
    maker : Maker
        Makes the raw maps of all slides.
    look : Look
        How maps are drawn, with the classes to draw.
    scaling : CohortScaling or None
        The scaling to apply; None: one is fitted to the slides.
    replaced : Replaced
        Earlier results that may be replaced.
    rows : tuple of SlideRow
        All slides, in the order given; the list is read once, as it may come from a pipe.
    names : dict of slide path → name
        Names of the slides' results.
    slides : tuple of PlannedSlide
        The slides that can be opened.
    refused : dict of slide path → reason
        Slides that cannot be done; the run does all others.
    """

    maker: Maker
    look: Look
    exporters: tuple[Exporter, ...]
    scaling: CohortScaling | None
    replaced: Replaced
    rows: tuple[SlideRow, ...]
    names: dict[Path, str]
    slides: tuple[PlannedSlide, ...]
    refused: dict[Path, str]


def prepare(settings: RunSettings) -> Plan:
    """Return the plan of a run.

    Raises
    ------
    PreflightError
        With all problems of the run as a whole; slides that cannot be opened do not count, unless
        no slide remains.
    """
    tried = _Attempts()
    output, drawing = settings.output, settings.drawing
    rows = tried(lambda: slide_rows(settings.slides))
    tried(lambda: require_writable(output.folder))
    if not settings.resources.cache.is_relative_to(output.folder):
        tried(lambda: require_writable(settings.resources.cache, "--cache-dir"))
    style = drawing.look.style
    for colour_map in (
        style.attention_map, style.score_map, style.contribution_map, style.spread_map,
    ):  # fmt: skip
        tried(lambda name=colour_map: require_colour_map(name))
    exporters = tried(lambda: load_exporters(output.formats, output.files))
    maker, look = _maker(settings, rows or [], tried)
    scaling = None
    if maker is not None:
        scaling = tried(
            lambda: scaling_to_apply(drawing, output, maker.model_digest, maker.extractor_digest)
        )
        tried(lambda: _require_leave_one_out(drawing, maker, scaling))
    if not (rows and maker and look and exporters) or tried.problems:
        raise PreflightError(tried.problems)
    if isinstance(maker, DenseMaker):
        warn_of_idle_options(settings, maker.models, _usable(settings.encoder.device))
    return _plan(settings, rows, maker, look, exporters, scaling)


def _maker(
    settings: RunSettings, rows: Sequence[SlideRow], tried: _Attempts
) -> tuple[Maker | None, Look | None]:
    """Return the maker of raw maps, and how maps are drawn; None for what cannot be had."""
    tiles, look = settings.tiles, settings.drawing.look
    if tiles.scores is not None:
        scores = tiles.scores
        tried(lambda: _require_scores(settings, rows))
        tried(lambda: _require_one_file_each(scores.path, rows, "SCORES"))
        return _scores_maker(settings), look
    models = _models(settings, tried)
    tiled = tiles.features is not None or any(row.features for row in rows)
    if not tiled:
        # Problems of the extractor are reported beside those of the models.
        extractor = tried(lambda: _extractor(settings.encoder))
    if models is None:
        return None, None
    look = tried(lambda: _look(settings.drawing, models))
    if look is None:
        return None, None
    if tiled:
        tried(lambda: _require_one_file_each(tiles.features, rows, "--features"))
        return tried(lambda: _bag_maker(settings, models, look)), look
    if extractor is None:
        return None, look
    return tried(lambda: _dense_maker(settings, models, extractor)), look


def _reading(settings: RunSettings) -> Reading:
    """Return how slides are read."""
    making, resources = settings.making, settings.resources
    return Reading(
        making.target_mpp, making.read_from, making.bad_tiles, resources.cache, resources.threads
    )


def _dense_maker(settings: RunSettings, models: ModelSet, extractor: Extractor) -> DenseMaker:
    """Return the maker of maps of a dense grid."""
    _require_match(models, extractor)
    for path, model in zip(models.paths, models.models, strict=True):
        if not isinstance(model, AttentionMIL) or not model.target.link == "softmax":
            raise OptionError(
                f"{path.name} is a {model.family} model, whose maps are made of the features of "
                "tiles; give these with --features (heatmaps-ome extract makes them)"
            )
    recipe = _recipe(settings, models.first, extractor)
    return DenseMaker(recipe, models, settings.models.covariates, _reading(settings))


def _bag_maker(settings: RunSettings, models: ModelSet, look: Look) -> BagMaker:
    """Return the maker of maps of features of tiles."""
    from heatmaps_ome.run.tile_maker import BagMaker

    tiles = settings.tiles
    for path, model in zip(models.paths, models.models, strict=True):
        if tiles.explain == "contributions" and model.additivity == "none":
            raise OptionError(
                f"--explain contributions: {path.name} is a {model.family} model, which has none; "
                "use drop-one, or ig for integrated gradients"
            )
    return BagMaker(
        models=models,
        covariates=settings.models.covariates,
        features=tiles.features,
        facts=tiles.facts,
        explain=tiles.explain,
        classes=look.classes,
        reading=_reading(settings),
    )


def _scores_maker(settings: RunSettings) -> ScoresMaker:
    """Return the maker of maps that were given."""
    from heatmaps_ome.run.tile_maker import ScoresMaker

    scores = settings.tiles.scores
    return ScoresMaker(
        None if scores is None else scores.path,
        settings.tiles.facts,
        _reading(settings),
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


def _recipe(settings: RunSettings, model: AttentionMIL, extractor: Extractor) -> Recipe:
    """Return the recipe of the raw maps."""
    making, resources = settings.making, settings.resources
    device = _usable(settings.encoder.device)
    return Recipe(
        extractor=extractor,
        model=model,
        pooling=making.pooling,
        extraction=Extraction(
            target_mpp=making.target_mpp,
            block_px=block_px(extractor, device, resources.block_px, resources.max_memory),
            threads=resources.threads,
            cache=resources.cache,
        ),
        mask_threshold=making.mask_threshold,
        read_from=making.read_from,
        overlaps=not device.startswith("cpu"),
        consistency_tiles=making.consistency_tiles,
        bad_tiles=making.bad_tiles,
        excluded=making.excluded,
    )


def _plan(
    settings: RunSettings,
    rows: list[SlideRow],
    maker: Maker,
    look: Look,
    exporters: tuple[Exporter, ...],
    scaling: CohortScaling | None,
) -> Plan:
    """Return the plan of a run that can be done; this opens each of its slides."""
    output, drawing = settings.output, settings.drawing
    remove_leftovers(output.folder)
    names = result_names(rows)
    if output.overwrite or drawing.refit or drawing.scaling is not None:
        try:
            require_all_slides(output.folder, set(names.values()), scaling)
        except HeatmapsError as error:
            raise PreflightError([error]) from error
    replaced = Replaced(output.overwrite, drawing.refit)
    shared = shared_facts(settings.records.effective, maker.extractor_digest)

    def planned(given: SlideRow, folder: ResultFolder) -> PlannedSlide:
        row = given if given.mpp is not None else replace(given, mpp=settings.making.mpp)
        slide = planned_slide(row, folder, maker, shared)
        if scaling is not None:
            slide.earlier(scaling, replaced)
        return slide

    slides, refused = planned_slides(rows, names, output.folder, planned)
    if settings.tiles.scores is not None:
        look = _look_at_scores(drawing, slides)
    plan = Plan(
        maker=maker,
        look=look,
        exporters=exporters,
        scaling=scaling,
        replaced=replaced,
        rows=tuple(rows),
        names=names,
        slides=slides,
        refused=refused,
    )
    if any(_needs_network(slide, scaling) for slide in slides):
        _prepare(maker)
    return plan


def _look_at_scores(drawing: Drawing, slides: Sequence[PlannedSlide]) -> Look:
    """Return how given maps are drawn, all of which every slide has.

    Raises
    ------
    PreflightError
        If none has the name that is to be drawn hot.
    """
    kinds = {n: k for s in slides[:1] for n, k in s.source.record()["tiles"]["maps"].items()}
    # A map of a class is hot where it speaks for it; attention speaks for nothing.
    names = sorted(kinds, key=lambda name: kinds[name] == "attention")
    wanted = drawing.look.true_class
    if wanted and names and wanted not in names:
        raise PreflightError(
            [
                OptionError(
                    f"--true-class: no map is called {wanted!r}; there are {', '.join(names)}"
                )
            ]
        )
    return replace(
        drawing.look, classes=tuple(names), true_class=wanted or (names[0] if names else "scores")
    )


def _needs_network(slide: PlannedSlide, scaling: CohortScaling | None) -> bool:
    """Return whether a slide's results, or its raw maps, are not there yet."""
    if slide.source.is_made(slide.fingerprint):
        return False
    return scaling is None or not slide.is_finished(scaling)


def _prepare(maker: Maker) -> None:
    """Build the network, so that its errors show before the first slide.

    Raises
    ------
    PreflightError
        If its weights do not fit.
    """
    try:
        maker.prepare()
    except HeatmapsError as error:
        raise PreflightError([error]) from error


class _Attempts:
    """Runs checks and collects their errors, so that all of them are reported at once."""

    def __init__(self) -> None:
        self.problems: list[HeatmapsError] = []

    def __call__(self, check: Callable[[], CheckedT]) -> CheckedT | None:
        """Return the value of a check, or None if it fails."""
        try:
            return check()
        except HeatmapsError as error:
            self.problems.append(error)
            return None


def _extractor(encoder: Encoder) -> Extractor:
    """Return the extractor on its device, not built yet."""
    return load_extractor(encoder.name, encoder.weights, _usable(encoder.device), encoder.precision)


def _usable(device: str) -> str:
    """Return the torch device to use.

    Parameters
    ----------
    device : str
        torch's name, or "auto".

    Raises
    ------
    OptionError
        If the device is not available.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"the device {device!r} cannot be used here; leave out --device to have one chosen"
        ) from error
    return device


def _models(settings: RunSettings, tried: _Attempts) -> ModelSet | None:
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
        true_class = known[0]
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


def _require_match(models: ModelSet, extractor: Extractor) -> None:
    """Refuse models trained on features of another length; all models share one length."""
    n_features = models.first.n_features
    if n_features != extractor.channels:
        raise OptionError(
            f"{models.paths[0].name} was trained on {n_features} features per tile, but "
            f"the extractor {extractor.name} gives {extractor.channels}; choose the model's own "
            "with --extractor"
        )


def _require_leave_one_out(drawing: Drawing, maker: Maker, scaling: CohortScaling | None) -> None:
    """Refuse to draw leave-one-out maps if they or the ranges of their colours do not exist."""
    if not drawing.look.style.leave_one_out:
        return
    models = maker.models if isinstance(maker, DenseMaker) else None
    for path, model in zip(models.paths, models.models, strict=True) if models else ():
        if not model.is_additive:
            raise OptionError(
                f"--leave-one-out: the head of {path.name} is not affine, so what the slide is "
                "without a cell does not follow from its maps; leave the option out"
            )
    if scaling is not None and LEAVE_ONE_OUT not in scaling.ranges:
        raise OptionError(
            "--leave-one-out: the scaling to apply is of an earlier version and has no ranges for "
            "these maps; leave the option out, or fit a new scaling with --refit"
        )
