"""A run: every slide's raw maps, their common scaling if there is none yet, every slide's files.

Raw maps are costly and go into the cache; files are cheap and follow from raw maps and the scaling.
One slide is handled at a time, and whatever it raises ends only this slide.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import HeatmapsError, OutputError
from heatmaps_ome.exporters import VALUES
from heatmaps_ome.exporters.earlier import PreviousResults
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.ensemble import combined, in_class_order
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.maps.tile_maps import rasterised
from heatmaps_ome.options import ExportOptions
from heatmaps_ome.run.applied_scaling import publish
from heatmaps_ome.run.cautions import logged_cautions
from heatmaps_ome.run.collect import collect
from heatmaps_ome.run.delivery import complete, slide_record, slide_result, write_formats
from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.preflight import prepare
from heatmaps_ome.run.progress import begin_slide
from heatmaps_ome.run.provenance import versions
from heatmaps_ome.run.run_record import write_run_record
from heatmaps_ome.run.settings import settings_of, settings_of_export
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.reader import require_unchanged
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage.cache_users import caches_in_use
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import remove
from heatmaps_ome.storage.result_folder import RUNS
from heatmaps_ome.viewers.slide_places import note_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.features.bag import TileScores
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.run.planning import PlannedSlide
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings

logger = logging.getLogger(__name__)


class UnrecordedError(OutputError):
    """A run whose slides are done, but whose list and report cannot be written.

    Attributes
    ----------
    outcomes : list of Outcome
        In the order given.
    """

    def __init__(self, message: str, outcomes: list[Outcome]) -> None:
        super().__init__(message)
        self.outcomes = outcomes


@caches_in_use()
def create(
    options: CreateOptions | ExportOptions,
    progress: Progress,
    scores: Callable[[SlideFacts], TileScores] | None = None,
) -> list[Outcome]:
    """Make the heatmaps of all slides and return their outcomes, in the order given.

    Parameters
    ----------
    options : CreateOptions or ExportOptions
        For maps that a model gives, or that were given.
    scores : callable, optional
        For ``export``: returns the scores of the only slide, instead of those in a file.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done; nothing is written then.
    OutputError
        If the output folder cannot take the scaling that all slides need, or the records.
    """
    if isinstance(options, ExportOptions):
        settings = settings_of_export(options, scores)
    else:
        settings = settings_of(options)
    plan = prepare(settings)
    outcomes = {
        row.path: Outcome(row.path.name, "done", name=plan.names[row.path], label=row.label)
        for row in plan.rows
    }
    for path, reason in plan.refused.items():
        outcomes[path].fail(reason)
        logger.error("%s", reason)
    for slide in plan.slides:
        outcomes[slide.path].folder = slide.folder.path
    run = _Run(settings, plan, progress)
    ready = list(plan.slides)
    scaling = plan.scaling
    if scaling is None:
        ready = [
            slide
            for slide in run.each(ready, "maps")
            if run.survives(run.fit, slide, outcomes[slide.path])
        ]
        scaling = run.fitted() if ready else None
    if scaling is not None and ready:
        scaling = publish(
            scaling, settings.output.folder, settings.drawing.asked,
            replace=settings.output.overwrite or settings.drawing.refit,
        )  # fmt: skip
        deliver = partial(run.deliver, scaling)
        for slide in run.each(ready, "maps and files" if plan.scaling else "files"):
            run.survives(deliver, slide, outcomes[slide.path])
    given = [outcomes[row.path] for row in plan.rows]
    _record(settings, plan, given)
    return given


def _record(settings: RunSettings, plan: Plan, outcomes: list[Outcome]) -> None:
    """Write the record of the run, and the files that all runs in the output folder share.

    Raises
    ------
    UnrecordedError
        If they cannot be written.
    """
    output = settings.output.folder
    try:
        write_run_record(settings, plan, outcomes)
        collect(output)
    except OSError as error:
        reason = disk_error(output / RUNS, error)
        raise UnrecordedError(
            f"{reason}; the slides' own results are complete: heatmaps-ome collect {output} then "
            "makes the list, the report and the project",
            outcomes,
        ) from error


class _Run:
    """Settings, plan, progress and scaling that the slides of a run share."""

    def __init__(self, settings: RunSettings, plan: Plan, progress: Progress) -> None:
        self._settings, self._plan, self._progress = settings, plan, progress
        self._fit = ScalingFit(settings.drawing.quantiles)
        self._fitted: list[str] = []
        self._is_told = False

    def each(self, slides: Sequence[PlannedSlide], work: str) -> Iterator[PlannedSlide]:
        """Yield the slides of a pass, and have the display tell which of them is at work."""
        for place, slide in enumerate(slides, 1):
            begin_slide(self._progress, slide.folder.name, work, place, len(slides))
            yield slide

    def survives(
        self, work: Callable[[PlannedSlide, Outcome], None], slide: PlannedSlide, outcome: Outcome
    ) -> bool:
        """Do a slide's work; if it fails, note the reason in its outcome and return False."""
        try:
            work(slide, outcome)
        except Exception as error:
            outcome.fail(reason_of(error, slide.path, self._settings.output.folder))
            logger.error("%s", outcome.message)
            logger.debug("the error in full", exc_info=error)
            return False
        return True

    def fit(self, planned: PlannedSlide, outcome: Outcome) -> None:
        """Add a slide to the scaling; its raw maps are in the cache then."""
        slide = self._opened(planned)
        try:
            parts = self._parts(planned, slide, self._stages(slide, outcome))
        finally:
            slide.close()
        self._fit.add(rasterised(combined(parts, planned.source.named)))
        self._fitted.append(planned.fingerprint)

    def fitted(self) -> CohortScaling:
        """Return the scaling of the slides so far."""
        cohort = digest_of({"slides": sorted(self._fitted)})
        maker = self._plan.maker
        return self._fit.fit(cohort, maker.model_digest, maker.extractor_digest)

    def deliver(self, scaling: CohortScaling, planned: PlannedSlide, outcome: Outcome) -> None:
        """Write a slide's files with a scaling, unless they are there."""
        # Another run may have finished the slide since the plan was made.
        earlier = planned.earlier(scaling, self._plan.replaced)
        note_place(self._settings.output.folder, planned.folder.name, planned.path)
        if earlier is None or earlier.get("request") != planned.request(scaling):
            self._deliver(planned, scaling, earlier, outcome)
        else:
            outcome.status = "unchanged"
            outcome.note(earlier)
        for caution in logged_cautions(outcome):
            logger.warning("%s: %s", outcome.slide, caution)

    def _deliver(
        self,
        planned: PlannedSlide,
        scaling: CohortScaling,
        earlier: dict[str, Any] | None,
        outcome: Outcome,
    ) -> None:
        """Write a slide's files and put its folder in place."""
        slide = self._opened(planned)
        folder: Path | None = None
        try:
            stages = self._stages(slide, outcome)
            parts = self._parts(planned, slide, stages)
            folder = planned.folder.start()
            heatmaps = self._stored(planned, parts, scaling, folder)
            self._tell_lacking(scaling, heatmaps)
            if slide.bad_tiles.policy == "blank":
                # Maps from the cache may be older than the copy, which knows the tiles left blank.
                slide.fill()
            with stages("maps"):
                result = slide_result(
                    slide, heatmaps, scaling, self._plan.look,
                    # Predictions without some cells do not follow from the mean of several models.
                    parts if heatmaps.members else (),
                    self._replaced(planned, earlier or {}), planned.row.label,
                )  # fmt: skip
            write_formats(result, self._exporters(), folder, stages)
            record = slide_record(
                result, scaling, planned.fingerprint, self._origin(planned, scaling, outcome)
            )
            complete(folder, record)
            if not planned.folder.finish(folder, (earlier or {}).get("request")):
                outcome.status = "unchanged"
        finally:
            slide.close()
            if folder is not None:
                remove(folder)
        outcome.note(record)

    def _tell_lacking(self, scaling: CohortScaling, heatmaps: HeatmapSet) -> None:
        """Warn once of kinds of maps that a scaling of an earlier version cannot draw."""
        lacking = [KINDS[key].title.lower() for key in scaling.lacking(heatmaps)]
        if lacking and not self._is_told:
            self._is_told = True
            instead = "" if self._settings.drawing.scaling is None else " instead of --scaling"
            logger.warning(
                "no maps of %s are drawn: the scaling is of an earlier version and has no range "
                "for them; fit a new one with --refit%s",
                " and ".join(lacking),
                instead,
            )

    def _stored(
        self,
        planned: PlannedSlide,
        parts: Sequence[HeatmapSet],
        scaling: CohortScaling,
        folder: Path,
    ) -> HeatmapSet:
        """Write the raw values of a slide, and return them as they were written."""
        origin = {"request": planned.request(scaling)}
        ngff = self._settings.output.files.ngff
        heatmaps = rasterised(combined(parts, planned.source.named))
        write_values(heatmaps, folder, origin, ngff)
        return read_values(folder / f"{planned.folder.name}{VALUES.ending}")

    def _stages(self, slide: WorkingCopy, outcome: Outcome) -> Stages:
        """Return the stages of a slide, which are counted in its outcome."""
        return Stages(
            outcome.stages,
            lambda stage, done, total: self._progress(slide.name, stage, done, total),
        )

    def _parts(self, planned: PlannedSlide, slide: WorkingCopy, stages: Stages) -> list[HeatmapSet]:
        """Return each model's maps of a slide, usually from the cache."""
        parts = planned.source.parts(slide, planned.fingerprint, stages)
        return [in_class_order(part, parts[0].classes) for part in parts]

    def _opened(self, planned: PlannedSlide) -> WorkingCopy:
        """Return a slide with its copy at the network's resolution, created by the first read."""
        how = self._plan.maker.reading
        slide = open_slide(planned.path, planned.row.mpp, how.read_from, how.bad_tiles)
        try:
            require_unchanged(slide, planned.fingerprint)
        except HeatmapsError:
            slide.close()
            raise
        # Results have the name of their folder.
        slide.name = planned.folder.name
        lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
        return WorkingCopy(slide, planned.fingerprint, lattice, how.cache, how.threads)

    def _exporters(self) -> dict[str, Exporter]:
        """Return the exporters by their formats."""
        return dict(zip(self._settings.output.formats, self._plan.exporters, strict=True))

    def _replaced(self, planned: PlannedSlide, record: dict[str, Any]) -> PreviousResults:
        """Return the results that a slide's new results replace."""
        basis = {
            "versions": versions(),
            "options": self._settings.records.undrawn,
            "slide": planned.fingerprint,
            "mpp": list(planned.mpp),
            "label": planned.row.label,
            "models": planned.source.digests,
            "extractor": self._plan.maker.extractor_digest,
        }
        return PreviousResults(
            planned.folder.path, record.get("files", {}), record.get("parts", {}),
            digest_of(basis),
        )  # fmt: skip

    def _origin(
        self, planned: PlannedSlide, scaling: CohortScaling, outcome: Outcome
    ) -> dict[str, Any]:
        """Return the origin of a slide's maps for its provenance."""
        return {
            "name": planned.folder.name,
            "request": planned.request(scaling),
            "basis": planned.basis,
            "label": planned.row.label,
            **planned.source.record(),
            "options": self._settings.records.effective,
            "stages": outcome.stages,
        }
