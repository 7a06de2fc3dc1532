"""Regions of neighbouring tiles, which are removed from a slide at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

_SAMPLE = 2000
"""Tiles whose nearest neighbours give the distance of neighbours."""


@dataclass(frozen=True, eq=False)
class TileRegions:
    """A partition of tiles into squares of neighbours.

    Attributes
    ----------
    of_tile : (n,) int
        The region of each tile, from 0 to count − 1.
    side : int
        Neighbours along the side of a full region: k of k × k.
    """

    of_tile: np.ndarray
    side: int

    @property
    def count(self) -> int:
        """Number of regions."""
        return int(self.of_tile.max()) + 1

    @property
    def sizes(self) -> np.ndarray:
        """Number of tiles of each tile's region, (n,) int."""
        return np.bincount(self.of_tile)[self.of_tile]

    def members(self) -> list[np.ndarray]:
        """Return the indices of each region's tiles."""
        order = np.argsort(self.of_tile, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.of_tile))[:-1])


def tile_regions(l0_places: np.ndarray, limit: int) -> TileRegions:
    """Return the finest partition into squares of k × k neighbours with few enough regions.

    Tiles are sorted by their centres into squares of k times the distance of neighbours. On one
    lattice these are blocks of k × k tiles; where several lattices lie side by side, or tiles are
    anywhere, they are the tiles whose centres lie in the square.

    Parameters
    ----------
    l0_places : (n, 4) float64
        x0, y0, x1, y1 in level-0 pixels.
    limit : int
        Largest number of regions; if there are no more tiles, each is a region of its own.
    """
    n_tiles = len(l0_places)
    if n_tiles <= limit:
        return TileRegions(np.arange(n_tiles), 1)
    l0_centres = (l0_places[:, :2] + l0_places[:, 2:]) / 2
    # Rounded, so that lattices in µm, which are off by fractions of a pixel, have whole steps.
    steps = np.rint((l0_centres - l0_centres.min(axis=0)) / _l0_stride(l0_centres)).astype(np.int64)
    side = 2
    while True:
        columns, rows = (steps // side).T
        _, of_tile = np.unique(rows * (columns.max() + 1) + columns, return_inverse=True)
        if of_tile.max() < limit:
            return TileRegions(of_tile.ravel(), side)
        side += max(1, side // 8)


def _l0_stride(l0_centres: np.ndarray) -> float:
    """Return the median distance of a centre to the nearest other one, in level-0 pixels."""
    distinct = np.unique(l0_centres, axis=0)
    if len(distinct) == 1:
        return 1.0
    sample = distinct[:: -(-len(distinct) // _SAMPLE)]
    distances, _ = KDTree(distinct).query(sample, k=2)
    return float(np.median(distances[:, 1]))
