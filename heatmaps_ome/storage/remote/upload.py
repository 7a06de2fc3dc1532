"""Uploads folders so that they are complete or absent there, as they are on disks.

A folder's mark is the file that makes it count as complete. If there is one, it is removed first;
the new one is written last, when a list of the server confirms all other files. So no reader takes
a mixture of two uploads for complete, and an upload that was killed counts as none; the next one
sends what is missing.

Object storage has no locks that all kinds share. Two uploads to one folder at once: the one whose
mark comes last puts all files right once more, and the other one leaves the folder to it.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.storage.remote.client import content_md5
from heatmaps_ome.storage.remote.urls import joined, public

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.storage.remote.client import Client, RemoteFile

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 16
_ROUNDS: Final = 3


def upload_folder(client: Client, folder: Path, url: str, mark: str) -> None:
    """Upload a folder, replacing all that lies at its URL.

    Files that are there already, with equal size and checksum, are not sent again.

    Parameters
    ----------
    mark : str
        Name of the file in it that is written last.

    Raises
    ------
    RemoteError
        If it cannot be written; the folder counts as incomplete there then.
    """
    files = files_in(folder)
    last = {mark: files.pop(mark)}
    there = files_at(client, url)
    if mark in there:
        if not _missing({**files, **last}, there):
            return
        client.remove([there[mark].url])
    unsent = _missing(files, there)
    for _ in range(_ROUNDS):
        _send(client, unsent, url)
        there = files_at(client, url)
        client.remove(there[name].url for name in there.keys() - files.keys() - {mark})
        unsent = _incomplete(files, there)
        if unsent:
            continue
        _send(client, last, url)
        if client.read(joined(url, mark)) != last[mark].read_bytes():
            logger.info("%s is another run's, which finished it at the same time", public(url))
            return
        unsent = _changed(files, last, there, files_at(client, url))
        if not unsent:
            return
        client.remove([joined(url, mark)])
    raise RemoteError(
        f"{public(url)}: {min(unsent)} does not arrive whole, or other runs write there too; start "
        "again when they are done"
    )


def upload_files(client: Client, files: Mapping[str, Path], url: str, last: Iterable[str]) -> None:
    """Upload files, some of which refer to the others.

    Parameters
    ----------
    files : mapping of path relative to the URL → path
    last : iterable of str
        Those to send after all others, in this order.
    """
    last = [name for name in last if name in files]
    _send(client, {name: path for name, path in files.items() if name not in last}, url)
    for name in last:
        client.put(files[name], joined(url, name))


def files_in(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by their paths relative to it."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def files_at(client: Client, url: str, prefix: str = "") -> dict[str, RemoteFile]:
    """Return all files below a URL by their paths relative to it, behind a prefix."""
    start = len(url.rstrip("/")) + 1
    begin = f"{prefix}/" if prefix else ""
    return {f"{begin}{file.url[start:]}": file for file in client.below(url)}


def _missing(files: Mapping[str, Path], there: Mapping[str, RemoteFile]) -> dict[str, Path]:
    """Return the files that are not there, or are other ones there."""
    return {
        name: path for name, path in files.items()
        if name not in there or not _is_same(path, there[name])
    }  # fmt: skip


def _is_same(path: Path, there: RemoteFile) -> bool:
    """Return whether a file is known to be there; without a checksum, it is not."""
    return path.stat().st_size == there.size and content_md5(path) == there.md5


def _send(client: Client, files: Mapping[str, Path], url: str) -> None:
    """Write files, several at once."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload") as pool:
        sent = [pool.submit(client.put, path, joined(url, name)) for name, path in files.items()]
        try:
            for one in sent:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _incomplete(files: Mapping[str, Path], there: Mapping[str, RemoteFile]) -> dict[str, Path]:
    """Return the files that are not there, or have another size there."""
    return {
        name: path for name, path in files.items()
        if name not in there or there[name].size != path.stat().st_size
    }  # fmt: skip


def _changed(
    files: Mapping[str, Path],
    last: Mapping[str, Path],
    before: Mapping[str, RemoteFile],
    now: Mapping[str, RemoteFile],
) -> dict[str, Path]:
    """Return the files that another run has replaced during the upload.

    Some stores state no checksum, or one of encrypted bytes: the mark, which was read back, shows
    it. There, files count as replaced that were so since the list before.
    """
    if not _missing(last, now):
        return _missing(files, now)
    return {
        name: path for name, path in files.items()
        if name not in now or now[name].tag != before[name].tag
    }  # fmt: skip
