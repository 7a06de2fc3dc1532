"""Counts the runs at work in this process, for what is kept until the end of the last of them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Runs:
    """The runs at work in this process.

    Parameters
    ----------
    release : callable
        Called whenever the last of them has ended.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._lock, self._count = threading.Lock(), 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count the time inside the ``with`` block as a run."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                is_last = self._count == 0
            if is_last:
                self._release()
