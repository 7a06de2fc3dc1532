"""Serves results at a URL: a slide's files are fetched when the first of them is asked for.

They come as a whole, so that what is served is one result and never a mixture, and so that pictures
can be composed of them. Slides that were looked at longest ago make room for others.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from heatmaps_ome.errors import ResultError
from heatmaps_ome.storage.disk import bytes_text
from heatmaps_ome.storage.remote.client import remote_client
from heatmaps_ome.storage.remote.outputs import know_all, mirror_of, open_output
from heatmaps_ome.storage.remote.urls import folder_of, joined, last_name, scheme_of
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.server.served import Served

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.storage.remote.mirror import Mirror

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass
class RemoteSlides:
    """Fetches slides' folders on demand; several threads may ask at once.

    Attributes
    ----------
    mirror : Mirror
    bound : int
        Bytes that all of them may take.
    """

    mirror: Mirror
    bound: int
    _sizes: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ready(self, name: str) -> None:
        """Have a slide's files here.

        Raises
        ------
        ResultError
            If it is larger than the bound, or was replaced meanwhile.
        RemoteError
            If it cannot be fetched.
        """
        with self._lock:
            if name in self._sizes:
                self._sizes[name] = self._sizes.pop(name)  # the latest is the last
                return
            size = self.mirror.size_of(name)
            if size > self.bound:
                raise ResultError(
                    f"{joined(self.mirror.url, name)} has {bytes_text(size)}, and the disk has "
                    f"room for {bytes_text(self.bound)}; free some, or set TMPDIR to another disk"
                )
            while sum(self._sizes.values()) + size > self.bound:
                oldest = next(iter(self._sizes))
                del self._sizes[oldest]
                self.mirror.empty(self.mirror.folder / oldest)
            self.mirror.pull_folder(name)
            self._sizes[name] = size


def served_at(url: str, scratch: Path) -> Served:
    """Return the files to serve of a run, or of a slide's results, at a URL.

    Raises
    ------
    ResultError
        If there is nothing to serve.
    RemoteError
        If it cannot be read.
    """
    only = None
    run = type(scratch)(url)
    if remote_client().exists(joined(url, PROVENANCE)):
        only, run = last_name(url), type(scratch)(folder_of(url))
    folder = open_output(run, scratch, writes=False)
    mirror = mirror_of(folder)
    assert mirror is not None
    if only is None:
        know_all(folder)
    else:
        mirror.pull_small([only])
    results = Served(
        folder, only, RemoteSlides(mirror, shutil.disk_usage(folder).free // 2).ready,
        public_address(mirror.url),
    )  # fmt: skip
    if not results.folders():
        raise ResultError(
            f"{url} holds no slide's results that can be viewed; give the URL that create wrote to "
            "(--output-path)"
        )
    return results


def public_address(url: str) -> str:
    """Return the address at which browsers reach a folder of a bucket, ending in a slash; or "".

    >>> public_address("gs://bucket/my run")
    'https://storage.googleapis.com/bucket/my%20run/'
    """
    bucket, _, key = url.partition("://")[2].partition("/")
    path = f"{quote(key)}/" if key else ""
    if scheme_of(url) in ("gs", "gcs"):
        return f"https://storage.googleapis.com/{bucket}/{path}"
    if scheme_of(url) in ("s3", "s3a"):
        endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
        if endpoint:
            return f"{endpoint.rstrip('/')}/{bucket}/{path}"
        return f"https://{bucket}.s3.amazonaws.com/{path}"
    return f"{url}/" if scheme_of(url) == "https" else ""
