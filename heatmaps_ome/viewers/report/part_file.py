"""Reads a slide's part of the report: its row alone, or all of it as a block of the page."""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.storage.regular_file import open_regular, read_bytes, read_json, require_regular
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.report.fitting import fitted, text_of
from heatmaps_ome.viewers.report.part import PART, PART_FORMAT
from heatmaps_ome.viewers.report.small_pictures import SMALL, small_picture

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

DAMAGED: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions from reading a damaged part or provenance."""
_EARLIER_FORMATS: Final = ("heatmaps-ome report part 1", "heatmaps-ome report part 2")
_MAX_PART_BYTES: Final = 1 << 30
_HEAD_BYTES: Final = 1 << 16
"""Bytes in which a row ends, except that of a model with very many classes."""
_HEAD: Final = re.compile(r'\{"format":"([^"\\]*)","row":')
_SMALL_NEXT: Final = f',"{SMALL}":"'
"""Between the row and the small picture, which has nothing to escape."""
_NO_PART: Final = (
    "This slide's results hold nothing for the report: they were made without the format "
    "“report”. Make them anew with --overwrite."
)
_EARLIER: Final = (
    "This slide's part of the report was made by an earlier version of heatmaps-ome; run "
    "create again with --overwrite (the network's work is in the cache)."
)
_BROKEN: Final = "What the report shows of this slide is damaged; make it anew with --overwrite."


class _EarlierPart(ValueError):
    """A part written by an earlier version."""


@dataclass(frozen=True)
class PartFacts:
    """The facts on a slide that the report's table has.

    Attributes
    ----------
    n_bytes : int
        Size of the slide's part; 0 if there is none.
    row : dict
        The slide's row of the table; empty if the part is missing or damaged.
    damaged : str
        Reason why the slide has no page, in a sentence; empty if it has one.
    """

    n_bytes: int
    row: dict[str, Any]
    damaged: str = ""


def part_path(folder: Path) -> Path:
    """Return the path of the part of a slide's folder."""
    return folder / f"{folder.name}{PART}"


def part_facts(folder: Path) -> PartFacts:
    """Return the facts on a slide from the beginning of its part, which may be large."""
    path = part_path(folder)
    try:
        n_bytes = require_regular(path).st_size
    except OSError:
        return PartFacts(0, {}, _NO_PART)
    try:
        return PartFacts(n_bytes, _row_of(path))
    except DAMAGED as error:
        return PartFacts(n_bytes, {}, why(folder, error))


@dataclass(frozen=True)
class SlideData:
    """All data of a slide's page.

    Attributes
    ----------
    part : str
        The slide's part as it is stored.
    text : str
        All data as text for a block of the page.
    provenance : dict
        The provenance without the digests of files.
    """

    part: str
    text: str
    provenance: dict[str, Any]

    def picture(self) -> bytes:
        """Return the slide's small picture, a JPEG.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If the part is damaged.
        """
        start = _row_in(self.part)[1] if _HEAD.match(self.part) else 0
        if self.part.startswith(_SMALL_NEXT, start):
            first = start + len(_SMALL_NEXT)
            return small_picture({SMALL: self.part[first : self.part.index('"', first)]})
        return small_picture(json.loads(self.part))


def slide_data(folder: Path, limit: int) -> SlideData:
    """Return the data of a slide's page.

    Parameters
    ----------
    limit : int
        Most bytes of the part; `fitting` leaves out details beyond it.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        If its part is missing or damaged.
    """
    stored = read_bytes(part_path(folder), _MAX_PART_BYTES).decode("ascii")
    if len(stored) <= limit:
        # A part is JSON as it is: reading it whole and writing it anew would only take time.
        _require_whole(stored)
        text, reduced = stored.replace("<", "\\u003c"), []
    else:
        part = json.loads(stored)
        _require_format(part["format"])
        text, reduced = fitted(part, limit)
    provenance = _provenance(folder)
    beside = text_of({"provenance": provenance, "reduced": reduced})
    return SlideData(stored, f'{beside[:-1]},"part":{text}}}', provenance)


def _require_whole(part: str) -> None:
    """Refuse a part that is cut, or of another format; the page reports damage within it."""
    if _HEAD.match(part):
        row, _ = _row_in(part)
        if not part.endswith("}"):
            raise ValueError("it is cut")
    else:
        values = json.loads(part)
        _require_format(values["format"])
        row = values["row"]
    _ = row["slide"]


def _row_in(text: str) -> tuple[dict[str, Any], int]:
    """Return the row of the table in a part's beginning, and where it ends.

    Raises
    ------
    ValueError
        If it ends beyond the text, or the part is of another format.
    """
    start = _HEAD.match(text)
    if start is None:
        raise ValueError("it begins otherwise")
    _require_format(start[1])
    return json.JSONDecoder().raw_decode(text, start.end())


def why(folder: Path, error: Exception) -> str:
    """Return the reason why a slide has no page, in a sentence."""
    logger.debug("the part of %s in full", folder, exc_info=error)
    if isinstance(error, _EarlierPart):
        return _EARLIER
    return _BROKEN if part_path(folder).is_file() else _NO_PART


def _row_of(path: Path) -> dict[str, Any]:
    """Return the row of a part; only the beginning of the file is read if the row ends there."""
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES).decode("ascii")
    if _HEAD.match(head):
        with suppress(json.JSONDecodeError):  # of a longer row
            return _named(_row_in(head)[0])
    part = read_json(path, _MAX_PART_BYTES)
    _require_format(part["format"])
    return _named(part["row"])


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the name of the slide's file, which the run knows."""
    _ = row["slide"]
    return {name: value for name, value in row.items() if name != "slide"}


def _require_format(text: str) -> None:
    if text in _EARLIER_FORMATS:
        raise _EarlierPart(text)
    if text != PART_FORMAT:
        raise ValueError(f"{text} is not {PART_FORMAT}")


def _provenance(folder: Path) -> dict[str, Any]:
    """Return a slide's provenance without the digests of its files, or {} if it is damaged."""
    names = (
        "created", "versions", "slide", "model", "extractor", "pooling", "scaling", "options",
    )  # fmt: skip
    try:
        record = read_json(folder / PROVENANCE)
        facts = {name: record[name] for name in names if name in record}
        return {"files": len(record.get("files", {})), **facts}
    except DAMAGED:
        return {}
