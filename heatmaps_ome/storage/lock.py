"""A lock between processes, for the moment in which files that they share are replaced."""

from __future__ import annotations

import json
import logging
import os
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from heatmaps_ome.storage.digests import now
from heatmaps_ome.storage.disk import disk_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0
"""Seconds after which the user learns what the run waits for."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, whose file names its holder; wait while another process holds it.

    The system frees the lock of a process that died. Where a disk has no locks, the file itself is
    the lock, and a dead holder is recognised by its number. The file is removed at the end.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    native = False

    def acquired(descriptor: int) -> None:
        nonlocal native
        native = True
        _write_holder(descriptor)

    lock = FileLock(path, on_acquired=acquired)
    try:
        try:
            lock.acquire(timeout=_PATIENCE_S)
        except Timeout:
            logger.warning("waiting for another run, which holds %s (%s)", path, _holder(path))
            lock.acquire()
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        yield
    finally:
        # Those who wait for the removed file notice that it is not the one on the disk any more.
        if native:
            path.unlink(missing_ok=True)
        lock.release()


def remove_if_free(path: Path) -> None:
    """Remove the file of a lock that no process holds; its last holder was killed."""
    with suppress(OSError):
        lock = FileLock(path, on_acquired=lambda _: path.unlink(missing_ok=True))
        with lock.acquire(timeout=0):
            pass


def _write_holder(descriptor: int) -> None:
    """Write host, process and time into the lock's file, for people who wonder."""
    holder = {"host": platform.node(), "pid": os.getpid(), "since": now()}
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(holder).encode())


def _holder(path: Path) -> str:
    """Return the holder of a lock in words."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "holder unknown"
