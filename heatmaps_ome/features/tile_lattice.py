"""The tiles of a slide at any side and stride, those that lie on tissue, and blocks of them.

Tiles lie row by row from the slide's corner. One counts if at least half of it is tissue; if a
slide has no such tile, every tile with any tissue counts. The part of a tile that lies beyond the
slide is no tissue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels, tiles_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.slides.reader import SlideReader

CELL_PX: Final = 32
"""Side in network pixels of the cells that are tissue or not."""
_BLOCK_PX: Final = 2048
"""Longest side of the pixels that are read at once, unless a tile is longer."""
_MOST_ALONG: Final = 16
"""Tiles along a block at most, however they overlap: their features are kept together."""
_NOISE: Final = 1e-6
"""Rounding errors of a share of a tile."""


@dataclass(frozen=True)
class TileSize:
    """The size of tiles and their distance.

    Attributes
    ----------
    side_px : int
        Side in network pixels.
    stride_px : float
        Distance from one tile to the next in network pixels, 1 or more; a place that is no whole
        pixel is rounded, so that tiles are cut and never resampled twice.
    target_mpp : float
        µm per network pixel.
    """

    side_px: int
    stride_px: float
    target_mpp: float

    def __post_init__(self) -> None:
        """Refuse tiles without a size."""
        if self.side_px < 1 or not self.stride_px >= 1 or not self.target_mpp > 0:
            raise ValueError(f"{self} is no size of tiles")

    @property
    def um_side(self) -> float:
        """Side in µm."""
        return self.side_px * self.target_mpp

    @property
    def block_tiles(self) -> int:
        """Tiles along the sides of a block, which is read at once."""
        reach = max(0, _BLOCK_PX - self.side_px)
        return min(_MOST_ALONG, int(reach / self.stride_px) + 1)

    @property
    def overlap_px(self) -> float:
        """Network pixels that neighbours share; negative if there is a gap between them."""
        return self.side_px - self.stride_px


@dataclass(frozen=True, eq=False)
class TileBlock:
    """Tiles that are read at once.

    Attributes
    ----------
    window : Window
        Their pixels on the slide, in network pixels.
    tiles : tuple of Window
        In network pixels, in reading order; those at the slide's edges may reach past it.
    cells : Window
        The block's rows and columns of the lattice.
    steps : (n, 2) int64
        Row and column of each of the tiles in the lattice.
    """

    window: Window
    tiles: tuple[Window, ...]
    cells: Window
    steps: np.ndarray


class TileLattice:
    """The tiles of one slide.

    Parameters
    ----------
    slide : SlideReader
        Only its size and scale are used.
    size : TileSize
    """

    def __init__(self, slide: SlideReader, size: TileSize) -> None:
        self.size = size
        self.pixels = network_pixels(slide.shape, slide.mpp, size.target_mpp)
        self._rows, self._cols = (_starts(n, size.stride_px) for n in self.pixels.shape)

    @cached_property
    def cells(self) -> Grid:
        """Where the cells that are tissue or not lie on the slide."""
        rows, cols = (-(-n // CELL_PX) for n in self.pixels.shape)
        l0_cell = self.pixels.l0_cell.times(CELL_PX)
        return Grid(Shape(rows, cols), l0_cell, YX(0.0, 0.0), self.pixels.mpp)

    @property
    def shape(self) -> Shape:
        """Rows and columns of tiles, whether or not on tissue."""
        return Shape(len(self._rows), len(self._cols))

    @property
    def l0_side(self) -> YX:
        """Side of a tile in level-0 pixels."""
        return self.pixels.l0_cell.times(self.size.side_px)

    @property
    def l0_stride(self) -> YX:
        """Distance from one tile to the next in level-0 pixels."""
        return self.pixels.l0_cell.times(self.size.stride_px)

    def on(self, tissue: np.ndarray) -> TissueTiles:
        """Return the tiles on tissue, in blocks.

        Parameters
        ----------
        tissue : (rows, cols) bool
            Of `cells`.
        """
        return TissueTiles(self, tissue)

    def blocks(self) -> list[Window]:
        """Return the blocks, in rows and columns of tiles: bands from the top, left to right."""
        return tiles_of(self.shape, self.size.block_tiles)

    @property
    def all_starts(self) -> tuple[np.ndarray, np.ndarray]:
        """The first rows and the first columns of all tiles, in network pixels, sorted."""
        return self._rows, self._cols

    def starts(self, cells: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the first rows and the first columns of a block's tiles, in network pixels."""
        return (
            self._rows[cells.row : cells.row_stop],
            self._cols[cells.col : cells.col_stop],
        )

    def corners(self, steps: np.ndarray) -> np.ndarray:
        """Return the first row and column of tiles in network pixels, (n, 2) int64.

        Parameters
        ----------
        steps : (n, 2) int64
            Rows and columns of the lattice.
        """
        return np.stack([self._rows[steps[:, 0]], self._cols[steps[:, 1]]], axis=1)

    def tile_at(self, row: int, col: int) -> Window:
        """Return the pixels of a tile by its row and column."""
        side = self.size.side_px
        return Window(int(self._rows[row]), int(self._cols[col]), side, side)

    def block_of(self, cells: Window, chosen: np.ndarray) -> TileBlock | None:
        """Return a block of some of its tiles; None of none.

        Parameters
        ----------
        chosen : (cells.rows, cells.cols) bool
        """
        steps = np.argwhere(chosen) + np.array([cells.row, cells.col])
        if not len(steps):
            return None
        tiles = tuple(self.tile_at(row, col) for row, col in steps)
        return TileBlock(self._around(tiles), tiles, cells, steps)

    def _around(self, tiles: Sequence[Window]) -> Window:
        """Return the smallest window around tiles, without what lies beyond the slide."""
        row, col = min(tile.row for tile in tiles), min(tile.col for tile in tiles)
        row_stop, col_stop = max(t.row_stop for t in tiles), max(t.col_stop for t in tiles)
        whole = Window(0, 0, *self.pixels.shape)
        return Window(row, col, row_stop - row, col_stop - col).common(whole)


