"""Reads JPEG and JPEG 2000 slides that OpenSlide knows, decoding their tiles without it.

OpenSlide gives the facts, and what cannot be read exactly: tiles that were left out or are damaged,
and levels whose pixels would not be equal.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np
from tifffile import TiffFile, TiffPage

from heatmaps_ome.errors import DamagedTileError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.readers.blending import blended, fraction, on_background
from heatmaps_ome.slides.readers.open_file import OpenFile
from heatmaps_ome.slides.readers.openslide import OpenSlideFile
from heatmaps_ome.slides.readers.tiff_choice import tiff_kind
from heatmaps_ome.slides.readers.tiff_segments import (
    DECODERS_ERRORS,
    JPEG,
    RGB,
    SegmentCache,
    Segments,
    is_strict,
)
from heatmaps_ome.slides.resampling import TILE_PX
from heatmaps_ome.slides.slide_file import Unsuited

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_PHILIPS: Final = "philips"
_VENDORS: Final = ("aperio", "generic-tiff", _PHILIPS)
"""OpenSlide's names of formats whose levels are plain grids of tiles."""
_APERIO_RGB_2000: Final = 33005
_COMPRESSIONS: Final = (JPEG, _APERIO_RGB_2000)
_MOST_CACHED_BYTES: Final = 2**27
_CACHED_ROWS: Final = 4
"""Rows of tiles across a level: those under a row of tiles of 256 px, and the rows beside them."""
_COMPARED_PX: Final = 64


