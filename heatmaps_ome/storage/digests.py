"""Digests and JSON files."""

from __future__ import annotations

import hashlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from heatmaps_ome.memory.limits import usable_cores
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.texts import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def digest_of(values: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON values, independent of the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def with_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of JSON values with the digest of all of them, by which a change shows."""
    return {**record, "sha256": digest_of(record)}


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path relative to the folder."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    # A slide has thousands of files, and hashing releases the interpreter for other threads.
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="digest") as pool:
        digests = pool.map(file_digest, paths)
        return {
            path.relative_to(folder).as_posix(): digest
            for path, digest in zip(paths, digests, strict=True)
        }


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write indented JSON, replacing the file as a whole."""
    with replacing(path) as partial:
        partial.write_text(json_text(values), encoding="utf-8")


def json_text(values: Mapping[str, Any]) -> str:
    """Return values as the text of a JSON file; a name that is not UTF-8 does not prevent it."""
    return encodable(json.dumps(values, indent=2, ensure_ascii=False)) + "\n"


def finite(value: float) -> float | None:
    """Return a finite value, or None, which strict JSON has in place of NaN and infinity."""
    return value if math.isfinite(value) else None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
