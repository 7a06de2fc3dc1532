"""Everything that can be known to be wrong is found here, before the first block is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import HeatmapsError, OptionError, OutputError
from heatmaps_ome.export import load_exporters
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.block_size import block_px
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.features.pooling import TILE_CELLS, Pooling
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
    from heatmaps_ome.options import CreateOptions

CheckedT = TypeVar("CheckedT")

SCALING = "scaling.json"


class PreflightError(HeatmapsError):
    """All that is wrong with a run, a sentence a line.

    Attributes
    ----------
    problems : list of HeatmapsError
    """

    def __init__(self, problems: list[HeatmapsError]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Attributes
    ----------
    recipe : Recipe
        What makes raw maps, with the first of the models.
    models : ModelSet
        All of them.
    paths : tuple of Path
        All slides asked for, in the order given; read once, as a list may come from a pipe.
    refused : dict of slide path → reason
        Slides that cannot be done; the others are.
    scaling : CohortScaling or None
        Given by the user; None: fitted to the slides.
    cohort : str
        Digest of all that decides a fitted scaling.
    """

    recipe: Recipe
    models: ModelSet
    classes: tuple[str, ...]
    exporters: tuple[Exporter, ...]
    scaling: CohortScaling | None
    cohort: str
    paths: tuple[Path, ...]
    slides: tuple[PlannedSlide, ...]
    refused: dict[Path, str]

    @property
    def recipes(self) -> list[Recipe]:
        """What makes the raw maps of each model."""
        return [replace(self.recipe, model=model) for model in self.models.models]


def prepare(options: CreateOptions) -> Plan:
    """Return the plan of a run.

    Raises
    ------
    PreflightError
        With everything that is wrong with the run as a whole; slides that cannot be opened do
        not count, unless none is left.
    """
    tried = _Attempts()
    paths = tried(lambda: slide_paths(options))
    tried(lambda: require_writable(options.output_path))
    tried(lambda: require_colour_map(options.att_cmap))
    tried(lambda: require_colour_map(options.score_cmap))
    tried(lambda: require_colour_map(options.contribution_cmap))
    exporters = tried(lambda: load_exporters(options.formats, _settings(options)))
    models = _models(options, tried)
    extractor = tried(
        lambda: load_extractor(
            options.extractor, options.extractor_weights, _device(options), options.precision
        )
    )
    classes = scaling = recipe = None
    if models is not None:
        classes = tried(lambda: _classes(options, models))
    if models is not None and extractor is not None:
        tried(lambda: _require_match(models, extractor))
        scaling = tried(lambda: _scaling(options, models, extractor))
        tried(lambda: _require_leave_one_out(options, models, scaling))
        recipe = tried(lambda: _recipe(options, models.first, extractor))
    if (
        tried.problems or paths is None or recipe is None or models is None or classes is None
        or exporters is None
    ):  # fmt: skip
        raise PreflightError(tried.problems)
    return _plan(options, paths, recipe, models, classes, exporters, scaling)


def _recipe(options: CreateOptions, model: AttentionMIL, extractor: Extractor) -> Recipe:
    """Return how the options want raw maps made."""
    device = _device(options)
    return Recipe(
        extractor=extractor,
        model=model,
        pooling=pooling_of(options),
        extraction=Extraction(
            target_mpp=options.target_mpp,
            block_px=block_px(options, extractor, device),
            threads=reading_threads(options),
            cache=_cache(options),
        ),
        mask_threshold=options.mask_threshold,
        fallback_mpp=options.mpp,
        read_from=options.read_from,
        overlaps=not device.startswith("cpu"),
        consistency_tiles=options.consistency_tiles,
    )


def _plan(
    options: CreateOptions,
    paths: list[Path],
    recipe: Recipe,
    models: ModelSet,
    classes: tuple[str, ...],
    exporters: tuple[Exporter, ...],
    scaling: CohortScaling | None,
) -> Plan:
    """Return the plan of a run that can be done, with a look at each of its slides."""
    prints, refused = fingerprints(paths, options)
    shared = shared_facts(options, list(prints.values()), models, recipe.extractor)
    cohort = digest_of(shared)
    _require_free_scaling(options, scaling, cohort)
    slides = planned_slides(prints, refused, shared, options)
    plan = Plan(
        recipe=recipe,
        models=models,
        classes=classes,
        exporters=exporters,
        scaling=scaling,
        cohort=cohort,
        paths=tuple(paths),
        slides=slides,
        refused=refused,
    )
    if not all(
        slide.finished or all(each.kept_in(slide.fingerprint).is_dir() for each in plan.recipes)
        for slide in slides
    ):
        _prepare(recipe.extractor)
    return plan