class TissueTiles:
    """The tiles of a lattice that count as tissue, in blocks that are made on demand.

    Parameters
    ----------
    lattice : TileLattice
    tissue : (rows, cols) bool
        Of the lattice's cells.
    """

    def __init__(self, lattice: TileLattice, tissue: np.ndarray) -> None:
        self._lattice, self._tissue = lattice, tissue
        self._sums = np.pad(tissue.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        self.need_half = True
        """Whether half of a tile must be tissue; else any of it, as no tile has half."""
        self.need_half = any(chosen.any() for _, chosen in self.chosen())
        self.count = 0
        """Number of tiles."""
        self.n_beyond = 0
        """Number of tiles that reach beyond the slide."""
        last_row, last_col = (n - lattice.size.side_px for n in lattice.pixels.shape)
        for cells, chosen in self.chosen():
            rows, cols = lattice.starts(cells)
            self.count += int(np.count_nonzero(chosen))
            beyond = chosen & ((rows > last_row)[:, None] | (cols > last_col))
            self.n_beyond += int(np.count_nonzero(beyond))

    def __iter__(self) -> Iterator[TileBlock]:
        """Yield the blocks, from top to bottom in bands, and from left to right in each."""
        for cells, chosen in self.chosen():
            block = self._lattice.block_of(cells, chosen)
            if block is not None:
                yield block

    def chosen(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield each block's rows and columns of the lattice, and which of its tiles count.

        The latter is (rows, cols) bool.
        """
        for cells in self._lattice.blocks():
            shares = self._shares(*self._lattice.starts(cells))
            yield cells, shares >= (0.5 - _NOISE if self.need_half else _NOISE)

    def others(self, lattice: TileLattice) -> TissueTiles:
        """Return the tiles of another lattice with the same cells that count by the same rule."""
        others = lattice.on(self._tissue)
        others.need_half = self.need_half
        return others

    def _shares(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return the share of tissue in tiles, (rows, cols) float64 in [0, 1].

        The sums over all cells above and left of a place are bilinear within a cell, so the area
        of tissue is exact for tiles that begin or end inside of a cell.
        """
        side = self._lattice.size.side_px
        above = _interpolated(self._sums, rows / CELL_PX)
        below = _interpolated(self._sums, (rows + side) / CELL_PX)
        strips = (below - above).T
        areas = _interpolated(strips, (cols + side) / CELL_PX) - _interpolated(
            strips, cols / CELL_PX
        )
        return areas.T / (side / CELL_PX) ** 2


def _starts(n_px: int, stride_px: float) -> np.ndarray:
    """Return the first pixels of tiles along an axis that begin on the slide, (n,) int64."""
    starts = np.floor(np.arange(math.ceil(n_px / stride_px) + 1) * stride_px + 0.5).astype(np.int64)
    return starts[starts < n_px]


def _interpolated(sums: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows at fractional places, linear between rows, the last one beyond them.

    Parameters
    ----------
    sums : (n + 1, m)
    places : (k,) float64, from 0 on

    Returns
    -------
    (k, m) float64
    """
    places = np.minimum(places, len(sums) - 1)
    lower = np.minimum(places.astype(np.int64), len(sums) - 2)
    part = (places - lower)[:, None]
    return (1 - part) * sums[lower] + part * sums[lower + 1]
