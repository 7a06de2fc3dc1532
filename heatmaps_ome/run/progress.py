"""Progress of a run: bars with a moving clock on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from statistics import fmean
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


_STAGE = "{desc} {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left"
_WHOLE = "{desc} |{bar}| {elapsed}{postfix}"
_TICK_S = 1.0
_RECENT = 5
"""Slides whose mean time is expected of the next: slides found in the cache are soon forgotten."""
_RECENT_AT_ONCE = 50
"""The same where several slides are at work at once, which end in bursts."""
_NAME_PART = 0.35
"""Part of the terminal's width that a slide's name may take."""


class Clock:
    """The time left for the slides of a pass, by the times that the latest of them took."""

    def __init__(self) -> None:
        self.work, self.place, self.of = "", 0, 0
        self._since = 0.0
        self._took: deque[float] = deque(maxlen=_RECENT)

    def begin(self, work: str, place: int, of: int) -> None:
        """Begin a slide: number ``place`` of ``of``, of a pass over all slides called ``work``."""
        now = time.monotonic()
        if work != self.work:
            self._took.clear()
        elif self.place:
            self._took.append(now - self._since)
        self.work, self.place, self.of, self._since = work, place, of, now

    def finish(self, work: str, done: int, of: int, seconds: float) -> None:
        """End a slide of a pass in which several are at work at once.

        Parameters
        ----------
        done : int
            How many are done, of ``of``.
        seconds : float
            Time that it took, divided by the number of slides at work.
        """
        if work != self.work or done == 0:
            self._took = deque(maxlen=_RECENT_AT_ONCE)
        else:
            self._took.append(seconds)
        self.work, self.place, self.of, self._since = work, done + 1, of, time.monotonic()

    def left_s(self) -> float | None:
        """Return the seconds left for this pass; None before a slide has been finished."""
        if not self._took:
            return None
        spent = time.monotonic() - self._since
        # A slide that takes longer than the last ones makes the rest look longer too.
        slide_s = max(fmean(self._took), spent)
        return slide_s * (self.of - self.place + 1) - spent

    @property
    def number(self) -> str:
        """The slide's number before its name: "[3/6] "; "" for a single slide."""
        return f"[{self.place}/{self.of}] " if self.of > 1 else ""

    def left_text(self) -> str:
        """Return the time left in words, with a comma before it; "" if it is not known."""
        left = self.left_s()
        return "" if left is None else f", about {spoken(left)} left for the {self.work}"


class Display:
    """Shows people the slide, its stage, and the time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._clock = Clock()

    def begin(self, slide: str, work: str, place: int, of: int) -> None:
        """Begin a slide: number ``place`` of ``of``, of a pass over all slides called ``work``."""
        del slide
        self._clock.begin(work, place, of)

    def finish(self, slide: str, work: str, done: int, of: int, seconds: float) -> None:
        """End a slide of a pass in which several are at work at once; see `Clock.finish`.

        With 0 slides done, and no name, the pass begins.
        """
        del slide
        self._clock.finish(work, done, of, seconds)

    def note(self, line: str) -> None:
        """Show a line that stays."""

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a slide's stage are done."""

    def close(self) -> None:
        """End the display."""


def begin_slide(progress: Progress, slide: str, work: str, place: int, of: int) -> None:
    """Tell a display that a slide begins; other receivers of progress only learn of its stages.

    Parameters
    ----------
    work : str
        What all slides go through now: "maps", "files".
    place, of : int
        The slide's number among them, from 1, and how many there are.
    """
    if isinstance(progress, Display | Leading):
        progress.begin(slide, work, place, of)


def end_slide(progress: Progress, slide: str) -> None:
    """Note that a slide that began has ended, if several are at work."""
    if isinstance(progress, Leading):
        progress.end(slide)