class FastTiff:
    """A SlideFile whose pixels equal OpenSlide's.

    Raises
    ------
    SlideError
        As OpenSlideFile.
    Unsuited
        If the pixels of level 0 are not equal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._openslide = OpenSlideFile(path)
        self.facts = self._openslide.facts
        self._file = OpenFile(path)
        try:
            self._levels = self._exact_levels()
        except BaseException:
            self.close()
            raise
        widest = max(level.shape.cols * level.tile.rows for level in self._levels if level)
        self._cache = SegmentCache(min(_MOST_CACHED_BYTES, _CACHED_ROWS * 3 * widest))

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file is a TIFF in JPEG or JPEG 2000 that OpenSlide reads."""
        kind = tiff_kind(path)
        return kind is not None and kind.vendor in _VENDORS and kind.compression in _COMPRESSIONS

    @staticmethod
    def is_default(path: Path) -> bool:
        """Return whether OpenSlide reads a TIFF rightly."""
        kind = tiff_kind(path)
        return kind is not None and kind.is_openslides

    def _exact_levels(self) -> list[Segments | None]:
        """Return the tiles of each level; None for levels that OpenSlide reads.

        Raises
        ------
        Unsuited
            If level 0 is one of them.
        """
        shapes = self.facts.level_shapes
        levels: list[Segments | None] = [None] * len(shapes)
        try:
            with TiffFile(self._path, _multifile=False) as file:
                pages = [page for page in file.pages if isinstance(page, TiffPage)]
                for number, page in enumerate(self._pages(pages)):
                    if page is not None and _is_plain(page):
                        levels[number] = Segments(page)
        except (*DECODERS_ERRORS, LookupError, OSError) as error:
            raise Unsuited(f"cannot be opened by tifffile ({error})") from error
        for number, level in enumerate(levels):
            if level is not None and not self._is_exact(number, level):
                levels[number] = None
        if levels[0] is None:
            raise Unsuited("has pixels that would not be exactly OpenSlide's")
        return levels

    def _pages(self, pages: list[TiffPage]) -> list[TiffPage | None]:
        """Return the directory of each level, as far as it can be recognised."""
        tiled = [page for page in pages if page.is_tiled]
        shapes = self.facts.level_shapes
        if self.facts.format == _PHILIPS:
            # Their sizes are those of whole tiles.
            return [*tiled, *([None] * len(shapes))][: len(shapes)]
        by_shape = {(page.imagelength, page.imagewidth): page for page in reversed(tiled)}
        return [by_shape.get(shape) for shape in shapes]

    def _is_exact(self, number: int, level: Segments) -> bool:
        """Return whether a level's pixels are those of OpenSlide, by a few of its tiles."""
        n_equal = 0
        for tile in self._compared_tiles(number, level):
            try:
                own = self._pixels(number, level, tile, None)
                expected = self._openslide.read_tile(number, tile)
            except (DamagedTileError, *DECODERS_ERRORS):
                continue
            if own is not None and not np.array_equal(own, expected):
                logger.debug("%s: other pixels than OpenSlide's at level %d", self._path, number)
                return False
            n_equal += own is not None
        return n_equal > 0

    def _compared_tiles(self, number: int, level: Segments) -> list[Window]:
        """Return the windows of a level to compare: its end, and in the tile with most bytes.

        Glass would be equal in many wrong ways, and the tile with the most bytes is none. Blended
        levels have seams of tiles in them besides.
        """
        shape, richest = self.facts.level_shapes[number], level.richest()
        side = min(TILE_PX if self._openslide.downsample(number) % 1 else _COMPARED_PX, *shape)
        places = {
            (min(row, shape.rows - side), min(col, shape.cols - side))
            for row, col in ((richest.row, richest.col), (shape.rows, shape.cols))
        }
        return [Window(row, col, side, side) for row, col in sorted(places)]

    def files(self) -> list[Path]:
        """Return all files of the slide."""
        return self._openslide.files()

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level; see SlideFile."""
        segments = self._levels[level]
        if segments is None:
            return self._openslide.read_tile(level, tile)
        try:
            pixels = self._pixels(level, segments, tile, self._cache)
        except DECODERS_ERRORS:
            # OpenSlide finds the damage too, or that the file was replaced.
            pixels = None
        return self._openslide.read_tile(level, tile) if pixels is None else pixels

    def _pixels(
        self, level: int, segments: Segments, tile: Window, cache: SegmentCache | None
    ) -> np.ndarray | None:
        """Return a tile's part on a level; None if the file leaves some of it out."""
        inside = tile.common(Window(0, 0, *self.facts.level_shapes[level]))
        scale = self._openslide.downsample(level)
        if scale % 1 == 0:
            return self._assembled(level, segments, inside, cache)
        row, down = fraction(round(tile.row * scale) / scale)
        col, across = fraction(round(tile.col * scale) / scale)
        shape = Shape(inside.rows, inside.cols)
        window = Window(row, col, shape.rows + 1, shape.cols + 1)
        pixels = self._assembled(level, segments, window, cache)
        if pixels is None:
            return None
        if (
            not (down or across)
            and min(pixels.shape[0] - shape.rows, pixels.shape[1] - shape.cols) >= 0
        ):
            return np.ascontiguousarray(pixels[: shape.rows, : shape.cols])
        blend = blended(pixels, YX(down, across), segments.tile, (row, col), shape)
        return on_background(blend, self._openslide.background)

    def _assembled(
        self, level: int, segments: Segments, window: Window, cache: SegmentCache | None
    ) -> np.ndarray | None:
        """Return a window's part on a level from its tiles; None if one is left out."""
        inside = window.common(Window(0, 0, *self.facts.level_shapes[level]))
        owns = segments.under(inside)
        if len(owns) == 1 and owns[0] == inside:
            return self._decoded(segments, inside)
        out = np.empty((inside.rows, inside.cols, 3), np.uint8)
        for own in owns:
            pixels = (
                self._decoded(segments, own)
                if cache is None
                else cache.get((level, own), lambda own=own: self._decoded(segments, own))
            )
            if pixels is None:
                return None
            # Plain numbers, as windows would take a fifth of the time.
            top, left = max(own.row, inside.row), max(own.col, inside.col)
            bottom = min(own.row_stop, inside.row_stop)
            right = min(own.col_stop, inside.col_stop)
            out[top - inside.row : bottom - inside.row, left - inside.col : right - inside.col] = (
                pixels[top - own.row : bottom - own.row, left - own.col : right - own.col]
            )
        return out

    def _decoded(self, segments: Segments, own: Window) -> np.ndarray | None:
        begin, size = segments.place(own, 0)
        if not size or not begin:
            return None
        return segments.decode(self._file.read(size, begin), own, 0)

    def close(self) -> None:
        """Close the file."""
        self._openslide.close()
        self._file.close()


def _is_plain(page: TiffPage) -> bool:
    """Return whether a directory holds RGB of 8 bits in tiles that are decoded one by one."""
    if page.compression == JPEG:
        return is_strict(page)
    return (
        page.compression == _APERIO_RGB_2000
        and page.photometric == RGB
        and (page.samplesperpixel, page.bitspersample, page.planarconfig) == (3, 8, 1)
    )
