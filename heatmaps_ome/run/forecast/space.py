"""The space that work needs on each disk, and what is free there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Need:
    """The space that is needed on a disk.

    Attributes
    ----------
    folders : tuple of Path
        The folders on it that are written to.
    size : float
        Bytes that are needed.
    free, total : int
        Bytes of the disk.
    """

    folders: tuple[Path, ...]
    size: float
    free: int
    total: int

    @property
    def fits(self) -> bool:
        """Whether the disk has as much."""
        return self.size <= self.free

    def free_text(self) -> str:
        """Return in words what is free."""
        return f"{bytes_text(self.free)} of {bytes_text(self.total)} are free there"


def needs(sizes: Mapping[Path, float]) -> list[Need]:
    """Return what is needed on each disk; disks that cannot be asked are left out.

    Parameters
    ----------
    sizes : mapping of folder → bytes
        Folders need not exist yet.
    """
    disks: dict[int, list[Path]] = {}
    for folder in sizes:
        existing = _existing(folder)
        if existing is not None:
            disks.setdefault(existing.stat().st_dev, []).append(folder)
    return [need for folders in disks.values() for need in _need(folders, sizes)]


def _need(folders: list[Path], sizes: Mapping[Path, float]) -> Iterable[Need]:
    existing = _existing(folders[0])
    try:
        usage = shutil.disk_usage(existing) if existing is not None else None
    except OSError:
        usage = None
    if usage is not None:
        size = sum(sizes[folder] for folder in folders)
        yield Need(tuple(folders), size, usage.free, usage.total)


def _existing(folder: Path) -> Path | None:
    """Return a folder, or the next one above it that exists."""
    for place in (folder, *folder.absolute().parents):
        try:
            if place.is_dir():
                return place
        except OSError:
            continue
    return None
