"""Lanes: devices that networks run on, each with its own copy, shared by the slides at work.

A slide has a lane from its first block to its last. Lanes have several slides at a time, so that
one that waits for its pixels does not keep the device idle: whenever it is free, the earliest slide
whose block is ready has it.
"""

from __future__ import annotations

import heapq
import threading
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from heatmaps_ome.slides.waiting import OTHER, READING, TISSUE, WRITING, waiting, waits_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.geometry import Window
    from heatmaps_ome.slides.waiting import Waits

COMPUTED: Final = "seconds"
BETWEEN: Final = "between_slides_seconds"
WAITED: Final = {
    purpose: f"waited_{purpose}_seconds" for purpose in (READING, TISSUE, WRITING, OTHER)
}
"""What the device waited for → the name of the seconds in a slide's record."""


class Lanes:
    """The devices of a run.

    Parameters
    ----------
    extractors : sequence of Extractor
        The same network on each of the devices.
    """

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        self._lanes = [_Lane(extractor) for extractor in extractors]
        self._lock = threading.Lock()
        self._numbers = count()

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self._lanes)

    @property
    def extractor(self) -> Extractor:
        """The network on the first device, for what is the same on all of them."""
        return self._lanes[0].extractor

    def prepare(self) -> None:
        """Build all networks; ExtractorError if the weights do not fit."""
        with self._lock:
            for lane in self._lanes:
                lane.extractor.prepare()

    @contextmanager
    def turn(self) -> Iterator[Extractor]:
        """Give a slide the lane with the fewest slides; yields the network on it."""
        with self._lock:
            lane = min(self._lanes, key=lambda lane: lane.slides)
            lane.slides += 1
            turn = _Turn(lane, next(self._numbers), waits_now())
        try:
            yield cast("Extractor", turn)
        finally:
            with self._lock:
                lane.slides -= 1

    def stop(self) -> None:
        """Have each slide end with KeyboardInterrupt at its next block."""
        for lane in self._lanes:
            lane.stop()


class _Lane:
    """A device, which computes one block at a time.

    Attributes
    ----------
    extractor : Extractor
    slides : int
        Slides that have it.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.slides = extractor, 0
        self._changed = threading.Condition()
        self._queue: list[int] = []
        self._is_busy = self._is_stopped = False
        self._ended: float | None = None
        self._last: int | None = None

    def stop(self) -> None:
        """See `Lanes.stop`."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    @contextmanager
    def block(self, number: int, waits: Waits) -> Iterator[None]:
        """Have the device for a block of the slide whose turn has a number."""
        with waiting(OTHER), self._changed:
            heapq.heappush(self._queue, number)
            try:
                self._changed.wait_for(lambda: self._is_stopped or self._is_next(number))
                if self._is_stopped:
                    raise KeyboardInterrupt
                self._is_busy = True
            finally:
                self._queue.remove(number)
                heapq.heapify(self._queue)
        begun = time.perf_counter()
        try:
            self._count_idle(begun, number, waits)
            yield
        finally:
            with self._changed:
                self._ended, self._last, self._is_busy = time.perf_counter(), number, False
                _add(waits.device, COMPUTED, self._ended - begun)
                self._changed.notify_all()

    def _is_next(self, number: int) -> bool:
        return not self._is_busy and self._queue[0] == number

    def _count_idle(self, begun: float, number: int, waits: Waits) -> None:
        """Count for a slide the time in which the device waited for this block.

        The first slide of a run is waited for since its own beginning.
        """
        since = waits.begun if self._ended is None else self._ended
        for purpose, seconds in waits.during(since, begun).items():
            _add(waits.device, WAITED.get(purpose, WAITED[OTHER]), seconds)
        if self._last not in (None, number):
            _add(waits.device, BETWEEN, begun - since)


class _Turn:
    """The network on a slide's lane: an Extractor, each of whose calls waits for the device."""

    def __init__(self, lane: _Lane, number: int, waits: Waits) -> None:
        self._lane, self._number, self._waits = lane, number, waits

    def __call__(self, pixels: np.ndarray, keep: Window | None = None) -> np.ndarray:
        """See `Extractor`."""
        with self._lane.block(self._number, self._waits):
            return self._lane.extractor(pixels, keep)

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """See `Extractor`."""
        with self._lane.block(self._number, self._waits):
            return self._lane.extractor.tiles(pixels)

    def __getattr__(self, name: str) -> Any:
        """Return a fact of the extractor, which its device does not change."""
        return getattr(self._lane.extractor, name)


def _add(sums: dict[str, float], name: str, seconds: float) -> None:
    sums[name] = sums.get(name, 0.0) + seconds
