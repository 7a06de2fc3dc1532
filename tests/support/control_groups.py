"""Control groups of our own: a limit of memory that the kernel enforces, where one may be made."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class NoGroupError(Exception):
    """No group can be made here; states the reason."""


@dataclass(frozen=True)
class MemoryGroup:
    """A group of processes with a limit of memory and no swap."""

    folder: Path

    def enter(self):
        """Put this process into the group; for ``preexec_fn``."""
        (self.folder / "cgroup.procs").write_text("0")

    def peak(self):
        """Return the most bytes that were taken."""
        return int(self._first("memory.peak", "memory.max_usage_in_bytes").read_text())

    def kills(self):
        """Return how often the kernel killed a process for want of memory."""
        words = self._first("memory.events", "memory.oom_control").read_text().split()
        return int(words[words.index("oom_kill") + 1])

    def _first(self, *names):
        return next(self.folder / name for name in names if (self.folder / name).exists())


@contextmanager
def memory_group(limit):
    """Yield a group whose processes may take so many bytes.

    Raises
    ------
    NoGroupError
        If this user, or this machine, makes none.
    """
    controllers = ROOT / "cgroup.controllers"
    is_second = controllers.exists() and "memory" in controllers.read_text().split()
    folder = (ROOT if is_second else ROOT / "memory") / f"heatmaps-ome-test-{os.getpid()}"
    limits = (
        {"memory.max": limit, "memory.swap.max": 0}
        if is_second
        else {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}
    )
    try:
        folder.mkdir()
    except OSError as error:
        raise NoGroupError(f"no control group can be made ({error})") from error
    try:
        _limit(folder, limits)
        yield MemoryGroup(folder)
    finally:
        folder.rmdir()


def _limit(folder, limits):
    # Without accounting of swap there is no file for its limit.
    limits = {folder / name: value for name, value in limits.items() if (folder / name).exists()}
    if not limits:
        raise NoGroupError("the memory of control groups is not limited here")
    try:
        for path, value in limits.items():
            path.write_text(str(value))
    except OSError as error:
        raise NoGroupError(f"no control group can be limited ({error})") from error
