"""Sentences for disks that cannot be written, and sizes in bytes as people read them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from heatmaps_ome.errors import OutputError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def disk_error(path: Path, error: OSError, option: str = "--output-path") -> OutputError:
    """Return an error for a file or folder that cannot be written: one sentence with the disk.

    Parameters
    ----------
    option : str
        The option that chooses another place.
    """
    if isinstance(error, OutputError):
        return error
    elsewhere = f"choose another place with {option}"
    disk = _mount_point(path)
    if error.errno in _FULL:
        return OutputError(
            f"{path} cannot be written: {_fullness(disk, error)}; free some there or {elsewhere}"
        )
    if error.errno == errno.EROFS:
        return OutputError(f"{path} cannot be written: the disk {disk} is read-only; {elsewhere}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return OutputError(
            f"{path} cannot be written: permission is denied; change its permissions or {elsewhere}"
        )
    return OutputError(
        f"{path} cannot be written ({error.strerror or error}); check the disk {disk} or "
        f"{elsewhere}"
    )


def bytes_text(count: int) -> str:
    """Return a number of bytes with a unit, powers of 1000, three digits.

    >>> bytes_text(0), bytes_text(999), bytes_text(20_480), bytes_text(1_999_999_999)
    ('0 B', '999 B', '20.5 kB', '2.00 GB')
    """
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    unit = units.pop(0)
    while value >= 999.5 and units:
        value, unit = value / 1000, units.pop(0)
    if unit == "B":
        return f"{count} B"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def _fullness(disk: Path, error: OSError) -> str:
    """Return in words why no more bytes can be written to a disk."""
    try:
        usage, files_left = shutil.disk_usage(disk), _files_left(disk)
    except OSError:
        return f"no space is left on the disk {disk}"
    room = f"{bytes_text(usage.free)} of {bytes_text(usage.total)} are free"
    if error.errno == errno.EDQUOT:
        return f"your quota on the disk {disk} is used up ({room})"
    if files_left == 0:
        return f"the disk {disk} takes no more files ({room})"
    return f"no space is left on the disk {disk} ({room})"


def _files_left(disk: Path) -> int | None:
    """Return the number of files that a disk still takes; None if it has no such limit."""
    if not hasattr(os, "statvfs"):
        return None
    facts = os.statvfs(disk)
    return facts.f_favail if facts.f_files else None


def _mount_point(path: Path) -> Path:
    """Return the folder that a path's disk is mounted at."""
    try:
        folder = Path(path).resolve()
        while folder != folder.parent and not (folder.exists() and folder.is_mount()):
            folder = folder.parent
    except (OSError, RuntimeError):
        return path
    return folder
