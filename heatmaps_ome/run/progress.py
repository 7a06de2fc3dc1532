"""Progress of a run: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress(Protocol):
    """Receives the number of finished steps of a slide's stage."""

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are done."""
        ...


def silent(slide: str, stage: str, done: int, total: int) -> None:
    """Show nothing."""


_BAR = "{desc} {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left"


class Bars:
    """One tqdm bar for each stage of each slide."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: tqdm | None = None
        self._key: tuple[str, str] | None = None

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Move the bar, or begin the next."""
        from tqdm import tqdm

        if self._key != (slide, stage):
            self.close()
            self._key = (slide, stage)
            # Steps found in the cache must not make the time left look shorter.
            self._bar = tqdm(
                total=total, initial=done, desc=f"{slide}: {stage}", file=self._stream,
                bar_format=_BAR, dynamic_ncols=True, leave=False, miniters=1,
            )  # fmt: skip
        elif self._bar is not None:
            # The total may be an estimate that improves.
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class Lines:
    """A line when a stage begins and ends, and at most one every half a minute in between."""

    def __init__(self, stream: TextIO, every_s: float = 30.0) -> None:
        self._stream = stream
        self._every_s = every_s
        self._key: tuple[str, str] | None = None
        self._begun = self._written = 0.0
        self._first = 0

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        if self._key != (slide, stage):
            self._key, self._begun, self._first = (slide, stage), now, done
        elif done < total and now - self._written < self._every_s:
            return
        self._written = now
        left = self._left_s(now, done, total)
        note = "" if left is None else f", about {_spoken(left)} left"
        share = f"{done / total:.0%}" if total else "nothing to do"
        self._stream.write(f"{slide}: {stage} {share}{note}\n")
        self._stream.flush()

    def _left_s(self, now: float, done: int, total: int) -> float | None:
        """Return the seconds left at the speed so far, or None before there is one."""
        if done <= self._first or done >= total:
            return None
        return (now - self._begun) / (done - self._first) * (total - done)

    def close(self) -> None:
        """Do nothing: no line is ever open."""


def for_stream(stream: TextIO) -> Bars | Lines:
    """Return bars for a terminal and lines for anything else."""
    return Bars(stream) if stream.isatty() else Lines(stream)


def _spoken(seconds: float) -> str:
    """Return a duration as a text for people.

    >>> _spoken(59), _spoken(150)
    ('59 s', '2 min 30 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
