"""Downloads files in parts, several at a time; a part that fails is read again, not the file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.storage.disk import bytes_text
from heatmaps_ome.storage.remote.faults import ChangedError
from heatmaps_ome.storage.remote.urls import public

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from heatmaps_ome.storage.remote.client import Client, RemoteFile

PART_BYTES: Final = 4 * 2**20
_AT_ONCE: Final = 8
"""Parts in flight, which are all that memory holds."""


@dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes
    ----------
    file : RemoteFile
    path : Path
        Where it will lie; its folder exists.
    """

    file: RemoteFile
    path: Path


class StoppedError(Exception):
    """A download that nobody waits for any more."""


def download(
    client: Client, files: Sequence[Download], is_stopped: Callable[[], bool] = lambda: False
) -> None:
    """Download files, and verify that their sizes are right and that none was replaced meanwhile.

    Raises
    ------
    RemoteError
        If one cannot be read.
    ChangedError
        If one was replaced meanwhile.
    OSError
        If the disk cannot take them.
    StoppedError
        If it was stopped.
    """
    # One thread more than one file after another would take: parts of all files are one queue.
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="download") as pool:
        parts = [
            (one, start) for one in files if one.file.in_parts and one.file.size is not None
            for start in range(0, one.file.size, PART_BYTES)
        ]  # fmt: skip
        for one in files:
            _create(one)

        def fetch(part: tuple[Download, int]) -> None:
            if is_stopped():
                raise StoppedError
            _fetch(client, *part)

        try:
            list(pool.map(fetch, parts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for one in files:
        if not one.file.in_parts or one.file.size is None:
            client.tried(one.file.url, lambda one=one: _fetch_whole(client, one, is_stopped))
        _require_same(client, one)


def _create(one: Download) -> None:
    """Create a file of the final size, which disks without sparse files reserve."""
    with one.path.open("wb") as file:
        file.truncate(one.file.size or 0)


def _fetch(client: Client, one: Download, start: int) -> None:
    """Write a part to its place."""
    end = min(start + PART_BYTES, one.file.size or 0)
    data = client.read(one.file.url, start, end)
    descriptor = os.open(one.path, os.O_WRONLY)
    try:
        while data:
            count = os.pwrite(descriptor, data, start)
            data, start = data[count:], start + count
    finally:
        os.close(descriptor)


def _fetch_whole(client: Client, one: Download, is_stopped: Callable[[], bool]) -> None:
    """Write a file from its beginning, as its server gives no parts."""
    with one.path.open("wb") as file:
        for data in client.stream(one.file.url, one.file.size):
            if is_stopped():
                raise StoppedError
            file.write(data)


def _require_same(client: Client, one: Download) -> None:
    """Refuse a file that was replaced meanwhile, or is not whole."""
    place, size = public(one.file.url), one.path.stat().st_size
    now = client.file(one.file.url)
    if (now.size, now.tag) != (one.file.size, one.file.tag):
        raise ChangedError(f"{place} was replaced while it was downloaded; start again")
    if one.file.size is not None and size != one.file.size:
        raise RemoteError(
            f"{place} has {bytes_text(one.file.size)}, of which {bytes_text(size)} came; start "
            "again"
        )
