"""What a disk states of a file, by which a change shows without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import os

FileStamp: TypeAlias = tuple[int, int, int]
"""Size in bytes, time of the last change in ns, and inode of a file."""


def file_stamp(status: os.stat_result) -> FileStamp:
    """Return the stamp of a file with a status."""
    return status.st_size, status.st_mtime_ns, status.st_ino
