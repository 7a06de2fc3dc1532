"""The record of one run, ``runs/<id>.json``: its options, and the outcome of each of its slides."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.run.provenance import versions
from heatmaps_ome.storage.digests import json_text, now
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import RUNS
from heatmaps_ome.storage.texts import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.settings import RunSettings

RUN_FORMAT: Final = "heatmaps-ome run 1"
_MAX_BYTES: Final = 1 << 30
"""Longest record: of some hundred thousand slides."""


def write_run_record(
    settings: RunSettings,
    origin: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    folders: Iterable[Path],
) -> Path:
    """Write the record of a run under a name of its own, and return its path.

    Parameters
    ----------
    origin : mapping
        Model and extractor, as plain JSON values.
    folders : iterable of Path
        The slides' folders, which are left out of messages.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    output = settings.output.folder
    places = {*map(str, folders), str(output), str(output.absolute())}
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = output / RUNS / f"{began}-{secrets.token_hex(4)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"options": settings.records.every, **origin}
    write_slides(path, facts, (entry_text(outcome.record(places)) for outcome in outcomes))
    return path


def write_slides(path: Path, facts: Mapping[str, Any], entries: Iterable[str]) -> None:
    """Write a JSON file of many slides, a line each; one slide is in memory at a time.

    Parameters
    ----------
    facts : mapping
        What the slides share.
    entries : iterable of str
        The `entry_text` of each slide.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    head = json_text({"format": RUN_FORMAT, "created": now(), "versions": versions(), **facts})
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head.removesuffix("\n}\n") + ',\n  "slides": [')
        for count, text in enumerate(entries):
            file.write(f"{',' if count else ''}\n    {text}")
        file.write("\n  ]\n}\n")


def entry_text(entry: Mapping[str, Any]) -> str:
    """Return a slide's entry as JSON in a line that UTF-8 can hold."""
    return encodable(json.dumps(entry, ensure_ascii=False))


def read_run_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a run; None if it is damaged, or none."""
    try:
        record = read_json(path, _MAX_BYTES)
        is_record = record["format"] == RUN_FORMAT and all(
            isinstance(slide["slide"], str) and isinstance(slide["status"], str)
            for slide in record["slides"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if is_record else None
