"""One job in a process of its own: seconds of its work, seconds of processor, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """What a job took.

    Attributes
    ----------
    wall_s, cpu_s : float
        Of the work itself, without the start of Python and its imports; all threads counted.
    rss_mib : float
        The most memory that the whole process had at a time.
    """

    wall_s: float
    cpu_s: float
    rss_mib: float


class JobError(RuntimeError):
    """A job ended without its figures."""


def measured(job: str, *words: str) -> Figures:
    """Run a job of ``benchmarks.jobs`` and return what it took.

    Raises
    ------
    JobError
        If it fails.
    """
    command = [sys.executable, "-m", "benchmarks.jobs", job, *words]
    # The reference doesn't ask for huge pages, and takes a quarter less time if it gets them.
    own = {"THP_MEM_ALLOC_ENABLE": "0"} if job == "reference" else {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **own}
    ) as process:
        said = process.stdout.read() if process.stdout is not None else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not said.strip():
        raise JobError(f"{job} {' '.join(words)} ended with {process.returncode}")
    told = json.loads(said.splitlines()[-1])
    return Figures(told["wall_s"], told["cpu_s"], usage.ru_maxrss / 1024)
