"""The slides of a run, in their order: whatever one of them raises ends only this slide."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from threading import Semaphore
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.run.at_once import at_once
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.run.progress import begin_slide, end_slide
from heatmaps_ome.storage.remote.outputs import with_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.drawing import Drawing
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.making import Making
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.slide_row import SlideRow

    _Numbered = tuple["ItemT", Outcome, int, int]

logger = logging.getLogger(__name__)

DoneT = TypeVar("DoneT")
ItemT = TypeVar("ItemT")


def survives(
    work: Callable[[], DoneT], outcome: Outcome, path: Path, output: Path, origin: str = ""
) -> DoneT | None:
    """Return what a slide's work returns; if it fails, note the reason in its outcome.

    Parameters
    ----------
    path : Path
        The slide's file.
    output : Path
        The folder that is written to.
    origin : str
        Where the slide is named, which the reason begins with.

    Raises
    ------
    PreflightError
        If the work showed that no slide can be done.
    """
    try:
        return work()
    except PreflightError:
        raise
    except Exception as error:
        outcome.fail(with_urls(reason_of(error, path, output, origin)))
        logger.error("%s", outcome.message)
        logger.debug("the error in full", exc_info=error)
        return None


def make_all(
    making: Making, slides: Sequence[tuple[SlideRow, Outcome]]
) -> list[tuple[MadeMaps, Outcome]]:
    """Make the raw maps of slides; return them with the outcomes of those that succeeded."""

    def work(slide: _Numbered[SlideRow]) -> MadeMaps | None:
        with _at_work(slide, "maps", making.progress) as (row, outcome):
            return _make(making, row, outcome, None)

    making.expect([row for row, _ in slides])
    done = at_once(work, _numbered(slides), making.at_once, making.stop)
    return [
        (made, outcome) for made, (_, outcome) in zip(done, slides, strict=True) if made is not None
    ]


def draw_all(
    drawing: Drawing, slides: Sequence[tuple[MadeMaps, Outcome]], scaling: CohortScaling
) -> None:
    """Draw slides whose raw maps are there."""
    drawing.expect([made for made, _ in slides])
    for slide in _numbered(slides):
        with _at_work(slide, "files", drawing.progress) as (made, outcome):
            _draw(drawing, made, outcome, scaling)


def do_all(
    making: Making,
    drawing: Drawing,
    slides: Sequence[tuple[SlideRow, Outcome]],
    scaling: CohortScaling,
) -> None:
    """Make and draw slides, as the scaling is known; one is drawn while the next are made."""
    making.expect([row for row, _ in slides])
    n = making.at_once
    being_made, being_drawn = Semaphore(n), Semaphore()

    def work(slide: _Numbered[SlideRow]) -> None:
        with _at_work(slide, "maps and files", making.progress) as (row, outcome):
            with being_made:
                made = _make(making, row, outcome, scaling)
            if made is not None:
                with being_drawn:
                    _draw(drawing, made, outcome, scaling)

    for _ in at_once(work, _numbered(slides), n if n == 1 else n + 1, making.stop):
        pass


def _make(
    making: Making, row: SlideRow, outcome: Outcome, scaling: CohortScaling | None
) -> MadeMaps | None:
    return survives(
        lambda: making.make(row, outcome, scaling), outcome, row.path, making.output, row.origin
    )


def _draw(drawing: Drawing, made: MadeMaps, outcome: Outcome, scaling: CohortScaling) -> None:
    # What making found, that the maps were there, does not tell whether the files are.
    outcome.status = "done"
    survives(lambda: drawing.draw(made, scaling, outcome), outcome, made.path, drawing.output)


def _numbered(slides: Sequence[tuple[ItemT, Outcome]]) -> list[_Numbered[ItemT]]:
    """Return the slides of a stage with their numbers, from 1, and how many there are."""
    return [(item, outcome, n, len(slides)) for n, (item, outcome) in enumerate(slides, 1)]


@contextmanager
def _at_work(
    slide: _Numbered[ItemT], work: str, progress: Progress
) -> Iterator[tuple[ItemT, Outcome]]:
    """Have the display tell that a slide is at work."""
    item, outcome, place, of = slide
    begin_slide(progress, outcome.name, work, place, of)
    try:
        yield item, outcome
    finally:
        end_slide(progress, outcome.name)
