"""What the records of all runs in an output folder add up to: failures, order, options.

The records alone are the truth. Their sum is kept beside them, so that a run reads the records that
are new, not those of all runs before; a missing or damaged sum is made anew.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.run.run_record import RUN_FORMAT, read_run_record
from heatmaps_ome.storage.digests import digest_of, with_digest
from heatmaps_ome.storage.file_stamp import file_stamp
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HISTORY: Final = ".runs.index"
"""Name of the sum in the folder of the records."""
_FORMAT: Final = f"heatmaps-ome history 1 of {RUN_FORMAT}"
_MAX_BYTES: Final = 1 << 30

Entry = dict[str, Any]


@dataclass
class History:
    """The sum of the records of runs, whatever the order in which they were added.

    Attributes
    ----------
    records : dict of file name → [size, time in ns, inode]
        The records in it, damaged ones too.
    n_runs : int
        Number of records that are not damaged.
    last : dict of results' name → record
        The newest record that has a slide; records are named after their time.
    failed : dict of results' name → list of entries
        The failures in it, of those slides only.
    newest : str
        The newest record, whose facts are ``options``, ``model``, ``extractor``, ``devices`` and
        ``order``.
    order : list of str
        Names of the results of its slides.
    model_files : dict of model's digest → [record, names of files]
        Of the newest record with each model.
    """

    records: dict[str, list[int]] = field(default_factory=dict)
    n_runs: int = 0
    last: dict[str, str] = field(default_factory=dict)
    failed: dict[str, list[Entry]] = field(default_factory=dict)
    newest: str = ""
    options: Entry = field(default_factory=dict)
    model: Entry | None = None
    extractor: Entry | None = None
    devices: list[Entry] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    model_files: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        """Add a record."""
        self.n_runs += 1
        entries: dict[str, list[Entry]] = {}
        for entry in record["slides"]:
            entries.setdefault(_name_in(entry), []).append(entry)
        for slide, own in entries.items():
            if name > self.last.get(slide, ""):
                self.last[slide] = name
                self.failed.pop(slide, None)
                failures = [{**one, "folder": None} for one in own if one["status"] == "failed"]
                if failures:
                    self.failed[slide] = failures
        if name > self.newest:
            self.newest, self.order = name, list(entries)
            self.options = record.get("options") or {}
            self.model, self.extractor = record.get("model"), record.get("extractor")
            self.devices = record.get("devices", [])
        self._add_model(name, record)

    def _add_model(self, name: str, record: Mapping[str, Any]) -> None:
        """Note the names of the models' files."""
        names = (record.get("options") or {}).get("model_path")
        digest = (record.get("model") or {}).get("digest")
        if names and digest and name > self.model_files.get(digest, [""])[0]:
            self.model_files[digest] = [
                name, [names] if isinstance(names, str) else list(map(str, names))
            ]  # fmt: skip

    def files_of(self, digest: str) -> tuple[str, ...]:
        """Return the names of the models' files, of the newest run that used these models."""
        return tuple(self.model_files[digest][1]) if digest in self.model_files else ()


def history(output: Path, *, store: bool = False) -> History:
    """Return the sum of the records of all runs in an output folder.

    Parameters
    ----------
    store : bool
        Whether it is brought up to date on disk; only under the lock of the output folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path, stamps = output / RUNS / HISTORY, _stamps(output / RUNS)
    known = _known(path)
    if any(stamps.get(name) != stamp for name, stamp in known.records.items()):
        known = History()  # a record was removed or replaced, and nothing can be subtracted
    fresh = [name for name in stamps if name not in known.records]
    for name in fresh:
        record = read_run_record(output / RUNS / name)
        if record is not None:
            known.add(name, record)
        known.records[name] = stamps[name]
    if store and (fresh or (known.records and not path.is_file())):
        with replacing(path) as partial:
            facts = with_digest({"format": _FORMAT, **asdict(known)})
            partial.write_text(json.dumps(facts), "ascii")
    return known


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Return size, time of the last change in ns, and inode of each record, by name."""
    try:
        with os.scandir(folder) as entries:
            records = [
                (entry.name, entry.stat())
                for entry in entries
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            ]
    except OSError:
        return {}
    return {name: list(file_stamp(status)) for name, status in sorted(records)}


def _known(path: Path) -> History:
    """Return the sum as it was stored; an empty one if it is missing or damaged."""
    try:
        facts = read_json(path, _MAX_BYTES)
        digest, form = facts.pop("sha256"), facts.pop("format")
        known = History(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return History()
    is_whole = form == _FORMAT and digest == digest_of({"format": form, **facts})
    return known if is_whole else History()


def _name_in(entry: Mapping[str, Any]) -> str:
    """Return the name of the results of a slide in a record; early versions had the slide's."""
    return entry.get("name", entry["slide"])
