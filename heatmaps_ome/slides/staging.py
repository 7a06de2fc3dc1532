"""Slides at URLs as files in scratch: downloaded when they are needed, the next one meanwhile."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.slides.remote_slide import remote_slide
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.remote.download import Download, StoppedError, download
from heatmaps_ome.storage.remote.scratch import OPTION
from heatmaps_ome.storage.remote.urls import public, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from heatmaps_ome.slides.remote_slide import RemoteSlide
    from heatmaps_ome.storage.remote.client import Client
    from heatmaps_ome.storage.remote.scratch import Held, Scratch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Staged:
    """A slide in scratch."""

    slide: RemoteSlide
    held: Held

    @property
    def path(self) -> Path:
        return self.held.folder / self.slide.main


class Staging:
    """Gives the slides of a run as files, wherever they lie; several threads may ask at once.

    A slide stays in scratch after its use as long as no other needs the room: files for viewers
    may need its finest pixels again, which the working copy lacks.

    Parameters
    ----------
    client : Client
    scratch : callable
        Returns the scratch; called at the first URL.
    """

    def __init__(self, client: Client, scratch: Callable[[], Scratch]) -> None:
        self._client, self._make_scratch = client, scratch
        self._scratch: Scratch | None = None
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._staged: dict[str, _Staged] = {}
        self._coming: dict[str, Future[None]] = {}
        self._signed: dict[str, str] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._is_closed = False

    def remember(self, url: str) -> None:
        """Keep the signature of a URL, which no record has, for this run."""
        self._signed[public(url)] = url

    @contextmanager
    def local(self, path: Path) -> Iterator[Path]:
        """Yield the slide's path on a disk; the file stays there until the end of the block.

        Errors inside name the URL instead of the file.

        Parameters
        ----------
        path : Path
            A path, or a URL as one.

        Raises
        ------
        RemoteError, SlideError
            If it cannot be downloaded.
        OutputError
            If scratch cannot take it.
        """
        url = url_of(path)
        if url is None:
            yield path
            return
        staged = self._taken(public(url))
        try:
            yield staged.path
        except HeatmapsError as error:
            error.args = (str(error).replace(str(staged.path), public(url)), *error.args[1:])
            raise
        finally:
            self._room().release(staged.held)

    def ahead(self, path: Path | None) -> None:
        """Begin to download the slide that is needed next; whatever goes wrong is its own fault."""
        url = None if path is None else url_of(path)
        with self._lock:
            if url is None or self._is_closed:
                return
            key = public(url)
            staged = self._staged.get(key)
            if key in self._coming or (staged and self._room().has(staged.held)):
                return
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="stage ahead")
            self._coming[key] = self._pool.submit(self._fetched_ahead, key)

    def slide(self, path: Path) -> RemoteSlide:
        """Return what the server states of a slide at a URL, without downloading it."""
        return remote_slide(self._client, self._address(public(str(url_of(path)))))

    def close(self) -> None:
        """End downloads and remove everything from scratch."""
        with self._lock:
            self._is_closed = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._scratch is not None:
            self._scratch.close()

    def _taken(self, key: str) -> _Staged:
        """Return a slide in scratch, for which its caller counts as a user."""
        with self._lock:
            coming = self._coming.pop(key, None)
        if coming is not None:
            # Its fault has passed, or is met again below.
            with suppress(HeatmapsError, OSError, CancelledError, StoppedError):
                coming.result()
        with self._lock:
            staged = self._staged.get(key)
        if staged is not None and self._room().reuse(staged.held):
            return staged
        return self._fetched(key, is_urgent=True)

    def _fetched_ahead(self, key: str) -> None:
        """Download a slide that nobody uses yet."""
        self._room().release(self._fetched(key, is_urgent=False).held, is_ahead=True)

    def _fetched(self, key: str, *, is_urgent: bool) -> _Staged:
        """Download a slide, for which the caller counts as a user."""
        slide = remote_slide(self._client, self._address(key))
        room = self._room()
        held = room.hold(slide.size, key, lambda: self._is_closed, is_urgent=is_urgent)
        if held is None:
            raise StoppedError
        try:
            files = [Download(file, held.folder / path) for file, path in slide.files]
            for file in files:
                file.path.parent.mkdir(parents=True, exist_ok=True)
            download(self._client, files, lambda: self._is_closed)
        except BaseException as error:
            room.drop(held)
            if isinstance(error, OSError) and not isinstance(error, HeatmapsError):
                raise disk_error(held.folder, error, OPTION) from error
            raise
        staged = _Staged(slide, held)
        with self._lock:
            self._staged[key] = staged
        return staged

    def _address(self, key: str) -> str:
        return self._signed.get(key, key)

    def _room(self) -> Scratch:
        with self._making:
            if self._scratch is None:
                self._scratch = self._make_scratch()
            return self._scratch
