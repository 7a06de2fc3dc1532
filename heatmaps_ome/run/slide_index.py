"""Remembers what each slide adds to the files that all runs in an output folder share.

The slides' folders alone are the state of an output folder. The index, a line of JSON for each of
them, only spares reading their records again: a line counts while the size, time and inode of the
slide's ``provenance.json`` are those that it notes. A missing or damaged index is made anew.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome import __version__
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.run.cautions import cautions, explains, trust
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.run_record import entry_text
from heatmaps_ome.storage.digests import finite
from heatmaps_ome.storage.file_stamp import FileStamp, file_stamp
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import open_regular
from heatmaps_ome.storage.result_folder import MAPS, PROVENANCE, RUNS, record_of
from heatmaps_ome.viewers.report.part_file import PartFacts, part_facts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

INDEX: Final = ".slides.index"
"""Name of the index in the folder of the runs' records."""
_FORMAT: Final = f"heatmaps-ome index 1 of {__version__}"
"""The first line; another version may draw other facts from a record."""
_READERS: Final = 8
"""Threads that read records: a shared disk takes long for each, and answers many at once."""
_TAB: Final = b"\t"
"""Between a slide's name and stamp, its facts, and its entry: JSON text has no such byte."""
_DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError)

_KnownLine = tuple[FileStamp, bytes]


@dataclass(frozen=True, eq=False)
class IndexedSlide:
    """A slide with results.

    Attributes
    ----------
    name : str
        The name of its folder.
    stamp : FileStamp
        Of its ``provenance.json``.
    slide, label, prediction, true_class, created
        As in its provenance.
    classes : tuple of str
    model, extractor : str
        Their digests.
    extractor_name : str
    scaling : str
        The digest of the scaling's numbers.
    part : PartFacts
        What the report's table has.
    line : bytes
        Its line of the index, which has its entry of run.json too.
    findings : dict
        What predictions.csv has beside the other facts: see `_findings`.
    """

    name: str
    stamp: FileStamp
    slide: str
    label: str | None
    prediction: Mapping[str, float | None]
    true_class: str
    created: str
    classes: tuple[str, ...]
    model: str
    extractor: str
    extractor_name: str
    scaling: str
    part: PartFacts
    line: bytes = field(repr=False)
    findings: Mapping[str, Any] = field(repr=False)

    def entry_text(self) -> str:
        """Return its entry of run.json as JSON, which most often is copied, not read."""
        return self.line.rsplit(_TAB, 1)[1].decode().rstrip("\n")

    def entry(self) -> dict[str, Any]:
        """Return its entry of run.json."""
        return json.loads(self.entry_text())


def indexed_slides(output: Path, *, store: bool = False) -> list[IndexedSlide]:
    """Return the slides with results in an output folder, by name.

    Parameters
    ----------
    store : bool
        Whether the index is brought up to date on disk; only under the lock of the output folder.

    Raises
    ------
    OSError
        If the folder cannot be read, or the index not be written.
    """
    stamps = dict(_stamps(output))
    known = _known_lines(index_path(output))
    try:
        return _brought_up_to_date(output, stamps, known, store=store)
    except _DAMAGED as error:
        logger.debug("the index of %s is damaged (%s), and is made anew", output, error)
        return _brought_up_to_date(output, stamps, {}, store=store)


def _brought_up_to_date(
    output: Path, stamps: Mapping[str, FileStamp], known: Mapping[str, _KnownLine], *, store: bool
) -> list[IndexedSlide]:
    """Return the slides by the lines of the index, after reading the records that changed.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If lines are damaged.
    """
    changed = [
        name for name, stamp in stamps.items() if name not in known or known[name][0] != stamp
    ]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="record") as pool:
        made = pool.map(lambda name: _line_of(output / name, stamps[name]), changed)
        fresh = dict(zip(changed, made, strict=True))
    lines = {name: fresh[name] if name in fresh else known[name][1] for name in stamps}
    # A folder whose record cannot be read has no line, and is looked at again each time.
    slides = [slide for line in lines.values() if line and (slide := _slide_of(line, output))]
    if store and (any(fresh.values()) or known.keys() - stamps.keys()):
        _store(index_path(output), lines.values())
    return slides


def index_path(output: Path) -> Path:
    """Return the path of the index of an output folder."""
    return output / RUNS / INDEX


def result_names(output: Path) -> list[str]:
    """Return the names of the folders in an output folder that have a record, by name."""
    return [name for name, _ in _stamps(output)]


def undrawn_names(output: Path, done: Collection[str]) -> list[str]:
    """Return the names of slides that have raw maps, but no results, by name.

    Parameters
    ----------
    done : collection of str
        The names of those with results.
    """
    return [] if not (output / MAPS).is_dir() else sorted(set(_folders(output / MAPS)) - {*done})


