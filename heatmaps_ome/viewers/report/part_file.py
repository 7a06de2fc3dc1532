"""Reads a slide's part of the report: its row alone, or all of it as a block of the page."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.storage.regular_file import open_regular, read_bytes, read_json, require_regular
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.report.fitting import fitted, text_of
from heatmaps_ome.viewers.report.part import PART, PART_FORMAT

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
    text : str
        As text for a block of the page.
    part, provenance : dict
        The slide's part, and the provenance without the digests of files.
    """

    text: str
    part: dict[str, Any]
    provenance: dict[str, Any]


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
    data = read_bytes(part_path(folder), _MAX_PART_BYTES)
    part = json.loads(data)
    _require_format(part["format"])
    _ = part["row"]["slide"]
    if len(data) <= limit:
        # The part is JSON as it is, so writing it anew would only take time.
        text, reduced = data.decode("ascii").replace("<", "\\u003c"), []
    else:
        text, reduced = fitted(part, limit)
    provenance = _provenance(folder)
    beside = text_of({"provenance": provenance, "reduced": reduced})
    return SlideData(f'{beside[:-1]},"part":{text}}}', part, provenance)


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
    start = _HEAD.match(head)
    if start is not None:
        _require_format(start[1])
        try:
            return _named(json.JSONDecoder().raw_decode(head, start.end())[0])
        except ValueError:
            pass  # the row is longer
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
