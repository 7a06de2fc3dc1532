"""Stamps of files: what a disk states of them, by which a change shows without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.storage.file_stamp import file_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Stamp: TypeAlias = list[list[str | int]]
"""For each file its name, size in bytes, time of the last change in ns, and inode."""


def stamp_of(slide: Path, others: Iterable[Path] = ()) -> Stamp | None:
    """Return the stamp of a slide's files, and of other files; None if one of them is not there.

    A file that was replaced, written to or moved has another stamp. Nothing shows a change that
    keeps size and time: for that, files must be read.
    """
    try:
        return [entry_of(path) for path in (*files_of(slide), *others)]
    except OSError:
        return None


def entry_of(path: Path) -> list[str | int]:
    """Return what a disk states of a file."""
    return [path.name, *file_stamp(path.stat())]