def _folders(place: Path) -> list[str]:
    """Return the names of the folders in a folder, without hidden ones and links."""
    with os.scandir(place) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        ]


def _stamps(output: Path) -> Iterator[tuple[str, FileStamp]]:
    """Yield name and stamp of the record of each folder that has one, by name."""
    for name in sorted(_folders(output)):
        try:
            status = (output / name / PROVENANCE).stat()
        except OSError:
            continue
        yield name, file_stamp(status)


def _known_lines(path: Path) -> dict[str, _KnownLine]:
    """Return the stamps and lines of an index by the slides' names; {} if it is damaged."""
    known: dict[str, _KnownLine] = {}
    if not path.is_file():
        return known
    try:
        with open_regular(path) as file:
            if file.readline().decode().rstrip("\n") != _FORMAT:
                return {}
            for line in file:
                name, stamp, checksum = _key_of(line)
                if checksum != _checksum(line):
                    raise ValueError(f"the line of {name} was changed")
                known[name] = (stamp, line)
    except (OSError, *_DAMAGED) as error:
        logger.debug("%s is damaged (%s), and is made anew", path, error)
        return {}
    return known


def _key_of(line: bytes) -> tuple[str, FileStamp, int]:
    """Return the name, the stamp and the checksum that begin a line."""
    name, (size, time_ns, inode), checksum = json.loads(line[: line.index(_TAB)])
    return name, (size, time_ns, inode), checksum


def _checksum(line: bytes) -> int:
    """Return the checksum of a line after its key; entries are copied without being read."""
    return zlib.crc32(line[line.index(_TAB) :])


def _store(path: Path, lines: Iterable[bytes]) -> None:
    """Write the index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(f"{_FORMAT}\n".encode())
        file.writelines(lines)


def _line_of(folder: Path, stamp: FileStamp) -> bytes:
    """Return the line of a slide's folder; empty if its record cannot be read at all."""
    record = record_of(folder)
    if record is None:
        return b""
    outcome = Outcome("", "done", "", folder, folder.name)
    try:
        outcome.slide = str(record["slide"]["name"])
        outcome.note(record)
        facts = _facts_of(folder, outcome, record)
        entry = outcome.record(())
    except _DAMAGED as error:
        facts, entry = {"damaged": f"{type(error).__name__}: {error}"}, {}
    text = json.dumps(facts, separators=(",", ":")).encode()
    rest = _TAB.join([b"", text, entry_text(entry).encode()]) + b"\n"
    return json.dumps([folder.name, stamp, zlib.crc32(rest)]).encode() + rest


def _facts_of(folder: Path, outcome: Outcome, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts on a slide by its provenance, as plain JSON values.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If the provenance is damaged.
    """
    part = part_facts(folder)
    model, extractor = record["model"], record["extractor"]
    return {
        "slide": outcome.slide,
        "label": outcome.label,
        "true_class": str(record["true_class"]),
        "created": str(record["created"]),
        "classes": list(map(str, model["classes"])),
        "model": model["digest"],
        "extractor": extractor["digest"],
        "extractor_name": extractor["name"],
        "scaling": CohortScaling.from_record(record["scaling"]).numbers,
        "part": [part.n_bytes, part.row, part.damaged],
        "prediction": {name: finite(value) for name, value in outcome.prediction.items()},
        "findings": _findings(outcome, record),
    }


def _findings(outcome: Outcome, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far a slide's maps can be trusted, its target and number of tissue cells."""
    gap = None if outcome.consistency is None else finite(outcome.consistency.gap)
    return {
        "target": outcome.target,
        "gap": gap,
        "trust": trust(outcome),
        "explains": explains(outcome),
        "cautions": cautions(outcome),
        "tissue_cells": record.get("tissue_cells"),
    }


def _facts_in(line: bytes) -> dict[str, Any]:
    return json.loads(line.split(_TAB, 2)[1])


def _slide_of(line: bytes, output: Path) -> IndexedSlide | None:
    """Return the slide of a line; None, and a warning, if its provenance is damaged."""
    name, stamp, _ = _key_of(line)
    facts = _facts_in(line)
    if "damaged" in facts:
        logger.warning(
            "%s is left out of the list, the report and the project, as its provenance.json is "
            "damaged (%s); make its results anew", output / name, facts["damaged"],
        )  # fmt: skip
        return None
    n_bytes, row, damaged = facts["part"]
    names = ("slide", "label", "true_class", "created", "model", "extractor", "extractor_name")
    return IndexedSlide(
        name=name,
        stamp=stamp,
        **{key: facts[key] for key in (*names, "scaling")},
        prediction=facts["prediction"],
        findings=facts["findings"],
        classes=tuple(facts["classes"]),
        part=PartFacts(n_bytes, row, damaged),
        line=line,
    )
