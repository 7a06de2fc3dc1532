"""Slides of every vendor that OpenSlide knows, behind the SlideReader protocol."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import openslide
from PIL import Image

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slide import ReadFrom

logger = logging.getLogger(__name__)

SANE_MPP = (0.05, 20.0)
"""µm per pixel outside of which a pixel size is an error of somebody's: design.md section 5."""

_READ_PX = 2048
"""Longest side of what is resampled at once, in pixels of the level; bounds memory."""

_FILTER_SUPPORT_PX = 3
"""Reach of Pillow's bicubic filter beyond a pixel's edge, in pixels of the coarser lattice."""

_TILE_PX = 256
_CACHED_TILES = 512
"""Of a level and of the lattices each: 100 MB, so that the halos of blocks are read once."""

_SAMPLES, _SAMPLE_BYTES = 64, 65536


class OpenSlideReader:
    """One open slide; safe to read from several threads.

    Parameters
    ----------
    path : Path
        The slide's file.
    fallback_mpp : float or None
        µm per level-0 pixel, used only if the slide itself says nothing of it.
    read_from : "level" or "level0"
        Whether pixels come from the coarsest level that is fine enough, or always from level 0.

    Raises
    ------
    SlideError
        If OpenSlide cannot open the file.
    PixelSizeError
        If no credible pixel size is known.
    """

    def __init__(
        self, path: Path, fallback_mpp: float | None = None, read_from: ReadFrom = "level"
    ) -> None:
        self.path = path
        self.read_from: ReadFrom = read_from
        self.name = path.stem
        self._lock = threading.Lock()
        self._slide = self._open()
        try:
            self.shape = Shape(self._slide.dimensions[1], self._slide.dimensions[0])
            self.mpp, self.mpp_source = _pixel_size(self._slide, path, fallback_mpp)
            self._l0_level_pixels = [
                YX(self.shape.rows / rows, self.shape.cols / cols)
                for cols, rows in self._slide.level_dimensions
            ]
        except SlideError:
            self._slide.close()
            raise
        self._downsamples = self._slide.level_downsamples
        self.bounds = _bounds(self._slide, self.shape)
        self._background = _background(self._slide)
        self._tile = lru_cache(_CACHED_TILES)(self._read_tile)
        self._resampled = lru_cache(_CACHED_TILES)(self._resample)

    def _open(self) -> openslide.OpenSlide:
        if not self.path.exists():
            raise SlideError(f"{self.path}: there is no such slide; check the path")
        try:
            return openslide.OpenSlide(self.path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise SlideError(
                f"{self.path} is in no format that OpenSlide knows; give a whole-slide image"
            ) from error
        except openslide.OpenSlideError as error:
            raise SlideError(
                f"{self.path} cannot be opened as a slide ({error}); is the copy complete?"
            ) from error

    @property
    def vendor(self) -> str:
        """The format's name in OpenSlide."""
        return self._slide.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")

    @property
    def level_shapes(self) -> list[Shape]:
        """Sizes of the slide's levels, finest first."""
        return [Shape(rows, cols) for cols, rows in self._slide.level_dimensions]

    def fingerprint(self) -> str:
        """Return a sha256 of the sizes and evenly spread samples of the slide's files.

        Neither names nor places enter it, so a moved slide keeps its features; reading every
        byte of a slide of gigabytes would cost more than its thumbnail.
        """
        digest = hashlib.sha256()
        for file in _files_of(self.path):
            _digest_samples(file, digest)
        return digest.hexdigest()

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """Return a window of the slide on a lattice; see SlideReader.

        Raises
        ------
        SlideError
            If a tile of the slide is damaged; says where.
        """
        level = self.level_for(lattice.l0_cell)
        ratio = lattice.l0_cell.over(self._l0_level_pixels[level])
        side = max(1, min(_TILE_PX, _READ_PX // math.ceil(max(ratio))))
        out = np.empty((window.rows, window.cols, 3), np.uint8)
        for tile in _tiles_under(window, side):
            shared = tile.common(window)
            out[shared.within(window).slices] = self._resampled(level, lattice, tile)[
                shared.within(tile).slices
            ]
        return out

    def level_for(self, l0_pixel: YX) -> int:
        """Return the level that a lattice of such pixels is read from.

        That is the coarsest one that is at least as fine as the lattice, to 1 %, unless
        ``read_from`` says otherwise.
        """
        if self.read_from == "level0":
            return 0
        fit = [
            level
            for level, own in enumerate(self._l0_level_pixels)
            if own.y <= l0_pixel.y * 1.01 and own.x <= l0_pixel.x * 1.01
        ]
        return max(fit, default=0)

    def _resample(self, level: int, lattice: Grid, tile: Window) -> np.ndarray:
        """Read what a tile of a lattice needs from one level and resample it in place.

        Pillow rounds the place that it resamples from; as tiles are at fixed places, a pixel is
        the same in whatever window it is read.
        """
        level_cols, level_rows = self._slide.level_dimensions[level]
        l0_pixel = self._l0_level_pixels[level]
        first = lattice.l0_from_g(YX(tile.row, tile.col)).over(l0_pixel)
        last = lattice.l0_from_g(YX(tile.row_stop, tile.col_stop)).over(l0_pixel)
        ratio = lattice.l0_cell.over(l0_pixel)
        margin_y = math.ceil(_FILTER_SUPPORT_PX * max(1.0, ratio.y))
        margin_x = math.ceil(_FILTER_SUPPORT_PX * max(1.0, ratio.x))
        top, left = math.floor(first.y) - margin_y, math.floor(first.x) - margin_x
        rows, cols = math.ceil(last.y) + margin_y - top, math.ceil(last.x) + margin_x - left
        pixels = Image.fromarray(self._level_pixels(level, Window(top, left, rows, cols)))
        box = (first.x - left, first.y - top, last.x - left, last.y - top)
        # Bicubic with antialiasing is what the reference reads with: create_heatmaps.py:180.
        resized = np.asarray(
            pixels.resize((tile.cols, tile.rows), Image.Resampling.BICUBIC, box=box)
        )
        off_rows = _outside(first.y, ratio.y, tile.rows, level_rows)
        off_cols = _outside(first.x, ratio.x, tile.cols, level_cols)
        return np.where(off_rows[:, None, None] | off_cols[:, None], np.uint8(255), resized)

    def _level_pixels(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level put together from its tiles.

        Beyond the level its border goes on, so that filters do not mix white into tissue that
        reaches the border; a window wholly beyond is white.
        """
        cols, rows = self._slide.level_dimensions[level]
        inside = window.common(Window(0, 0, rows, cols))
        if min(inside.rows, inside.cols) < 1:
            return np.full((window.rows, window.cols, 3), 255, np.uint8)
        out = np.empty((inside.rows, inside.cols, 3), np.uint8)
        for tile in _tiles_under(inside, _TILE_PX):
            shared = tile.common(inside)
            out[shared.within(inside).slices] = self._tile(level, tile)[shared.within(tile).slices]
        beyond = (
            (inside.row - window.row, window.row_stop - inside.row_stop),
            (inside.col - window.col, window.col_stop - inside.col_stop),
            (0, 0),
        )
        return np.pad(out, beyond, mode="edge")

    def _read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return one tile of a level as RGB, transparent pixels on the background colour.

        ``read_region`` takes whole level-0 pixels, and blends neighbouring pixels of a level
        whose downsample is 4.002 if they fall between two of them (by up to an eighth of a
        pixel); off the slide it even rounds to whole pixels. Tiles at fixed places are blended
        alike whatever window asks for them, and never begin off the slide.
        """
        scale = self._downsamples[level]
        level_cols, level_rows = self._slide.level_dimensions[level]
        size = (min(tile.cols, level_cols - tile.col), min(tile.rows, level_rows - tile.row))
        location = (round(tile.col * scale), round(tile.row * scale))
        with self._lock:
            slide = self._slide
        try:
            region = slide.read_region(location, level, size)
        except openslide.OpenSlideError as error:
            self._reopen(slide)
            raise SlideError(
                f"{self.path} cannot be read near level-0 pixel (y {location[1]}, "
                f"x {location[0]}) ({error}); the file is damaged there: copy it again"
            ) from error
        canvas = Image.new("RGB", size, self._background)
        canvas.paste(region, mask=region.getchannel("A"))
        return np.asarray(canvas)

    def _reopen(self, dead: openslide.OpenSlide) -> None:
        """Replace a handle: OpenSlide fails every read after the first damaged tile."""
        with self._lock:
            if self._slide is dead:
                self._slide = self._open()

    def close(self) -> None:
        """Give the file and the cached tiles back."""
        self._tile.cache_clear()
        self._resampled.cache_clear()
        self._slide.close()


def _tiles_under(window: Window, side: int) -> list[Window]:
    """Return the tiles of a lattice, at multiples of ``side``, that a window touches."""
    return [
        Window(row, col, side, side)
        for row in range(window.row // side * side, window.row_stop, side)
        for col in range(window.col // side * side, window.col_stop, side)
    ]


def _outside(first: float, pixel: float, count: int, size: int) -> np.ndarray:
    """Return, along one axis, which pixels' centres lie off a level: (count,) bool."""
    centres = first + (np.arange(count) + 0.5) * pixel
    return (centres < 0) | (centres >= size)


def _pixel_size(
    slide: openslide.OpenSlide, path: Path, fallback_mpp: float | None
) -> tuple[YX, str]:
    """Return µm per level-0 pixel and where it was found."""
    found = [
        slide.properties.get(key)
        for key in (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)
    ]
    if found[0] is not None and found[1] is not None:
        mpp, source = YX(float(found[0]), float(found[1])), "slide"
    elif fallback_mpp is not None:
        mpp, source = YX(fallback_mpp, fallback_mpp), "--mpp"
    else:
        raise PixelSizeError(f"{path.name} says nothing of its pixel size{_hint(slide)}; "
                             "give it in µm per pixel with --mpp")  # fmt: skip
    if not all(SANE_MPP[0] <= value <= SANE_MPP[1] for value in mpp):
        raise PixelSizeError(
            f"{path.name}: {mpp.x:g} × {mpp.y:g} µm per pixel (from {source}) is outside "
            f"{SANE_MPP[0]:g}-{SANE_MPP[1]:g}; correct the slide's metadata"
        )
    return mpp, source


def _hint(slide: openslide.OpenSlide) -> str:
    """Return what the objective power suggests: a help for the user, never used as a fact."""
    power = slide.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    try:
        usual = 10 / float(power) if power else None
    except ValueError:
        usual = None
    return "" if usual is None else f" (objective {power}x, which often means {usual:g})"


def _bounds(slide: openslide.OpenSlide, shape: Shape) -> Window:
    """Return the non-empty rectangle (``openslide.bounds-*``), or the whole slide."""
    found = [
        slide.properties.get(key)
        for key in (
            openslide.PROPERTY_NAME_BOUNDS_Y,
            openslide.PROPERTY_NAME_BOUNDS_X,
            openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
            openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        )
    ]
    known = [int(value) for value in found if value is not None]
    return Window(*known) if len(known) == len(found) else Window(0, 0, *shape)


def _background(slide: openslide.OpenSlide) -> tuple[int, int, int]:
    """Return the colour behind transparent pixels: the slide's own, else white."""
    text = slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def _files_of(path: Path) -> list[Path]:
    """Return the slide's file and, for formats that keep them apart, its data files."""
    companion = path.with_suffix("")
    if path.suffix.lower() in (".mrxs", ".vms", ".vmu") and companion.is_dir():
        return [path, *sorted(file for file in companion.rglob("*") if file.is_file())]
    return [path]


def _digest_samples(path: Path, digest: hashlib._Hash) -> None:
    """Add a file's size and samples spread over it to a digest."""
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with path.open("rb") as file:
        last = max(0, size - _SAMPLE_BYTES)
        for index in range(_SAMPLES):
            file.seek(last * index // (_SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(_SAMPLE_BYTES))
