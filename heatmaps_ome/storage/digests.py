"""Digests and JSON files."""

from __future__ import annotations

import hashlib
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def digest_of(said: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON values, independent of the order of their keys."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path relative to the folder."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    # Of a slide they are thousands, and hashing lets other threads go on.
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="digest") as pool:
        digests = pool.map(file_digest, paths)
        return {
            path.relative_to(folder).as_posix(): digest
            for path, digest in zip(paths, digests, strict=True)
        }


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, said: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, replacing the file as a whole."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def finite(value: float) -> float | None:
    """Return a value as strict JSON has it: nothing for NaN."""
    return value if math.isfinite(value) else None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
