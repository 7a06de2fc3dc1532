"""Finer, overlapping tiles around some of a slide's tiles: of the same side, closer together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.features.tile_lattice import TileLattice, TileSize, TissueTiles
    from heatmaps_ome.geometry import Window

PARTS: Final = 4
"""Finer tiles along the side of a tile."""


def finer_size(size: TileSize) -> TileSize:
    """Return the size of finer tiles, a quarter of their side apart.

    >>> from heatmaps_ome.features.tile_lattice import TileSize
    >>> finer_size(TileSize(224, 200, 0.5))
    TileSize(side_px=224, stride_px=56.0, target_mpp=0.5)
    """
    return replace(size, stride_px=size.side_px / PARTS)


class FinerTiles:
    """The tiles on tissue whose centres lie on some tiles, but for those that exist already.

    Parameters
    ----------
    lattice : TileLattice
        Of the finer tiles.
    tissue : TissueTiles
        Those of the lattice on tissue.
    corners : (n, 2) int64
        First row and column, in network pixels, of all the tiles that exist.
    around : (m,) int64
        Those of them that finer ones are put on.
    """

    def __init__(
        self, lattice: TileLattice, tissue: TissueTiles, corners: np.ndarray, around: np.ndarray
    ) -> None:
        self._tissue = tissue
        rows, cols = lattice.all_starts
        self._wanted = np.zeros(lattice.shape, bool)
        half = lattice.size.side_px / 2
        for corner in corners[around]:
            # A tile's centre lies half a side from its corner.
            across = [
                slice(*np.searchsorted(starts, [first - half, first + half]))
                for starts, first in zip((rows, cols), corner, strict=True)
            ]
            self._wanted[tuple(across)] = True
        steps = np.stack(
            [
                np.minimum(np.searchsorted(starts, corners[:, axis]), len(starts) - 1)
                for axis, starts in enumerate((rows, cols))
            ],
            axis=1,
        )
        there = steps[(lattice.corners(steps) == corners).all(axis=1)]
        self._wanted[there[:, 0], there[:, 1]] = False

    def chosen(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield each block's rows and columns of the lattice, and which of its tiles count."""
        for cells, on_tissue in self._tissue.chosen():
            yield cells, on_tissue & self._wanted[cells.slices]
