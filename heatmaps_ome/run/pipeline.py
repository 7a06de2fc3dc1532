"""A run: every slide's raw maps, then their common scaling, then every slide's files.

The first half is costly and handles one slide at a time; it writes raw values to disk. The second
half is cheap, reads these values, and knows the whole cohort.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.scaling import ScalingFit
from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.export import VALUES
from heatmaps_ome.export.earlier import PreviousResults
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.artefact_evidence import artefact_record, cell_warnings
from heatmaps_ome.maps.ensemble import combined, in_class_order, records
from heatmaps_ome.maps.raw_maps import raw_maps
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.run.delivery import put_in_place, slide_record, slide_result, write_formats
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.preflight import SCALING, Plan, PlannedSlide, prepare
from heatmaps_ome.run.provenance import extractor_record, versions
from heatmaps_ome.run.run_files import write_run_files
from heatmaps_ome.run.settings import settings_of
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.reader import require_unchanged
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.export.protocol import Exporter
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings

logger = logging.getLogger(__name__)

_ONE_SLIDES_FAULT = (HeatmapsError, OSError, RuntimeError, MemoryError)
"""Errors that end a slide, not its run; torch and libvips raise RuntimeError for lack of memory."""


def create(options: CreateOptions, progress: Progress) -> list[Outcome]:
    """Make the heatmaps of all slides and return their outcomes, in the order given.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done; nothing is written then.
    """
    settings = settings_of(options)
    plan = prepare(settings)
    outcomes = {path: Outcome(path.name, "failed", reason) for path, reason in plan.refused.items()}
    for reason in plan.refused.values():
        logger.error("%s", reason)
    run = _Run(settings, plan, progress)
    ready: list[PlannedSlide] = []
    for slide in plan.slides:
        outcome = Outcome(slide.path.name, "done", folder=slide.folder.path)
        outcomes[slide.path] = outcome
        if _survives(outcome, slide, lambda slide=slide, o=outcome: run.first_half(slide, o)):
            ready.append(slide)
    if ready:
        scaling = run.shared_scaling()
        scaling.save(settings.output.folder / SCALING)
        for slide in ready:
            outcome = outcomes[slide.path]
            _survives(
                outcome, slide,
                lambda slide=slide, o=outcome: run.second_half(slide, scaling, o),
            )  # fmt: skip
    write_run_files(settings, plan, outcomes)
    return [outcomes[path] for path in plan.paths]


def _survives(outcome: Outcome, slide: PlannedSlide, work: Callable[[], None]) -> bool:
    """Do a slide's work; if it fails, note the reason in its outcome and return False."""
    try:
        work()
    except _ONE_SLIDES_FAULT as error:
        outcome.status, outcome.folder = "failed", None
        outcome.message = str(error) if isinstance(error, HeatmapsError) else (
            f"{slide.path.name}: {type(error).__name__}: {error}"
        )  # fmt: skip
        logger.error("%s", outcome.message)
        logger.debug("the error in full", exc_info=error)
        slide.folder.abandon()
        return False
    return True


