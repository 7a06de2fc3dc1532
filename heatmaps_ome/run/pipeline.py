"""A run, in four stages: maps of each slide, the scaling they share, files of each slide, lists.

Raw maps are costly; files are cheap and follow from raw maps and the scaling. What lies in the
output folder is the state: each stage goes on with what it finds there, whoever made it. One slide
is handled at a time, and whatever it raises ends only this slide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.errors import OutputError
from heatmaps_ome.options import ExportOptions
from heatmaps_ome.run.applied_scaling import publish
from heatmaps_ome.run.cluster.request import workers_of
from heatmaps_ome.run.engines import drawn, planned
from heatmaps_ome.run.fitting import fitted, scaling_to_draw
from heatmaps_ome.run.forecast.records import note_costs_of, warn_of_space
from heatmaps_ome.run.job import required_job
from heatmaps_ome.run.made_maps import all_made
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.planning import Replaced
from heatmaps_ome.run.remote_output import at_folder, collect_there, named_by_urls
from heatmaps_ome.run.run_record import write_run_record
from heatmaps_ome.run.settings import settings_of, settings_of_export
from heatmaps_ome.run.staged import ScratchPlace, scratch_in_use
from heatmaps_ome.storage.cache_users import caches_in_use
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.remote.outputs import (
    keep_file,
    keep_shared,
    know_again,
    know_maps,
    know_slides,
    open_output,
)
from heatmaps_ome.storage.result_folder import (
    RUNS,
    SCALING,
    remove_leftovers,
    require_writable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.features.bag import TileScores
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.options import CreateOptions, DrawOptions, MapsOptions
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings
    from heatmaps_ome.run.slide_row import SlideRow


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
@scratch_in_use()
@named_by_urls()
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
    settings = at_folder(settings)
    with planned(settings, workers_of(options), progress) as (plan, engine):
        warn_of_space(plan)
        slides = _slides(plan)
        if plan.scaling is not None:
            engine.do(slides, _published(plan.scaling, settings))
        elif made := engine.make(slides):
            own = [one for one, _ in made]
            scaling = fitted(own, settings.drawing.quantiles, plan.job)
            engine.draw(made, _published(scaling, settings))
    done = [outcome for _, outcome in slides]
    _record(settings, engine.record(plan), done, _folders(plan))
    note_costs_of(settings, plan.maker, done)
    _collect(settings, done)
    return done


@caches_in_use()
@scratch_in_use()
@named_by_urls()
def maps(options: MapsOptions, progress: Progress) -> list[Outcome]:
    """Make the raw maps of all slides, or of a shard of them, and return their outcomes.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done; nothing is written then.
    OutputError
        If the output folder cannot take the records.
    """
    settings = at_folder(settings_of(options))
    with planned(settings, workers_of(options), progress) as (plan, engine):
        if options.part is not None:
            plan = replace(plan, rows=tuple(options.part.of_list(plan.rows)))
        slides = _slides(plan)
        engine.make(slides)
    done = [outcome for _, outcome in slides]
    _record(settings, engine.record(plan), done, _folders(plan))
    note_costs_of(settings, plan.maker, done)
    return done


@caches_in_use()
@scratch_in_use()
@named_by_urls()
def draw(options: DrawOptions, progress: Progress) -> list[Outcome]:
    """Write the files of all slides with raw maps, or of a shard of them; return their outcomes.

    Raises
    ------
    HeatmapsError
        If there are no maps or no scaling, or the output folder cannot be written.
    """
    scratch = ScratchPlace.of(options.scratch, options.scratch_size)
    output = open_output(options.path, scratch.path)
    know_maps(output)
    require_writable(output)
    job = required_job(output)
    scaling = scaling_to_draw(output, options.scaling or job.scaling, job)
    settings = job.settings(
        output, overwrite=options.overwrite, scratch=options.scratch,
        scratch_size=options.scratch_size,
    )  # fmt: skip
    replaced = Replaced(options.overwrite, scaling=True)
    with drawn(settings, replaced, workers_of(options), progress) as engine:
        remove_leftovers(output)
        scaling = publish(scaling, output, {}, replace=True)
        keep_shared(output)
        made = list(all_made(output))
        if options.part is not None:
            made = options.part.of_list(made)
        know_slides(output, [one.name for one in made])
        slides = [(one, Outcome(one.path.name, "done", name=one.name)) for one in made]
        wanted = [(one, outcome) for one, outcome in slides if job.made(one, outcome)]
        engine.draw(wanted, scaling)
    origin = {name: made[0].origin[name] for name in ("model", "extractor")} if made else {}
    done = [outcome for _, outcome in slides]
    _record(settings, origin, done, {one.path.parent for one in made})
    note_costs_of(settings, None, done)
    return done


def _slides(plan: Plan) -> list[tuple[SlideRow, Outcome]]:
    """Return the slides of a run, with their outcomes so far."""
    know_slides(plan.settings.output.folder, [plan.names[row.path] for row in plan.rows])
    return [
        (row, Outcome(row.path.name, "done", name=plan.names[row.path], label=row.label))
        for row in plan.rows
    ]


def _published(scaling: CohortScaling, settings: RunSettings) -> CohortScaling:
    """Store the scaling of a run in its output folder, and return the one to apply."""
    output = settings.output.folder
    know_again(output, SCALING)
    applied = publish(
        scaling, output, settings.drawing.asked,
        replace=settings.output.overwrite or settings.drawing.refit,
    )  # fmt: skip
    keep_file(output, output / SCALING)
    return applied


def _folders(plan: Plan) -> set[Path]:
    """Return the folders of a run's slides."""
    return {row.path.parent for row in plan.rows}


def _record(
    settings: RunSettings,
    origin: Mapping[str, Any],
    outcomes: list[Outcome],
    folders: Iterable[Path],
) -> None:
    """Write the record of a run; UnrecordedError if it cannot be written."""
    try:
        write_run_record(settings, origin, outcomes, folders)
        keep_shared(settings.output.folder)
    except OSError as error:
        raise _unrecorded(settings, outcomes, error) from error


def _collect(settings: RunSettings, outcomes: list[Outcome]) -> None:
    """Rebuild the files that all runs share; UnrecordedError if they cannot be written."""
    try:
        collect_there(settings.output.folder)
    except OSError as error:
        raise _unrecorded(settings, outcomes, error) from error


def _unrecorded(settings: RunSettings, outcomes: list[Outcome], error: OSError) -> UnrecordedError:
    output = settings.output.folder
    return UnrecordedError(
        f"{disk_error(output / RUNS, error)}; the slides' own results are complete: heatmaps-ome "
        f"collect {output} then makes the list, the report and the project",
        outcomes,
    )
