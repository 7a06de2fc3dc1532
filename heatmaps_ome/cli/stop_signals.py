"""Signals that stop a run: they raise as Ctrl-C does, so that what is half written is removed.

A batch system or a container engine sends SIGTERM, and kills what still runs some time later:
Docker after 10 s, SLURM (KillWait) and Kubernetes (terminationGracePeriodSeconds) after 30 s. A
terminal that goes away sends SIGHUP.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NAMES: Final = ("SIGTERM", "SIGHUP")
"""Windows has no SIGHUP."""
_LONGEST_S: Final = 8
"""Time for the end of threads that write files, in s; less than any engine waits."""


class Stopped(KeyboardInterrupt):
    """A run that a signal stops.

    Attributes
    ----------
    number : signal.Signals
    """

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)
        super().__init__(self.number.name)

    def __str__(self) -> str:
        """Return the line that the program ends with."""
        return f"heatmaps-ome: stopped by {self.number.name}; the same command goes on from here\n"

    @property
    def exit_code(self) -> int:
        """The exit code that shells and batch systems give to such a stop: 143 for SIGTERM."""
        return 128 + self.number


class _Stops:
    """Handles the signals; ends the process itself if its threads do not end in time."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise `Stopped` in the main thread, where handlers run."""
        del frame
        stop = Stopped(number)
        if self._timer is None:
            self._timer = threading.Timer(_LONGEST_S, _end, [stop])
            self._timer.daemon = True
            self._timer.start()
        raise stop

    def cancel(self) -> None:
        """Leave the process alone: its work has ended."""
        if self._timer is not None:
            self._timer.cancel()


def _end(stop: Stopped) -> None:
    """End the process; the next run removes what it leaves half written."""
    sys.stderr.write(str(stop))
    sys.stderr.flush()
    os._exit(stop.exit_code)


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the signals raise `Stopped` inside.

    The first process of a container needs this to be stopped at all: Linux gives it no signal that
    it has no handler for. A signal that the caller ignores, as ``nohup`` does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers.
        yield
        return
    stops = _Stops()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handled = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, stops)
    try:
        yield
    finally:
        stops.cancel()
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
