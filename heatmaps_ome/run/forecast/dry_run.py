"""Dry runs of ``create``, ``export``, ``maps`` and ``draw``: nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.options import DrawOptions, ExportOptions, MapsOptions
from heatmaps_ome.run.drawing import Drawing
from heatmaps_ome.run.fitting import scaling_to_draw
from heatmaps_ome.run.forecast.forecast import forecast_of
from heatmaps_ome.run.forecast.machine import costs_on_this_machine
from heatmaps_ome.run.forecast.measured import Yardstick, costs_of_output
from heatmaps_ome.run.forecast.standing import Look
from heatmaps_ome.run.job import required_job
from heatmaps_ome.run.made_maps import all_made
from heatmaps_ome.run.makers import reading_of
from heatmaps_ome.run.making import Making
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.planning import Replaced
from heatmaps_ome.run.preflight import exporters_of, prepare
from heatmaps_ome.run.progress import begin_slide, silent
from heatmaps_ome.run.remote_output import at_folder, named_by_urls
from heatmaps_ome.run.settings import settings_of, settings_of_export
from heatmaps_ome.run.staged import ScratchPlace
from heatmaps_ome.storage.remote.outputs import know_maps, know_slides, open_output
from heatmaps_ome.storage.result_folder import require_writable

if TYPE_CHECKING:
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.options.shards import Shard
    from heatmaps_ome.run.forecast.costs import Costs
    from heatmaps_ome.run.forecast.forecast import Forecast
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings


@named_by_urls()
def dry_run(
    options: CreateOptions | ExportOptions | DrawOptions, progress: Progress = silent
) -> Forecast:
    """Return what a run with these options would do.

    Slides are opened, but for those that an earlier run has remembered; the network is not built.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done.
    HeatmapsError
        For ``draw``: if there are no maps or no scaling.
    """
    if isinstance(options, DrawOptions):
        return _of_draw(options, progress)
    return _of_rows(options, progress)


def _of_rows(options: CreateOptions | ExportOptions, progress: Progress) -> Forecast:
    """Return what ``create``, ``export`` or ``maps`` would do."""
    is_export = isinstance(options, ExportOptions)
    settings = settings_of_export(options) if is_export else settings_of(options)
    settings = at_folder(settings, writes=False)
    plan = prepare(settings, dry=True)
    know_slides(settings.output.folder, plan.names.values())
    making, part = Making(plan, silent), _part(options)
    rows = plan.rows if part is None else part.of_list(plan.rows)
    is_maps = isinstance(options, MapsOptions)
    drawing = Drawing(
        settings, plan.look, plan.exporters, plan.maker.reading, plan.replaced, silent
    )
    look = Look(settings.making.target_mpp, plan.scaling, None if is_maps else drawing)
    slides = []
    for place, row in enumerate(rows, 1):
        begin_slide(progress, plan.names[row.path], "forecast", place, len(rows))
        slides.append(look.at_row(making, row))
    known = not is_maps and plan.scaling is not None
    costs = known_costs(settings, plan.maker)
    return forecast_of(settings, slides, costs, scaling_is_known=known)


def _part(options: object) -> Shard | None:
    """Return the shard of the slides that is asked for; None: all of them."""
    return options.part if isinstance(options, MapsOptions) else None


def _of_draw(options: DrawOptions, progress: Progress) -> Forecast:
    """Return what ``draw`` would do."""
    scratch = ScratchPlace.of(options.scratch, options.scratch_size)
    output = open_output(options.path, scratch.path, writes=False)
    know_maps(output)
    require_writable(output)
    job = required_job(output)
    scaling = scaling_to_draw(output, options.scaling or job.scaling, job)
    settings = job.settings(output, overwrite=options.overwrite)
    drawing = Drawing(
        settings, settings.drawing.look, exporters_of(settings), reading_of(settings),
        Replaced(options.overwrite, scaling=True), silent,
    )  # fmt: skip
    made = list(all_made(output))
    if options.part is not None:
        made = options.part.of_list(made)
    know_slides(output, [one.name for one in made])
    look, slides = Look(settings.making.target_mpp, scaling, drawing), []
    for place, one in enumerate(made, 1):
        begin_slide(progress, one.name, "forecast", place, len(made))
        slides.append(look.at_maps(one, job, Outcome(one.path.name, "done", name=one.name)))
    return forecast_of(settings, slides, known_costs(settings, None), scaling_is_known=True)


def known_costs(settings: RunSettings, maker: Maker | None) -> Costs:
    """Return what slides like those of a run cost: on this machine, or else in the same output."""
    yardstick = Yardstick.of(settings, maker)
    return costs_on_this_machine(yardstick).or_else(costs_of_output(yardstick))
