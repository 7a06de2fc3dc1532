"""Run a job in its own process and measure its wall time, processor time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """The time and memory that a job took.

    Attributes
    ----------
    wall_s, cpu_s : float
        Seconds of the work itself, without the start of Python and imports; cpu_s counts all
        threads.
    rss_mib : float
        Peak memory of the whole process.
    """

    wall_s: float
    cpu_s: float
    rss_mib: float


class JobError(RuntimeError):
    """A job ended without printing its figures."""


def measured(job: str, *words: str) -> Figures:
    """Run a job of ``benchmarks.jobs`` and return its figures.

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
        output = process.stdout.read() if process.stdout is not None else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not output.strip():
        raise JobError(f"{job} {' '.join(words)} ended with {process.returncode}")
    figures = json.loads(output.splitlines()[-1])
    peak = figures["rss_mib"] or usage.ru_maxrss / 1024
    return Figures(figures["wall_s"], figures["cpu_s"], peak)
