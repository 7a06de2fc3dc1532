"""Read windows of a slide in a few threads, in order and with bounded memory."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from heatmaps_ome.geometry import Window
from heatmaps_ome.memory.limits import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.slides.reader import SlideReader

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")

_MOST_BESIDE_CPU: Final = 4
"""Threads beside a network on the CPU; more were no faster."""
_L0_SIDE = 4096
"""Longest side of a read, in level-0 pixels: a single-level slide is decoded at full size for a
thumbnail, so a window's own size does not bound its memory."""


def reading_threads(asked: int | None, *, cpu_computes: bool = True, slides: int = 1) -> int:
    """Return the number of threads that read a slide.

    Parameters
    ----------
    asked : int or None
        Threads for all slides together; None: one per core, but only a few if the CPU computes the
        network. torch's own threads do not compete with them, as readers sleep once they are a
        block ahead.
    slides : int
        Slides that are read at once.
    """
    cores = usable_cores()
    usual = min(_MOST_BESIDE_CPU, cores) if cpu_computes else cores
    return -(-(usual if asked is None else asked) // slides)


def read_in_order(
    slide: SlideReader, lattice: Grid, windows: Iterable[Window], threads: int
) -> Generator[tuple[Window, np.ndarray]]:
    """Yield each window with its (rows, cols, 3) uint8 pixels, reading a few ahead."""
    yield from in_order(lambda window: slide.read(lattice, window), windows, threads)


def in_order(
    read: Callable[[_Item], _Read], items: Iterable[_Item], threads: int
) -> Generator[tuple[_Item, _Read]]:
    """Yield each item with its result, computing a few ahead in threads."""
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        ahead = deque((item, pool.submit(read, item)) for item in islice(remaining, threads + 1))
        try:
            while ahead:
                item, future = ahead.popleft()
                yield item, future.result()
                ahead.extend((item, pool.submit(read, item)) for item in islice(remaining, 1))
        finally:
            # After a failure the reads that have not begun are not needed.
            pool.shutdown(cancel_futures=True)


def read_strips(
    slide: SlideReader, lattice: Grid, strip_rows: int, threads: int
) -> Iterator[np.ndarray]:
    """Yield a slide on a lattice from top to bottom, (at most strip_rows, cols, 3) uint8."""
    strip = np.empty((0, 0, 3), np.uint8)
    windows = _windows(lattice, strip_rows)
    for window, pixels in read_in_order(slide, lattice, windows, threads):
        top = window.row % strip_rows
        if top == 0 and window.col == 0:
            rows = min(strip_rows, lattice.shape.rows - window.row)
            strip = np.empty((rows, lattice.shape.cols, 3), np.uint8)
        strip[top : top + window.rows, window.col : window.col_stop] = pixels
        if top + window.rows == len(strip) and window.col_stop == lattice.shape.cols:
            yield strip


def _windows(lattice: Grid, strip_rows: int) -> Iterator[Window]:
    """Yield windows that tile a lattice row by row, none across two strips."""
    shape = lattice.shape
    max_rows = max(1, math.floor(_L0_SIDE / lattice.l0_cell.y))
    max_cols = max(1, math.floor(_L0_SIDE / lattice.l0_cell.x))
    for strip in range(0, shape.rows, strip_rows):
        stop = min(strip + strip_rows, shape.rows)
        for row in range(strip, stop, max_rows):
            for col in range(0, shape.cols, max_cols):
                rows, cols = min(max_rows, stop - row), min(max_cols, shape.cols - col)
                yield Window(row, col, rows, cols)
