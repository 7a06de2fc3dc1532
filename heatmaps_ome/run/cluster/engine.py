"""Makes and draws the slides of a run at the workers of a Dask cluster.

The run itself plans, fits and records, as it does alone; the workers call the same functions for
each slide, so results are the same. A worker has one batch at a time, which is sent to no other: so
the run knows which slide a worker was at when it died, and that nothing else runs on its GPU.
"""

from __future__ import annotations

import pickle
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from heatmaps_ome.errors import OptionError, OutputError, ScalingError
from heatmaps_ome.memory.limits import available_memory
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.cluster.crew import Crew
from heatmaps_ome.run.cluster.opening import dashboard, opened
from heatmaps_ome.run.cluster.orders import PLENTY_GIB, orders_for_files, orders_for_maps
from heatmaps_ome.run.cluster.shift import Job, Shift
from heatmaps_ome.run.cluster.showing import Showing
from heatmaps_ome.run.preflight import prepare
from heatmaps_ome.run.progress import Display
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import private_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.cluster.orders import Orders
    from heatmaps_ome.run.cluster.request import Workers
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.planning import Replaced
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.run.staged import ScratchPlace

_GIB = 2**30
_LEAST_GIB = 1.0
"""Memory of a worker on this machine with which it can begin."""


class AtWorkers:
    """Makes and draws slides at workers.

    Parameters
    ----------
    orders : Orders
    names : mapping of slide path → name
    """

    def __init__(
        self, crew: Crew, orders: Orders, workers: Workers, plan: Plan | None, progress: Progress
    ) -> None:
        self._crew, self._workers, self._progress = crew, workers, progress
        self._orders = pickle.dumps(orders)
        self._names = {} if plan is None else plan.names
        self._logged: set[str] = set()

    def make(self, slides: Sequence[tuple[SlideRow, Outcome]]) -> list[tuple[MadeMaps, Outcome]]:
        """Make the raw maps of slides; return them with the outcomes of those that succeeded."""
        jobs = [Job(*slide) for slide in slides]
        self._run(jobs, "maps", None)
        return [(job.made, job.outcome) for job in jobs if job.made is not None]

    def draw(self, slides: Sequence[tuple[MadeMaps, Outcome]], scaling: CohortScaling) -> None:
        """Draw slides whose raw maps are there."""
        self._run([Job(*slide) for slide in slides], "files", scaling)

    def do(self, slides: Sequence[tuple[SlideRow, Outcome]], scaling: CohortScaling) -> None:
        """Make and draw slides one by one, as the scaling is known."""
        self._run([Job(*slide) for slide in slides], "maps and files", scaling)

    def record(self, plan: Plan) -> dict[str, Any]:
        """Return the facts of a run's record; workers' devices keep their own times."""
        return plan.maker.record()

    def _run(self, jobs: Sequence[Job], work: str, scaling: CohortScaling | None) -> None:
        if jobs:
            showing = Showing(self._progress, work, len(jobs), self._logged)
            names = {} if work == "files" else self._names
            Shift(self._crew, self._orders, self._workers, showing, names, scaling).run(jobs)


@contextmanager
def planned_at_workers(
    settings: RunSettings, workers: Workers, progress: Progress
) -> Iterator[tuple[Plan, AtWorkers]]:
    """Yield the plan of a run and the workers that make its maps.

    The workers' devices decide the number type that features are computed in; the plan is of that.

    Raises
    ------
    HeatmapsError
        If the run as a whole cannot be done, or the workers cannot be had.
    """
    encoder = settings.encoder
    memory = _memory(settings, workers)
    here = replace(settings, encoder=replace(encoder, devices=("cpu",)))
    plan = _first_plan(here)
    with ExitStack() as stack:
        marker = stack.enter_context(_marked(settings.output.folder))
        client = stack.enter_context(opened(workers, settings.output.folder))
        _note_dashboard(client, progress)
        places = (str(Path.cwd()), str(marker))
        crew = Crew(client, encoder.devices[0], encoder.precision, places, is_ours=workers.are_here)
        precision = crew.first((workers.count or 1) if workers.are_here else 1).precision
        if plan is None or precision != plan.maker.record()["extractor"].get(
            "precision", precision
        ):
            plan = prepare(replace(here, encoder=replace(here.encoder, precision=precision)))
        shared = replace(
            plan.settings,
            encoder=replace(encoder, precision=precision),
            resources=replace(
                plan.settings.resources, scratch=_part_of(settings.resources.scratch, workers)
            ),
        )
        plan = replace(plan, settings=shared)
        orders = orders_for_maps(plan, workers, marker, memory)
        yield plan, AtWorkers(crew, orders, workers, plan, progress)


@contextmanager
def drawn_at_workers(
    settings: RunSettings, replaced: Replaced, workers: Workers, progress: Progress
) -> Iterator[AtWorkers]:
    """Yield the workers that draw maps which are there.

    Raises
    ------
    HeatmapsError
        If the workers cannot be had.
    """
    with ExitStack() as stack:
        marker = stack.enter_context(_marked(settings.output.folder))
        client = stack.enter_context(opened(workers, settings.output.folder))
        _note_dashboard(client, progress)
        places = (str(Path.cwd()), str(marker))
        crew = Crew(client, "cpu", "float32", places, is_ours=workers.are_here)
        orders = orders_for_files(settings, replaced, workers, marker)
        yield AtWorkers(crew, orders, workers, None, progress)


def _first_plan(settings: RunSettings) -> Plan | None:
    """Return the plan of a run, before its workers start; None if it depends on their devices.

    Raises
    ------
    PreflightError
        With all problems that do not depend on them.
    """
    try:
        return prepare(settings)
    except PreflightError as error:
        # Results there may be of the number type that the workers' devices compute in.
        depends = all(isinstance(one, ScalingError | OutputError) for one in error.problems)
        if settings.encoder.precision != "auto" or not depends:
            raise
        return None


def _memory(settings: RunSettings, workers: Workers) -> float | None:
    """Return the GiB that each worker may take; None: the usual.

    Elsewhere, ``--max-memory`` is each worker's own.
    """
    asked = settings.resources.max_memory
    if not workers.are_here or workers.count is None:
        return asked
    own = psutil.Process().memory_info().rss / _GIB
    free = available_memory() / _GIB if asked is None else asked - own
    share = free / workers.count
    if share < _LEAST_GIB:
        raise OptionError(
            f"--workers {workers.count}: each would have {max(0, share):.1f} GiB of memory, and "
            f"needs {_LEAST_GIB:g} at least; ask for fewer"
        )
    return share if asked is not None or share < PLENTY_GIB else None


def _part_of(scratch: ScratchPlace, workers: Workers) -> ScratchPlace:
    """Return a worker's part of the scratch that those of this machine share."""
    if not workers.are_here or workers.count is None or not scratch.path.is_dir():
        return scratch
    size = shutil.disk_usage(scratch.path).free // 2 if scratch.size is None else scratch.size
    return replace(scratch, size=size // workers.count)


@contextmanager
def _marked(output: Path) -> Iterator[Path]:
    """Make a hidden file in the output folder, by which workers know that theirs is the same."""
    marker = private_path(output / "workers")
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise disk_error(marker, error) from error
    try:
        yield marker
    finally:
        with suppress(OSError):
            marker.unlink()


def _note_dashboard(client: object, progress: Progress) -> None:
    """Name Dask's dashboard, where there is one and someone looks."""
    link = dashboard(client) if isinstance(progress, Display) else None
    if link is not None and isinstance(progress, Display):
        progress.note(f"Dask's dashboard: {link}")
