"""What is sent to workers: the orders of a run, once for all, and batches of its slides."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.run.inputs import SlideList

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.cluster.request import Workers
    from heatmaps_ome.run.job import Job
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.planning import Replaced
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.settings import Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow

PLENTY_GIB = 4.0
"""Memory of a worker with which blocks have their usual size; only those with less are limited."""
_PACKAGE = "heatmaps_ome"


@dataclass(frozen=True)
class Making:
    """How maps are made, beside the settings.

    Attributes
    ----------
    rows : tuple of SlideRow
        Slides by which the kind of maker is known.
    job : Job
    shared : mapping
        See `Plan.shared`.
    digests : (str, str)
        Of model and extractor, which those of the workers must equal.
    """

    rows: tuple[SlideRow, ...]
    job: Job
    shared: Mapping[str, object]
    digests: tuple[str, str]


@dataclass(frozen=True)
class Orders:
    """The orders of a run, the same for all of its workers.

    Attributes
    ----------
    folder : str
        The current folder of the run, which relative paths begin at.
    marker : str
        A file that the run made, by which a worker knows that it has the same output folder.
    settings : RunSettings
        Without slides.
    look : Look
    replaced : Replaced
        Earlier results that may be replaced.
    making : Making or None
        None where the maps are there.
    memory : float or None
        GiB that one worker may take.
    timeout_s : float or None
        Longest time for a slide, in s.
    level : int
        Level of the messages that are wanted.
    """

    folder: str
    marker: str
    settings: RunSettings
    look: Look
    replaced: Replaced
    making: Making | None
    memory: float | None
    timeout_s: float | None
    level: int


@dataclass(frozen=True)
class Piece:
    """A slide of a batch.

    Attributes
    ----------
    number : int
        Of the slide in its stage.
    item : SlideRow or MadeMaps
        A slide to make maps of, or maps to draw.
    """

    number: int
    item: SlideRow | MadeMaps
    outcome: Outcome


@dataclass(frozen=True)
class Batch:
    """Slides that one worker does, one after the other.

    Attributes
    ----------
    number : int
    topic : str
        Where the worker reports.
    names : mapping of slide path → name
    taken : mapping of name in small letters → number of slides
    scaling : CohortScaling or None
        None while it is not known; slides are only made then, and drawn later.
    device : str
        torch's name of the worker's device.
    """

    number: int
    topic: str
    pieces: tuple[Piece, ...]
    names: Mapping[Path, str]
    taken: Mapping[str, int]
    scaling: CohortScaling | None
    device: str


@dataclass(frozen=True)
class Facts:
    """What is known of a worker.

    Attributes
    ----------
    host : str
    gpus : tuple of (name that no other GPU has, torch's name)
    precision : str
        The number type that its device computes in, of what was asked for.
    """

    host: str
    gpus: tuple[tuple[str, str], ...]
    precision: str


def orders_for_maps(plan: Plan, workers: Workers, marker: Path, memory: float | None) -> Orders:
    """Return the orders of a run that makes maps."""
    making = Making(
        _telling(plan.rows), plan.job, plan.shared,
        (plan.maker.model_digest, plan.maker.extractor_digest),
    )  # fmt: skip
    return _orders(plan.settings, plan.look, plan.replaced, workers, marker, memory, making)


def orders_for_files(
    settings: RunSettings, replaced: Replaced, workers: Workers, marker: Path
) -> Orders:
    """Return the orders of a run that draws maps which are there."""
    return _orders(settings, settings.drawing.look, replaced, workers, marker, None, None)


def _orders(
    settings: RunSettings,
    look: Look,
    replaced: Replaced,
    workers: Workers,
    marker: Path,
    *rest: object,
) -> Orders:
    memory, making = rest
    return Orders(
        folder=str(Path.cwd()),
        marker=str(marker),
        settings=replace(settings, slides=SlideList((), None)),
        look=look,
        replaced=replaced,
        making=making,  # pyright: ignore[reportArgumentType]
        memory=memory,  # pyright: ignore[reportArgumentType]
        timeout_s=workers.timeout_s,
        level=logging.getLogger(_PACKAGE).getEffectiveLevel(),
    )


def _telling(rows: Sequence[SlideRow]) -> tuple[SlideRow, ...]:
    """Return a slide by which the kind of maker is known: of features, of scores, or of pixels."""
    return tuple(sorted(rows, key=lambda row: (row.features is None, row.scores is None))[:1])
