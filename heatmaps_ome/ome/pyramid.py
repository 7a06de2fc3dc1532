"""Pyramids of the slide image: the number of levels, and all levels from one pass over level 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numcodecs import Blosc
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import zarr

    from heatmaps_ome.geometry import Shape

CHUNK = 1024
"""Side of a chunk: a power of two, the same at all levels, as vizarr needs. Chunks of 512 were four
times as many files, and are opened no faster."""
BYTE_CODEC = Blosc("zstd", 1, Blosc.NOSHUFFLE)
"""Codec of pictures and labels in zarr v2; QuPath reads Blosc. Of slide pixels zstd keeps 0.43 to
0.49, LZ4 0.48 to 0.60; zstd's level 5 keeps a thirtieth less in six times the time, and shuffled
bits are no fewer, but take a browser four times as long."""
_TAKEN_FOR_CHANNELS = (3, 4)
"""Widths that viewers mistake for the channels of an interleaved image (vizarr, Viv)."""


def n_levels(shape: Shape, tile: int = CHUNK) -> int:
    """Return the number of levels, each half the size of the one before, rounded up.

    The last level is the first whose longer side fits into a tile, but there are two at least:
    BioNGFF's Vizarr draws no labels of an image with one level. A pyramid of a very slender slide
    ends before a level whose width viewers would take for colour channels.

    >>> from heatmaps_ome.geometry import Shape
    >>> n_levels(Shape(4097, 100)), n_levels(Shape(512, 512)), n_levels(Shape(8192, 12))
    (4, 2, 2)
    """
    levels = 1
    while levels == 1 or max(shape.halved(levels - 1)) > tile:
        if shape.halved(levels).cols in _TAKEN_FOR_CHANNELS or max(shape.halved(levels - 1)) == 1:
            break
        levels += 1
    return levels


def write_rgb(level: zarr.Array, row: int, strip: np.ndarray) -> None:
    """Write whole rows of a (3, rows, cols) picture, (rows, cols, 3) uint8, from ``row`` on."""
    level[:, row : row + len(strip)] = np.moveaxis(strip, 2, 0)


def rgb_strips(level: zarr.Array) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, (rows, cols, 3) uint8 strip) of a picture, a row of chunks at a time."""
    for row in range(0, level.shape[1], CHUNK):
        yield row, np.moveaxis(np.asarray(level[:, row : row + CHUNK]), 0, 2)


def halved(rgb: np.ndarray) -> np.ndarray:
    """Return an image of half the size: the mean of 2 × 2 pixels, rounded to nearest.

    Parameters
    ----------
    rgb : (rows, cols, 3) uint8
        An odd last row or column counts twice.

    Returns
    -------
    (ceil(rows / 2), ceil(cols / 2), 3) uint8
    """
    # Pillow's box mean is the same number as numpy's sum + 2 >> 2, at a quarter of the time.
    return np.asarray(Image.fromarray(rgb).reduce(2))


def levels_from_strips(
    strips: Iterable[np.ndarray], n_levels: int, strip_rows: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield all levels of a pyramid in strips, while level 0 streams by.

    Every yielded strip has ``strip_rows`` rows, except the last one of a level. At most two strips
    of level 0 are in memory.

    Parameters
    ----------
    strips : iterable of (strip_rows, cols, 3) uint8
        Level 0 from top to bottom; only the last may have fewer rows.
    strip_rows : int
        Even, so that no 2 × 2 block spans two strips.

    Yields
    ------
    level, first row, strip
    """
    stream = LevelStream(n_levels, strip_rows)
    for strip in strips:
        yield from stream.taken(strip)
    yield from stream.rest()


class LevelStream:
    """All levels of a pyramid, computed while its level 0 arrives strip by strip.

    Parameters
    ----------
    n_levels : int
    strip_rows : int
        Rows of every strip taken or yielded, except the last of a level; even, so that no 2 × 2
        block spans two strips.
    """

    def __init__(self, n_levels: int, strip_rows: int) -> None:
        if strip_rows < 2 or strip_rows % 2:
            raise ValueError(f"strips of {strip_rows} rows cannot be halved")
        self._levels = [_Level(strip_rows) for _ in range(n_levels)]

    def taken(self, strip: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Take the next strip of level 0; yield the (level, first row, strip) it completes."""
        yield from _pushed(self._levels, 0, strip)

    def rest(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the remaining (level, first row, strip) after the last strip of level 0."""
        for level, state in enumerate(self._levels):
            rest = state.rest()
            if rest is None:
                continue
            yield level, state.row, rest
            if level + 1 < len(self._levels):
                yield from _pushed(self._levels, level + 1, halved(rest))


class _Level:
    """The rows of one level that do not fill a strip yet."""

    def __init__(self, strip_rows: int) -> None:
        self.strip_rows = strip_rows
        self.row = 0
        self._pending: list[np.ndarray] = []

    def filled(self, rows: np.ndarray) -> np.ndarray | None:
        """Take rows; return a whole strip once there is one."""
        self._pending.append(rows)
        if sum(len(part) for part in self._pending) < self.strip_rows:
            return None
        return self.rest()

    def rest(self) -> np.ndarray | None:
        """Return the pending rows, or None if there are none."""
        parts, self._pending = self._pending, []
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _pushed(
    levels: list[_Level], level: int, rows: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Add rows to a level; yield the strips that this completes there and at coarser levels."""
    state = levels[level]
    strip = state.filled(rows)
    if strip is None:
        return
    yield level, state.row, strip
    state.row += len(strip)
    if level + 1 < len(levels):
        yield from _pushed(levels, level + 1, halved(strip))
