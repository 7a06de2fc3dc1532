"""Writes the report of a run: ``index.html``, one part in memory at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.file_stamp import file_stamp
from heatmaps_ome.storage.result_folder import INDEX
from heatmaps_ome.viewers.report.agreement import agreement
from heatmaps_ome.viewers.report.assets import page
from heatmaps_ome.viewers.report.document import block, run_block, write_document
from heatmaps_ome.viewers.report.pages import remove_pages, write_pages
from heatmaps_ome.viewers.report.part_file import (
    DAMAGED,
    part_facts,
    part_path,
    slide_data,
    why,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.viewers.report.reported import ReportedSlide, RunFacts

BUDGET: Final = 200 * 2**20
"""Upper limit in bytes of all slides in one file."""
MOST_IN_ONE_FILE: Final = 1000
"""Upper limit of their number: a browser reads the whole file before it shows anything."""


def write_report(
    output: Path, slides: Sequence[ReportedSlide], run: RunFacts, budget: int = BUDGET
) -> Path | None:
    """Write the report of an output folder's slides: one file, or a table and a page per slide.

    Memory grows by the rows of the table alone: one part is read at a time.

    Parameters
    ----------
    slides : sequence of ReportedSlide
        In the order of the report.
    budget : int
        Most bytes of all slides' parts in one file. Beyond it, or `MOST_IN_ONE_FILE`, each slide
        has a page of its own, in which `fitting` leaves out details beyond as many bytes.

    Returns
    -------
    Path or None
        None, and nothing written, if no slide has a part.

    Raises
    ------
    OutputError
        If the report cannot be written; the results are complete without it.
    """
    listed = [_with_facts(slide, output) for slide in slides]
    sizes = [slide.facts.n_bytes for slide in listed if slide.facts is not None]
    if not any(sizes):
        return None
    path = output / INDEX
    is_large = sum(sizes) > budget or len(listed) > MOST_IN_ONE_FILE
    try:
        if is_large and len(listed) > 1:
            rows = write_pages(output, listed, run, budget)
            write_document(path, page(own_files=True), [_table(listed, run, rows)])
        else:
            _write_whole(path, listed, run, budget)
            remove_pages(output)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); the results are complete, only "
            "the report is missing"
        ) from error
    return path


def _with_facts(slide: ReportedSlide, output: Path) -> ReportedSlide:
    """Return a slide with the facts that its part has for the table."""
    if slide.facts is not None or slide.folder is None:
        return slide
    folder = output / slide.folder
    facts = part_facts(folder)
    if not facts.n_bytes:
        return replace(slide, facts=facts)
    return replace(slide, facts=facts, stamp=file_stamp(part_path(folder).stat()))


def _write_whole(path: Path, slides: Sequence[ReportedSlide], run: RunFacts, limit: int) -> None:
    """Write the report as one file; a slide's part takes at most ``limit`` bytes."""
    rows: list[dict[str, Any]] = []

    def blocks() -> Iterator[str]:
        for index, slide in enumerate(slides):
            row = slide.row(index, run)
            if slide.folder is not None and "damaged" not in row:
                folder = path.parent / slide.folder
                try:
                    text = slide_data(folder, limit).text
                except DAMAGED as error:
                    row["damaged"] = why(folder, error)
                else:
                    yield block(f"slide-{index}", text)
            rows.append(row)

    # The rows are complete once the blocks are written.
    last = (_table(slides, run, rows) for _ in range(1))
    write_document(path, page(), chain(blocks(), last))


def _table(slides: Sequence[ReportedSlide], run: RunFacts, rows: list[dict[str, Any]]) -> str:
    """Return the block of the run, with the rows of all slides."""
    return run_block(run, rows, name=_title(slides), agreement=agreement(rows, run.classes))


def _title(slides: Sequence[ReportedSlide]) -> str:
    """Return a title; the folder's own name may name a patient, and reports are shared."""
    first = slides[0]
    return (first.folder or first.slide) if len(slides) == 1 else f"{len(slides)} slides"
