"""What each stage of a slide takes: seconds, and bytes that the process reads and writes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


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
