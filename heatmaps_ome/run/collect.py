"""Rebuilds the files that all runs in an output folder share, from the slides' folders.

These are ``run.json``, ``scaling.json`` where it is missing, the files for viewers and the report.
The state of an output folder is what lies in it, so any run, or the command ``collect``, brings
them up to date whatever other runs did or were killed at.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome import __version__
from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import HeatmapsError, ResultError
from heatmaps_ome.run.applied_scaling import own_scaling, store
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.provenance import versions
from heatmaps_ome.run.run_record import RUN_FORMAT, run_records
from heatmaps_ome.storage.digests import now, write_json
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.lock import locked
from heatmaps_ome.storage.result_folder import (
    RUN,
    RUN_LOCK,
    SCALING,
    finished_folders,
    is_comparison,
    remove_leftovers,
)
from heatmaps_ome.viewers.desktop import write_viewers
from heatmaps_ome.viewers.qupath_project import ProjectSlide
from heatmaps_ome.viewers.report.page import ReportedSlide, RunFacts, write_report
from heatmaps_ome.viewers.slide_places import noted_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Collected:
    """The slides of an output folder.

    Attributes
    ----------
    done, failed : int
        Slides with results, and slides whose last run failed.
    """

    done: int
    failed: int


@dataclass(frozen=True, eq=False)
class _Slide:
    """A slide of an output folder: its entry in run.json, and the main facts of its provenance."""

    entry: dict[str, Any]
    true_class: str
    model: dict[str, Any]
    extractor: dict[str, Any]
    scaling: str
    created: str


def collect(output: Path) -> Collected:
    """Rebuild the shared files of an output folder.

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
            return _collected(output)
    except OSError as error:
        raise disk_error(output / RUN, error) from error


def _collected(output: Path) -> Collected:
    """Rebuild the shared files; the lock is held."""
    records = list(run_records(output))
    slides = list(_slides(output))
    failures = _failures(records)
    if not slides and not records:
        raise ResultError(
            f"{output} holds no results of heatmaps-ome; give the folder that create wrote to"
        )
    for slide in slides:
        failure = failures.pop(slide.entry["name"], [{}])[-1].get("message")
        if failure is not None:
            # The results are as good as before the run that could not replace them.
            slide.entry["message"] = f"the last run left these results as they are: {failure}"
    failed = [entry for entries in failures.values() for entry in entries]
    entries = _ordered([slide.entry for slide in slides] + failed, records)
    _write_list(output, entries, records, slides)
    if slides:
        _restore_scaling(output, slides)
        _write_viewers(output, slides)
        _write_report(output, slides, entries, records)
    return Collected(
        sum(entry["status"] == "done" for entry in entries),
        sum(entry["status"] == "failed" for entry in entries),
    )


def _slides(output: Path) -> Iterator[_Slide]:
    """Yield the slides with results."""
    for folder, record in finished_folders(output):
        try:
            outcome = Outcome(str(record["slide"]["name"]), "done", "", folder, folder.name)
            outcome.note(record)
            yield _Slide(
                entry=outcome.record(()),
                true_class=str(record["true_class"]),
                model=_with(record["model"], "digest", "classes"),
                extractor=_with(record["extractor"], "digest", "name"),
                scaling=CohortScaling.from_record(record["scaling"]).numbers,
                created=str(record["created"]),
            )
        except _DAMAGED as error:
            logger.warning(
                "%s is left out of the list, the report and the project, as its provenance.json is "
                "damaged (%s); make its results anew", folder, error,
            )  # fmt: skip


