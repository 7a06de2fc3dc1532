"""Writes ``index.html`` of a run: one block per slide's part, and one part in memory at a time."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.report.agreement import agreement, is_right
from heatmaps_ome.viewers.report.assets import page
from heatmaps_ome.viewers.report.fitting import allowance, fitted, text_of
from heatmaps_ome.viewers.report.part import PART, PART_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

logger = logging.getLogger(__name__)

INDEX: Final = "index.html"
BUDGET: Final = 200 * 2**20
"""Upper limit in bytes of all slides of a report together."""
_EARLIER_FORMATS: Final = ("heatmaps-ome report part 1", "heatmaps-ome report part 2")
_MAX_PART_BYTES = 1 << 30
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions from reading a damaged part or provenance."""


class _EarlierPart(ValueError):
    """A part written by an earlier version."""


@dataclass(frozen=True)
class ReportedSlide:
    """A slide of a run and its outcome.

    Attributes
    ----------
    slide : str
        The name of its file.
    status : str
        "done" or "failed".
    message : str
        Reason of a failure.
    folder : str or None
        Name of the results' folder in the run's folder.
    label : str or None
        Ground truth, if the user gave it.
    """

    slide: str
    status: str
    message: str = ""
    folder: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class RunFacts:
    """Facts that all slides of a run share.

    Attributes
    ----------
    created : str
        Date and time in UTC.
    version : str
        Version of heatmaps-ome.
    true_class : str
        The class drawn hot.
    classes : tuple of str
    class_colours : mapping of class → colour
    model_digest, extractor_digest, extractor : str
    model_files : tuple of str
        Names of the models' files; empty where they are not known.
    """

    created: str
    version: str
    true_class: str
    classes: tuple[str, ...]
    class_colours: Mapping[str, str]
    model_digest: str
    extractor_digest: str
    extractor: str
    model_files: tuple[str, ...] = ()


@dataclass
class _Listing:
    """The rows of all slides, and the number of slides with details left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    reduced: int = 0


def write_report(
    output: Path, slides: Sequence[ReportedSlide], run: RunFacts, budget: int = BUDGET
) -> Path | None:
    """Write the report of an output folder's slides.

    Memory does not grow with the number of slides: one part is read at a time.

    Parameters
    ----------
    slides : sequence of ReportedSlide
        In the order of the report.
    budget : int
        Upper limit in bytes of all slides' parts; `fitting` leaves out details beyond it.

    Returns
    -------
    Path or None
        None, and nothing written, if no slide has a part.

    Raises
    ------
    OutputError
        If the report cannot be written; the results are complete without it.
    """
    sizes = {
        slide.folder: _part_path(output, slide.folder).stat().st_size
        for slide in slides
        if slide.folder is not None and _part_path(output, slide.folder).is_file()
    }
    if not sizes:
        return None
    path = output / INDEX
    limit = allowance(list(sizes.values()), budget)
    try:
        with (
            replacing(path) as partial,
            partial.open("w", encoding="utf-8", newline="\n") as file,
        ):
            _write(file, output, slides, run, limit)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); the results are complete, only "
            "the report is missing"
        ) from error
    return path


def _write(
    file: TextIO, output: Path, slides: Sequence[ReportedSlide], run: RunFacts, limit: int
) -> None:
    """Write the page with its data; a slide's part takes at most ``limit`` bytes."""
    whole, listing = page(), _Listing()
    file.write(whole.before)
    for index, slide in enumerate(slides):
        row = {"id": index, **asdict(slide)}
        if slide.folder is not None:
            try:
                text, facts = _slide_block(output, slide.folder, limit)
                row.update(facts)
                file.write(_block(f"slide-{index}", text))
            except _DAMAGED as error:
                logger.debug("the part of %s in full", slide.folder, exc_info=error)
                row["damaged"] = _why(output, slide.folder, error)
        row["right"] = is_right(row, run.classes)
        listing.reduced += bool(row.get("reduced"))
        listing.rows.append(row)
    facts = {
        **asdict(run),
        "name": _title(slides),
        "budget_mib": round(BUDGET / 2**20),
        "reduced": listing.reduced,
        "agreement": agreement(listing.rows, run.classes),
        "rows": listing.rows,
    }
    file.write(_block("run", text_of(facts)))
    file.write(whole.after)


def _title(slides: Sequence[ReportedSlide]) -> str:
    """Return a title; the folder's own name may name a patient, and reports are shared."""
    first = slides[0]
    return (first.folder or first.slide) if len(slides) == 1 else f"{len(slides)} slides"


def _slide_block(output: Path, folder: str, limit: int) -> tuple[str, dict[str, Any]]:
    """Return a slide's block as text, and its row.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        If its part is missing or damaged.
    """
    part = read_json(_part_path(output, folder), _MAX_PART_BYTES)
    if part["format"] in _EARLIER_FORMATS:
        raise _EarlierPart(part["format"])
    if part["format"] != PART_FORMAT:
        raise ValueError(f"{part['format']} is not {PART_FORMAT}")
    row = part["row"]
    text, reduced = fitted(part, limit)
    beside = text_of({"provenance": _provenance(output / folder), "reduced": reduced})
    row = {name: value for name, value in row.items() if name != "slide"}
    return f'{beside[:-1]},"part":{text}}}', {**row, "reduced": bool(reduced)}


def _provenance(folder: Path) -> dict[str, Any]:
    """Return a slide's provenance without the digests of its files, or {} if it is damaged."""
    try:
        record = read_json(folder / PROVENANCE)
        return {
            "files": len(record.get("files", {})),
            **{
                name: record[name]
                for name in (
                    "created", "versions", "slide", "model", "extractor", "pooling", "scaling",
                    "options",
                )
                if name in record
            },
        }  # fmt: skip
    except _DAMAGED:
        return {}


def _part_path(output: Path, folder: str) -> Path:
    """Return the path of a slide's part."""
    return output / folder / f"{folder}{PART}"


def _why(output: Path, folder: str, error: Exception) -> str:
    """Return the reason why a slide has no page, in a sentence."""
    if isinstance(error, _EarlierPart):
        return (
            "This slide's part of the report was made by an earlier version of heatmaps-ome; run "
            "create again with --overwrite (the network's work is in the cache)."
        )
    if _part_path(output, folder).is_file():
        return "What the report shows of this slide is damaged; make it anew with --overwrite."
    return (
        "This slide's results hold nothing for the report: they were made without the format "
        "“report”. Make them anew with --overwrite."
    )


def _block(name: str, text: str) -> str:
    """Return data as a block of the page that is parsed only when the page needs it."""
    return f'<script type="application/json" id="{name}">{text}</script>\n'
