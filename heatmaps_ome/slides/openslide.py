"""Slides of every vendor that OpenSlide knows, behind the SlideReader protocol."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import openslide
from PIL import Image

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.resampling import Resampler

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.slides.reader import ReadFrom

logger = logging.getLogger(__name__)

SANE_MPP = (0.05, 20.0)
"""µm per pixel outside of which a pixel size is an error of somebody's: design.md section 5."""

_OPAQUE = (255, 255)
"""Least and greatest alpha of a tile without transparent pixels, by far the most."""

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
            l0_pixels = [
                YX(self.shape.rows / rows, self.shape.cols / cols)
                for rows, cols in self.level_shapes
            ]
        except SlideError:
            self._slide.close()
            raise
        self._downsamples = self._slide.level_downsamples
        self.bounds = _bounds(self._slide, self.shape)
        self._background = _background(self._slide)
        self._resampler = Resampler(self.level_shapes, l0_pixels, self._read_tile)

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

    def level_folders(self, lattice: Grid) -> list[Path]:
        """Return none: a slide's file is no array."""
        return []

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """Return a window of the slide on a lattice; see SlideReader.

        Raises
        ------
        SlideError
            If a tile of the slide is damaged; says where.
        """
        return self._resampler.read(lattice, window, self.level_for(lattice.l0_cell))

    def level_for(self, l0_pixel: YX) -> int:
        """Return the level that a lattice of such pixels is read from.

        That is the coarsest one that is at least as fine as the lattice, to 1 %, unless
        ``read_from`` says otherwise.
        """
        if self.read_from == "level0":
            return 0
        return self._resampler.level_for(l0_pixel)

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

    def forget(self) -> None:
        """Give the memory of tiles back."""
        self._resampler.forget()

    def close(self) -> None:
        """Give the file and the cached tiles back."""
        self.forget()
        self._slide.close()


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
