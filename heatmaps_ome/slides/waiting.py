"""What the thread at a slide waits for, so that the time of an idle device has a reason.

A thread that enters `waits_of_this_thread` notes what it is at; code below it enters `waiting`,
which does nothing in other threads. Of waits inside one another the innermost counts.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ItemT = TypeVar("ItemT")

READING: Final = "reading"
TISSUE: Final = "tissue"
WRITING: Final = "writing"
OTHER: Final = "rest"
_WAITS: Final = (READING, TISSUE, WRITING)
_LATEST: Final = 10_000
"""Waits that are remembered: far more than there are between two blocks of a network."""


class Waits:
    """What a thread was at, from when to when, since it was last asked.

    Attributes
    ----------
    begun : float
        Time in s at which the thread began, by ``time.perf_counter``.
    device : dict of measure → seconds
        The time of the device that computes for this thread, for whoever has it to note.
    """

    def __init__(self) -> None:
        self.device: dict[str, float] = {}
        self.begun = self._since = time.perf_counter()
        self._purpose = OTHER
        self._spans: deque[tuple[str, float, float]] = deque(maxlen=_LATEST)

    def switch(self, purpose: str) -> str:
        """Begin to be at something else; return what the thread was at before."""
        now, before = time.perf_counter(), self._purpose
        self._spans.append((before, self._since, now))
        self._purpose, self._since = purpose, now
        return before

    def stalled_s(self) -> float:
        """Return for how many seconds the thread has been waiting; 0 if it is at work itself."""
        purpose, since = self._purpose, self._since
        return 0.0 if purpose not in _WAITS else time.perf_counter() - since

    def during(self, begin: float, end: float) -> dict[str, float]:
        """Return the seconds of a time by what this thread was at then; forget the spans so far.

        What came before the thread's first span counts as `OTHER`.
        """
        self.switch(self._purpose)
        seconds = {OTHER: max(0.0, end - begin)}
        for purpose, since, until in self._spans:
            common = min(until, end) - max(since, begin)
            if common > 0 and purpose != OTHER:
                seconds[purpose] = seconds.get(purpose, 0.0) + common
                seconds[OTHER] -= common
        self._spans.clear()
        return seconds


_waits: ContextVar[Waits | None] = ContextVar("waits", default=None)


@contextmanager
def waits_of_this_thread() -> Iterator[Waits]:
    """Note what this thread waits for inside the ``with`` block."""
    token = _waits.set(Waits())
    try:
        yield waits_now()
    finally:
        _waits.reset(token)


def waits_now() -> Waits:
    """Return the waits of this thread, or new ones if it notes none."""
    return _waits.get() or Waits()


@contextmanager
def waiting(purpose: str) -> Iterator[None]:
    """Count the time inside for a purpose, if this thread notes its waits."""
    waits = _waits.get()
    if waits is None:
        yield
        return
    before = waits.switch(purpose)
    try:
        yield
    finally:
        waits.switch(before)


def awaited(purpose: str, items: Iterable[ItemT]) -> Iterator[ItemT]:
    """Yield items, and count the time until each of them is there for a purpose."""
    ahead = iter(items)
    while True:
        with waiting(purpose):
            try:
                item = next(ahead)
            except StopIteration:
                return
        yield item
