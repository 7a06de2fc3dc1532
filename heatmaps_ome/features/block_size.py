"""How large the network's blocks may be: larger ones waste less on halos, and take more memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import psutil
import torch

from heatmaps_ome.errors import OptionError

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import Extractor

_GIB: Final = 2**30
_USUAL_BYTES: Final = 2 * _GIB
"""For the network on a machine with enough memory."""
_REST_BYTES: Final = 384 * 2**20
"""For all but the network's pass and what is in memory before it: pixels that wait, features that
are pooled, files that are written."""
_STEP_CELLS: Final = 8
"""Sizes are multiples of this, so that runs with about the same memory share a cache."""
_MOST_CELLS: Final = 40
"""A fifth larger would spare a thirtieth of the network's time for a third more of its memory, and
a small slide, whose tissue fills no block, would take that much less than a large one."""


def block_px(
    extractor: Extractor, device: str, wanted: int | None = None, max_memory: float | None = None
) -> int:
    """Return the longest side of a block's core in network pixels.

    Parameters
    ----------
    device : str
        The torch device that the extractor is on.
    wanted : int or None
        The side asked for, which is taken; None: as large as memory allows.
    max_memory : float or None
        GiB that the process may take at most.

    Raises
    ------
    OptionError
        If ``--max-memory`` is too little for any block.
    ExtractorError
        If the network cannot be built, whose own memory counts under ``--max-memory``.
    """
    if wanted is not None:
        return wanted
    if max_memory is not None:
        extractor.prepare()
    free = _free_bytes(max_memory, device)
    cells = _cells(free, extractor)
    if cells < 1 and max_memory is not None:
        least = max_memory * _GIB - free + _needed_bytes(_STEP_CELLS, extractor)
        raise OptionError(
            f"--max-memory {max_memory:g} is too little: the extractor {extractor.name} "
            f"needs {math.ceil(10 * least / _GIB) / 10:g} GiB at least"
        )
    return max(1, cells) * extractor.stride_px


def _free_bytes(max_memory: float | None, device: str) -> float:
    """Return the memory that the network's pass may take."""
    if torch.device(device).type == "cuda":
        # Its own memory, of which other programs may want some too.
        return torch.cuda.mem_get_info(torch.device(device))[0] / 2
    if max_memory is not None:
        return max_memory * _GIB - psutil.Process().memory_info().rss - _REST_BYTES
    return min(_USUAL_BYTES, psutil.virtual_memory().available / 2)


def _cells(free: float, extractor: Extractor) -> int:
    """Return the side of the largest block, in cells, that fits into so many bytes; 0: none."""
    fitting = range(_MOST_CELLS, 0, -_STEP_CELLS)
    return next((n for n in fitting if _needed_bytes(n, extractor) <= free), 0)


def _needed_bytes(cells: int, extractor: Extractor) -> float:
    """Return what the network's pass over a block with its halo takes."""
    side = cells * extractor.stride_px + 2 * extractor.halo_px
    return side * side * extractor.bytes_per_px
