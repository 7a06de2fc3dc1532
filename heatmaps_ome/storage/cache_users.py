"""The processes that use a cache: their pieces are not pruned, their leftovers are removed.

Each process has a file in ``CACHE/.users``, named after it, with the pieces that it opened.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from heatmaps_ome.storage.last_run import Runs
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.private import FOREIGN_S, age_s, has_ended, own_name
from heatmaps_ome.storage.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_USERS: Final = ".users"
_PARTIAL: Final = re.compile(r"(?:\..+\.)?(?P<owner>[A-Za-z0-9-]+_\d+_\d+)\.\d+\.partial")
_EARLIER: Final = re.compile(r"\.[0-9a-f]{32}\.(?P<pid>\d+)\.partial")
"""Name of a partial folder in version 0.1.0, which had no host."""
_HOUR_S: Final = 3600
_RELEASED: Final = "-"
"""Begin of the line of a piece that a process does not use any more."""
_TAG: Final = "CACHEDIR.TAG"
_TAG_TEXT: Final = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of heatmaps-ome, which can be deleted: https://bford.info/cachedir/
"""

_lock = threading.Lock()


@dataclass
class _Use:
    """A cache as this process uses it.

    Attributes
    ----------
    pieces : set of Path
        Folders that were opened.
    reported : set of Path
        Folders whose damage was reported.
    """

    pieces: set[Path] = field(default_factory=set)
    reported: set[Path] = field(default_factory=set)


_caches: dict[tuple[int, Path], _Use] = {}
"""By process, as a process that forks uses none, and cache."""


def partial_name(name: str = "") -> str:
    """Return a new name for a partial file or folder of this process, below its final name."""
    return f".{name}.{own_name()}" if name else own_name()


def use(cache: Path, piece: Path) -> None:
    """Note that this process uses a piece; the first time, remove what dead processes left.

    A cache that cannot be written can still be read.
    """
    with _lock:
        is_first = (os.getpid(), cache) not in _caches
        pieces = _caches.setdefault((os.getpid(), cache), _Use()).pieces
        if piece in pieces:
            return
        pieces.add(piece)
    with suppress(OSError):
        if is_first:
            sweep(cache)
            _mark(cache)
        with (_users(cache) / owner_of_this_process().label).open("a", encoding="utf-8") as file:
            file.write(f"{piece.parent.name}/{piece.name}\n")


def release(cache: Path, piece: Path) -> None:
    """Note that this process does not use a piece any more, before the run ends."""
    with _lock:
        _caches.setdefault((os.getpid(), cache), _Use()).pieces.discard(piece)
    with (
        suppress(OSError),
        (_users(cache) / owner_of_this_process().label).open("a", encoding="utf-8") as file,
    ):
        file.write(f"{_RELEASED}{piece.parent.name}/{piece.name}\n")


def is_first_report(cache: Path, piece: Path) -> bool:
    """Return whether damage of a piece is noticed for the first time in a run."""
    with _lock:
        reported = _caches.setdefault((os.getpid(), cache), _Use()).reported
        is_first = piece not in reported
        reported.add(piece)
    return is_first


@contextmanager
def caches_in_use() -> Iterator[None]:
    """Count the time inside the ``with`` block as a run: after it, no piece is in use any more.

    It is a decorator, too.
    """
    with _runs.one():
        yield


@atexit.register
def _release_all() -> None:
    """Note that this process uses no piece any more, so that all of them may be pruned."""
    with _lock:
        caches = [cache for pid, cache in _caches if pid == os.getpid()]
        _caches.clear()
    for cache in caches:
        with suppress(OSError):
            (_users(cache) / owner_of_this_process().label).unlink(missing_ok=True)


_runs = Runs(_release_all)


def pieces_in_use(cache: Path) -> set[str]:
    """Return the pieces, as ``kind/key``, that a process uses which is not known to have ended."""
    return {piece for file in _entries(_users(cache)) for piece in _used_by(file)}


def is_used_by_others(cache: Path, piece: Path) -> bool:
    """Return whether another process uses a piece that is not known to have ended."""
    own, name = owner_of_this_process().label, f"{piece.parent.name}/{piece.name}"
    others = (file for file in _entries(_users(cache)) if file.name != own)
    return any(name in _used_by(file) for file in others)


def _used_by(file: Path) -> set[str]:
    """Return the pieces of the file of a process; none if the process has ended."""
    if has_ended(file.name, file, FOREIGN_S):
        return set()
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return set()
    used: set[str] = set()
    for line in filter(None, lines):
        if line.startswith(_RELEASED):
            used.discard(line.removeprefix(_RELEASED))
        else:
            used.add(line)
    return used


def is_marked(cache: Path) -> bool:
    """Return whether a folder has the tag of a cache of ours."""
    try:
        return (cache / _TAG).read_text(encoding="utf-8") == _TAG_TEXT
    except (OSError, ValueError):
        return False


def leftovers(folder: Path, foreign_s: float | None = None) -> list[Path]:
    """Return the partial files and folders in a folder whose processes have ended.

    Parameters
    ----------
    foreign_s : float or None
        Age in s from which those of other machines count too; None: never.
    """
    return [path for path in _entries(folder) if _is_partial_left_over(path, foreign_s)]


def sweep(cache: Path, foreign_s: float | None = None) -> None:
    """Remove what processes left that have ended; see `leftovers`."""
    for file in _entries(_users(cache)):
        if has_ended(file.name, file, foreign_s):
            with suppress(OSError):
                file.unlink()
    for kind in _entries(cache):
        for path in leftovers(kind, foreign_s):
            with suppress(OSError):
                remove(path)


def _mark(cache: Path) -> None:
    """Tag the cache, so that programs that make backups leave it out."""
    if not _users(cache).is_dir():
        _users(cache).unlink(missing_ok=True)
    _users(cache).mkdir(parents=True, exist_ok=True)
    if not is_marked(cache):
        (cache / _TAG).write_text(_TAG_TEXT, encoding="utf-8")


def _users(cache: Path) -> Path:
    return cache / _USERS


def _entries(folder: Path) -> Iterator[Path]:
    """Yield the entries of a folder; none if it cannot be read."""
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _is_partial_left_over(path: Path, foreign_s: float | None) -> bool:
    """Return whether a path is the partial file or folder of a process that has ended."""
    match = _PARTIAL.fullmatch(path.name)
    if match is not None:
        return has_ended(match["owner"], path, foreign_s)
    match = _EARLIER.fullmatch(path.name)
    # Another machine may have a process with this number.
    return match is not None and not psutil.pid_exists(int(match["pid"])) and age_s(path) > _HOUR_S
