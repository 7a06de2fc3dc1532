"""The space that a folder of results takes on disk, counted and in words."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class FolderSize:
    """The size of a folder's files.

    Attributes
    ----------
    files : int
    size : int
        Bytes; a file with several names in the folder counts once.
    """

    files: int
    size: int

    def sentence(self) -> str:
        """Return the size in words.

        >>> FolderSize(140, 8_300_000).sentence()
        '8.30 MB in 140 files'
        """
        return f"{bytes_text(self.size)} in {self.files:,} file{'s' * (self.files != 1)}"


def folder_size(folder: Path) -> FolderSize:
    """Return the size of all files in a folder; those that vanish meanwhile do not count."""
    known: set[tuple[int, int]] = set()
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(path, name).lstat()
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in known:
                known.add((status.st_dev, status.st_ino))
                size += status.st_size
    return FolderSize(len(known), size)


def size_sentence(folders: Sequence[Path], limit: int) -> str:
    """Return the size of several folders together in words.

    Parameters
    ----------
    limit : int
        Folders whose files are counted. The size of more is estimated by as many of them, spread
        evenly: a slide has hundreds of files, and those of thousands would take minutes.
    """
    step = max(1, math.ceil(len(folders) / limit))
    sizes = [folder_size(folder) for folder in folders[::step]]
    size, files = sum(one.size for one in sizes), sum(one.files for one in sizes)
    if step == 1:
        return FolderSize(files, size).sentence()
    share = len(folders) / len(sizes)
    about = FolderSize(round(files * share), round(size * share)).sentence()
    return f"about {about}, by {len(sizes)} of them"
