"""Who does the slides of a run: this process, one after the other, or workers at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from heatmaps_ome.run.drawing import Drawing
from heatmaps_ome.run.makers import reading_of
from heatmaps_ome.run.making import Making
from heatmaps_ome.run.preflight import exporters_of, prepare
from heatmaps_ome.run.slide_work import do_all, draw_all, make_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.cluster.request import Workers
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.planning import Replaced
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings
    from heatmaps_ome.run.slide_row import SlideRow


class Engine(Protocol):
    """Does the slides of a run; whatever one of them raises ends only this slide."""

    def make(self, slides: Sequence[tuple[SlideRow, Outcome]]) -> list[tuple[MadeMaps, Outcome]]:
        """Make the raw maps of slides; return them with the outcomes of those that succeeded."""
        ...

    def draw(self, slides: Sequence[tuple[MadeMaps, Outcome]], scaling: CohortScaling) -> None:
        """Draw slides whose raw maps are there."""
        ...

    def do(self, slides: Sequence[tuple[SlideRow, Outcome]], scaling: CohortScaling) -> None:
        """Make and draw slides one by one, as the scaling is known."""
        ...

    def record(self, plan: Plan) -> dict[str, Any]:
        """Return the facts of a run's record, once its slides are done."""
        ...


class InTurn:
    """Does slides in this process, one after the other.

    Parameters
    ----------
    making : Making or None
        None where the maps are there.
    drawing : Drawing
    """

    def __init__(self, making: Making | None, drawing: Drawing) -> None:
        self._making, self._drawing = making, drawing

    def make(self, slides: Sequence[tuple[SlideRow, Outcome]]) -> list[tuple[MadeMaps, Outcome]]:
        """See `Engine`."""
        return make_all(self._required(), slides)

    def draw(self, slides: Sequence[tuple[MadeMaps, Outcome]], scaling: CohortScaling) -> None:
        """See `Engine`."""
        draw_all(self._drawing, slides, scaling)

    def do(self, slides: Sequence[tuple[SlideRow, Outcome]], scaling: CohortScaling) -> None:
        """See `Engine`."""
        do_all(self._required(), self._drawing, slides, scaling)

    def record(self, plan: Plan) -> dict[str, Any]:
        """See `Engine`."""
        del plan
        return self._required().record()

    def _required(self) -> Making:
        if self._making is None:
            raise AssertionError("this run draws maps that are there")
        return self._making


@contextmanager
def planned(
    settings: RunSettings, workers: Workers, progress: Progress
) -> Iterator[tuple[Plan, Engine]]:
    """Yield the plan of a run, and who does its slides.

    Raises
    ------
    HeatmapsError
        If the run as a whole cannot be done.
    """
    if workers.asked:
        from heatmaps_ome.run.cluster.engine import planned_at_workers

        with planned_at_workers(settings, workers, progress) as at_workers:
            yield at_workers
        return
    plan = prepare(settings)
    making = Making(plan, progress)
    drawing = Drawing(
        settings, plan.look, plan.exporters, plan.maker.reading, plan.replaced, making.progress
    )
    yield plan, InTurn(making, drawing)


@contextmanager
def drawn(
    settings: RunSettings, replaced: Replaced, workers: Workers, progress: Progress
) -> Iterator[Engine]:
    """Yield who draws slides whose maps are there.

    Raises
    ------
    HeatmapsError
        If they cannot be drawn.
    """
    exporters = exporters_of(settings)
    if workers.asked:
        from heatmaps_ome.run.cluster.engine import drawn_at_workers

        with drawn_at_workers(settings, replaced, workers, progress) as at_workers:
            yield at_workers
        return
    look = settings.drawing.look
    yield InTurn(None, Drawing(settings, look, exporters, reading_of(settings), replaced, progress))
