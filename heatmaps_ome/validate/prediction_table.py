"""Checks of an output folder's table of predictions against its list of slides."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from heatmaps_ome.slides.plain_zarr import MOST_LIST_BYTES, read_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE, RUN = "predictions.csv", "run.json"
_OUTPUT = "prediction: "
_MARKED = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'", "\t", "\r", "\n")
"""Beginnings of texts that a spreadsheet may take for a formula without a ``'`` before them."""


def table_faults(run: Path) -> Iterator[str]:
    """Yield the faults of a table: rows that are not those of run.json, texts that are formulas."""
    if not (run / TABLE).exists():
        return  # earlier versions wrote none
    with (run / TABLE).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if reader.fieldnames is None or "folder" not in reader.fieldnames:
            yield "it has no header with the column folder"
            return
        rows = list(reader)
    slides = read_object(run / RUN, MOST_LIST_BYTES)["slides"]
    if len(rows) != len(slides):
        yield f"it has {len(rows)} slides, and {RUN} has {len(slides)}"
        return
    for row, slide in zip(rows, slides, strict=True):
        yield from _row_faults(row, slide)


def _row_faults(row: dict[str, Any], slide: dict[str, Any]) -> Iterator[str]:
    """Yield the faults of a row, given the slide's entry in run.json."""
    name = slide["slide"]
    if None in row or None in row.values():
        yield f"the row of {name} has another number of cells than the header"
        return
    known = {_plain(key): text for key, text in row.items()}
    wanted = {"slide": name, "folder": slide["folder"] or "", "status": slide["status"]}
    for key, value in wanted.items():
        if _plain(known[key]) != value:
            yield f"{key} of {name} is {known[key]!r}, and {value!r} in {RUN}"
    for output, value in (slide.get("prediction") or {}).items():
        text = known.get(_OUTPUT + output, "")
        if (None if text == "" else float(text)) != value:
            yield f"the prediction of {output} for {name} is {text or 'empty'}, not {value}"
    for key, text in row.items():
        if text.lstrip(" ").startswith(_MARKED) and text[0] != "'" and not _is_number(text):
            yield f"{key} of {name} may be taken for a formula by a spreadsheet: {text!r}"


def _is_number(text: str) -> bool:
    """Return whether a text is a number, which may be negative."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    """Return a text without the mark before what a spreadsheet may take for a formula."""
    is_marked = text.startswith("'") and text[1:].lstrip().startswith(_MARKED)
    return text[1:] if is_marked else text
