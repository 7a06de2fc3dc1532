"""Opens what shares out a run's slides: workers here, a scheduler that runs, jobs in a queue."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError, WorkersError
from heatmaps_ome.memory.limits import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.run.cluster.request import Workers

_CONNECT_S = 5
SETTINGS = {
    # Time that a worker has to come back once its process has died: on a busy machine, a process
    # needs longer than Dask's usual 15 s to start.
    "distributed.deploy.lost-worker-timeout": "600 s",
    # Dask has all freed memory given back at once, which takes as much time as the work itself.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
_ENOUGH = ("python", "distributed", "dask")
"""Packages whose versions must be the same everywhere, or messages may not be understood."""


@contextmanager
def opened(workers: Workers, output: Path) -> Iterator[Any]:
    """Open a client of a cluster, and end all that was started for it.

    Parameters
    ----------
    output : Path
        The output folder, which all workers have.

    Yields
    ------
    distributed.Client

    Raises
    ------
    OptionError
        If Dask is not installed, or a file that describes jobs is wrong.
    WorkersError
        If the cluster cannot be had.
    """
    _require_dask(workers)
    import dask.config

    with ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        stack.enter_context(_quiet())
        stack.enter_context(_ended_by_sigterm())
        if workers.scheduler is not None:
            yield stack.enter_context(_connected(workers.scheduler))
            return
        if workers.cluster is None:
            cluster = stack.enter_context(_local(workers.count or 1))
        else:
            cluster = stack.enter_context(_queued(workers.cluster, workers.count, output))
        yield stack.enter_context(_client_of(cluster))


def _require_dask(workers: Workers) -> None:
    """Refuse to go on without the libraries."""
    try:
        import distributed  # noqa: F401

        if workers.cluster is not None:
            from heatmaps_ome.run.cluster.queue_file import jobqueue

            jobqueue()
    except ModuleNotFoundError as error:
        flag = "--scheduler" if workers.scheduler else "--cluster" if workers.cluster else None
        raise OptionError(
            f"{flag or '--workers'} needs {error.name}, which is not installed: pip install "
            "'heatmaps-ome[cluster]'"
        ) from error


@contextmanager
def _local(count: int) -> Iterator[Any]:
    """Start workers on this machine, each with its share of the cores.

    They talk to one another encrypted: another user of the machine could have them run anything
    otherwise.
    """
    from distributed import LocalCluster

    # Semaphores of workers that died are no news to the user.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    with LocalCluster(
        n_workers=count,
        threads_per_worker=max(1, usable_cores() // count),
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
        security=True,
    ) as cluster:
        yield cluster


@contextmanager
def _queued(text: str, count: int | None, output: Path) -> Iterator[Any]:
    """Submit jobs to a queue, and again where they end before the run; cancel them in the end.

    The keys by which jobs and run trust one another lie in the output folder, unless the file has
    another ``shared_temp_directory``.
    """
    from heatmaps_ome.run.cluster.queue_file import queue_of

    queue = queue_of(text)
    if queue.jobs is None and count is None:
        raise OptionError(
            f"--cluster {text}: how many workers? Give their number with --workers, or jobs: in a "
            "file"
        )
    with queue.cluster(output) as cluster:
        if count is None:
            cluster.adapt(minimum_jobs=queue.jobs, maximum_jobs=queue.jobs)
        else:
            cluster.adapt(minimum=count, maximum=count)
        yield cluster


@contextmanager
def _client_of(cluster: Any) -> Iterator[Any]:
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        yield client


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a scheduler that runs."""
    from distributed import Client

    is_file = Path(address).is_file()
    try:
        client = Client(
            None if is_file else address,
            scheduler_file=address if is_file else None,
            timeout=_CONNECT_S,
            set_as_default=False,
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkersError(
            f"--scheduler: there is no Dask scheduler at {address} that answers within "
            f"{_CONNECT_S} s; give its address, such as tcp://host:8786, or the file that dask "
            "scheduler --scheduler-file wrote"
        ) from error
    with client:
        _require_same_versions(client, address)
        yield client


def _require_same_versions(client: Any, address: str) -> None:
    """Refuse a scheduler of other versions."""
    versions = client.get_versions()
    own, theirs = _versions(versions["client"]), _versions(versions["scheduler"])
    for package in _ENOUGH:
        if own[package] != theirs[package]:
            raise WorkersError(
                f"--scheduler: {address} has {package} {theirs[package]}, and here it is "
                f"{own[package]}; use the same versions of Python and Dask everywhere"
            )


def _versions(described: dict[str, Any]) -> dict[str, str]:
    """Return versions by package; of Python, what changes with none of its repairs."""
    versions = {name: str(described["packages"].get(name)) for name in _ENOUGH}
    versions["python"] = ".".join(versions["python"].split(".")[:2])
    return versions


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own messages away: all that matters is in ours."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(distributed|dask_jobqueue|tornado)\b")
            warnings.filterwarnings("ignore", message=".*(distributed|bokeh|Mismatched versions)")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end what was started, too; only the main thread may ask for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        with suppress(TypeError):  # a handler that was not set from Python
            signal.signal(signal.SIGTERM, before)


def dashboard(client: Any) -> str | None:
    """Return the address of Dask's dashboard; None if there is none."""
    versions = client.get_versions(packages=["bokeh"])
    if versions["scheduler"]["packages"].get("bokeh") is None:
        return None
    return client.dashboard_link
