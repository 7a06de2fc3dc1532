"""Resample a pyramid to any lattice, without aliasing and for any storage of the pyramid."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from heatmaps_ome.geometry import YX, Grid, Shape, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TILE_PX = 256
"""Side of the tiles that are resampled at once, at multiples of it; independent of the levels."""
_READ_PX = 2048
"""Longest side of the pixels resampled at once, in pixels of the level; bounds memory."""
_FILTER_SUPPORT_PX = 3
"""Reach of Pillow's bicubic filter beyond a pixel's edge, in pixels of the coarser lattice."""
_CACHED_BYTES = 100_000_000
"""Size of the cache of level tiles: a row across a wide slide, so that each is decoded once."""
_CACHED_RESAMPLED = 64
"""Cached tiles of lattices: those that neighbouring windows share."""


class Resampler:
    """Reads windows of lattices from the levels of a pyramid; safe to use from several threads.

    Parameters
    ----------
    shapes : sequence of Shape
        Sizes of the levels, finest first.
    l0_pixels : sequence of YX
        Size of a level's pixels in level-0 pixels.
    read_tile : callable
        Takes (level, window), the window at multiples of ``tile_px`` and ``tile_px`` on a side,
        and returns the (rows, cols, 3) uint8 pixels of its part on the level.
    tile_px : int
        Side of the tiles that a level is read in; it does not change any pixel.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        l0_pixels: Sequence[YX],
        read_tile: Callable[[int, Window], np.ndarray],
        tile_px: int = TILE_PX,
    ) -> None:
        self._shapes, self._l0_pixels, self._tile_px = shapes, l0_pixels, tile_px
        self._tile = lru_cache(_CACHED_BYTES // (3 * tile_px**2))(read_tile)
        self._resampled = lru_cache(_CACHED_RESAMPLED)(self._resample)

    def level_for(self, l0_pixel: YX) -> int:
        """Return the coarsest level that is at least as fine as such pixels, to 1 %."""
        fit = [
            level
            for level, own in enumerate(self._l0_pixels)
            if own.y <= l0_pixel.y * 1.01 and own.x <= l0_pixel.x * 1.01
        ]
        return max(fit, default=0)

    def read(self, lattice: Grid, window: Window, level: int) -> np.ndarray:
        """Return a window of a lattice from one level, white outside the level.

        Returns
        -------
        (window.rows, window.cols, 3) uint8, RGB
        """
        ratio = lattice.l0_cell.over(self._l0_pixels[level])
        side = max(1, min(TILE_PX, _READ_PX // math.ceil(max(ratio))))
        out = np.empty((window.rows, window.cols, 3), np.uint8)
        for tile in tiles_under(window, side):
            shared = tile.common(window)
            out[shared.within(window).slices] = self._resampled(level, lattice, tile)[
                shared.within(tile).slices
            ]
        return out

    def forget(self) -> None:
        """Free the cached tiles."""
        self._tile.cache_clear()
        self._resampled.cache_clear()

    def _resample(self, level: int, lattice: Grid, tile: Window) -> np.ndarray:
        """Read the pixels under a tile of a lattice from one level and resample them in place.

        Pillow rounds the place that it resamples from; as tiles are at fixed places, a pixel is
        the same in every window.
        """
        l0_pixel = self._l0_pixels[level]
        first = lattice.l0_from_g(YX(tile.row, tile.col)).over(l0_pixel)
        last = lattice.l0_from_g(YX(tile.row_stop, tile.col_stop)).over(l0_pixel)
        ratio = lattice.l0_cell.over(l0_pixel)
        margin_y = math.ceil(_FILTER_SUPPORT_PX * max(1.0, ratio.y))
        margin_x = math.ceil(_FILTER_SUPPORT_PX * max(1.0, ratio.x))
        top, left = math.floor(first.y) - margin_y, math.floor(first.x) - margin_x
        rows, cols = math.ceil(last.y) + margin_y - top, math.ceil(last.x) + margin_x - left
        pixels = Image.fromarray(self._level_pixels(level, Window(top, left, rows, cols)))
        box = (first.x - left, first.y - top, last.x - left, last.y - top)
        # The reference reads with bicubic and antialiasing too: create_heatmaps.py:180.
        resized = np.asarray(
            pixels.resize((tile.cols, tile.rows), Image.Resampling.BICUBIC, box=box)
        )
        off_rows = _outside(first.y, ratio.y, tile.rows, self._shapes[level].rows)
        off_cols = _outside(first.x, ratio.x, tile.cols, self._shapes[level].cols)
        if not (off_rows.any() or off_cols.any()):
            return resized
        return np.where(off_rows[:, None, None] | off_cols[:, None], np.uint8(255), resized)

    def _level_pixels(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level, assembled from its tiles.

        The level's border is repeated beyond it, so that filters do not mix white into tissue that
        reaches the border; a window wholly beyond the level is white.
        """
        inside = window.common(Window(0, 0, *self._shapes[level]))
        if min(inside.rows, inside.cols) < 1:
            return np.full((window.rows, window.cols, 3), 255, np.uint8)
        out = np.empty((inside.rows, inside.cols, 3), np.uint8)
        for tile in tiles_under(inside, self._tile_px):
            shared = tile.common(inside)
            out[shared.within(inside).slices] = self._tile(level, tile)[shared.within(tile).slices]
        if inside == window:
            return out
        beyond = (
            (inside.row - window.row, window.row_stop - inside.row_stop),
            (inside.col - window.col, window.col_stop - inside.col_stop),
            (0, 0),
        )
        return np.pad(out, beyond, mode="edge")


def tiles_under(window: Window, side: int) -> list[Window]:
    """Return the tiles of a lattice, at multiples of ``side``, that a window touches."""
    return [
        Window(row, col, side, side)
        for row in range(window.row // side * side, window.row_stop, side)
        for col in range(window.col // side * side, window.col_stop, side)
    ]


def _outside(first: float, pixel: float, count: int, size: int) -> np.ndarray:
    """Return whether pixels' centres lie off a level, along one axis: (count,) bool."""
    centres = first + (np.arange(count) + 0.5) * pixel
    return (centres < 0) | (centres >= size)
