"""A pass over slides at the workers: hands out batches, takes results, survives deaths."""

from __future__ import annotations

import logging
import pickle
import queue
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.run.cluster.orders import Batch, Piece
from heatmaps_ome.run.cluster.worker import work
from heatmaps_ome.run.progress import spoken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.cluster.crew import Crew, Worker
    from heatmaps_ome.run.cluster.request import Workers
    from heatmaps_ome.run.cluster.showing import Showing
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.slide_row import SlideRow

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_LISTEN_S = 0.25
_GRACE_S = 20.0
"""Time after a slide's limit in which its worker should have ended itself."""
_LATE_S = 1.0
"""Time by which the clocks of run and worker may differ on when a slide began."""
_ROUNDS = 4
"""Batches that each worker gets in a pass, at least."""
_SLIDES = 8
"""Slides of a batch at most, so that progress, balance and retries stay fine."""


@dataclass(eq=False)
class Job:
    """A slide's work in a pass.

    Attributes
    ----------
    item : SlideRow or MadeMaps
    outcome : Outcome
        Takes its result.
    made : MadeMaps or None
        The maps that were made, if they were.
    deaths : int
        Workers that died over it.
    """

    item: SlideRow | MadeMaps
    outcome: Outcome
    made: MadeMaps | None = None
    deaths: int = 0


@dataclass(eq=False)
class Load:
    """A batch at a worker.

    Attributes
    ----------
    left : list of int
        Numbers of the slides that are not done, in their order.
    begun : int or None
        The slide at work, and since when by this process's clock.
    is_missed : bool
        Whether its worker was gone, or its task had ended, at the latest look.
    """

    worker: Worker
    future: Any
    left: list[int]
    begun: int | None = None
    since: float = field(default_factory=time.monotonic)
    is_missed: bool = False


