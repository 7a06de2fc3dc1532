"""The stages of a slide: what each takes, how far it is, and its memory given back."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from heatmaps_ome.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.slides.reader import SlideReader


class Stopwatch:
    """Adds up what is spent in named stages.

    Parameters
    ----------
    stages : dict of stage → dict of str → float
        Filled with ``seconds``, ``cpu_seconds`` (of all threads) and, where the system counts
        them, ``bytes_read`` and ``bytes_written``: by the process from and to files, those that
        the system had in memory included.
    """

    def __init__(self, stages: dict[str, dict[str, float]]) -> None:
        self._stages = stages
        self._process = psutil.Process()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what is done inside as a stage's."""
        before = self._now()
        try:
            yield
        finally:
            sums = self._stages.setdefault(stage, {})
            for key, value in self._now().items():
                sums[key] = round(sums.get(key, 0) + value - before[key], 3)

    @contextmanager
    def beside(self, stage: str) -> Iterator[None]:
        """Count what is done inside as a stage's, where others run beside it: seconds alone."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            sums = self._stages.setdefault(stage, {})
            sums["seconds"] = round(sums.get("seconds", 0) + time.perf_counter() - begun, 3)

    def _now(self) -> dict[str, float]:
        """Return the counts so far."""
        counts: dict[str, float] = {
            "seconds": time.perf_counter(),
            "cpu_seconds": time.process_time(),
        }
        # macOS counts none; Linux's counts of bytes alone leave out what was in memory.
        if hasattr(self._process, "io_counters"):
            moved = self._process.io_counters()
            counts["bytes_read"] = getattr(moved, "read_chars", moved.read_bytes)
            counts["bytes_written"] = getattr(moved, "write_chars", moved.write_bytes)
        return counts


class Stages:
    """Enters the stages of a slide: counts what they take, shows progress, gives memory back.

    Parameters
    ----------
    spent : dict of stage → dict of str → float
        Filled as by `Stopwatch`.
    progress : callable
        Called with (stage, steps done, steps in all).
    """

    def __init__(
        self,
        spent: dict[str, dict[str, float]],
        progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._watch = Stopwatch(spent)
        self._progress = progress

    @contextmanager
    def __call__(
        self, name: str, forget: SlideReader | None = None
    ) -> Iterator[Callable[[int, int], None]]:
        """Enter a stage; yields the callable for its progress: (steps done, steps in all).

        Parameters
        ----------
        forget : SlideReader or None
            A slide whose pixels in memory no later stage wants: the next reads other places, or at
            another size.
        """
        with self._watch(name):
            yield lambda done, total: self._progress(name, done, total)
            _give_back(forget)

    @contextmanager
    def beside(self, name: str, forget: SlideReader | None = None) -> Iterator[None]:
        """Enter a stage that others run beside: its seconds alone are counted."""
        with self._watch.beside(name):
            yield
            _give_back(forget)


def _give_back(forget: SlideReader | None) -> None:
    """Give the memory of a finished stage back."""
    if forget is not None:
        forget.forget()
    give_back()
