"""Checks that find every foreseeable error of a run before the first block is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import HeatmapsError, OptionError, OutputError
from heatmaps_ome.export import load_exporters
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.block_size import block_px
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.maps.kinds import LEAVE_ONE_OUT
from heatmaps_ome.maps.raw_maps import Recipe
from heatmaps_ome.models import read_model
from heatmaps_ome.models.model_set import ModelSet, model_files
from heatmaps_ome.run.planning import (
    PlannedSlide,
    fingerprints,
    planned_slides,
    shared_facts,
    slide_paths,
)
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.result_folder import require_writable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heatmaps_ome.export.protocol import Exporter
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.run.settings import Drawing, Encoder, Look, ModelFiles, Output, RunSettings

CheckedT = TypeVar("CheckedT")

SCALING = "scaling.json"


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
    paths : tuple of Path
        All slides, in the order given; the list is read once, as it may come from a pipe.
    refused : dict of slide path → reason
        Slides that cannot be done; the run does all others.
    scaling : CohortScaling or None
        The user's scaling; None: one is fitted to the slides.
    cohort : str
        Digest of everything that determines a fitted scaling.
    """

    recipe: Recipe
    models: ModelSet
    look: Look
    exporters: tuple[Exporter, ...]
    scaling: CohortScaling | None
    cohort: str
    paths: tuple[Path, ...]
    slides: tuple[PlannedSlide, ...]
    refused: dict[Path, str]

    @property
    def recipes(self) -> list[Recipe]:
        """One recipe per model."""
        return [replace(self.recipe, model=model) for model in self.models.models]


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
    paths = tried(lambda: slide_paths(settings.slides))
    tried(lambda: require_writable(output.folder))
    style = drawing.look.style
    for colour_map in (
        style.attention_map, style.score_map, style.contribution_map, style.spread_map,
    ):  # fmt: skip
        tried(lambda name=colour_map: require_colour_map(name))
    exporters = tried(lambda: load_exporters(output.formats, output.files))
    models = _models(settings.models, tried)
    extractor = tried(lambda: _extractor(settings.encoder))
    look = scaling = recipe = None
    if models is not None:
        look = tried(lambda: _look(drawing, models))
    if models is not None and extractor is not None:
        tried(lambda: _require_match(models, extractor))
        scaling = tried(lambda: _scaling(drawing.scaling, models, extractor))
        tried(lambda: _require_leave_one_out(drawing, models, scaling))
        recipe = tried(lambda: _recipe(settings, models.first, extractor))
    if (
        tried.problems or paths is None or recipe is None or models is None or look is None
        or exporters is None
    ):  # fmt: skip
        raise PreflightError(tried.problems)
    return _plan(settings, paths, recipe, models, look, exporters, scaling)


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
    paths: list[Path],
    recipe: Recipe,
    models: ModelSet,
    look: Look,
    exporters: tuple[Exporter, ...],
    scaling: CohortScaling | None,
) -> Plan:
    """Return the plan of a run that can be done; this opens each of its slides."""
    prints, refused = fingerprints(paths, settings.making)
    shared = shared_facts(settings, list(prints.values()), models, recipe.extractor)
    cohort = digest_of(shared)
    _require_free_scaling(settings.output, scaling, cohort)
    slides = planned_slides(prints, refused, shared, settings.output)
    plan = Plan(
        recipe=recipe,
        models=models,
        look=look,
        exporters=exporters,
        scaling=scaling,
        cohort=cohort,
        paths=tuple(paths),
        slides=slides,
        refused=refused,
    )
    if not all(
        slide.finished
        or all(
            recipe.kept_in(slide.fingerprint, settings.making.mpp).is_dir()
            for recipe in plan.recipes
        )
        for slide in slides
    ):
        _prepare(recipe.extractor)
    return plan


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


def _models(files: ModelFiles, tried: _Attempts) -> ModelSet | None:
    """Return the MIL models with their covariates, or None if any of them cannot be used."""
    attempts = [
        (path, tried(lambda path=path: read_model(
            path, allow_pickle=files.allow_pickle, covariates=files.covariates)))
        for path in tried(lambda: model_files(files.paths)) or ()
    ]  # fmt: skip
    read = [(path, model) for path, model in attempts if model is not None]
    if not read or len(read) < len(attempts):
        return None
    return tried(lambda: ModelSet.of(read))


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


def _scaling(path: Path | None, models: ModelSet, extractor: Extractor) -> CohortScaling | None:
    """Return the user's scaling, if it fits, or None if there is none."""
    if path is None:
        return None
    scaling = CohortScaling.load(path)
    scaling.require_fit(models.digest, extractor.digest, path)
    return scaling


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
            f"--leave-one-out: {drawing.scaling} is of an earlier version and has no ranges for "
            "these maps; leave out either option"
        )


def _require_free_scaling(output: Output, scaling: CohortScaling | None, cohort: str) -> None:
    """Refuse to replace the scaling of another cohort, whose results may be in the folder.

    Raises
    ------
    PreflightError
        With the ways to go on.
    """
    path = output.folder / SCALING
    if output.overwrite or not path.exists():
        return
    existing = CohortScaling.load(path)
    same = existing.cohort == cohort if scaling is None else existing == scaling
    if not same:
        raise PreflightError([
            OutputError(
                f"{path} is the scaling of another cohort or other options; apply it to these "
                "slides with --scaling, replace it with --overwrite, or choose another "
                "--output-path"
            )
        ])  # fmt: skip
