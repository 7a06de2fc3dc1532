"""A run: every slide's raw maps, then the scaling they share, then every slide's files.

The two halves meet in the values that the first leaves on disk: the first is costly and knows one
slide at a time, the second is cheap and knows the cohort.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from heatmaps_ome import __version__, provenance
from heatmaps_ome.colour import class_colours
from heatmaps_ome.delivery import (
    Look,
    finite,
    now,
    put_in_place,
    slide_record,
    slide_result,
    write_formats,
)
from heatmaps_ome.ensemble import combined, in_class_order, records
from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.export.values import read_values, write_values
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.normalise import Quantiles, ScalingFit
from heatmaps_ome.openslide_reader import OpenSlideReader
from heatmaps_ome.preflight import (
    SCALING,
    Plan,
    PlannedSlide,
    prepare,
)
from heatmaps_ome.qupath import ProjectSlide
from heatmaps_ome.raw_maps import raw_maps_of_each
from heatmaps_ome.rendering import Style
from heatmaps_ome.report.page import ReportedSlide, RunFacts, write_report
from heatmaps_ome.stopwatch import Stopwatch
from heatmaps_ome.viewers import write_viewers
from heatmaps_ome.working_copy import WorkingCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.consistency import Consistency
    from heatmaps_ome.export.protocol import Exporter
    from heatmaps_ome.heatmaps import HeatmapSet
    from heatmaps_ome.normalise import CohortScaling
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.progress import Progress

logger = logging.getLogger(__name__)

RUN = "run.json"

_ONE_SLIDES_FAULT = (HeatmapsError, OSError, RuntimeError, MemoryError)
"""What ends a slide but not its run; torch and libvips raise RuntimeError for lack of memory."""


@dataclass
class Outcome:
    """What became of a slide.

    Attributes
    ----------
    status : str
        "done", "unchanged" (the very results were there already) or "failed".
    message : str
        Why it failed.
    prediction : dict of class → probability
    consistency : Consistency or None
        How plain tiles compare with the dense grid.
    faithfulness : dict of class → dict of map → area under its perturbation curve
    faithfulness_left_out : str
        Why nothing is said of it; empty if something is.
    members : list of dict
        What each of several models says, as `ensemble.records` tells it; empty for a single one.
    regions : dict
        What `Regions.record` says of the slide; empty where nothing is known.
    artefacts : dict
        "cells": kind → share of the tissue on such artefacts, "evidence": class → kind → share of
        the evidence for it; empty where they are not known.
    stages : dict of stage → what it took
    """

    slide: str
    status: Literal["done", "unchanged", "failed"]
    message: str = ""
    folder: Path | None = None
    prediction: dict[str, float] = field(default_factory=dict)
    consistency: Consistency | None = None
    faithfulness: dict[str, dict[str, float]] = field(default_factory=dict)
    faithfulness_left_out: str = ""
    members: list[dict[str, Any]] = field(default_factory=list)
    regions: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)


def create(options: CreateOptions, progress: Progress) -> list[Outcome]:
    """Make the heatmaps of all slides and return what became of each, in the order given.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done; nothing has been written then.
    """
    plan = prepare(options)
    outcomes = {path: Outcome(path.name, "failed", reason) for path, reason in plan.refused.items()}
    for reason in plan.refused.values():
        logger.error("%s", reason)
    run = _Run(options, plan, progress)
    ready: list[PlannedSlide] = []
    for slide in plan.slides:
        outcome = Outcome(slide.path.name, "done", folder=slide.folder.path)
        outcomes[slide.path] = outcome
        if _survives(outcome, slide, lambda slide=slide, o=outcome: run.first_half(slide, o)):
            ready.append(slide)
    if ready:
        scaling = run.shared_scaling()
        scaling.save(options.output_path / SCALING)
        for slide in ready:
            outcome = outcomes[slide.path]
            _survives(
                outcome, slide,
                lambda slide=slide, o=outcome: run.second_half(slide, scaling, o),
            )  # fmt: skip
    given = [outcomes[path] for path in plan.paths]
    _write_run(options, plan, given)
    _write_viewers(options, plan, outcomes)
    _write_report(options, plan, given)
    return given


def _survives(outcome: Outcome, slide: PlannedSlide, work: Callable[[], None]) -> bool:
    """Do a slide's work; return False, with the reason noted, if it fails."""
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
    """What the slides of a run have in common."""

    def __init__(self, options: CreateOptions, plan: Plan, progress: Progress) -> None:
        self._options, self._plan, self._progress = options, plan, progress
        self._fit = ScalingFit(
            Quantiles(
                options.att_lower_threshold, options.att_upper_threshold, options.score_threshold
            )
        )

    def first_half(self, planned: PlannedSlide, outcome: Outcome) -> None:
        """Leave a slide's raw maps on disk and take them into the scaling."""
        if planned.finished:
            heatmaps = read_values(_values_path(planned.folder.path, planned))
        else:
            slide = self._opened(planned)
            try:
                parts = self._parts(slide, Stopwatch(outcome.stages))
                heatmaps = combined(parts, self._plan.models.named)
            finally:
                slide.close()
            folder = planned.folder.start()
            write_values(heatmaps, folder, {"request": planned.request}, self._options.ngff)
        self._fit.add(heatmaps)
        outcome.prediction = dict(zip(heatmaps.classes, heatmaps.prediction.tolist(), strict=True))
        outcome.consistency = heatmaps.consistency
        if outcome.consistency is not None and outcome.consistency.is_wide:
            logger.warning("%s", outcome.consistency.warning(planned.path.name))
        outcome.members = records(heatmaps)

    def _parts(self, slide: WorkingCopy, watch: Stopwatch) -> list[HeatmapSet]:
        """Return what each model makes of a slide, as a rule from the cache."""
        found = raw_maps_of_each(
            slide, self._plan.recipes, watch,
            lambda stage, done, total: self._progress(slide.name, stage, done, total),
        )  # fmt: skip
        return [in_class_order(each, self._plan.models.classes) for each in found]

    def _opened(self, planned: PlannedSlide) -> WorkingCopy:
        """Return a slide with its copy at the network's resolution, made when it is first read."""
        how = self._plan.recipe.extraction
        slide = OpenSlideReader(planned.path, self._options.mpp, self._options.read_from)
        lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
        return WorkingCopy(slide, planned.fingerprint, lattice, how.cache, how.threads)

    def shared_scaling(self) -> CohortScaling:
        """Return the user's scaling, or that of the slides so far."""
        if self._plan.scaling is not None:
            return self._plan.scaling
        plan = self._plan
        return self._fit.fit(plan.cohort, plan.models.digest, plan.recipe.extractor.digest)

    def second_half(self, planned: PlannedSlide, scaling: CohortScaling, outcome: Outcome) -> None:
        """Write a slide's files and put its folder in place."""
        if planned.finished:
            outcome.status = "unchanged"
            _note_findings(outcome, planned.folder.provenance() or {})
            return
        folder = planned.folder.partial
        heatmaps = read_values(_values_path(folder, planned))
        slide = self._opened(planned)
        try:
            watch = Stopwatch(outcome.stages)
            # What several models are without some cells does not follow from their means.
            parts = self._parts(slide, watch) if heatmaps.members else ()
            with watch("maps"):
                result = slide_result(slide, heatmaps, scaling, self._look(), parts)
            with watch("files"):
                write_formats(
                    result, self._exporters(), folder, watch.beside,
                    lambda done, total: self._progress(slide.name, "files", done, total),
                )  # fmt: skip
            record = slide_record(
                result, scaling, planned.fingerprint, self._origin(planned, outcome)
            )
        finally:
            slide.close()
        put_in_place(planned.folder, record)
        _note_findings(outcome, record)

    def _exporters(self) -> dict[str, Exporter]:
        """Return the exporters by their formats."""
        return dict(zip(dict.fromkeys(self._options.formats), self._plan.exporters, strict=True))

    def _look(self) -> Look:
        """Return how the options want the maps shown."""
        options = self._options
        return Look(
            style=Style(
                attention_map=options.att_cmap,
                score_map=options.score_cmap,
                contribution_map=options.contribution_cmap,
                attention_alpha=options.att_alpha,
                score_alpha=options.score_alpha,
                like_reference=options.compat == "reference",
                leave_one_out=options.leave_one_out,
            ),
            classes=self._plan.classes,
            true_class=options.true_class,
            image_mpp=options.target_mpp if options.image_mpp is None else options.image_mpp,
            region_hot=options.region_hot,
            region_cold=options.region_cold,
            top_tiles=options.top_tiles,
        )

    def _origin(self, planned: PlannedSlide, outcome: Outcome) -> dict[str, Any]:
        """Return what a slide's maps come from, for its provenance."""
        plan = self._plan
        return {
            "request": planned.request,
            "model": plan.models.record(),
            "extractor": _extractor_record(plan),
            "pooling": asdict(plan.recipe.pooling),
            "options": provenance.effective_options(self._options),
            "stages": outcome.stages,
        }


