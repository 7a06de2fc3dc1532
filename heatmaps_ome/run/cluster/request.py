"""What a run asks of its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.options import ExportOptions
from heatmaps_ome.options.workers import RETRIES, seconds_of

if TYPE_CHECKING:
    from heatmaps_ome.options import CreateOptions, DrawOptions


@dataclass(frozen=True)
class Workers:
    """The processes that a run is shared between.

    Attributes
    ----------
    count : int or None
        How many there are.
    scheduler : str or None
        Address of a running scheduler, or the file that it wrote.
    cluster : str or None
        A queue's name, or the file that describes its jobs.
    retries : int
        How often a slide is tried again whose worker died.
    timeout_s : float or None
        Longest time for a slide, in s.
    """

    count: int | None = None
    scheduler: str | None = None
    cluster: str | None = None
    retries: int = RETRIES
    timeout_s: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the run is shared at all; otherwise this process does it."""
        return any(one is not None for one in (self.count, self.scheduler, self.cluster))

    @property
    def are_here(self) -> bool:
        """Whether they are processes of this machine that the run starts."""
        return self.scheduler is None and self.cluster is None


def workers_of(options: CreateOptions | DrawOptions | ExportOptions) -> Workers:
    """Return what options ask for; ``export`` has no workers."""
    if isinstance(options, ExportOptions):
        return Workers()
    timeout, retries = options.slide_timeout, options.retries
    return Workers(
        options.workers,
        options.scheduler,
        options.cluster,
        RETRIES if retries is None else retries,
        None if timeout is None else seconds_of(timeout),
    )
