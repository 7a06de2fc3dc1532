"""The slides of a run, one after the other: whatever one of them raises ends only this slide."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.run.progress import begin_slide
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
        reason = with_urls(reason_of(error, path, output))
        named = not origin or reason.startswith(origin)
        outcome.fail(reason if named else f"{origin}: {reason}")
        logger.error("%s", outcome.message)
        logger.debug("the error in full", exc_info=error)
        return None


def make_all(
    making: Making, slides: Sequence[tuple[SlideRow, Outcome]]
) -> list[tuple[MadeMaps, Outcome]]:
    """Make the raw maps of slides; return them with the outcomes of those that succeeded."""
    made = []
    making.expect([row for row, _ in slides])
    for row, outcome in _each(slides, "maps", making.progress):
        one = _make(making, row, outcome, None)
        if one is not None:
            made.append((one, outcome))
    return made


def draw_all(
    drawing: Drawing, slides: Sequence[tuple[MadeMaps, Outcome]], scaling: CohortScaling
) -> None:
    """Draw slides whose raw maps are there."""
    drawing.expect([made for made, _ in slides])
    for made, outcome in _each(slides, "files", drawing.progress):
        _draw(drawing, made, outcome, scaling)


def do_all(
    making: Making,
    drawing: Drawing,
    slides: Sequence[tuple[SlideRow, Outcome]],
    scaling: CohortScaling,
) -> None:
    """Make and draw slides one by one, as the scaling is known."""
    making.expect([row for row, _ in slides])
    for row, outcome in _each(slides, "maps and files", making.progress):
        made = _make(making, row, outcome, scaling)
        if made is not None:
            _draw(drawing, made, outcome, scaling)


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


def _each(
    slides: Sequence[tuple[ItemT, Outcome]], work: str, progress: Progress
) -> Iterator[tuple[ItemT, Outcome]]:
    """Yield the slides of a stage, and have the display tell which of them is at work."""
    for place, slide in enumerate(slides, 1):
        begin_slide(progress, slide[1].name, work, place, len(slides))
        yield slide
