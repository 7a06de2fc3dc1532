"""Memory and cores that this process may use: those of its container, not those of the machine.

Linux limits a container by control groups: version 2 is described at
docs.kernel.org/admin-guide/cgroup-v2.html, version 1 in docs.kernel.org/admin-guide/cgroup-v1/. A
limit of a group holds for all groups below it too.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECLAIMABLE = ("inactive_file", "active_file")
"""Memory of a group that holds copies of files, and is free once it is needed."""


@dataclass(frozen=True)
class ControlGroups:
    """The control groups of this process.

    Attributes
    ----------
    root : Path
        Where they are mounted.
    membership : Path
        File that lists the process's groups: see cgroups(7).
    """

    root: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def free_memory(self) -> float:
        """Return the bytes that may still be taken; infinite without a limit."""
        free = math.inf
        for folder in self._folders("memory"):
            limit = min(
                _number(folder / name)
                for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
            )
            if math.isfinite(limit):
                free = min(free, limit - _used(folder))
        return max(0.0, free)

    def cores(self) -> float:
        """Return the cores' worth of time that may be used; infinite without a limit."""
        quotas = [math.inf]
        for folder in self._folders("cpu"):
            quota, period = (*_words(folder / "cpu.max"), "max", "max")[:2]
            if quota == "max":
                # Without a limit, version 1 has -1.
                quota, period = (
                    (*_words(folder / name), "-1")[0]
                    for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                )
            if _is_positive(quota) and _is_positive(period):
                quotas.append(float(quota) / float(period))
        return min(quotas)

    def _folders(self, controller: str) -> Iterator[Path]:
        """Yield the folders of the groups that limit a resource, up to the outermost."""
        try:
            lines = self.membership.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, group = (*line.split(":", 2), "", "")[:3]
            if controllers == "":
                bases = [self.root, self.root / "unified"]
            elif controller in controllers.split(","):
                bases = [self.root / controllers, self.root / controller]
            else:
                continue
            for base in bases:
                yield from _upwards(base, group)


def available_memory(groups: ControlGroups = ControlGroups()) -> int:
    """Return the bytes that this process may still take.

    That is the least of what the machine has free, what the container's limit leaves, and what
    ``ulimit -v`` leaves.
    """
    return int(min(psutil.virtual_memory().available, groups.free_memory(), _free_address_space()))


def usable_cores(groups: ControlGroups = ControlGroups()) -> int:
    """Return the number of cores that this process may use; a part of a core counts as one."""
    own = getattr(os, "process_cpu_count", _cores_by_affinity)() or 1
    return max(1, min(own, math.ceil(min(groups.cores(), own))))


def address_space_limit() -> int | None:
    """Return the limit of this process's address space (``ulimit -v``) in bytes; None: no limit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _free_address_space() -> float:
    limit = address_space_limit()
    return math.inf if limit is None else max(0, limit - psutil.Process().memory_info().vms)


def _cores_by_affinity() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _upwards(base: Path, group: str) -> Iterator[Path]:
    """Yield a group's folder and those of the groups around it.

    In a container the group's path may be the machine's: then only the outermost is there.
    """
    path = Path(group.lstrip("/"))
    for part in (path, *path.parents):
        if ".." not in part.parts:
            yield base / part


def _used(folder: Path) -> float:
    """Return the bytes that a group's processes have taken, without copies of files."""
    used = min(_number(folder / name) for name in ("memory.current", "memory.usage_in_bytes"))
    if not math.isfinite(used):
        return 0.0
    words = _words(folder / "memory.stat")
    stat = {name: float(count) for name, count in zip(words[::2], words[1::2], strict=False)}
    # Version 1 has sums over the groups below in these.
    return used - sum(stat.get(f"total_{name}", stat.get(name, 0.0)) for name in _RECLAIMABLE)


def _number(path: Path) -> float:
    """Return the number in a file; infinite if there is none."""
    words = _words(path)
    return float(words[0]) if words and words[0].isdecimal() else math.inf


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _is_positive(word: str) -> bool:
    return word.isdecimal() and int(word) > 0
