"""The limits of a run's resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.run.staged import ScratchPlace

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.run.file_settings import KeepPixels


@dataclass(frozen=True)
class Resources:
    """Limits of a run's resources; they change no value.

    Attributes
    ----------
    block_px : int or None
        Longest side of the network's blocks in network pixels; None: as memory allows.
    max_memory : float or None
        Upper limit in GiB.
    threads : int or None
        Threads that read slides; None: by the devices (see `reading_threads`).
    cache : Path
        Folder of the data that were read and computed.
    keep_pixels : "always", "until-drawn" or "never"
        How long the cache keeps a slide's pixels; never: not even from ``maps`` to ``draw``.
    scratch : ScratchPlace
        Where slides at URLs lie while they are at work.
    """

    block_px: int | None
    max_memory: float | None
    threads: int | None
    cache: Path
    keep_pixels: KeepPixels = "always"
    scratch: ScratchPlace = ScratchPlace()
