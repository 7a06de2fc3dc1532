"""Stamps of files: what a disk states of them, by which a change shows without reading them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, TypeAlias

from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.storage.file_stamp import file_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Stamp: TypeAlias = list[list[str | int]]
"""For each file its name, size in bytes, time of the last change in ns, and inode."""
_MOST_ENTRIES: Final = 1000
"""Files of a slide with entries of their own; MIRAX has some hundred."""


def stamp_of(slide: Path, others: Iterable[Path] = ()) -> Stamp | None:
    """Return the stamp of a slide's files, and of other files; None if one of them is not there.

    A file that was replaced, written to or moved has another stamp. Nothing shows a change that
    keeps size and time: for that, files must be read. Very many files have one entry: the number
    of them, and a digest of their stamps.
    """
    try:
        own = [entry_of(path) for path in files_of(slide)]
        if len(own) > _MOST_ENTRIES:
            digest = hashlib.sha256(json.dumps(own).encode("utf-8", "surrogateescape"))
            own = [[slide.name, len(own), digest.hexdigest()]]
        return [*own, *map(entry_of, others)]
    except OSError:
        return None


def entry_of(path: Path) -> list[str | int]:
    """Return what a disk states of a file."""
    return [path.name, *file_stamp(path.stat())]