def _note_findings(outcome: Outcome, record: Mapping[str, Any]) -> None:
    """Take from a provenance what was found, of which the first versions did not say all."""
    said = record.get("faithfulness", {})
    outcome.faithfulness_left_out = said.get("left_out", "")
    outcome.faithfulness = {name: each["aupc"] for name, each in said.get("classes", {}).items()}
    outcome.regions = record.get("regions") or {}
    artefacts = record.get("artefacts") or {}
    outcome.artefacts = {key: artefacts[key] for key in ("cells", "evidence") if key in artefacts}


def _values_path(folder: Path, planned: PlannedSlide) -> Path:
    """Return where a slide's raw values lie in a folder of results."""
    return folder / f"{planned.folder.name}.values.ome.zarr"


def _extractor_record(plan: Plan) -> dict[str, Any]:
    """Return what identifies the extractor and places its cells."""
    extractor = plan.recipe.extractor
    return {
        "name": extractor.name,
        "digest": extractor.digest,
        "weights_sha256": extractor.weights_digest,
        "precision": extractor.precision,
        "channels": extractor.channels,
        "stride_px": extractor.stride_px,
        "centre_px": extractor.centre_px,
    }


def _places(options: CreateOptions, plan: Plan) -> set[str]:
    """Return the folders of slides and outputs."""
    return {str(path.parent) for path in plan.paths} | {str(options.output_path)}


