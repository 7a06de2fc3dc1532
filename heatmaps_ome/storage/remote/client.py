"""Reads, lists and writes files at URLs, with another try where a fault may pass."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import mimetypes
import random
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.storage.remote.faults import ShortReadError, is_passing, sentence
from heatmaps_ome.storage.remote.systems import file_system, gives_parts
from heatmaps_ome.storage.remote.urls import public, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")

_S3: Final = ("s3", "s3a")
_WEB: Final = ("http", "https")
PART_BYTES: Final = 50 * 2**20
"""Parts of S3's large objects, whose ETag depends on their size."""
_JSON_NAMES: Final = (".zattrs", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    Attributes
    ----------
    url : str
    size : int or None
        Bytes; None if the server does not state it.
    tag : str
        The same as long as the content is: ETag, checksum or time, as the server states it.
    md5 : str
        What S3 states as ETag, or the MD5 in hexadecimal; "" if there is none.
    in_parts : bool
        Whether the server gives parts of it.
    """

    url: str
    size: int | None
    tag: str
    md5: str = ""
    in_parts: bool = True


@dataclass(frozen=True)
class Patience:
    """How long faults are waited for.

    Attributes
    ----------
    tries : int
    first_wait_s : float
        Before the second try; doubled for each further one, up to ``longest_wait_s``.
    """

    tries: int = 6
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0

    def wait_s(self, trial: int) -> float:
        """Return the time to wait after a trial, from 0, in s; random, so that workers spread."""
        wait = min(self.first_wait_s * 2**trial, self.longest_wait_s)
        return wait * random.uniform(0.5, 1.0)


@dataclass
class Client:
    """Reads, lists and writes files at URLs; used by several threads at once.

    Every method raises RemoteError with one sentence if it fails for good.

    Attributes
    ----------
    patience : Patience
    sleep : callable
        Called with the time to wait, in s.
    """

    patience: Patience = Patience()
    sleep: Callable[[float], object] = time.sleep
    _systems: dict[str, Any] = field(default_factory=dict)

    def file(self, url: str) -> RemoteFile:
        """Return the facts of a file."""
        system = self._system(url)
        info = self.tried(url, lambda: system.info(_place(url)))
        if scheme_of(url) in _WEB:
            info["partial"] = self.tried(url, lambda: gives_parts(system, url))
        return _facts(url, info)

    def file_or_none(self, url: str, *, in_parts: bool) -> RemoteFile | None:
        """Return the facts of a file, None if it is not there.

        Parameters
        ----------
        in_parts : bool
            Whether the server gives parts of files, which is not asked again.
        """
        system = self._system(url)
        info = self.tried(url, lambda: _info_or_none(system, url))
        return None if info is None else _facts(url, {**info, "partial": in_parts})

    def is_folder(self, url: str) -> bool:
        """Return whether there is a folder, or objects below a prefix."""
        if scheme_of(url) in _WEB:
            return False
        system = self._system(url)
        try:
            return self.tried(url, lambda: system.info(_place(url)))["type"] == "directory"
        except RemoteError:
            return False

    def exists(self, url: str) -> bool:
        """Return whether there is a file or folder."""
        system = self._system(url)
        return self.tried(url, lambda: _info_or_none(system, url)) is not None

    def names(self, url: str) -> tuple[list[str], list[str]]:
        """Return the URLs of the folders and of the files directly in a folder, sorted."""
        entries = self.tried(url, lambda: self._system(url).ls(_place(url), detail=True))
        scheme, own = scheme_of(url), url.rstrip("/")
        folders, files = [], []
        for entry in entries:
            place = _with_scheme(scheme, entry["name"], url)
            if place.rstrip("/") != own:
                (folders if entry["type"] == "directory" else files).append(place.rstrip("/"))
        return sorted(folders), sorted(files)

    def below(self, url: str) -> list[RemoteFile]:
        """Return all files below a folder, sorted by their URLs; none if there is no folder."""
        entries = self.tried(url, lambda: _found(self._system(url), url))
        scheme = scheme_of(url)
        files = [_facts(_with_scheme(scheme, name, url), facts) for name, facts in entries.items()]
        return sorted(files, key=lambda file: file.url)

    def matches(self, pattern: str) -> list[str]:
        """Return the URLs that match a pattern, sorted."""
        names = self.tried(pattern, lambda: self._system(pattern).glob(_place(pattern)))
        return sorted(_with_scheme(scheme_of(pattern), name, pattern) for name in names)

    def read(self, url: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return a file's bytes, or those from start to end (exclusive)."""
        system = self._system(url)

        def part() -> bytes:
            data = system.cat_file(_place(url), start=start, end=end)
            if start is not None and end is not None and len(data) != end - start:
                raise ShortReadError(f"{len(data)} of {end - start} bytes came")
            return data

        return self.tried(url, part)

    def stream(self, url: str, size: int | None) -> Iterable[bytes]:
        """Yield a file's bytes from the beginning; a fault ends it."""
        with self._system(url).open(_place(url), "rb", block_size=0) as file:
            count = 0
            while data := file.read(2**20):
                count += len(data)
                yield data
        if size is not None and count != size:
            raise ShortReadError(f"{count} of {size} bytes came")

    def put(self, path: Path, url: str) -> None:
        """Write a file to a URL, replacing what is there."""
        system, scheme = self._system(url), scheme_of(url)
        media = media_type(path.name)
        facts: dict[str, Any] = {}
        if scheme in _S3:
            facts = {"chunksize": PART_BYTES, "ContentType": media}
        elif scheme in ("gs", "gcs"):
            facts = {"content_type": media}
        if scheme in _WEB:
            raise RemoteError(
                f"{public(url)} cannot be written: a web server takes no results; give s3://, "
                "gs:// or sftp://, or a folder"
            )
        self.tried(url, lambda: system.put_file(str(path), _place(url), **facts))

    def remove(self, urls: Iterable[str]) -> None:
        """Remove files; those that are gone already do not count."""
        for url in urls:
            system = self._system(url)
            self.tried(url, lambda url=url, system=system: _remove(system, url))

    def tried(self, url: str, work: Callable[[], ValueT]) -> ValueT:
        """Return what a call returns, tried again while its faults may pass.

        Raises
        ------
        RemoteError
            If it fails for good.
        """
        for trial in range(self.patience.tries):
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - libraries raise what they like
                last = trial + 1 == self.patience.tries
                if last or not is_passing(error):
                    raise sentence(error, url, trial + 1) from None
                logger.debug("%s: try %d failed (%s)", public(url), trial + 1, type(error).__name__)
            self.sleep(self.patience.wait_s(trial))
        raise AssertionError("the last try returns or raises")

    def _system(self, url: str) -> Any:
        """Return fsspec's file system for a URL, made once for a server."""
        scheme = scheme_of(url)
        server = url.split("/")[2] if scheme in ("sftp", "ssh") else ""
        key = f"{scheme}://{server}"
        if key not in self._systems:
            self._systems[key] = self.tried(url, lambda: file_system(scheme, url))
        return self._systems[key]


@cache
def remote_client() -> Client:
    """Return the client of this process, whose connections all share."""
    return Client()


def media_type(name: str) -> str:
    """Return the Content-Type of a file by its name; browsers and zarr go by it.

    >>> media_type("index.html"), media_type(".zattrs"), media_type("0")
    ('text/html', 'application/json', 'application/octet-stream')
    """
    if name in _JSON_NAMES or name.endswith(".geojson"):
        return "application/json"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def content_md5(path: Path) -> str:
    """Return the ETag that S3 gives a file that `Client.put` wrote: its MD5, or that of its parts.

    Stores that encrypt by keys of their own state something else, which is equal to nothing.
    """
    size = path.stat().st_size
    if size < 2 * PART_BYTES:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    parts = []
    with path.open("rb") as file:
        while data := file.read(PART_BYTES):
            parts.append(hashlib.md5(data, usedforsecurity=False).digest())
    whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(parts)}"


