"""Rebuilds the files that all runs in an output folder share, from the slides' folders.

These are ``run.json``, ``scaling.json`` where it is missing, the files for viewers and the report.
The state of an output folder is what lies in it, so any run, or the command ``collect``, brings
them up to date whatever other runs did or were killed at.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome import __version__
from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.errors import HeatmapsError, ResultError
from heatmaps_ome.run.applied_scaling import own_scaling, store
from heatmaps_ome.run.listed_slide import ListedSlide
from heatmaps_ome.run.prediction_table import write_predictions
from heatmaps_ome.run.run_history import history
from heatmaps_ome.run.run_record import write_slides
from heatmaps_ome.run.slide_index import indexed_slides, undrawn_names
from heatmaps_ome.storage.digests import now
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.lock import locked
from heatmaps_ome.storage.result_folder import (
    RUN,
    RUN_LOCK,
    SCALING,
    is_comparison,
    record_of,
    remove_leftovers,
)
from heatmaps_ome.viewers.desktop import write_viewers
from heatmaps_ome.viewers.qupath_project import ProjectSlide
from heatmaps_ome.viewers.qupath_selections import note_selection
from heatmaps_ome.viewers.report.page import write_report
from heatmaps_ome.viewers.report.reported import RunFacts
from heatmaps_ome.viewers.slide_places import noted_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.run.run_history import History
    from heatmaps_ome.run.slide_index import IndexedSlide
    from heatmaps_ome.viewers.qupath_selections import Selection

logger = logging.getLogger(__name__)

_READERS: Final = 8
"""Threads that read notes: a shared disk takes long for each, and answers many at once."""


@dataclass(frozen=True)
class Collected:
    """The slides of an output folder.

    Attributes
    ----------
    done, failed : int
        Slides with results, and slides whose last run failed.
    undrawn : tuple of str
        Names of slides that have raw maps, but no results: ``draw`` makes them.
    """

    done: int
    failed: int
    undrawn: tuple[str, ...] = ()


def collect(output: Path, selection: Selection | None = None) -> Collected:
    """Rebuild the shared files of an output folder.

    Parameters
    ----------
    selection : Selection or None
        Slides of which a further QuPath project is made, and kept up to date from now on.

    Raises
    ------
    ResultError
        If there is no such folder, or no run has written to it.
    OutputError
        If a file cannot be written.
    """
    if not output.is_dir():
        raise ResultError(f"there is no folder {output}; give the folder that create wrote to")
    if is_comparison(output):
        raise ResultError(f"{output} holds a comparison, which compare makes anew, not collect")
    try:
        with locked(output / RUN_LOCK):
            remove_leftovers(output)
            if selection is not None:
                note_selection(output, selection)
            return _collected(output)
    except OSError as error:
        raise disk_error(output / RUN, error) from error


def _collected(output: Path) -> Collected:
    """Rebuild the shared files; the lock is held."""
    runs = history(output, store=True)
    slides = indexed_slides(output, store=True)
    undrawn = undrawn_names(output, {slide.name for slide in slides})
    if not slides and not runs.n_runs and not undrawn:
        raise ResultError(
            f"{output} holds no results of heatmaps-ome; give the folder that create wrote to"
        )
    listed = _ordered([*map(_with_results, slides), *_failures(runs, slides)], runs)
    for entry in listed:
        if entry.results is not None and entry.name in runs.failed:
            # The results are as good as before the run that could not replace them.
            failure = runs.failed[entry.name][-1].get("message")
            entry.message = f"the last run left these results as they are: {failure}"
    _write_list(output, listed, runs)
    write_predictions(output, listed)
    if slides:
        _restore_scaling(output, slides)
        _write_viewers(output, slides)
        _write_report(output, slides, listed, runs)
    return Collected(len(slides), len(listed) - len(slides), tuple(undrawn))


def _with_results(slide: IndexedSlide) -> ListedSlide:
    return ListedSlide(slide.name, slide.slide, slide)


def _failures(runs: History, slides: list[IndexedSlide]) -> Iterator[ListedSlide]:
    """Yield the slides without results whose last run failed."""
    done = {slide.name for slide in slides}
    for name, entries in runs.failed.items():
        if name not in done:
            for entry in entries:
                yield ListedSlide(name, entry["slide"], None, entry.get("message", ""), entry)


def _ordered(listed: list[ListedSlide], runs: History) -> list[ListedSlide]:
    """Return slides in the order of the newest run, if it had all of them, else by their names."""
    places = {name: place for place, name in enumerate(runs.order)}
    if all(slide.name in places for slide in listed):
        return sorted(listed, key=lambda slide: places[slide.name])
    return sorted(listed, key=lambda slide: (slide.slide.casefold(), slide.slide))


def _write_list(output: Path, listed: list[ListedSlide], runs: History) -> None:
    """Write run.json: all slides, with the options of the newest run."""
    done = [slide.results for slide in listed if slide.results is not None]
    last = max(done, key=lambda slide: slide.created, default=None)
    newest = {} if last is None else record_of(output / last.name) or {}
    facts = {
        "options": runs.options,
        "model": newest.get("model", {}) if runs.model is None else runs.model,
        "extractor": newest.get("extractor", {}) if runs.extractor is None else runs.extractor,
        "devices": runs.devices,
    }
    write_slides(output / RUN, facts, (slide.entry_text() for slide in listed))


def _restore_scaling(output: Path, slides: list[IndexedSlide]) -> None:
    """Write the scaling that results record if its file is lost; warn of results with others."""
    scaling = None
    with suppress(HeatmapsError):
        scaling = own_scaling(output)
    if scaling is None:
        return
    store(scaling, output)
    others = [slide.name for slide in slides if slide.scaling != scaling.numbers]
    if others:
        logger.warning(
            "the colours of %s are scaled otherwise than by %s; run create with all slides, "
            "--scaling and --overwrite", ", ".join(others[:5]), output / SCALING,
        )  # fmt: skip


def _write_viewers(output: Path, slides: list[IndexedSlide]) -> None:
    """Write the viewers' files for the slides with results, which are complete without."""
    classes = dict.fromkeys(name for slide in slides for name in slide.classes)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="place") as pool:
        places = pool.map(lambda slide: noted_place(output, slide.name), slides)
        listed = [
            ProjectSlide(place, slide.name, slide.prediction, slide.true_class)
            for place, slide in zip(places, slides, strict=True)
        ]
    with _complete_without("the files for viewers"):
        write_viewers(output, listed, list(classes), time.time_ns() // 1_000_000)


def _write_report(
    output: Path, slides: list[IndexedSlide], listed: list[ListedSlide], runs: History
) -> None:
    """Write the report of all slides made by the newest models, complete without."""
    last = max(slides, key=lambda slide: slide.created)
    alike = [
        slide
        for slide in listed
        if slide.results is None
        or (slide.results.model, slide.results.extractor) == (last.model, last.extractor)
    ]
    facts = RunFacts(
        created=now(),
        version=__version__,
        true_class=last.true_class,
        classes=last.classes,
        class_colours=class_colours(last.classes),
        model_digest=last.model,
        extractor_digest=last.extractor,
        extractor=last.extractor_name,
        model_files=runs.files_of(last.model),
    )
    with _complete_without("the report"):
        write_report(output, [slide.reported() for slide in alike], facts)


@contextmanager
def _complete_without(files: str) -> Iterator[None]:
    """Log whatever goes wrong inside: the slides' results are complete without these files."""
    try:
        yield
    except HeatmapsError as error:
        logger.error("%s", error)
    except Exception as error:
        logger.error("%s cannot be made (%s: %s)", files, type(error).__name__, error)
        logger.debug("the error in full", exc_info=error)
