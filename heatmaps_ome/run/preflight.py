"""Checks that find every foreseeable error of a run before the first block is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.errors import HeatmapsError, ModelError, OptionError
from heatmaps_ome.export import load_exporters
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.block_size import block_px
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.maps.kinds import LEAVE_ONE_OUT
from heatmaps_ome.maps.raw_maps import Recipe
from heatmaps_ome.models import read_model
from heatmaps_ome.models.model_set import ModelSet, model_files
from heatmaps_ome.run.applied_scaling import require_all_slides, scaling_to_apply
from heatmaps_ome.run.idle_options import warn_of_idle_options
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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.export.protocol import Exporter
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.run.settings import Drawing, Encoder, Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
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
    recipe : Recipe
        How raw maps are made, with the first of the models.
    models : ModelSet
        All models.
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

    recipe: Recipe
    models: ModelSet
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
    models = _models(settings, tried)
    extractor = tried(lambda: _extractor(settings.encoder))
    look = scaling = recipe = None
    if models is not None:
        look = tried(lambda: _look(drawing, models))
    if models is not None and extractor is not None:
        tried(lambda: _require_match(models, extractor))
        scaling = tried(lambda: scaling_to_apply(drawing, output, models.digest, extractor.digest))
        tried(lambda: _require_leave_one_out(drawing, models, scaling))
        recipe = tried(lambda: _recipe(settings, models.first, extractor))
    if (
        tried.problems or rows is None or recipe is None or models is None or look is None
        or exporters is None
    ):  # fmt: skip
        raise PreflightError(tried.problems)
    warn_of_idle_options(settings, models, _usable(settings.encoder.device))
    return _plan(settings, rows, recipe, models, look, exporters, scaling)


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
    recipe: Recipe,
    models: ModelSet,
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
    shared = shared_facts(settings.records.effective, recipe.extractor.digest)

    def planned(given: SlideRow, folder: ResultFolder) -> PlannedSlide:
        row = given if given.mpp is not None else replace(given, mpp=settings.making.mpp)
        own = _with_covariates(models, row, settings.models.covariates)
        slide = planned_slide(row, folder, recipe, own, shared)
        if scaling is not None:
            slide.earlier(scaling, replaced)
        return slide

    slides, refused = planned_slides(rows, names, output.folder, planned)
    plan = Plan(
        recipe=recipe,
        models=models,
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
        _prepare(recipe.extractor)
    return plan


def _needs_network(slide: PlannedSlide, scaling: CohortScaling | None) -> bool:
    """Return whether a slide's results, or its raw maps, are not there yet."""
    mpp = slide.row.mpp
    if all(recipe.kept_in(slide.fingerprint, mpp).is_dir() for recipe in slide.recipes):
        return False
    return scaling is None or not slide.is_finished(scaling)


def _prepare(extractor: Extractor) -> None:
    """Build the network, so that its errors show before the first slide.

    Raises
    ------
    PreflightError
        If its weights do not fit.
    """
    try:
        extractor.prepare()
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
        (path, tried(lambda path=path: read_model(path, allow_pickle=files.allow_pickle)))
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


def _with_covariates(models: ModelSet, row: SlideRow, common: Mapping[str, str]) -> ModelSet:
    """Return the models with the covariates of a slide's patient."""
    try:
        own = models.for_slide(row.covariates, common)
    except ModelError as error:
        raise ModelError(f"{row.origin or row.path.name}: {error}") from error
    if own.imputation:
        logger.warning("%s: %s", row.path.name, own.imputation)
    return own


def _look(drawing: Drawing, models: ModelSet) -> Look:
    """Return how maps are drawn, with the classes to draw in the models' order."""
    known, true_class = models.classes, drawing.look.true_class
    wanted = known if drawing.classes is None else drawing.classes
    for flag, names in (("--true-class", (true_class,)), ("--classes", wanted)):
        for name in names:
            if name not in known:
                raise OptionError(
                    f"{flag}: {models.paths[0].name} has no class {name!r}; its classes are "
                    f"{', '.join(known)}"
                )
    return replace(
        drawing.look, classes=tuple(name for name in known if name in {*wanted, true_class})
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


def _require_leave_one_out(
    drawing: Drawing, models: ModelSet, scaling: CohortScaling | None
) -> None:
    """Refuse to draw leave-one-out maps if they or the ranges of their colours do not exist."""
    if not drawing.look.style.leave_one_out:
        return
    for path, model in zip(models.paths, models.models, strict=True):
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
