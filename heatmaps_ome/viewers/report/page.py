"""Writes ``index.html`` of a run: every slide's part in a block of its own, read one at a time."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.report.assets import page
from heatmaps_ome.viewers.report.fitting import allowance, fitted, text_of
from heatmaps_ome.viewers.report.part import PART, PART_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

logger = logging.getLogger(__name__)

INDEX: Final = "index.html"
BUDGET: Final = 200 * 2**20
"""Bytes that all slides of a report may take."""
_EARLIER_FORMAT: Final = "heatmaps-ome report part 1"
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a part or a provenance that is none raises."""


class _EarlierPart(ValueError):
    """A part that an earlier version wrote."""


@dataclass(frozen=True)
class ReportedSlide:
    """A slide of a run, and what became of it.

    Attributes
    ----------
    slide : str
        The name of its file.
    status : str
        "done", "unchanged", "failed" or, of a run before this one, "earlier".
    message : str
        Why it failed.
    folder : str or None
        Of its results, below the run's.
    """

    slide: str
    status: str
    message: str = ""
    folder: str | None = None


@dataclass(frozen=True)
class RunFacts:
    """What all slides of a run have in common.

    Attributes
    ----------
    created : str
        When, in UTC.
    version : str
        Of heatmaps-ome.
    true_class : str
        The class drawn hot.
    classes : tuple of str
    class_colours : mapping of class → colour
    model_digest, extractor_digest, extractor : str
    """

    created: str
    version: str
    true_class: str
    classes: tuple[str, ...]
    class_colours: Mapping[str, str]
    model_digest: str
    extractor_digest: str
    extractor: str


@dataclass
class _Left:
    """What stands beside the slides in the end: rows and what was left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    reduced: int = 0


def write_report(
    output: Path, slides: Sequence[ReportedSlide], run: RunFacts, budget: int = BUDGET
) -> Path | None:
    """Write the report of a run's slides, and of those that the same models left there before.

    Memory does not grow with the number of slides: one part is read at a time.

    Parameters
    ----------
    slides : sequence of ReportedSlide
        In the order in which they are listed.
    budget : int
        Bytes that all slides' parts may take; see `fitting` for what is left out beyond.

    Returns
    -------
    Path or None
        None, and nothing written, if no slide has a part.

    Raises
    ------
    OutputError
        If the disk does not take it; the results are complete without it.
    """
    slides = [*slides, *_earlier(output, slides, run)]
    sizes = {
        each.folder: _part_path(output, each.folder).stat().st_size
        for each in slides
        if each.folder is not None and _part_path(output, each.folder).is_file()
    }
    if not sizes:
        return None
    path = output / INDEX
    partial = output / f".{INDEX}.partial"
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            _write(file, output, slides, run, allowance(list(sizes.values()), budget))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); the results are complete, only "
            "the report is missing"
        ) from error
    return path


def _write(
    file: TextIO, output: Path, slides: Sequence[ReportedSlide], run: RunFacts, most: int
) -> None:
    """Write the page with its data."""
    whole, left = page(), _Left()
    file.write(whole.before)
    for index, each in enumerate(slides):
        row = {"id": index, **asdict(each)}
        if each.folder is not None:
            try:
                text, facts = _slide_block(output, each.folder, most)
                row.update(facts)
                file.write(_block(f"slide-{index}", text))
            except _DAMAGED as error:
                logger.debug("the part of %s in full", each.folder, exc_info=error)
                row["damaged"] = _why(output, each.folder, error)
        left.reduced += bool(row.get("reduced"))
        left.rows.append(row)
    facts = {
        **asdict(run),
        "name": output.resolve().name,
        "budget_mib": round(BUDGET / 2**20),
        "reduced": left.reduced,
        "rows": left.rows,
    }
    file.write(_block("run", text_of(facts)))
    file.write(whole.after)


def _slide_block(output: Path, folder: str, most: int) -> tuple[str, dict[str, Any]]:
    """Return a slide's block as text, and its row.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        If its part is missing or damaged.
    """
    part = json.loads(_part_path(output, folder).read_text(encoding="utf-8"))
    if part["format"] == _EARLIER_FORMAT:
        raise _EarlierPart(_EARLIER_FORMAT)
    if part["format"] != PART_FORMAT:
        raise ValueError(f"{part['format']} is not {PART_FORMAT}")
    row = part["row"]
    text, reduced = fitted(part, most)
    beside = text_of({"provenance": _provenance(output / folder), "reduced": reduced})
    row = {name: value for name, value in row.items() if name != "slide"}
    return f'{beside[:-1]},"part":{text}}}', {**row, "reduced": bool(reduced)}


def _provenance(folder: Path) -> dict[str, Any]:
    """Return what a slide's results were made from, without the digests of all files."""
    try:
        said = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return {
            "files": len(said.get("files", {})),
            **{
                name: said[name]
                for name in (
                    "created", "versions", "slide", "model", "extractor", "pooling", "scaling",
                    "options",
                )
                if name in said
            },
        }  # fmt: skip
    except _DAMAGED:
        return {}


def _earlier(
    output: Path, slides: Sequence[ReportedSlide], run: RunFacts
) -> Iterator[ReportedSlide]:
    """Yield the slides that earlier runs left in the folder, if the same models made them."""
    known = {each.folder for each in slides} | {_stem(each.slide) for each in slides}
    for folder in sorted(output.iterdir()):
        name = folder.name
        if name.startswith(".") or name in known or not _part_path(output, name).is_file():
            continue
        said = _provenance(folder)
        try:
            digests = said["model"]["digest"], said["extractor"]["digest"]
            slide = str(said["slide"]["name"])
        except _DAMAGED:
            continue
        if digests == (run.model_digest, run.extractor_digest):
            yield ReportedSlide(slide, "earlier", folder=name)


def _stem(name: str) -> str:
    """Return a slide's name without its last suffix, which its results are named after."""
    return name.rpartition(".")[0] or name


def _part_path(output: Path, folder: str) -> Path:
    """Return where a slide's part is."""
    return output / folder / f"{folder}{PART}"


def _why(output: Path, folder: str, error: Exception) -> str:
    """Return why a slide has no page, in a sentence."""
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
    """Return data as a part of the page that is read only when it is asked for."""
    return f'<script type="application/json" id="{name}">{text}</script>\n'