def _with(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return facts; KeyError or TypeError if one of them is missing."""
    for name in names:
        _ = facts[name]
    return facts


def _failures(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the failures of slides whose last run failed, by the names of their results."""
    failures: dict[str, list[dict[str, Any]]] = {}
    settled: set[str] = set()
    for record in records:
        names: set[str] = set()
        for entry in record["slides"]:
            name = entry.get("name", entry["slide"])
            names.add(name)
            if name in settled:
                continue
            if entry["status"] == "failed":
                failures.setdefault(name, []).append({**entry, "folder": None})
        settled |= names
    return failures


def _ordered(entries: list[dict[str, Any]], records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return slides in the order of the newest run, if it had all of them, else by their names."""
    newest = records[0]["slides"] if records else []
    places = {entry.get("name"): place for place, entry in enumerate(newest)}
    if all(entry["name"] in places for entry in entries):
        return sorted(entries, key=lambda entry: places[entry["name"]])
    return sorted(entries, key=lambda entry: (entry["slide"].casefold(), entry["slide"]))


def _write_list(
    output: Path,
    entries: list[dict[str, Any]],
    records: list[dict[str, Any]],
    slides: list[_Slide],
) -> None:
    """Write run.json: all slides, with the options of the newest run."""
    newest = records[0] if records else {}
    last = max(slides, key=lambda slide: slide.created, default=None)
    write_json(
        output / RUN,
        {
            "format": RUN_FORMAT,
            "created": now(),
            "versions": versions(),
            "options": newest.get("options", {}),
            "model": newest.get("model", {} if last is None else last.model),
            "extractor": newest.get("extractor", {} if last is None else last.extractor),
            "devices": newest.get("devices", []),
            "slides": entries,
        },
    )


def _restore_scaling(output: Path, slides: list[_Slide]) -> None:
    """Write the scaling that results record if its file is lost; warn of results with others."""
    scaling = None
    with suppress(HeatmapsError):
        scaling = own_scaling(output)
    if scaling is None:
        return
    store(scaling, output)
    others = [slide.entry["name"] for slide in slides if slide.scaling != scaling.numbers]
    if others:
        logger.warning(
            "the colours of %s are scaled otherwise than by %s; run create with all slides, "
            "--scaling and --overwrite", ", ".join(others[:5]), output / SCALING,
        )  # fmt: skip


def _write_viewers(output: Path, slides: list[_Slide]) -> None:
    """Write the viewers' files for the slides with results, which are complete without."""
    classes = dict.fromkeys(name for slide in slides for name in slide.model["classes"])
    listed = [
        ProjectSlide(
            noted_place(output, slide.entry["name"]),
            slide.entry["name"],
            slide.entry["prediction"],
            slide.true_class,
        )
        for slide in slides
    ]
    with _complete_without("the files for viewers"):
        write_viewers(output, listed, list(classes), time.time_ns() // 1_000_000)


def _write_report(
    output: Path,
    slides: list[_Slide],
    entries: list[dict[str, Any]],
    records: list[dict[str, Any]],
) -> None:
    """Write the report of all slides made by the newest models, complete without."""
    last = max(slides, key=lambda slide: slide.created)
    alike = {
        slide.entry["name"]
        for slide in slides
        if slide.model["digest"] == last.model["digest"]
        and slide.extractor["digest"] == last.extractor["digest"]
    }
    listed = [
        ReportedSlide(
            entry["slide"], entry["status"], entry["message"], entry["folder"], entry.get("label")
        )
        for entry in entries
        if entry["folder"] is None or entry["name"] in alike
    ]
    classes = tuple(last.model["classes"])
    facts = RunFacts(
        created=now(),
        version=__version__,
        true_class=last.true_class,
        classes=classes,
        class_colours=class_colours(classes),
        model_digest=last.model["digest"],
        extractor_digest=last.extractor["digest"],
        extractor=last.extractor["name"],
        model_files=_model_files(records, last.model["digest"]),
    )
    with _complete_without("the report"):
        write_report(output, listed, facts)


def _model_files(records: list[dict[str, Any]], digest: str) -> tuple[str, ...]:
    """Return the names of the models' files, of the newest run that used these models."""
    for record in records:
        names = (record.get("options") or {}).get("model_path")
        if names and (record.get("model") or {}).get("digest") == digest:
            return (names,) if isinstance(names, str) else tuple(map(str, names))
    return ()


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