def _without_places(message: str, places: set[str]) -> str:
    """Return a message without such folders: they may name a patient."""
    for place in sorted(places, key=len, reverse=True):
        message = message.replace(f"{place}/", "")
    return message


def _write_run(options: CreateOptions, plan: Plan, outcomes: list[Outcome]) -> None:
    """Write what became of each slide, and with what."""
    places = _places(options, plan)
    provenance.write_json(
        options.output_path / RUN,
        {
            "format": "heatmaps-ome run 1",
            "created": now(),
            "versions": provenance.versions(),
            "options": provenance.all_options(options),
            "model": plan.models.record(),
            "extractor": _extractor_record(plan),
            "slides": [_outcome_record(outcome, places) for outcome in outcomes],
        },
    )


def _outcome_record(outcome: Outcome, places: set[str]) -> dict[str, Any]:
    """Return what became of a slide as plain JSON values, without the folders of files."""
    said = {
        **asdict(outcome),
        "message": _without_places(outcome.message, places),
        "folder": None if outcome.folder is None else outcome.folder.name,
        "prediction": {k: finite(v) for k, v in outcome.prediction.items()},
        "consistency": outcome.consistency and outcome.consistency.record(),
    }
    if not outcome.members:
        del said["members"]
    return said


def _write_viewers(options: CreateOptions, plan: Plan, outcomes: dict[Path, Outcome]) -> None:
    """Write what viewers need of the slides with results, which are complete without it."""
    slides = [
        ProjectSlide(path, outcome.folder.name, outcome.prediction, options.true_class)
        for path, outcome in outcomes.items()
        if outcome.status != "failed" and outcome.folder is not None
    ]
    if not slides:
        return
    try:
        write_viewers(options.output_path, slides, plan.models.classes, time.time_ns() // 1_000_000)
    except HeatmapsError as error:
        logger.error("%s", error)


def _write_report(options: CreateOptions, plan: Plan, outcomes: list[Outcome]) -> None:
    """Write the report of the run, whose results are complete without it."""
    if "report" not in options.formats:
        return
    places, models = _places(options, plan), plan.models
    slides = [
        ReportedSlide(
            each.slide, each.status, _without_places(each.message, places),
            None if each.folder is None else each.folder.name,
        )
        for each in outcomes
    ]  # fmt: skip
    facts = RunFacts(
        created=now(),
        version=__version__,
        true_class=options.true_class,
        classes=models.classes,
        class_colours=class_colours(models.classes),
        model_digest=models.digest,
        extractor_digest=plan.recipe.extractor.digest,
        extractor=plan.recipe.extractor.name,
    )
    try:
        write_report(options.output_path, slides, facts)
    except HeatmapsError as error:
        logger.error("%s", error)
