"""The record of one run, ``runs/<id>.json``: its options, and the outcome of each of its slides."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.run.provenance import versions
from heatmaps_ome.storage.digests import now, write_json
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import RUNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.settings import RunSettings

RUN_FORMAT: Final = "heatmaps-ome run 1"


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
    write_json(
        path,
        {
            "format": RUN_FORMAT,
            "created": now(),
            "versions": versions(),
            "options": settings.records.every,
            **origin,
            "slides": [outcome.record(places) for outcome in outcomes],
        },
    )
    return path


def run_records(output: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of the runs in an output folder, newest first, without damaged ones."""
    for path in sorted((output / RUNS).glob("[!.]*.json"), reverse=True):
        try:
            record = read_json(path)
            if record["format"] == RUN_FORMAT and all(
                isinstance(slide["slide"], str) and isinstance(slide["status"], str)
                for slide in record["slides"]
            ):
                yield record
        except (OSError, ValueError, KeyError, TypeError):
            continue