def _prepare(extractor: Extractor) -> None:
    """Build the network, so that what is wrong with it is known before the first slide.

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
    """Runs checks and keeps what went wrong, so that all of it is told at once."""

    def __init__(self) -> None:
        self.problems: list[HeatmapsError] = []

    def __call__(self, check: Callable[[], CheckedT]) -> CheckedT | None:
        """Return what a check returns, or None if it fails."""
        try:
            return check()
        except HeatmapsError as error:
            self.problems.append(error)
            return None


def pooling_of(options: CreateOptions) -> Pooling:
    """Return the pooling that the options ask for."""
    if options.no_pool or options.blur_kernel_size == 0:
        return Pooling("none", 1)
    if options.blur_kernel_size is not None:
        return Pooling("gaussian", options.blur_kernel_size)
    return Pooling("mean", TILE_CELLS)


def _device(options: CreateOptions) -> str:
    """Return the torch device to use.

    Raises
    ------
    OptionError
        If it is not there.
    """
    import torch

    if options.force_cpu:
        return "cpu"
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(options.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"the device {options.device!r} cannot be used here; leave out --device to have one "
            "chosen"
        ) from error
    return options.device


def _models(options: CreateOptions, tried: _Attempts) -> ModelSet | None:
    """Return the MIL models with their covariates, or None if any of them cannot be used."""
    given = dict(options.covariate)
    found = [
        (path, tried(lambda path=path: read_model(
            path, allow_pickle=options.allow_pickle, covariates=given)))
        for path in tried(lambda: model_files(options.model_paths)) or ()
    ]  # fmt: skip
    read = [(path, model) for path, model in found if model is not None]
    if not read or len(read) < len(found):
        return None
    return tried(lambda: ModelSet.of(read))


def _classes(options: CreateOptions, models: ModelSet) -> tuple[str, ...]:
    """Return the classes to write, the true one first among equals."""
    known = models.classes
    wanted = options.classes if options.classes is not None else known
    for flag, names in (("--true-class", (options.true_class,)), ("--classes", wanted)):
        for name in names:
            if name not in known:
                raise OptionError(
                    f"{flag}: {models.paths[0].name} has no class {name!r}; its classes are "
                    f"{', '.join(known)}"
                )
    return tuple(name for name in known if name in {*wanted, options.true_class})


def _require_match(models: ModelSet, extractor: Extractor) -> None:
    """Refuse models that were trained on features of another length, which is the same for all."""
    n_features = models.first.n_features
    if n_features != extractor.channels:
        raise OptionError(
            f"{models.paths[0].name} was trained on {n_features} features per tile, but "
            f"the extractor {extractor.name} gives {extractor.channels}; choose the model's own "
            "with --extractor"
        )


def _scaling(
    options: CreateOptions, models: ModelSet, extractor: Extractor
) -> CohortScaling | None:
    """Return the scaling that the user gave, if it fits."""
    if options.scaling is None:
        return None
    scaling = CohortScaling.load(options.scaling)
    scaling.require_fit(models.digest, extractor.digest, options.scaling)
    return scaling


def _require_leave_one_out(
    options: CreateOptions, models: ModelSet, scaling: CohortScaling | None
) -> None:
    """Refuse to draw leave-one-out maps where there are none, or no ranges for their colours."""
    if not options.leave_one_out:
        return
    for path, model in zip(models.paths, models.models, strict=True):
        if not model.is_additive:
            raise OptionError(
                f"--leave-one-out: the head of {path.name} is not affine, so what the slide is "
                "without a cell does not follow from its maps; leave the option out"
            )
    if scaling is not None and LEAVE_ONE_OUT not in scaling.ranges:
        raise OptionError(
            f"--leave-one-out: {options.scaling} is of an earlier version and has no ranges for "
            "these maps; leave out either option"
        )


def _require_free_scaling(
    options: CreateOptions, scaling: CohortScaling | None, cohort: str
) -> None:
    """Refuse to replace the scaling of another cohort, whose results may be kept with it.

    Raises
    ------
    PreflightError
        Saying how to go on.
    """
    path = options.output_path / SCALING
    if options.overwrite or not path.exists():
        return
    found = CohortScaling.load(path)
    same = found.cohort == cohort if scaling is None else found == scaling
    if not same:
        raise PreflightError([
            OutputError(
                f"{path} is the scaling of another cohort or other options; apply it to these "
                "slides with --scaling, replace it with --overwrite, or choose another "
                "--output-path"
            )
        ])  # fmt: skip


def _settings(options: CreateOptions) -> Settings:
    """Return how files are to be written."""
    return Settings(
        threads=reading_threads(options),
        chain=not options.no_chain,
        ngff=options.ngff,
        flattened=not options.no_flattened,
        flat_mpp=options.flat_mpp,
        overlay_px=options.overlay_px,
        cache=_cache(options),
    )


def _cache(options: CreateOptions) -> Path:
    """Return the folder to keep what was read and computed in."""
    return options.output_path / ".cache" if options.cache_dir is None else options.cache_dir


def reading_threads(options: CreateOptions) -> int:
    """Return how many threads read the slide.

    torch computes with threads of its own, one per physical core. The two do not fight: readers
    sleep once they are a block or so each ahead, so the slower of the two stages has the cores.
    """
    if options.threads is not None:
        return options.threads
    return max(1, min(4, os.cpu_count() or 1))
