"""Lanes: devices that networks run on, each with its own copy, shared by the slides at work.

A slide has a lane from its first block to its last. Lanes have several slides at a time: the
earliest goes first, and the next has the device when the first is done, or while it waits for its
pixels. If they took turns, all would be done at once, and the device would wait for the next ones.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from heatmaps_ome.slides.waiting import OTHER, READING, TISSUE, WRITING, waiting, waits_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.geometry import Window
    from heatmaps_ome.slides.waiting import Waits

_PATIENCE_S: Final = 0.02
"""How long a device is kept free for the earliest slide, which may have its next block soon."""
COMPUTED: Final = "seconds"
BETWEEN: Final = "between_slides_seconds"
WAITED: Final = {
    purpose: f"waited_{purpose}_seconds" for purpose in (READING, TISSUE, WRITING, OTHER)
}
"""What the device waited for → the name of the seconds in a slide's record."""


EncoderT = TypeVar("EncoderT", bound="TileEncoder")


class Lanes(Generic[EncoderT]):
    """The devices of a run.

    Parameters
    ----------
    extractors : sequence of TileEncoder
        The same network on each of the devices.
    devices : sequence of str
        Their names, for records.
    """

    def __init__(self, extractors: Sequence[EncoderT], devices: Sequence[str] = ()) -> None:
        self._devices = tuple(devices)
        self._lanes = [_Lane(extractor) for extractor in extractors]
        self._lock = threading.Lock()
        self._numbers = count()

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self._lanes)

    @property
    def extractor(self) -> EncoderT:
        """The network on the first device, for what is the same on all of them."""
        return self._lanes[0].extractor

    def prepare(self) -> None:
        """Build all networks; ExtractorError if the weights do not fit."""
        with self._lock:
            for lane in self._lanes:
                lane.extractor.prepare()

    @contextmanager
    def turn(self) -> Iterator[EncoderT]:
        """Give a slide the lane with the fewest slides; yields the network on it."""
        with self._lock:
            lane = min(self._lanes, key=lambda lane: lane.n_slides)
            turn = _Turn(lane, next(self._numbers), waits_now())
            lane.begin(turn.number, turn.waits)
        try:
            yield cast("EncoderT", turn)
        finally:
            with self._lock:
                lane.end(turn.number)

    def record(self) -> list[dict[str, Any]]:
        """Return the time of each device that was used, as plain JSON values: see `time_of`."""
        return [
            {"device": device, **time_of(lane.time)}
            for device, lane in zip(self._devices, self._lanes, strict=True)
            if lane.time
        ]

    def stop(self) -> None:
        """Have each slide end with KeyboardInterrupt at its next block."""
        for lane in self._lanes:
            lane.stop()


def time_of(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the time of a device as records have it.

    ``seconds`` is the time in which it computed; ``waited_…_seconds`` are the times between two
    blocks, by what the slide of the second block was at: reading, tissue, writing features, or the
    rest. All these add up to the time from the begin of the first slide to the end of the last
    block. ``between_slides_seconds`` is the part of them between the last block before a slide and
    its first.
    """
    return {measure: round(value, 3) for measure, value in seconds.items()}


class _Lane:
    """A device, which computes one block at a time.

    Attributes
    ----------
    extractor : TileEncoder
        Or an Extractor, where cells are computed.
    time : dict of measure → seconds
        Its time so far.
    """

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor
        self.time: dict[str, float] = {}
        self._changed = threading.Condition()
        self._slides: dict[int, Waits] = {}
        self._queue: list[int] = []
        self._is_busy = self._is_stopped = False
        self._ended: float | None = None

    @property
    def n_slides(self) -> int:
        """The number of slides that have it."""
        return len(self._slides)

    def begin(self, number: int, waits: Waits) -> None:
        """Take a slide."""
        with self._changed:
            self._slides[number] = waits

    def end(self, number: int) -> None:
        """Leave a slide, which had its last block."""
        with self._changed:
            del self._slides[number]
            self._changed.notify_all()

    def stop(self) -> None:
        """See `Lanes.stop`."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    @contextmanager
    def block(self, number: int, waits: Waits) -> Iterator[None]:
        """Have the device for a block of the slide whose turn has a number."""
        with waiting(OTHER), self._changed:
            self._queue.append(number)
            try:
                while not self._is_stopped and not self._is_next(number):
                    # An earlier slide that begins to wait for its pixels does not report it.
                    self._changed.wait(None if self._is_busy else _PATIENCE_S)
                if self._is_stopped:
                    raise KeyboardInterrupt
                self._is_busy = True
            finally:
                self._queue.remove(number)
        begun = time.perf_counter()
        try:
            self._count_idle(begun, waits)
            yield
        finally:
            with self._changed:
                self._ended, self._is_busy = time.perf_counter(), False
                self._count(waits, COMPUTED, self._ended - begun)
                self._changed.notify_all()

    def _is_next(self, number: int) -> bool:
        """Return whether a slide may have the device, and no earlier one will want it soon."""
        earlier = [one for one in self._slides if one < number]
        return not self._is_busy and all(
            one not in self._queue and self._slides[one].stalled_s() > _PATIENCE_S
            for one in earlier
        )

    def _count_idle(self, begun: float, waits: Waits) -> None:
        """Count for a slide the time in which the device waited for this block.

        The first slide of a run is waited for since its own beginning.
        """
        since = waits.begun if self._ended is None else self._ended
        for purpose, seconds in waits.during(since, begun).items():
            self._count(waits, WAITED.get(purpose, WAITED[OTHER]), seconds)
        if self._ended is not None and COMPUTED not in waits.device:
            self._count(waits, BETWEEN, begun - since)

    def _count(self, waits: Waits, measure: str, seconds: float) -> None:
        """Add to the time of this device, and to its time for a slide."""
        for sums in (self.time, waits.device):
            sums[measure] = sums.get(measure, 0.0) + seconds


class _Turn:
    """The network on a slide's lane: an encoder, each of whose calls waits for the device."""

    def __init__(self, lane: _Lane, number: int, waits: Waits) -> None:
        self._lane, self.number, self.waits = lane, number, waits

    def __call__(self, pixels: np.ndarray, keep: Window | None = None) -> np.ndarray:
        """See `Extractor`."""
        with self._lane.block(self.number, self.waits):
            return self._lane.extractor(pixels, keep)

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """See `Extractor`."""
        with self._lane.block(self.number, self.waits):
            return self._lane.extractor.tiles(pixels)

    def __getattr__(self, name: str) -> Any:
        """Return a fact of the extractor, which its device does not change."""
        return getattr(self._lane.extractor, name)
