"""The process that a partial folder or a lock belongs to, and whether it still runs."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import psutil

_LABEL: Final = re.compile(r"([A-Za-z0-9-]+)_(\d+)_(\d+)")
_LONGEST_HOST: Final = 40
"""Characters of a host's name: file names end at 255 bytes."""
_STATE: Final = 0
_START: Final = 19
"""Fields of ``/proc/PID/stat`` after the command's name: man7.org, proc_pid_stat(5)."""


@dataclass(frozen=True)
class Owner:
    """A process on a machine.

    Attributes
    ----------
    host : str
        The machine, or the container if it numbers processes for itself.
    pid : int
    started : int
        When the process was started, in a unit of the system: a later process with
        the same number has another.
    """

    host: str
    pid: int
    started: int

    @property
    def label(self) -> str:
        """The owner in letters, digits, ``-`` and ``_``, for names of files."""
        return f"{self.host}_{self.pid}_{self.started}"

    @classmethod
    def from_label(cls, label: str) -> Owner:
        """Return the owner with a label.

        Raises
        ------
        ValueError
            If it is no label.
        """
        match = _LABEL.fullmatch(label)
        if match is None:
            raise ValueError(f"{label!r} is no label of a process")
        return cls(match[1], int(match[2]), int(match[3]))

    def is_alive(self) -> bool | None:
        """Return whether the process runs; None if it is another machine's, and so unknown."""
        if self.host != _host():
            return None
        started = _started(self.pid)
        # A process of another user may hide when it was started.
        return psutil.pid_exists(self.pid) if started is None else started == self.started


def owner_of_this_process() -> Owner:
    """Return this process as an owner."""
    return _owner(os.getpid())


@lru_cache(1)
def _owner(pid: int) -> Owner:
    """Return this process as an owner; the number, as a process that forks has another one."""
    return Owner(_host(), pid, _started(pid) or 0)


@cache
def _host() -> str:
    """Return a name of this machine, or container, that fits into labels.

    Containers may share their machine's name but number their processes each for itself.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", platform.node()).strip("-") or "host"
    try:
        numbering = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        numbering = 0
    return f"{name[:_LONGEST_HOST]}-{numbering:x}"


def _started(pid: int) -> int | None:
    """Return when a process was started; -1 if it has ended, None if that cannot be known.

    Linux counts from the machine's start, which the clock's corrections do not change.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _started_elsewhere(pid)
    # A killed process keeps its number until its parent takes notice.
    return -1 if fields[_STATE] in "ZX" else int(fields[_START])


def _started_elsewhere(pid: int) -> int | None:
    """Return the same without ``/proc``, in ms since 1970."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return -1
        return round(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return -1
    except (psutil.Error, OSError):
        return None
