"""Writes the files of a run beside its slides: ``run.json``, files for viewers, the report."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from heatmaps_ome import __version__
from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.run.outcome import without_places
from heatmaps_ome.run.provenance import extractor_record, versions
from heatmaps_ome.storage.digests import now, write_json
from heatmaps_ome.viewers.desktop import write_viewers
from heatmaps_ome.viewers.qupath_project import ProjectSlide
from heatmaps_ome.viewers.report.page import ReportedSlide, RunFacts, write_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.settings import RunSettings

logger = logging.getLogger(__name__)

RUN: Final = "run.json"


def write_run_files(settings: RunSettings, plan: Plan, outcomes: Mapping[Path, Outcome]) -> None:
    """Write all of them; files for viewers may fail, as slides' results are complete without."""
    given = [outcomes[path] for path in plan.paths]
    _write_run(settings, plan, given)
    _write_viewers(settings, plan, outcomes)
    _write_report(settings, plan, given)


def _write_run(settings: RunSettings, plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Write the outcome of each slide, with options and versions."""
    places = _places(settings, plan)
    write_json(
        settings.output.folder / RUN,
        {
            "format": "heatmaps-ome run 1",
            "created": now(),
            "versions": versions(),
            "options": settings.records.every,
            "model": plan.models.record(),
            "extractor": extractor_record(plan.recipe.extractor),
            "slides": [outcome.record(places) for outcome in outcomes],
        },
    )


def _write_viewers(settings: RunSettings, plan: Plan, outcomes: Mapping[Path, Outcome]) -> None:
    """Write the viewers' files for the slides with results, which are complete without."""
    slides = [
        ProjectSlide(
            path, outcome.folder.name, outcome.prediction, settings.drawing.look.true_class
        )
        for path, outcome in outcomes.items()
        if outcome.status != "failed" and outcome.folder is not None
    ]
    if not slides:
        return
    try:
        write_viewers(
            settings.output.folder, slides, plan.models.classes, time.time_ns() // 1_000_000
        )
    except HeatmapsError as error:
        logger.error("%s", error)


def _write_report(settings: RunSettings, plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Write the report of the run, whose results are complete without it."""
    if "report" not in settings.output.formats:
        return
    places, models = _places(settings, plan), plan.models
    slides = [
        ReportedSlide(
            outcome.slide, outcome.status, without_places(outcome.message, places),
            None if outcome.folder is None else outcome.folder.name,
        )
        for outcome in outcomes
    ]  # fmt: skip
    facts = RunFacts(
        created=now(),
        version=__version__,
        true_class=settings.drawing.look.true_class,
        classes=models.classes,
        class_colours=class_colours(models.classes),
        model_digest=models.digest,
        extractor_digest=plan.recipe.extractor.digest,
        extractor=plan.recipe.extractor.name,
    )
    try:
        write_report(settings.output.folder, slides, facts)
    except HeatmapsError as error:
        logger.error("%s", error)


def _places(settings: RunSettings, plan: Plan) -> set[str]:
    """Return the folders of slides and outputs."""
    return {str(path.parent) for path in plan.paths} | {str(settings.output.folder)}
