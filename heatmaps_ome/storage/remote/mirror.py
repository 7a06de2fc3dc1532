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
from heatmaps_ome.storage.remote.client import content_md5
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
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.storage.remote.client import Client, RemoteFile

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 16
_KNOWN: Final = ".known"
"""Folder of notes of whose results are there."""
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
        Files of a slide that lists and the report are made of, which stay; ``{name}`` in them is
        that of its results.
    """

    def __init__(self, client: Client, url: str, folder: Path, small: Iterable[str]) -> None:
        self._client, self.url, self.folder = client, url, folder
        self._small = tuple(small)
        self._pulled: dict[str, str] = {}
        """Checksums of the files as they are there."""

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
        if not self._client.exists(self.url):
            return
        folders, files = self._client.names(self.url)
        here = {last_name(url) for url in (*folders, *files)}
        self.pull(*sorted(here & RESERVED))

    def pull_records(self, names: Iterable[str], parent: str = "", *, lists: bool = False) -> None:
        """Fetch the records of slides, by which finished ones are recognised.

        Parameters
        ----------
        names : iterable of str
            Names of slides' results; those without a record do not count.
        parent : str
            Folder of the output folder that they lie in; "" for itself.
        lists : bool
            Whether folders in theirs are made too, empty, so that their being there shows.
        """
        self._pull_each(names, parent, (), lists=lists)

    def pull_small(self, names: Iterable[str], parent: str = "", *, lists: bool = False) -> None:
        """Fetch what lists and the report are made of, of slides that are finished."""
        self._pull_each(names, parent, self._small, lists=lists)

    def slides(self, parent: str = "") -> list[str]:
        """Return the names of all folders that may be slides', sorted."""
        url = joined(self.url, parent) if parent else self.url
        try:
            folders, _ = self._client.names(url)
        except RemoteError:
            if self._client.exists(url):
                raise
            return []
        names = {last_name(folder) for folder in folders}
        return sorted(name for name in names if name.casefold() not in RESERVED and name[0] != ".")

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
        self._download({name: file for name, file in there.items() if name != record})
        before = there[record]
        self._fetch_record(place)
        now = self._client.file(before.url)
        if (now.size, now.tag) != (before.size, before.tag):
            raise ResultError(f"{public(before.url)} was replaced while it was read; start again")

    def pull_part(self, place: str) -> None:
        """Fetch all files below a folder of a slide."""
        self._download(files_at(self._client, joined(self.url, place), place))

    def remove_part(self, place: str) -> None:
        """Remove all files below a folder of a slide there."""
        self._client.remove(file.url for file in self._client.below(joined(self.url, place)))

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
        known = self._known(place)
        if there is not None and there != request and there != known:
            raise ResultError(
                f"{public(url)} was meanwhile made by another run with other options; choose "
                "another --output-path"
            )
        if there is None or there != request or there == known:
            upload_folder(self._client, folder, url, PROVENANCE)
        self._note(place, request)
        self.empty(folder)

    def push_shared(self) -> None:
        """Upload the files that all runs share and that have changed here.

        Lists come after what they name.
        """
        files = {
            name: path for entry in sorted(RESERVED)
            for name, path in self._files_of(entry).items()
            if not _is_private(name) and self._pulled.get(name) != content_md5(path)
        }  # fmt: skip
        upload_files(self._client, files, self.url, _LAST)
        self._pulled |= {name: content_md5(path) for name, path in files.items()}

    def push_file(self, name: str) -> None:
        """Upload one file, by its path in the output folder, if it has changed here."""
        path = self.folder / name
        if self._pulled.get(name) != content_md5(path):
            self._client.put(path, joined(self.url, name))
            self._pulled[name] = content_md5(path)

    def size_of(self, place: str) -> int:
        """Return the bytes of all files below a folder."""
        return sum(file.size or 0 for file in self._client.below(joined(self.url, place)))

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

    def _files_of(self, entry: str) -> dict[str, Path]:
        """Return a shared file, or the files of a shared folder, by their paths in the output."""
        path = self.folder / entry
        if path.is_file():
            return {entry: path}
        return {f"{entry}/{name}": file for name, file in files_in(path).items()}

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
        self._note(place, (record_of(folder) or {}).get("request"))
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
        self._pulled[name] = content_md5(path)

    def _download(self, files: Mapping[str, RemoteFile]) -> None:
        """Fetch files by their paths in the output folder."""
        downloads = [Download(file, self.folder / name) for name, file in files.items()]
        for one in downloads:
            one.path.parent.mkdir(parents=True, exist_ok=True)
        download(self._client, downloads)
        shared = {name for name in files if name.partition("/")[0] in RESERVED}
        self._pulled |= {name: content_md5(self.folder / name) for name in shared}

    def _pull_each(
        self, names: Iterable[str], parent: str, small: Sequence[str], *, lists: bool
    ) -> None:
        """Fetch records of slides, and small files beside them."""
        there = set(self.slides(parent))
        prefix = f"{parent}/" if parent else ""

        def pull(name: str) -> None:
            place = f"{prefix}{name}"
            self._fetch_record(place)
            if (self.folder / place / PROVENANCE).is_file() and (small or lists):
                self._pull_beside(place, [one.format(name=name) for one in small], lists=lists)

        self._each(pull, [name for name in names if name in there])

    def _pull_beside(self, place: str, small: Sequence[str], *, lists: bool) -> None:
        """Fetch small files of a slide, and make its folders, as far as they are there."""
        entries = self._client.names(joined(self.url, place))
        folders, files = ({last_name(url) for url in urls} for urls in entries)
        for name in small:
            first = name.partition("/")[0]
            if first in (folders if "/" in name else files):
                self._fetch(f"{place}/{name}")
        for name in folders if lists else ():
            (self.folder / place / name).mkdir(exist_ok=True)

    def _known(self, place: str) -> str | None:
        """Return the request of the results that were there when their record was fetched."""
        try:
            return self._note_of(place).read_text(encoding="utf-8") or None
        except OSError:
            return None

    def _note(self, place: str, request: str | None) -> None:
        """Note whose results are there, for all processes that work in the folder."""
        path = self._note_of(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(request or "", encoding="utf-8")

    def _note_of(self, place: str) -> Path:
        return self.folder / _KNOWN / f"{place}.txt"

    def _small_of(self, name: str) -> list[str]:
        """Return the files of a slide that lists and the report are made of."""
        return [pattern.format(name=name) for pattern in self._small]

    def empty(self, folder: Path) -> None:
        """Remove all files of a slide but those that lists and the report are made of."""
        small = (PROVENANCE, *self._small_of(folder.name))
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                # Its own folders stay, empty, so that their being there shows.
                if path.parent != folder:
                    with suppress(OSError):
                        path.rmdir()
            elif path.relative_to(folder).as_posix() not in small:
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
