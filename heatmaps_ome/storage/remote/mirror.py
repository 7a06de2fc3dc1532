"""An output folder at a URL: a folder of this process that is filled and emptied as needed.

A run works in the folder as in any other. Records and lists come when they are asked for; a slide's
finished folder goes to the URL, and only its records stay behind.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import RemoteError, ResultError
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.remote.download import Download, download
from heatmaps_ome.storage.remote.upload import files_at, files_in, upload_files, upload_folder
from heatmaps_ome.storage.remote.urls import joined, last_name, public
from heatmaps_ome.storage.result_folder import (
    PROVENANCE,
    RESERVED,
    RUN,
    SCALING,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.storage.remote.client import Client, RemoteFile

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 16
_LAST: Final = (SCALING, RUN, "index.html")
"""Shared files that refer to the others."""


class Mirror:
    """An output folder at a URL, and the folder on this machine that stands for it.

    Parameters
    ----------
    client : Client
    url : str
    folder : Path
        Exists.
    small : iterable of str
        Patterns of the files of a slide that lists and the report are made of, which stay.
    """

    def __init__(self, client: Client, url: str, folder: Path, small: Iterable[str]) -> None:
        self._client, self.url, self.folder = client, url, folder
        self._small = (PROVENANCE, *small)
        self._requests: dict[str, str | None] = {}

    def pull(self, *names: str) -> None:
        """Fetch files and folders that all runs share, as they are there now.

        Parameters
        ----------
        names : str
            Names in the output folder, such as "scaling.json"; those that are not there do not
            count.
        """
        for name in names:
            if "." in PurePosixPath(name).name:
                self._fetch(name)
            else:
                files = files_at(self._client, joined(self.url, name), name)
                self._download(files)

    def pull_shared(self) -> None:
        """Fetch all files and folders that all runs share."""
        folders, files = self._client.names(self.url)
        here = {last_name(url) for url in (*folders, *files)}
        self.pull(*sorted(here & RESERVED))

    def pull_records(self, names: Iterable[str], parent: str = "") -> None:
        """Fetch the records of slides, by which finished ones are recognised.

        Parameters
        ----------
        names : iterable of str
            Names of slides' results; those without a record do not count.
        parent : str
            Folder of the output folder that they lie in; "" for itself.
        """
        prefix = f"{parent}/" if parent else ""
        self._each(lambda name: self._fetch_record(f"{prefix}{name}"), names)

    def slides(self, parent: str = "") -> list[str]:
        """Return the names of all folders that may be slides', sorted."""
        url = joined(self.url, parent) if parent else self.url
        folders, _ = self._client.names(url) if self._client.is_folder(url) else ([], [])
        names = {last_name(folder) for folder in folders}
        return sorted(name for name in names if name.casefold() not in RESERVED and name[0] != ".")

    def pull_small(self, names: Iterable[str], parent: str = "") -> None:
        """Fetch what lists and the report are made of, of slides that are finished."""
        names = list(names)
        self.pull_records(names, parent)
        prefix = f"{parent}/" if parent else ""
        places = [
            f"{prefix}{name}/{file}"
            for name in names if (self.folder / parent / name / PROVENANCE).is_file()
            for file in self._small if file != PROVENANCE
        ]  # fmt: skip
        self._each(self._fetch, [place for place in places if not (self.folder / place).exists()])

    def pull_folder(self, place: str) -> None:
        """Fetch a slide's whole folder, if it is finished there; its record comes last.

        Parameters
        ----------
        place : str
            Its path in the output folder.

        Raises
        ------
        ResultError
            If it was replaced meanwhile.
        """
        there = files_at(self._client, joined(self.url, place), place)
        record = f"{place}/{PROVENANCE}"
        if record not in there:
            return
        self._download({
            name: file for name, file in there.items()
            if name != record and not self._is_here(name, file.size)
        })  # fmt: skip
        before = there[record]
        self._fetch_record(place)
        now = self._client.file(before.url)
        if (now.size, now.tag) != (before.size, before.tag):
            raise ResultError(f"{public(before.url)} was replaced while it was read; start again")

    def push(self, folder: Path) -> None:
        """Upload a slide's finished folder, unless another run has finished the same meanwhile.

        Raises
        ------
        ResultError
            If another run has meanwhile finished other results of the slide.
        RemoteError
            If it cannot be written.
        """
        place = folder.relative_to(self.folder).as_posix()
        url = joined(self.url, place)
        request = (record_of(folder) or {}).get("request")
        there = self._request_there(place)
        known = self._requests.get(place)
        if there is not None and there != request and there != known:
            raise ResultError(
                f"{public(url)} was meanwhile made by another run with other options; choose "
                "another --output-path"
            )
        if there is None or there != request or there == known:
            upload_folder(self._client, folder, url, PROVENANCE)
        self._requests[place] = request
        self._empty(folder)

    def push_shared(self) -> None:
        """Upload the files that all runs share; lists come after what they name."""
        files = {
            name: path for name, path in files_in(self.folder).items()
            if name.partition("/")[0] in RESERVED and not _is_private(name)
        }  # fmt: skip
        upload_files(self._client, files, self.url, _LAST)

    def push_file(self, name: str) -> None:
        """Upload one file, by its path in the output folder."""
        self._client.put(self.folder / name, joined(self.url, name))

    def require_writable(self) -> None:
        """Refuse a URL that cannot be written, before anything is computed.

        Raises
        ------
        RemoteError
            With the reason.
        """
        name = ".heatmaps-ome.writable"
        trial = self.folder / name
        trial.write_bytes(b"")
        try:
            self._client.put(trial, joined(self.url, name))
            self._client.remove([joined(self.url, name)])
        finally:
            trial.unlink()

    def _request_there(self, place: str) -> str | None:
        """Return the request of a slide's results as they are there now; None if there are none."""
        url = joined(self.url, place, PROVENANCE)
        if not self._client.exists(url):
            return None
        return _request(self._client.read(url))

    def _fetch_record(self, place: str) -> None:
        """Fetch the record of a slide, and keep in mind whose results are there."""
        self._fetch(f"{place}/{PROVENANCE}")
        folder = self.folder / place
        self._requests[place] = (record_of(folder) or {}).get("request")
        if not (folder / PROVENANCE).exists():
            # A folder without a record would not count as free.
            with suppress(OSError):
                folder.rmdir()

    def _fetch(self, name: str) -> None:
        """Fetch a file, if it is there."""
        path, url = self.folder / name, joined(self.url, name)
        try:
            data = self._client.read(url)
        except RemoteError:
            if self._client.exists(url):
                raise
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(data)

    def _download(self, files: Mapping[str, RemoteFile]) -> None:
        """Fetch files by their paths in the output folder."""
        downloads = [Download(file, self.folder / name) for name, file in files.items()]
        for one in downloads:
            one.path.parent.mkdir(parents=True, exist_ok=True)
        download(self._client, downloads)

    def _is_here(self, name: str, size: int | None) -> bool:
        path = self.folder / name
        return path.is_file() and path.stat().st_size == size

    def _empty(self, folder: Path) -> None:
        """Remove all files of a slide but those that lists and the report are made of."""
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                with suppress(OSError):
                    path.rmdir()
            elif path.relative_to(folder).as_posix() not in self._small:
                path.unlink(missing_ok=True)

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        """Do something for several names at once; the first fault ends it."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mirror") as pool:
            list(pool.map(work, names))


def _request(record: bytes) -> str | None:
    """Return the request in a record; None if it is damaged, as if there was none."""
    try:
        return json.loads(record).get("request")
    except (ValueError, AttributeError, RecursionError):
        return None


def _is_private(name: str) -> bool:
    """Return whether a file is one that is being written, or a lock."""
    return any(part.startswith(".") for part in name.split("/"))