class Shift:
    """A pass over slides.

    Parameters
    ----------
    orders : bytes
        Pickled `Orders`.
    names : mapping of slide path → name
        Of all slides, if maps are to be made.
    scaling : CohortScaling or None
    """

    def __init__(
        self,
        crew: Crew,
        orders: bytes,
        workers: Workers,
        showing: Showing,
        names: Mapping[Path, str],
        scaling: CohortScaling | None,
    ) -> None:
        self._crew, self._orders, self._workers = crew, orders, workers
        self._showing, self._names, self._scaling = showing, names, scaling
        self._taken = Counter(name.casefold() for name in names.values())
        self._jobs: Sequence[Job] = ()
        self._waiting: deque[int] = deque()
        self._loads: dict[int, Load] = {}
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._topic = f"heatmaps-ome {id(self):x} {time.time_ns():x}"
        self._batches = 0

    def run(self, jobs: Sequence[Job]) -> None:
        """Have all jobs done; their outcomes take the results.

        Raises
        ------
        HeatmapsError
            If no slide can be done, or the cluster is lost.
        """
        self._jobs, self._waiting = jobs, deque(range(len(jobs)))
        client = self._crew.client
        client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))
        looked = time.monotonic()
        try:
            while self._waiting or self._loads:
                self._hand_out()
                self._listen()
                if time.monotonic() - looked >= _LOOK_S:
                    self._look()
                    looked = time.monotonic()
        finally:
            client.cancel([load.future for load in self._loads.values()])
            client.unsubscribe_topic(self._topic)
            self._crew.forget_work()

    def _hand_out(self) -> None:
        """Give each idle worker a batch."""
        for worker in self._crew.idle(makes=bool(self._names)):
            if not self._waiting:
                return
            self._batches += 1
            numbers = self._next_batch()
            future = self._crew.client.submit(
                work, self._orders, self._packed(numbers, worker.device or "cpu"),
                workers=[worker.address], allow_other_workers=False, pure=False,
                key=f"{self._showing.work.replace(' ', '-')}-{self._topic[13:]}-{self._batches}",
            )  # fmt: skip
            worker.is_busy = True
            self._loads[self._batches] = Load(worker, future, numbers)
            number = self._batches
            future.add_done_callback(lambda _, n=number: self._news.put({"event": "end",
                                                                         "batch": n}))  # fmt: skip

    def _next_batch(self) -> list[int]:
        """Take the numbers of some slides; one that ended a worker is alone."""
        many = -(-len(self._waiting) // (_ROUNDS * max(1, self._crew.size)))
        numbers = [self._waiting.popleft()]
        while (
            self._waiting
            and len(numbers) < min(many, _SLIDES)
            and not self._jobs[numbers[0]].deaths
            and not self._jobs[self._waiting[0]].deaths
        ):
            numbers.append(self._waiting.popleft())
        return numbers

    def _packed(self, numbers: Sequence[int], device: str) -> bytes:
        """Return a batch, pickled."""
        jobs = [self._jobs[number] for number in numbers]
        names = {job.item.path: self._names[job.item.path] for job in jobs if self._names}
        return pickle.dumps(
            Batch(
                number=self._batches,
                topic=self._topic,
                pieces=tuple(
                    Piece(n, job.item, job.outcome) for n, job in zip(numbers, jobs, strict=True)
                ),
                names=names,
                taken={name.casefold(): self._taken[name.casefold()] for name in names.values()},
                scaling=self._scaling,
                device=device,
            )
        )

    def _listen(self) -> None:
        """Take the news, and wait a moment for some."""
        try:
            news = self._news.get(timeout=_LISTEN_S)
            while True:
                self._take(news)
                news = self._news.get_nowait()
        except queue.Empty:
            return

    def _take(self, news: Mapping[str, Any]) -> None:
        """Take a piece of news."""
        load = self._loads.get(news["batch"])
        if load is None:  # of a worker that was given up
            return
        if news["event"] == "end":
            self._end(news["batch"], load)
            return
        number = news["piece"]
        if news["event"] == "begin":
            load.begun, load.since = number, time.monotonic()
            self._showing.begin(self._jobs[number].outcome.name)
        elif news["event"] == "step":
            self._showing.step(news["slide"], news["stage"], news["done"], news["total"])
        elif number in load.left:
            load.left.remove(number)
            self._finish(self._jobs[number], news["result"], time.monotonic() - load.since)

    def _finish(self, job: Job, result: bytes, seconds: float) -> None:
        """Take the result of a slide."""
        outcome, job.made, messages = pickle.loads(result)
        vars(job.outcome).update(vars(outcome))
        self._showing.finish(job.outcome.name, seconds)
        self._showing.log(messages)

    def _end(self, number: int, load: Load) -> None:
        """Take the end of a batch's task, unless its worker is lost."""
        if load.future.status == "error":
            error = load.future.exception()
            if isinstance(error, HeatmapsError) or not _is_loss(error):
                raise error
        elif load.future.status == "finished" and not load.left:
            del self._loads[number]
            load.worker.is_busy = False

    def _look(self) -> None:
        """Look for workers that are gone, and for slides that take too long."""
        gone = self._crew.look()
        for number, load in list(self._loads.items()):
            is_over = self._is_over(load, _GRACE_S)
            if is_over:
                load.worker.is_given_up = True
            if load.is_missed or is_over:
                self._lose(number, load)
            # What it reported before may still be on its way.
            load.is_missed = load.worker in gone or load.future.done()

    def _is_over(self, load: Load, after: float) -> bool:
        """Return whether the slide at work is beyond its limit, some seconds after."""
        limit = self._workers.timeout_s
        if limit is None or load.begun not in load.left:
            return False
        return time.monotonic() - load.since >= limit + after

    def _lose(self, number: int, load: Load) -> None:
        """Put back what a lost worker had to do; one slide is to blame."""
        del self._loads[number]
        load.worker.is_busy = False
        load.future.cancel()
        if not load.left:
            return
        blamed = load.begun if load.begun in load.left else load.left[0]
        self._waiting.extendleft(reversed([one for one in load.left if one != blamed]))
        job = self._jobs[blamed]
        job.deaths += 1
        if self._is_over(load, -_LATE_S):
            limit = spoken(self._workers.timeout_s or 0)
            self._fail(load, job, f"took longer than {limit}, the limit of --slide-timeout")
        elif job.deaths > self._workers.retries:
            times = "once" if job.deaths == 1 else f"{job.deaths} times"
            self._fail(
                load, job, f"ended its worker process {times}, as a lack of memory or a fault in "
                "a library does; give workers more memory, or leave the slide out",
            )  # fmt: skip
        else:
            logger.warning("%s: its worker died; it is tried again", job.outcome.slide)
            self._waiting.append(blamed)

    def _fail(self, load: Load, job: Job, reason: str) -> None:
        job.outcome.fail(f"{job.outcome.slide}: it {reason}")
        logger.error("%s", job.outcome.message)
        self._showing.finish(job.outcome.name, time.monotonic() - load.since)


def _is_loss(error: BaseException) -> bool:
    """Return whether an error comes of a worker that was lost, not of its work."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    return isinstance(error, CancelledError | KilledWorker | CommClosedError)
