"""The slides of a run as files, also those at URLs: one scratch for all runs of this process."""

from __future__ import annotations

import atexit
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.options.units import size_in_bytes
from heatmaps_ome.slides.staging import Staging
from heatmaps_ome.slides.stamps import entry_of, stamp_of
from heatmaps_ome.storage.last_run import Runs
from heatmaps_ome.storage.remote.client import remote_client
from heatmaps_ome.storage.remote.scratch import Scratch
from heatmaps_ome.storage.remote.urls import url_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.slides.stamps import Stamp


@dataclass(frozen=True)
class ScratchPlace:
    """Where slides at URLs lie while they are at work.

    Attributes
    ----------
    folder : Path or None
        None: the system's folder for temporary files.
    size : int or None
        Bytes that they may take; None: half of what is free there.
    """

    folder: Path | None = None
    size: int | None = None

    @classmethod
    def of(cls, folder: Path | None, size: str | None) -> ScratchPlace:
        """Return the place that options name."""
        return cls(folder, None if size is None else size_in_bytes(size))

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(tempfile.gettempdir()) if self.folder is None else self.folder


_lock = threading.Lock()
_stagings: dict[ScratchPlace, Staging] = {}


def staging_in(place: ScratchPlace) -> Staging:
    """Return what gives slides as files; nothing is written before the first URL."""
    with _lock:
        if place not in _stagings:
            _stagings[place] = Staging(remote_client(), lambda: Scratch(place.path, place.size))
        return _stagings[place]


@contextmanager
def staged(row: SlideRow, place: ScratchPlace) -> Iterator[Path]:
    """Yield the path of a slide's file, which stays there until the end of the block."""
    staging = staging_in(place)
    if row.url:
        staging.remember(row.url)
    with staging.local(row.path) as path:
        yield path


def stage_ahead(row: SlideRow, place: ScratchPlace) -> None:
    """Begin to download a slide at a URL, which is needed next."""
    staging = staging_in(place)
    if row.url:
        staging.remember(row.url)
    staging.ahead(row.path)


def following(rows: Sequence[SlideRow]) -> dict[Path, SlideRow]:
    """Return the row behind each slide's, by its path."""
    return {row.path: behind for row, behind in pairwise(rows)}


def stamp_at(row: SlideRow, place: ScratchPlace, others: Iterable[Path] = ()) -> Stamp | None:
    """Return the stamp of a slide: what its disk or server states of it and of other files.

    None if one of them is not there; a slide at a URL is not downloaded for it.
    """
    if url_of(row.path) is None:
        return stamp_of(row.path, others)
    staging = staging_in(place)
    if row.url:
        staging.remember(row.url)
    slide = staging.slide(row.path)
    try:
        return [*slide.stamp(), *map(entry_of, others)]
    except OSError:
        return None


@contextmanager
def scratch_in_use() -> Iterator[None]:
    """Keep slides in scratch until the end of the last run that is at work in this process."""
    with _runs.one():
        yield


@atexit.register
def close_scratch() -> None:
    """Remove all slides from scratch."""
    with _lock:
        stagings = list(_stagings.values())
        _stagings.clear()
    for staging in stagings:
        staging.close()


_runs = Runs(close_scratch)
