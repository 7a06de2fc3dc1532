"""Tiles of a patchwork, compressed in the time that their different rows take."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.export.repeated_rows import Row, RowCompressor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.display.patchwork import Patchwork

_WORTHWHILE = 6
"""Times that a row must come, on average, for rows one by one to cost less time and space."""


class TileEncoder:
    """Encodes square tiles of RGBA.

    Parameters
    ----------
    side : int
        Of a tile in pixels: a power of 2 from 256 to 8192.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._rows = RowCompressor(4 * side)
        self._blank = self._rows.compressed(bytes(4 * side))

    @property
    def blank(self) -> bytes:
        """A tile in which nothing is."""
        return self._rows.joined([(self._blank, self._side)])

    def tiles(self, picture: Patchwork) -> Iterator[bytes | None]:
        """Yield a picture's tiles as zlib streams, row by row; None where nothing is."""
        side = self._side
        packed = picture.patches.view(np.uint32)[..., 0]
        cols = np.pad(picture.cols, (0, -len(picture.cols) % side), mode="edge").reshape(-1, side)
        known: dict[int, list[Row | None]] = {}
        for top in range(0, picture.shape.rows, side):
            runs = _runs(picture.rows[top : top + side], side)
            if len(runs) * _WORTHWHILE > side:
                yield from _compressed_whole(packed, runs, cols)
                continue
            # Only the row of patches that the tiles above end with can come again.
            known = {
                row: known.get(row) or self._compressed_row(packed[row][cols]) for row, _ in runs
            }
            for col in range(len(cols)):
                parts = [(known[row][col], times) for row, times in runs]
                if any(part is not None for part, _ in parts):
                    yield self._rows.joined((part or self._blank, times) for part, times in parts)
                else:
                    yield None

    def _compressed_row(self, line: np.ndarray) -> list[Row | None]:
        """Return a row of pixels compressed for each tile across; None where nothing is.

        Parameters
        ----------
        line : (tiles, side) uint32
            RGBA, packed.
        """
        shows = line.max(axis=1) > 0
        return [
            self._rows.compressed(part.data.cast("B")) if seen else None
            for part, seen in zip(line, shows, strict=True)
        ]


def _compressed_whole(
    packed: np.ndarray, runs: list[tuple[int, int]], cols: np.ndarray
) -> Iterator[bytes | None]:
    """Yield the tiles of a strip, each compressed as it comes; None where nothing is.

    Parameters
    ----------
    packed : (n, m) uint32
        RGBA of the patches.
    runs : list of (row of patches, times)
    cols : (tiles, side) int64
        The columns of patches that the columns of pixels show.
    """
    rows = np.repeat(*np.transpose(runs))
    for across in cols:
        pixels = packed[rows[:, None], across]
        yield zlib.compress(pixels.data) if pixels.any() else None


def _runs(index: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Return equal neighbours as (value, times); the last one fills up to a length.

    >>> _runs(np.array([4, 4, 5]), 8)
    [(4, 2), (5, 6)]
    """
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    times = np.diff(starts, append=length)
    return list(zip(index[starts].tolist(), times.tolist(), strict=True))
