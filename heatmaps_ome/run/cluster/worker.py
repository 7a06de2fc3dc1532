"""What a worker process does: it looks at itself, and it makes and draws batches of slides.

Importing this module is quick and changes nothing; the first call imports the rest.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import signal
import time
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.run.cluster.orders import Batch, Orders, Piece
    from heatmaps_ome.run.cluster.workshop import Workshop

_PACKAGE = "heatmaps_ome"
_STEP_S = 0.5
"""Least time between two reports of progress."""

_workshops: dict[tuple[bytes, str], Workshop] = {}
"""The latest workshop, by orders and device: another run's network would only take memory."""


def describe(
    device: str, precision: str, places: tuple[str, str], *, is_ours: bool
) -> dict[str, Any]:
    """Return the facts of this worker, by the names of `Facts`.

    Parameters
    ----------
    device, precision : str
        As the user asked for them.
    places : (str, str)
        The run's current folder, and its marker.
    is_ours : bool
        Whether the run started this process, which then takes no Ctrl-C: the run ends it.

    Raises
    ------
    HeatmapsError
        If it cannot take part.
    """
    from distributed import get_worker

    from heatmaps_ome.memory import starting

    if is_ours:
        get_worker().loop.add_callback(_ignore_interrupts)
    with starting():
        from heatmaps_ome.run.cluster.workshop import facts_of
    return facts_of(device, precision, *places)


def work(packed_orders: bytes, packed_batch: bytes) -> None:
    """Do the slides of a batch; each is reported when it is done.

    Raises
    ------
    PreflightError
        If no slide's maps can be made here.
    """
    from distributed import get_worker

    from heatmaps_ome.memory import starting

    with starting():
        from heatmaps_ome.run.cluster.workshop import workshop_of
        from heatmaps_ome.run.staged import scratch_in_use
        from heatmaps_ome.storage.cache_users import caches_in_use
    orders: Orders = pickle.loads(packed_orders)
    batch: Batch = pickle.loads(packed_batch)
    report = _Report(get_worker(), batch)
    with chdir(orders.folder), caches_in_use(), scratch_in_use():
        key = (packed_orders, batch.device)
        if key not in _workshops:
            _workshops.clear()
            _workshops[key] = workshop_of(orders, batch.device, report.cores, report.memory)
        for piece in batch.pieces:
            if not report.is_wanted():
                return
            _do(piece, batch, _workshops[key], report, orders)


def _ignore_interrupts() -> None:
    """Take no Ctrl-C, which a terminal sends to all processes of a run."""
    with suppress(ValueError):  # Dask's loop is not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(piece: Piece, batch: Batch, shop: Workshop, report: _Report, orders: Orders) -> None:
    """Do a slide and report it, with the messages that it gave."""
    report.begin(piece)
    with _kept_messages(orders.level) as messages, _limit(orders.timeout_s):
        made = shop.do(piece, batch, report.step)
    report.done(piece, made, messages)


class _Report:
    """Reports a batch's progress to the run.

    Parameters
    ----------
    worker : distributed.Worker
        This process's.
    """

    def __init__(self, worker: Any, batch: Batch) -> None:
        self._worker, self._batch = worker, batch
        self._key = worker.get_current_task()
        self._number, self._last = 0, 0.0

    @property
    def cores(self) -> int:
        """Cores that this worker was given."""
        return self._worker.state.nthreads

    @property
    def memory(self) -> int | None:
        """Bytes beyond which Dask ends this worker; None: there is no limit."""
        return self._worker.memory_manager.memory_limit or None

    def is_wanted(self) -> bool:
        """Return whether the run still waits for this batch."""
        task = self._worker.state.tasks.get(self._key)
        return task is not None and task.state == "executing"

    def begin(self, piece: Piece) -> None:
        """Report that a slide begins."""
        self._number, self._last = piece.number, time.monotonic()
        self._tell("begin")

    def step(self, slide: str, stage: str, done: int, total: int) -> None:
        """Report progress within a slide, now and then; see `Progress`."""
        now = time.monotonic()
        if now - self._last >= _STEP_S or done == total:
            self._last = now
            self._tell("step", slide=slide, stage=stage, done=int(done), total=int(total))

    def done(self, piece: Piece, made: object, messages: list[dict[str, Any]]) -> None:
        """Report the result of a slide."""
        self._tell("done", result=pickle.dumps((piece.outcome, made, messages)))

    def _tell(self, event: str, **facts: Any) -> None:
        message = {"event": event, "batch": self._batch.number, "piece": self._number, **facts}
        self._worker.log_event(self._batch.topic, message)


class _Keeper(logging.Handler):
    """Keeps messages, as plain values."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        trace = record.exc_info and logging.Formatter().formatException(record.exc_info)
        self.messages.append({
            "name": record.name, "levelno": record.levelno, "levelname": record.levelname,
            "msg": record.getMessage(), "exc_text": trace or None,
        })  # fmt: skip


@contextmanager
def _kept_messages(level: int) -> Iterator[list[dict[str, Any]]]:
    """Keep the package's messages inside, instead of letting this process print them."""
    logger, keeper = logging.getLogger(_PACKAGE), _Keeper()
    before = logger.level, logger.propagate
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(keeper)
    try:
        yield keeper.messages
    finally:
        logger.removeHandler(keeper)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])


@contextmanager
def _limit(seconds: float | None) -> Iterator[None]:
    """End this process if the work inside takes longer.

    No other way ends a call into a library that hangs: faulthandler's thread needs none of
    Python's locks. Its traceback is of no use to anyone.
    """
    if seconds is None:
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
