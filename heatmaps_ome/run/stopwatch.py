"""The stages of a slide: time and bytes, progress, and memory freed after each."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from heatmaps_ome.memory import give_back
from heatmaps_ome.slides.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.slides.reader import SlideReader


class Stopwatch:
    """Adds up time and bytes of named stages.

    Parameters
    ----------
    stages : dict of stage → dict of str → float
        Filled with ``seconds``, ``cpu_seconds`` (of all threads) and, where the system counts
        them, ``bytes_read`` and ``bytes_written``: bytes that the process read from and wrote to
        files, including those that the system had in memory.
    """

    def __init__(self, stages: dict[str, dict[str, float]]) -> None:
        self._stages = stages
        self._process = psutil.Process()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the work inside the ``with`` block for a stage."""
        before = self._now()
        try:
            yield
        finally:
            sums = self._stages.setdefault(stage, {})
            for key, value in self._now().items():
                sums[key] = round(sums.get(key, 0) + value - before[key], 3)

    @contextmanager
    def beside(self, stage: str) -> Iterator[None]:
        """Count the work inside for a stage with others beside it: only its seconds."""
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
        # macOS counts no bytes. On Linux, read_bytes and write_bytes leave out cached data.
        if hasattr(self._process, "io_counters"):
            moved = self._process.io_counters()
            counts["bytes_read"] = getattr(moved, "read_chars", moved.read_bytes)
            counts["bytes_written"] = getattr(moved, "write_chars", moved.write_bytes)
        return counts


class Stages:
    """Enters the stages of a slide: counts time and bytes, shows progress, frees memory.

    Parameters
    ----------
    spent : dict of stage → dict of str → float
        Filled by `Stopwatch`.
    progress : callable
        Called with (stage, steps done, steps in all).
    is_alone : bool
        Whether no other slide is at work; if one is, only seconds are counted.
    """

    def __init__(
        self,
        spent: dict[str, dict[str, float]],
        progress: Callable[[str, int, int], None] = lambda *_: None,
        *,
        is_alone: bool = True,
    ) -> None:
        watch = Stopwatch(spent)
        self._enter, self._beside = watch if is_alone else watch.beside, watch.beside
        self._progress = progress

    @contextmanager
    def __call__(
        self, name: str, forget: SlideReader | None = None
    ) -> Iterator[Callable[[int, int], None]]:
        """Enter a stage; yield the callable for its progress: (steps done, steps in all).

        Parameters
        ----------
        forget : SlideReader or None
            A slide whose pixels in memory no later stage needs, as later stages read other places
            or another size.
        """
        with waiting(name), self._enter(name):
            yield lambda done, total: self._progress(name, done, total)
            _give_back(forget)

    @contextmanager
    def beside(self, name: str, forget: SlideReader | None = None) -> Iterator[None]:
        """Enter a stage with others beside it; only its seconds are counted."""
        with self._beside(name):
            yield
            _give_back(forget)


def _give_back(forget: SlideReader | None) -> None:
    """Free the memory of a finished stage."""
    if forget is not None:
        forget.forget()
    give_back()
