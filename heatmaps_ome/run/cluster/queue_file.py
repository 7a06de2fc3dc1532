"""The small YAML file that describes the jobs of workers in a cluster's queue.

::

    system: slurm
    jobs: 8
    cores: 8
    memory: 32 GiB
    queue: gpu
    job_extra_directives: ["--gres=gpu:1"]

Beside ``system`` and ``jobs``, its keys are the keywords of dask-jobqueue's class of that system.
"""

from __future__ import annotations

import importlib
import inspect
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OptionError
from heatmaps_ome.options import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_SYSTEMS: Final = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
"""Name of a queue's system → its class in dask_jobqueue."""
_OURS: Final = frozenset({
    "self", "args", "kwargs", "base_class_kwargs", "job_kwargs", "n_workers", "job_cls", "loop",
    "silence_logs", "name", "asynchronous", "dashboard_address", "host", "scheduler_cls",
    "scheduler", "security", "protocol", "config_name", "nanny",
    # Earlier names that dask-jobqueue still takes, with warnings.
    "extra", "job_extra", "env_extra", "header_skip", "project", "worker_command",
})  # fmt: skip
"""Keywords that are not the user's to set."""
_ENVIRONMENT: Final = (
    # Dask need not look after our memory: a worker that it pauses would wait for ever.
    *(
        f"export DASK_DISTRIBUTED__WORKER__MEMORY__{name}=False"
        for name in ("TARGET", "SPILL", "PAUSE")
    ),
    # See `opening`.
    "export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON=\"{'MALLOC_TRIM_THRESHOLD_': None}\"",
)
"""Lines of a job's script before the user's own."""


@dataclass(frozen=True)
class Queue:
    """The jobs of workers in a cluster's queue.

    Attributes
    ----------
    system : str
        A key of the systems.
    jobs : int or None
    keywords : mapping
        Of dask-jobqueue's class.
    """

    system: str
    jobs: int | None
    keywords: Mapping[str, Any]

    def cluster(self, shared: Path) -> Any:
        """Return dask-jobqueue's cluster, which has no jobs yet.

        Parameters
        ----------
        shared : Path
            Folder of the keys by which jobs and run trust one another, which all of them have;
            the user's own ``shared_temp_directory`` counts more.

        Raises
        ------
        OptionError
            If it refuses its keywords, or lacks some.
        """
        import dask.config

        own = dask.config.get(f"jobqueue.{self.system}.shared-temp-directory", None)
        keywords = {"shared_temp_directory": own or str(shared.absolute()), **self.keywords}
        for name in ("cores", "memory"):
            if name not in keywords and not dask.config.get(f"jobqueue.{self.system}.{name}", None):
                raise OptionError(
                    f"--cluster {self.system}: {name} of a job is not given; give {name}: in the "
                    f"file, or jobqueue.{self.system}.{name} in Dask's configuration"
                )
        keywords["job_script_prologue"] = [
            *_ENVIRONMENT, *keywords.get("job_script_prologue", ()),
        ]  # fmt: skip
        try:
            return _class_of(self.system)(**keywords, security=True)
        except (ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0].rstrip(":")
            raise OptionError(f"--cluster {self.system}: {reason}") from error


def queue_of(text: str) -> Queue:
    """Return the jobs that ``--cluster`` describes.

    Parameters
    ----------
    text : str
        A system's name, whose jobs Dask's own configuration describes, or a YAML file.

    Raises
    ------
    OptionError
        If it is neither, or the file holds anything else.
    """
    if text.casefold() in _SYSTEMS and not Path(text).is_file():
        return Queue(text.casefold(), None, {})
    if not Path(text).is_file():
        hint = nearest(text, _SYSTEMS) or f"systems are {', '.join(_SYSTEMS)}"
        raise OptionError(f"--cluster: {text} is neither a file nor a system of queues; {hint}")
    facts = _facts(text)
    system, jobs = facts.pop("system", None), facts.pop("jobs", None)
    if system not in _SYSTEMS:
        raise OptionError(
            f"--cluster: {text} has no usable system ({system!r}); give system: and one of "
            f"{', '.join(_SYSTEMS)}"
        )
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise OptionError(f"--cluster: {text} has jobs: {jobs!r}; give a whole number from 1 on")
    known = _keywords(system)
    for key in facts:
        if key not in known:
            hint = nearest(str(key), known) or f"it takes system, jobs, {', '.join(known)}"
            raise OptionError(f"--cluster: {text} has an unknown key {key!r}; {hint}")
    return Queue(system, jobs, facts)


def _facts(path: str) -> dict[str, Any]:
    """Return what a file holds."""
    import yaml

    try:
        facts = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"--cluster: {path} cannot be read ({reason})") from error
    if not isinstance(facts, dict):
        raise OptionError(f"--cluster: {path} holds no keys; give system: slurm and jobs: 8, say")
    return facts


def jobqueue() -> ModuleType:
    """Return dask_jobqueue, with Ctrl-C as it was.

    Its import sets a handler of its own, which ends the process where others raise
    KeyboardInterrupt, and with which nothing that is half written would be removed.

    Raises
    ------
    OptionError
        If it has to be imported by another thread than the main one, which may set no handlers.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
        try:
            return importlib.import_module("dask_jobqueue")
        finally:
            # What a handler of another language was cannot be put back.
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    try:
        return importlib.import_module("dask_jobqueue")
    except ValueError as error:
        raise OptionError(
            "--cluster: dask-jobqueue can be imported by a program's main thread only; import it "
            "there, or begin the run there"
        ) from error


def _class_of(system: str) -> Any:
    return getattr(jobqueue(), _SYSTEMS[system])


def _keywords(system: str) -> list[str]:
    """Return the keywords that a file may have for a system."""
    core, cluster = jobqueue().core, _class_of(system)
    makers = (cluster.job_cls.__init__, core.Job.__init__, core.JobQueueCluster.__init__)
    names = {name for maker in makers for name in inspect.signature(maker).parameters}
    return sorted(names - _OURS)
