"""Plans the tiles of a slide's picture: all of them where it is coarse, over the tissue where fine.

Tiles of a level are counted in rows and columns from the slide's corner. A level of a picture is
half the size of the one before, rounded up, so that a pixel of level k covers exactly 2^k pixels of
the finest one, a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.geometry import Grid, Shape, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_PX: Final = 512
"""Side of a tile: a large slide has some ten thousand, which Windows copies in a minute."""
WHOLE_PX: Final = 4096
"""Longest side of the levels that have all their tiles."""
MARGIN_UM: Final = 150.0
"""Tissue is cut by cells, and its surroundings are wanted too."""


@dataclass(frozen=True, eq=False)
class TilePlan:
    """The tiles of a picture.

    Attributes
    ----------
    lattice : Grid
        Pixels of the finest level, anchored at the slide's corner.
    masks : tuple of (rows, cols) bool
        Whether each tile of a level is made, finest level first. A tile is made if one of the four
        under it is.
    """

    lattice: Grid
    masks: tuple[np.ndarray, ...]

    @property
    def um_px(self) -> float:
        """Width of the finest pixel in µm."""
        return self.lattice.um_cell.x

    @cached_property
    def count(self) -> int:
        """Number of tiles that are made."""
        return sum(int(mask.sum()) for mask in self.masks)

    def window(self, level: int, row: int, col: int) -> Window:
        """Return the pixels of a tile on its level."""
        tile = Window(row * TILE_PX, col * TILE_PX, TILE_PX, TILE_PX)
        return tile.common(Window(0, 0, *self.lattice.shape.halved(level)))

    def children(self, level: int, row: int, col: int) -> list[tuple[int, int]]:
        """Return the tiles of the finer level under a tile, whether or not they are made."""
        rows, cols = self.masks[level - 1].shape
        return [
            (child_row, child_col)
            for child_row in range(2 * row, min(2 * row + 2, rows))
            for child_col in range(2 * col, min(2 * col + 2, cols))
        ]

    def has_finer(self, level: int, row: int, col: int) -> bool:
        """Return whether any tile under a tile is made."""
        return level > 0 and any(
            self.masks[level - 1][place] for place in self.children(level, row, col)
        )

    def tiles(self, level: int) -> Iterator[tuple[int, int]]:
        """Yield the tiles of a level that are made, row by row."""
        yield from zip(*(places.tolist() for places in np.nonzero(self.masks[level])), strict=True)

    def area_px(self, level: int) -> int:
        """Return the number of pixels in all tiles of a level that are made."""
        return sum(self.window(level, row, col).area for row, col in self.tiles(level))

    def without(self, levels: int) -> TilePlan:
        """Return the plan of a coarser picture: the same without its finest levels."""
        return TilePlan(self.lattice.downsampled(levels), self.masks[levels:])


def plan_tiles(lattice: Grid, grid: Grid, tissue: np.ndarray) -> TilePlan:
    """Return the tiles to make of a slide's picture.

    Parameters
    ----------
    lattice : Grid
        The finest pixels, anchored at the slide's corner.
    grid : Grid
        The cells of the maps.
    tissue : (rows, cols) bool
        The cells with tissue; the picture is finest at them and around them.
    """
    masks = [_touched(lattice, grid, tissue)]
    while masks[-1].size > 1:
        masks.append(_halved(masks[-1]))
    for level, mask in enumerate(masks):
        if max(lattice.shape.halved(level)) <= WHOLE_PX:
            mask[...] = True
    return TilePlan(lattice, tuple(masks))


def _touched(lattice: Grid, grid: Grid, tissue: np.ndarray) -> np.ndarray:
    """Return whether tissue or its margin reaches into each tile of the finest level."""
    rows, cols = (-(-length // TILE_PX) for length in lattice.shape)
    tile = lattice.l0_cell.times(TILE_PX)
    at_row, at_col = np.nonzero(tissue)
    tops, bottoms = _span(at_row, grid, lattice, tile.y, rows, axis=0)
    lefts, rights = _span(at_col, grid, lattice, tile.x, cols, axis=1)
    # A cell adds one at its first tile and takes it away beyond its last: sums count the cells.
    edges = np.zeros((rows + 1, cols + 1), np.int64)
    for sign, row, col in ((1, tops, lefts), (-1, tops, rights), (-1, bottoms, lefts),
                           (1, bottoms, rights)):  # fmt: skip
        np.add.at(edges, (row, col), sign)
    return edges.cumsum(axis=0).cumsum(axis=1)[:rows, :cols] > 0


def _span(
    index: np.ndarray, grid: Grid, lattice: Grid, tile: float, count: int, *, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first tile that each cell with its margin touches along an axis, and the end."""
    margin = MARGIN_UM / lattice.mpp[axis]
    first = grid.l0_origin[axis] + index * grid.l0_cell[axis]
    start = np.floor((first - margin) / tile).astype(int)
    stop = np.ceil((first + grid.l0_cell[axis] + margin) / tile).astype(int)
    return np.clip(start, 0, count), np.clip(stop, 0, count)


def _halved(mask: np.ndarray) -> np.ndarray:
    """Return which tiles of the next level have a tile that is made under them."""
    shape = Shape(*mask.shape).halved()
    padded = np.zeros((2 * shape.rows, 2 * shape.cols), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.any(padded.reshape(shape.rows, 2, shape.cols, 2), axis=(1, 3))
