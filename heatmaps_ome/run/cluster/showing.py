"""Progress and messages of workers, brought together for one reader."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from heatmaps_ome.run.progress import Display

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from heatmaps_ome.run.progress import Progress


class Showing:
    """Shows a pass over slides that several workers do at once.

    Parameters
    ----------
    work : str
        What the slides go through: "maps", "files".
    of : int
        How many slides there are.
    logged : set of str
        Messages of the run so far; workers give those that concern all slides once each.

    Attributes
    ----------
    work : str
    """

    def __init__(self, progress: Progress, work: str, of: int, logged: set[str]) -> None:
        self.work, self._of, self._logged = work, of, logged
        self._progress, self._done = progress, 0
        self._running: dict[str, float] = {}
        if isinstance(progress, Display):
            progress.finish("", work, 0, of, 0.0)

    def begin(self, slide: str) -> None:
        """Note that a slide begins."""
        self._running[slide] = time.monotonic()

    def step(self, slide: str, stage: str, done: int, total: int) -> None:
        """Show progress within a slide; people see that of the slide at work for longest."""
        if not isinstance(self._progress, Display) or next(iter(self._running), slide) == slide:
            self._progress(slide, stage, done, total)

    def finish(self, slide: str, seconds: float) -> None:
        """Show that a slide is done.

        Parameters
        ----------
        seconds : float
            Time that it took.
        """
        beside = max(1, len(self._running))
        self._running.pop(slide, None)
        self._done += 1
        if isinstance(self._progress, Display):
            self._progress.finish(slide, self.work, self._done, self._of, seconds / beside)

    def log(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Log the messages of a worker, one after the other, each once in a run."""
        for message in messages:
            if message["msg"] not in self._logged:
                self._logged.add(message["msg"])
                logger = logging.getLogger(message["name"])
                if logger.isEnabledFor(message["levelno"]):
                    logger.handle(logging.makeLogRecord(dict(message)))
