"""Tiles of a patchwork, compressed row of patches by row of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.export.repeated_rows import Row, RowCompressor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.export.patchwork import Patchwork


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
        across = -(-picture.shape.cols // side)
        packed = picture.patches.view(np.uint32)[..., 0]
        cols = np.pad(picture.cols, (0, across * side - len(picture.cols)), mode="edge")
        known: dict[int, list[Row | None]] = {}
        for top in range(0, picture.shape.rows, side):
            runs = _runs(picture.rows[top : top + side], side)
            # Only the row of patches that the tiles above end with can come again.
            known = {
                row: known.get(row) or self._compressed(packed[row][cols].reshape(across, side))
                for row, _ in runs
            }
            for col in range(across):
                parts = [(known[row][col], times) for row, times in runs]
                if any(part is not None for part, _ in parts):
                    yield self._rows.joined((part or self._blank, times) for part, times in parts)
                else:
                    yield None

    def _compressed(self, line: np.ndarray) -> list[Row | None]:
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


def _runs(index: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Return equal neighbours as (value, times); the last one fills up to a length.

    >>> _runs(np.array([4, 4, 5]), 8)
    [(4, 2), (5, 6)]
    """
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    times = np.diff(starts, append=length)
    return list(zip(index[starts].tolist(), times.tolist(), strict=True))
