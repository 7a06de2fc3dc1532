"""What goes through the network at once: blocks of a size, or a number of tiles.

Larger blocks waste less on halos, more tiles keep the device busier; both take more memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import psutil
import torch

from heatmaps_ome.errors import OptionError
from heatmaps_ome.memory.limits import available_memory

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import Extractor, TileEncoder

_GIB: Final = 2**30
_USUAL_BYTES: Final = 2 * _GIB
"""Memory for the network on a machine with enough of it."""
_REST_BYTES: Final = 384 * 2**20
"""Memory for the rest of a run beside the network's pass: pixels that wait, features being pooled,
files being written."""
_STEP_CELLS: Final = 8
"""Sizes are multiples of this, so that runs with about the same memory share a cache."""
_MOST_TILES: Final = {"cpu": 64, "cuda": 256}
"""Tiles at once by the kind of device, beyond which none was faster; other devices: as a CPU."""
_MAX_CELLS: Final = 40
"""Blocks a fifth larger would save a thirtieth of the network's time for a third more of its
memory; a small slide, whose tissue fills no block, would then take that much less than a large one.
"""


def block_px(
    extractor: Extractor, device: str, wanted: int | None = None, max_memory: float | None = None
) -> int:
    """Return the longest side of a block's core in network pixels.

    Parameters
    ----------
    device : str
        The torch device that the extractor is on.
    wanted : int or None
        The requested side, used as it is; None: as large as memory allows.
    max_memory : float or None
        GiB that the process may take at most.

    Raises
    ------
    OptionError
        If ``--max-memory`` is too little for any block.
    ExtractorError
        If the network cannot be built; it is built to count its own memory under
        ``--max-memory``.
    """
    if wanted is not None:
        return wanted
    if max_memory is not None:
        extractor.prepare()
    free = _free_bytes(max_memory, device)
    cells = _cells(free, extractor)
    if cells < 1 and max_memory is not None:
        raise _too_little(max_memory, free, _needed_bytes(_STEP_CELLS, extractor), extractor)
    return max(1, cells) * extractor.stride_px


def tiles_at_once(
    encoder: TileEncoder, side_px: int, device: str, max_memory: float | None = None
) -> int:
    """Return the number of tiles that go through the network at once.

    Parameters
    ----------
    side_px : int
        Side of a tile in network pixels.
    device : str
        The torch device that the encoder is on.
    max_memory : float or None
        GiB that the process may take at most.

    Raises
    ------
    OptionError
        If ``--max-memory`` is too little for any tile.
    ExtractorError
        If the network cannot be built; it is built to count its own memory under
        ``--max-memory``.
    """
    if max_memory is not None:
        encoder.prepare()
    free, needed = _free_bytes(max_memory, device), encoder.tile_bytes(side_px)
    if free < needed and max_memory is not None:
        raise _too_little(max_memory, free, needed, encoder)
    kind = torch.device(device).type
    return max(1, min(int(free // needed), _MOST_TILES.get(kind, _MOST_TILES["cpu"])))


def _too_little(max_memory: float, free: float, needed: float, encoder: TileEncoder) -> OptionError:
    """Return the error of a limit that leaves too little memory for a pass of the network."""
    least = math.ceil(10 * (max_memory * _GIB - free + needed) / _GIB) / 10
    return OptionError(
        f"--max-memory {max_memory:g} is too little: the extractor {encoder.name} needs "
        f"{least:g} GiB at least"
    )


def _free_bytes(max_memory: float | None, device: str) -> float:
    """Return the memory that the network's pass may take."""
    if torch.device(device).type == "cuda":
        # The GPU's own memory; other programs may need some of it too.
        return torch.cuda.mem_get_info(torch.device(device))[0] / 2
    if max_memory is not None:
        return max_memory * _GIB - psutil.Process().memory_info().rss - _REST_BYTES
    return min(_USUAL_BYTES, available_memory() / 2)


def _cells(free: float, extractor: Extractor) -> int:
    """Return the side, in cells, of the largest block that fits into ``free`` bytes; 0: none."""
    fitting = range(_MAX_CELLS, 0, -_STEP_CELLS)
    return next((n for n in fitting if _needed_bytes(n, extractor) <= free), 0)


def _needed_bytes(cells: int, extractor: Extractor) -> float:
    """Return the bytes that the network's pass over a block with its halo takes."""
    side = cells * extractor.stride_px + 2 * extractor.halo_px
    return side * side * extractor.bytes_per_px