def _place(url: str) -> str:
    """Return a URL as its file system takes it: SFTP's takes a path for some of its calls."""
    return f"/{url.split('/', 3)[3]}" if scheme_of(url) in ("sftp", "ssh") else url


def _facts(url: str, info: dict[str, Any]) -> RemoteFile:
    """Return the facts of a file as fsspec has them."""
    tag = next(
        (str(info[key]) for key in ("ETag", "etag", "md5Hash", "Content-MD5", "Last-Modified",
                                    "mtime", "LastModified") if info.get(key)),
        "",
    )  # fmt: skip
    md5 = str(info.get("ETag") or "").strip('"')
    if info.get("md5Hash"):
        try:
            md5 = base64.b64decode(info["md5Hash"]).hex()
        except binascii.Error:
            md5 = ""
    return RemoteFile(url, info.get("size"), tag, md5, info.get("partial") is not False)


def _with_scheme(scheme: str, name: str, url: str) -> str:
    """Return the URL of a name in a file system, which may lack scheme and server."""
    if "://" in name:
        return name
    if scheme in ("sftp", "ssh"):
        return f"{scheme}://{url.split('/')[2]}/{name.lstrip('/')}"
    return f"{scheme}://{name.lstrip('/')}"


def _info_or_none(system: Any, url: str) -> dict[str, Any] | None:
    """Return fsspec's facts of a file or folder; None if there is none."""
    try:
        return system.info(_place(url))
    except FileNotFoundError as error:
        if is_passing(error) or "bucket" in str(error):
            raise
        return None


def _found(system: Any, url: str) -> dict[str, Any]:
    """Return fsspec's facts of all files below a folder, by name; {} if there is no folder."""
    try:
        return system.find(_place(url), detail=True)
    except FileNotFoundError as error:
        if is_passing(error):
            raise
        return {}


def _remove(system: Any, url: str) -> None:
    """Remove a file, if it is there."""
    try:
        system.rm_file(_place(url))
    except FileNotFoundError:
        return
