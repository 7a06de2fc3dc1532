"""The workers of a run, as they come, describe themselves and go."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import WorkersError
from heatmaps_ome.run.cluster.orders import Facts
from heatmaps_ome.run.cluster.worker import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_WAIT_S = 0.1
_PATIENCE_S = 20
"""Time without any worker after which the user is warned."""


@dataclass(eq=False)
class Worker:
    """A worker as the run knows it.

    Attributes
    ----------
    address : str
    facts : Facts or None
        None until it has described itself.
    device : str or None
        torch's name of the device that it computes on; None if it can only draw.
    gpu : str or None
        The GPU that is its own.
    is_busy : bool
    is_given_up : bool
        Whether it takes no part: it hangs and cannot be ended, or it lacks something.
    """

    address: str
    future: Any
    facts: Facts | None = None
    device: str | None = None
    gpu: str | None = None
    is_busy: bool = False
    is_given_up: bool = False


class Crew:
    """The workers of a run.

    Parameters
    ----------
    client : distributed.Client
    device, precision : str
        As the user asked for them.
    places : (str, str)
        The run's current folder and its marker: see `worker.describe`.
    is_ours : bool
        Whether the run starts the workers.

    Attributes
    ----------
    client : distributed.Client
    """

    def __init__(
        self, client: Any, device: str, precision: str, places: tuple[str, str], *, is_ours: bool
    ) -> None:
        self.client, self._is_ours = client, is_ours
        self._asked = (device, precision, places)
        self._workers: dict[str, Worker] = {}
        self._since = time.monotonic()
        self._has_warned = False

    def first(self, count: int) -> Facts:
        """Return the facts of the first worker, once some are known.

        Parameters
        ----------
        count : int
            How many are waited for.

        Raises
        ------
        HeatmapsError
            If a worker cannot take part.
        """
        self.look()
        while len(known := list(self._known())) < count:
            time.sleep(_WAIT_S)
            self.look()
        return min((facts for _, facts in known), key=lambda one: not one.gpus)

    def look(self) -> list[Worker]:
        """Look for workers that came or went, and return those that are gone.

        Raises
        ------
        HeatmapsError
            If the scheduler is lost, or a worker cannot take part.
        """
        try:
            there = set(self.client.nthreads())
        except (OSError, ValueError, RuntimeError) as error:
            raise WorkersError(
                "the Dask scheduler is lost; finished slides are kept, and the same command goes "
                "on from here"
            ) from error
        gone = [self._workers.pop(address) for address in {*self._workers} - there]
        for address in sorted(there - {*self._workers}):
            device, precision, places = self._asked
            future = self.client.submit(
                describe, device, precision, places, is_ours=self._is_ours,
                workers=[address], allow_other_workers=False, pure=False,
            )  # fmt: skip
            self._workers[address] = Worker(address, future)
        for worker in self._workers.values():
            self._listen(worker)
        self._share_devices()
        self._warn_of_waiting()
        return gone

    def idle(self, *, makes: bool) -> list[Worker]:
        """Return the workers that wait for slides.

        Parameters
        ----------
        makes : bool
            Whether they are to make maps.
        """
        return [
            worker
            for worker in self._workers.values()
            if worker.facts is not None
            and not (worker.is_busy or worker.is_given_up)
            and (worker.device is not None or not makes)
        ]

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self._workers)

    def forget_work(self) -> None:
        """Note that no worker is at work."""
        for worker in self._workers.values():
            worker.is_busy = False

    def _listen(self, worker: Worker) -> None:
        """Take the facts of a worker, once it has described itself."""
        if worker.facts is not None or not worker.future.done():
            return
        if worker.future.status == "finished":
            worker.facts = Facts(**worker.future.result())
            return
        if worker.is_given_up or worker.future.status != "error":
            return
        error = worker.future.exception()
        if isinstance(error, ModuleNotFoundError):
            error = WorkersError(
                f"the worker at {worker.address} lacks {error.name}; workers need the same "
                "installation as this machine"
            )
        if not any(self._known()):
            raise error
        # The others go on without it.
        worker.is_given_up = True
        logger.warning("%s; it takes no part", error)

    def _share_devices(self) -> None:
        """Give each GPU to one worker; where there are none, all compute on processors."""
        device, known = self._asked[0], list(self._known())
        has_gpus = any(facts.gpus for _, facts in known)
        for worker, facts in known:
            if worker.device is not None:
                continue
            if device not in ("auto", "cuda") or not has_gpus:
                worker.device = "cpu" if device == "auto" else device
                continue
            taken = {one.gpu for one in self._workers.values()}
            free = ((gpu, name) for gpu, name in facts.gpus if gpu not in taken)
            worker.gpu, worker.device = next(free, (None, None))

    def _known(self) -> Iterator[tuple[Worker, Facts]]:
        """Yield the workers whose facts are known."""
        for worker in self._workers.values():
            if worker.facts is not None:
                yield worker, worker.facts

    def _warn_of_waiting(self) -> None:
        """Warn once that no worker is there."""
        if self._workers:
            self._since = time.monotonic()
        elif not self._has_warned and time.monotonic() - self._since > _PATIENCE_S:
            self._has_warned = True
            logger.warning("no worker is there at the moment; the run goes on when one is")