class Leading:
    """Progress of several slides at work: of all for a function, of the first for a display.

    A display has room for one slide. The slides are those of `begin` that have not ended.

    Parameters
    ----------
    progress : Progress
        Never called by two threads at once.
    is_shared : bool
        Whether several slides may be at work.
    """

    def __init__(self, progress: Progress, *, is_shared: bool = False) -> None:
        self._progress, self.is_shared = progress, is_shared
        self._lock = threading.RLock()
        self._at_work: dict[str, tuple[str, int, int]] = {}
        self._is_stopped = False

    def stop(self) -> None:
        """Have all that report from now on end with KeyboardInterrupt."""
        self._is_stopped = True

    def begin(self, slide: str, work: str, place: int, of: int) -> None:
        """Begin a slide; see `Display.begin`."""
        with self._lock:
            self._at_work[slide] = (work, place, of)
            if len(self._at_work) == 1:
                begin_slide(self._progress, slide, work, place, of)

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are done."""
        if self._is_stopped:
            raise KeyboardInterrupt
        with self._lock:
            is_first = slide == next(iter(self._at_work), slide)
            if is_first or not isinstance(self._progress, Display):
                self._progress(slide, stage, done, total)

    def end(self, slide: str) -> None:
        """End a slide; the next one leads."""
        with self._lock:
            was_first = slide == next(iter(self._at_work), None)
            self._at_work.pop(slide, None)
            if was_first and self._at_work:
                following, facts = next(iter(self._at_work.items()))
                begin_slide(self._progress, following, *facts)


class Bars(Display):
    """A tqdm bar of the slides, if there are several, and one of the slide's stage below it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stage: tqdm | None = None
        self._whole: tqdm | None = None
        self._key: tuple[str, str] | None = None
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._ticker: threading.Thread | None = None

    def begin(self, slide: str, work: str, place: int, of: int) -> None:
        """Begin a slide, and move the bar of all slides."""
        with self._lock:
            if work != self._clock.work:
                self._close_bars()
            super().begin(slide, work, place, of)
            self._move_whole(work, place - 1, of)
        self._tick()

    def finish(self, slide: str, work: str, done: int, of: int, seconds: float) -> None:
        """End a slide, and move the bar of all slides."""
        with self._lock:
            if done == 0:
                self._close_bars()
            super().finish(slide, work, done, of, seconds)
            if self._key is not None and self._key[0] == slide:
                self._close_stage()
            self._move_whole(work, done, of)
        self._tick()

    def note(self, line: str) -> None:
        """Show a line above the bars."""
        from tqdm import tqdm

        with self._lock:
            tqdm.write(line, file=self._stream)

    def _move_whole(self, work: str, done: int, of: int) -> None:
        """Move the bar of all slides, if there are several."""
        from tqdm import tqdm

        if of > 1 and self._whole is None:
            self._whole = tqdm(
                total=of, desc=f"{work} of {of} slides", file=self._stream, position=0,
                bar_format=_WHOLE, dynamic_ncols=True, leave=False, miniters=1,
            )  # fmt: skip
        if self._whole is not None:
            self._whole.update(done - self._whole.n)

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Move the stage's bar, or begin the next."""
        from tqdm import tqdm

        with self._lock:
            if self._key != (slide, stage):
                self._close_stage()
                self._key = (slide, stage)
                name = _in_width(slide, _NAME_PART * shutil.get_terminal_size().columns)
                # Steps found in the cache must not make the time left look shorter.
                self._stage = tqdm(
                    total=total, initial=done, desc=f"{self._clock.number}{name}: {stage}",
                    file=self._stream, position=0 if self._whole is None else 1,
                    bar_format=_STAGE, dynamic_ncols=True, leave=False, miniters=1,
                )  # fmt: skip
            elif self._stage is not None:
                # The total may be an estimate that improves.
                self._stage.total = total
                self._stage.update(done - self._stage.n)
            if done >= total:
                self._close_stage()
        self._tick()

    def close(self) -> None:
        """Remove the bars."""
        self._end.set()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None
        with self._lock:
            self._close_bars()

    def _tick(self) -> None:
        """Have the clocks move, whether or not there is news."""
        if self._ticker is None and not self._end.is_set():
            self._ticker = threading.Thread(target=self._move_clocks, name="clock", daemon=True)
            self._ticker.start()

    def _move_clocks(self) -> None:
        while not self._end.wait(_TICK_S):
            with self._lock:
                if self._whole is not None:
                    self._whole.set_postfix_str(self._clock.left_text()[2:], refresh=False)
                    self._whole.refresh()
                if self._stage is not None:
                    self._stage.refresh()

    def _close_bars(self) -> None:
        self._close_stage()
        if self._whole is not None:
            self._whole.close()
        self._whole = None

    def _close_stage(self) -> None:
        if self._stage is not None:
            self._stage.close()
        self._stage = None


class Lines(Display):
    """A line when a slide begins, and at most one every half a minute in between."""

    def __init__(self, stream: TextIO, every_s: float = 30.0) -> None:
        super().__init__(stream)
        self._every_s = every_s
        self._key: tuple[str, str] | None = None
        self._slide = ""
        self._begun = self._written = 0.0
        self._first = 0

    def begin(self, slide: str, work: str, place: int, of: int) -> None:
        """Begin a slide, with the time left for all of them if it is known."""
        super().begin(slide, work, place, of)
        self._slide = slide
        self._write(f"{self._clock.number}{slide}: {work}{self._clock.left_text()}")

    def finish(self, slide: str, work: str, done: int, of: int, seconds: float) -> None:
        """End a slide, with the time left for all of them."""
        super().finish(slide, work, done, of, seconds)
        self._slide = slide
        if done:
            left = self._clock.left_text() if done < of else ""
            self._write(f"[{done}/{of}] {slide}: {work} done{left}")

    def note(self, line: str) -> None:
        """Write a line."""
        self._write(line)

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        is_new = self._key != (slide, stage)
        if is_new:
            self._key, self._begun, self._first = (slide, stage), now, done
        is_first = slide != self._slide
        self._slide = slide
        if not is_first and now - self._written < self._every_s:
            return
        left = self._left_s(now, done, total)
        note = "" if left is None else f", about {spoken(left)} left"
        share = f"{100 * done / total:.0f} %" if total else "nothing to do"
        self._write(f"{self._clock.number}{slide}: {stage} {share}{note}")

    def _write(self, line: str) -> None:
        self._written = time.monotonic()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def _left_s(self, now: float, done: int, total: int) -> float | None:
        """Return the seconds left at the speed so far, or None before there is one."""
        if done <= self._first or done >= total:
            return None
        return (now - self._begun) / (done - self._first) * (total - done)


def for_stream(stream: TextIO) -> Bars | Lines:
    """Return bars for a terminal and lines for anything else."""
    return Bars(stream) if stream.isatty() else Lines(stream)


def _in_width(name: str, width: float) -> str:
    """Return a name, or its begin and end where it is too long; a bar has a single line.

    >>> _in_width("TCGA-CR-7395-01A-01-TS1", 12)
    'TCGA-…01-TS1'
    """
    limit = max(8, int(width))
    if len(name) <= limit:
        return name
    begin = (limit - 1) // 2
    return f"{name[:begin]}…{name[len(name) - (limit - 1 - begin) :]}"


def spoken(seconds: float) -> str:
    """Return a duration as a text for people.

    >>> spoken(59), spoken(150), spoken(7500)
    ('59 s', '2 min 30 s', '2 h 5 min')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
