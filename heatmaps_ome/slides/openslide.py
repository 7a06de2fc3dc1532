"""Read slides of every vendor that OpenSlide supports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import openslide
from PIL import Image

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.slide_file import SlideFacts

if TYPE_CHECKING:
    from pathlib import Path

_OPAQUE = (255, 255)
"""Least and greatest alpha of a tile without transparent pixels, as most tiles are."""


class OpenSlideFile:
    """A SlideFile that OpenSlide reads.

    Raises
    ------
    SlideError
        If OpenSlide cannot open the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._slide = self._open()
        self._downsamples = self._slide.level_downsamples
        self._background = _background(self._slide)
        self.facts = _facts(self._slide)

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether OpenSlide knows the format, by the file's first bytes."""
        return openslide.OpenSlide.detect_format(path) is not None

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self._path)
        except openslide.OpenSlideError as error:
            raise SlideError(
                f"{self._path} cannot be opened as a slide ({error}); is the copy complete?"
            ) from error

    def files(self) -> list[Path]:
        """Return the slide's file and, for formats that keep them apart, its data files."""
        companion = self._path.with_suffix("")
        if self._path.suffix.lower() in (".mrxs", ".vms", ".vmu") and companion.is_dir():
            return [self._path, *sorted(file for file in companion.rglob("*") if file.is_file())]
        return [self._path]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return one tile of a level as RGB, transparent pixels on the background colour.

        ``read_region`` takes whole level-0 pixels, and blends neighbouring pixels of a level
        whose downsample is 4.002 if they fall between two of them (by up to an eighth of a
        pixel); off the slide it even rounds to whole pixels. Tiles at fixed places are blended
        alike in every window that needs them, and never begin off the slide.
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
                f"{self._path} cannot be read near level-0 pixel (y {location[1]}, "
                f"x {location[0]}) ({error}); the file is damaged there: copy it again"
            ) from error
        if region.getchannel("A").getextrema() == _OPAQUE:
            return np.asarray(region.convert("RGB"))
        canvas = Image.new("RGB", size, self._background)
        canvas.paste(region, mask=region.getchannel("A"))
        return np.asarray(canvas)

    def _reopen(self, dead: openslide.OpenSlide) -> None:
        """Replace a handle: OpenSlide fails every read after the first damaged tile."""
        with self._lock:
            if self._slide is dead:
                self._slide = self._open()

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _facts(slide: openslide.OpenSlide) -> SlideFacts:
    """Return the facts that OpenSlide finds in a slide."""
    shapes = tuple(Shape(rows, cols) for cols, rows in slide.level_dimensions)
    mpp = _pixel_size(slide)
    return SlideFacts(
        format=slide.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
        level_shapes=shapes,
        bounds=_bounds(slide, shapes[0]),
        mpp=mpp,
        mpp_hint=_hint(slide) if mpp is None else "",
    )


def _pixel_size(slide: openslide.OpenSlide) -> YX | None:
    """Return µm per level-0 pixel, or None unless both are stated."""
    mpp_y = slide.properties.get(openslide.PROPERTY_NAME_MPP_Y)
    mpp_x = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
    return None if mpp_y is None or mpp_x is None else YX(float(mpp_y), float(mpp_x))


def _hint(slide: openslide.OpenSlide) -> str:
    """Return the pixel size that the objective power suggests; never used as a fact."""
    power = slide.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    try:
        usual = 10 / float(power) if power else None
    except (ValueError, ZeroDivisionError):
        usual = None
    return "" if usual is None else f" (objective {power}x, which often means {usual:g})"


def _bounds(slide: openslide.OpenSlide, shape: Shape) -> Window:
    """Return the non-empty rectangle (``openslide.bounds-*``), or the whole slide."""
    values = [
        slide.properties.get(key)
        for key in (
            openslide.PROPERTY_NAME_BOUNDS_Y,
            openslide.PROPERTY_NAME_BOUNDS_X,
            openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
            openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        )
    ]
    known = [int(value) for value in values if value is not None]
    return Window(*known) if len(known) == len(values) else Window(0, 0, *shape)


def _background(slide: openslide.OpenSlide) -> tuple[int, int, int]:
    """Return the colour behind transparent pixels: the slide's own, else white."""
    text = slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
    red, green, blue = bytes.fromhex(text)
    return red, green, blue
