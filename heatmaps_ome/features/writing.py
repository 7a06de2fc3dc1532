"""Writes features to disk while the network goes on with the next."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from heatmaps_ome.slides.waiting import WRITING, waiting

if TYPE_CHECKING:
    from collections.abc import Callable


class Writing:
    """Does one piece of work after the other in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._last: Future[None] | None = None

    def __enter__(self) -> Writing:
        return self

    def begin(self, write: Callable[[], None]) -> None:
        """Begin with a piece of work once the one before it is done; raises the error of that."""
        self._finish()
        self._last = self._thread.submit(write)

    def _finish(self) -> None:
        """Wait for the piece under way; raise its error, if any."""
        if self._last is not None:
            with waiting(WRITING):
                self._last.result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last piece, so that computed features are stored even after an error."""
        self._thread.shutdown()
        if kind is None:
            self._finish()
