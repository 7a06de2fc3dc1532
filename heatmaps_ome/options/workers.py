"""Options on the processes that share a run's slides: their words, types and bounds, once.

Annotations are evaluated here (no ``from __future__ import annotations``): see `create`.
"""

import re
from dataclasses import fields
from typing import Any, Final

from heatmaps_ome.options.contradictions import given
from heatmaps_ome.options.fields import create_option, flag_of

RETRIES: Final = 2
"""Processes that a slide may end before it is given up, beside the first."""
_SECONDS: Final = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION: Final = r"(\d{1,7}(?:\.\d{1,3})?)\s?(s|min|h|d|)"
_PLACES: Final = ("workers", "scheduler", "cluster")

_WORKERS: Final[dict[str, dict[str, Any]]] = {
    "workers": {
        "help_": "processes that share the slides, on this machine or, with --cluster, in its "
        "jobs; results are the same as without",
        "between": (1, 10_000), "type": int, "metavar": "N",
        "contradicts": {"scheduler": "which has workers of its own"},
    },
    "scheduler": {
        "help_": "address of a running Dask scheduler whose workers share the slides, or the file "
        "that it wrote with --scheduler-file",
        "type": str, "metavar": "ADDRESS",
        "contradicts": {"cluster": "which starts a scheduler of its own"},
    },
    "cluster": {
        "help_": "submit workers as jobs to a queue: a small YAML file (system: slurm, jobs: 8, "
        "cores, memory, …), or slurm, pbs, lsf, sge, htcondor, oar or moab alone, as Dask's own "
        "configuration describes it, with --workers",
        "type": str, "metavar": "FILE",
    },
    "retries": {
        "help_": "how often a slide is tried again whose worker died, before it is given up "
        f"(default: {RETRIES})",
        "between": (0, 100), "type": int, "metavar": "N",
    },
    "slide_timeout": {
        "help_": "longest time for a slide, such as 90s, 30min or 2h; a slide beyond it fails, "
        "and its worker is started anew",
        "form": (_DURATION, "a number of s, min, h or d, such as 90s, 30min or 2h"),
        "type": str, "metavar": "TIME",
    },
}  # fmt: skip


def worker_option(name: str) -> Any:
    """Return the field of an option on workers."""
    return create_option("jobs", effect="none", **_WORKERS[name])


def seconds_of(text: str) -> float:
    """Return a duration in seconds.

    >>> seconds_of("90"), seconds_of("1.5 h")
    (90.0, 5400.0)
    """
    match = re.fullmatch(_DURATION, text)
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    return float(match[1]) * _SECONDS[match[2]]


def require_workers(options: Any) -> None:
    """Refuse options on workers where there are none.

    Raises
    ------
    ValueError
        If there are any.
    """
    by_name = {entry.name: entry for entry in fields(options)}
    if place := next((by_name[name] for name in _PLACES if given(options, name)), None):
        if getattr(options, "devices", None) is not None:
            raise ValueError(
                f"--devices contradicts {flag_of(place)}, whose workers have a GPU each; leave out "
                "either of them"
            )
        if options.slide_timeout is not None and seconds_of(options.slide_timeout) < 1:
            raise ValueError(f"--slide-timeout is {options.slide_timeout}; give a second or more")
        return
    for name in ("retries", "slide_timeout"):
        if given(options, name):
            raise ValueError(
                f"{flag_of(by_name[name])} needs --workers, --scheduler or --cluster, as only a "
                "process of its own can be ended; --workers 1 will do"
            )