class _Run:
    """Settings, plan, progress and scaling that the slides of a run share."""

    def __init__(self, settings: RunSettings, plan: Plan, progress: Progress) -> None:
        self._settings, self._plan, self._progress = settings, plan, progress
        self._fit = ScalingFit(settings.drawing.quantiles)

    def first_half(self, planned: PlannedSlide, outcome: Outcome) -> None:
        """Write a slide's raw maps to disk and add them to the scaling."""
        if planned.finished:
            heatmaps = read_values(_values_path(planned.folder.path, planned))
        else:
            slide = self._opened(planned)
            try:
                parts = self._parts(slide, self._stages(slide, outcome))
                heatmaps = combined(parts, self._plan.models.named)
                blank = bad_tiles_sentence(slide.bad_tiles.record())
                if blank:
                    logger.warning("%s: %s", planned.path.name, blank)
            finally:
                slide.close()
            folder = planned.folder.start()
            ngff = self._settings.output.files.ngff
            write_values(heatmaps, folder, {"request": planned.request}, ngff)
        self._fit.add(heatmaps)
        outcome.prediction = dict(zip(heatmaps.classes, heatmaps.prediction.tolist(), strict=True))
        outcome.consistency = heatmaps.consistency
        if outcome.consistency is not None and outcome.consistency.is_wide:
            logger.warning("%s", outcome.consistency.warning(planned.path.name))
        for warning in cell_warnings(artefact_record(heatmaps) or {}):
            logger.warning("%s: %s", planned.path.name, warning)
        outcome.members = records(heatmaps)

    def _stages(self, slide: WorkingCopy, outcome: Outcome) -> Stages:
        """Return the stages of a slide, which are counted in its outcome."""
        return Stages(
            outcome.stages,
            lambda stage, done, total: self._progress(slide.name, stage, done, total),
        )

    def _parts(self, slide: WorkingCopy, stages: Stages) -> list[HeatmapSet]:
        """Return each model's maps of a slide, usually from the cache."""
        parts = raw_maps(slide, self._plan.recipes, stages)
        return [in_class_order(part, self._plan.models.classes) for part in parts]

    def _opened(self, planned: PlannedSlide) -> WorkingCopy:
        """Return a slide with its copy at the network's resolution, created by the first read."""
        recipe = self._plan.recipe
        how = recipe.extraction
        slide = open_slide(
            planned.path, self._settings.making.mpp, recipe.read_from, recipe.bad_tiles
        )
        try:
            require_unchanged(slide, planned.fingerprint)
        except HeatmapsError:
            slide.close()
            raise
        lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
        return WorkingCopy(slide, planned.fingerprint, lattice, how.cache, how.threads)

    def shared_scaling(self) -> CohortScaling:
        """Return the user's scaling, or a scaling fitted to the slides so far."""
        if self._plan.scaling is not None:
            return self._plan.scaling
        plan = self._plan
        return self._fit.fit(plan.cohort, plan.models.digest, plan.recipe.extractor.digest)

    def second_half(self, planned: PlannedSlide, scaling: CohortScaling, outcome: Outcome) -> None:
        """Write a slide's files and put its folder in place."""
        if planned.finished:
            outcome.status = "unchanged"
            outcome.note(planned.folder.provenance() or {})
            return
        folder = planned.folder.partial
        heatmaps = read_values(_values_path(folder, planned))
        slide = self._opened(planned)
        try:
            stages = self._stages(slide, outcome)
            # Predictions without some cells do not follow from the mean maps of several models.
            parts = self._parts(slide, stages) if heatmaps.members else ()
            with stages("maps"):
                result = slide_result(
                    slide, heatmaps, scaling, self._plan.look, parts, self._earlier(planned)
                )
            write_formats(result, self._exporters(), folder, stages)
            record = slide_record(
                result, scaling, planned.fingerprint, self._origin(planned, outcome)
            )
        finally:
            slide.close()
        put_in_place(planned.folder, record)
        outcome.note(record)

    def _exporters(self) -> dict[str, Exporter]:
        """Return the exporters by their formats."""
        return dict(zip(self._settings.output.formats, self._plan.exporters, strict=True))

    def _earlier(self, planned: PlannedSlide) -> PreviousResults:
        """Return the results that a slide's new results replace."""
        record = planned.folder.provenance() or {}
        basis = {
            "versions": versions(),
            "options": self._settings.records.undrawn,
            "slide": planned.fingerprint,
            "models": self._plan.models.digests,
            "extractor": self._plan.recipe.extractor.digest,
        }
        return PreviousResults(
            planned.folder.path, record.get("files", {}), record.get("parts", {}),
            digest_of(basis),
        )  # fmt: skip

    def _origin(self, planned: PlannedSlide, outcome: Outcome) -> dict[str, Any]:
        """Return the origin of a slide's maps for its provenance."""
        plan = self._plan
        return {
            "request": planned.request,
            "model": plan.models.record(),
            "extractor": extractor_record(plan.recipe.extractor),
            "pooling": asdict(plan.recipe.pooling),
            "options": self._settings.records.effective,
            "stages": outcome.stages,
        }


def _values_path(folder: Path, planned: PlannedSlide) -> Path:
    """Return the path of a slide's raw values in a folder of results."""
    return folder / f"{planned.folder.name}{VALUES.ending}"
