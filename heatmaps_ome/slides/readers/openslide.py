"""Read slides of every vendor that OpenSlide supports."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import openslide
from openslide import lowlevel
from PIL import Image

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.damage import damaged_tile
from heatmaps_ome.slides.dicom import is_dicom, lacks_finest_level
from heatmaps_ome.slides.paths import files_of, printable
from heatmaps_ome.slides.readers.probing import crashes
from heatmaps_ome.slides.refusals import channels_reason, reason_not_opened
from heatmaps_ome.slides.sizes import absurd_levels, absurd_tiff, absurd_tile, is_credible
from heatmaps_ome.slides.slide_file import SlideFacts, Unsuited

_OPAQUE = (255, 255)
"""Least and greatest alpha of a tile without transparent pixels, as most tiles are."""
_ZEISS = "zeiss"
_PLAIN_TIFF = "generic-tiff"
"""OpenSlide's name of TIFFs of no vendor, the only ones that may be anything."""
_WHITE = (255, 255, 255)
_ORIGINS: Final = {
    "aperio": "MPP of Aperio's ImageDescription",
    "dicom": "PixelSpacing of the DICOM files",
    _PLAIN_TIFF: "XResolution of the TIFF",
    "hamamatsu": "XResolution of the NDPI, or PhysicalWidth of the VMS",
    "leica": "size of the view in Leica's XML",
    "mirax": "MICROMETER_PER_PIXEL_X of Slidedat.ini",
    "philips": "DICOM_PIXEL_SPACING of Philips's XML",
    "sakura": "PixelSize of Sakura's database",
    "trestle": "XResolution of the TIFF",
    "ventana": "ScanRes of Ventana's XML",
    _ZEISS: "Scaling of the CZI's XML",
}
"""OpenSlide's names of formats → where a file of it states its pixel size, for people."""


class OpenSlideFile:
    """A SlideFile that OpenSlide reads.

    Raises
    ------
    SlideError
        If OpenSlide cannot open the file, or must not.

    Attributes
    ----------
    background : (int, int, int)
        RGB behind transparent pixels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = files_of(path)
        self._folder, self._first = _together(self._files)
        self._lock = threading.Lock()
        try:
            self._refuse_dangerous()
            self._slide = self._open()
        except SlideError:
            self._remove_links()
            raise
        try:
            self._downsamples = self._slide.level_downsamples
            self._levels = self._slide.level_dimensions
            self.background = _background(self._slide)
            self.facts = replace(_facts(self._slide), notes=self._notes())
            self._refuse_unfit()
        except SlideError:
            self.close()
            raise

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether OpenSlide knows the format, by the file's first bytes."""
        try:
            first = files_of(path)[0]
        except SlideError:
            return False
        return openslide.OpenSlide.detect_format(first) is not None

    def _refuse_dangerous(self) -> None:
        """Refuse a file that would end the process when opened or read, or fill its memory."""
        first = self._first
        reason = absurd_tiff(first) or crashes(first, self._files)
        if reason is not None:
            self._leave_to_others(reason)
            raise SlideError(
                f"{printable(self._path)} {reason}, which no slide does; the file is damaged: copy "
                "it again"
            )

    def _leave_to_others(self, reason: str) -> None:
        """Leave a CZI to its own reader: OpenSlide reads those of one plane alone.

        Raises
        ------
        Unsuited
            If the file is a CZI.
        """
        if openslide.OpenSlide.detect_format(self._files[0]) == _ZEISS:
            raise Unsuited(f"is a CZI that OpenSlide does not read ({reason})")

    def _notes(self) -> tuple[str, ...]:
        """Return what is odd about the files."""
        if not is_dicom(self._files[0]) or not lacks_finest_level(self._files):
            return ()
        return (
            "the file of the finest level is missing: all others were made smaller from it "
            "(Image Type RESAMPLED); is the copy of the series complete?",
        )

    def _refuse_unfit(self) -> None:
        """Refuse absurd tiles, and plain TIFFs of separate channels."""
        facts = self.facts
        reason = absurd_levels(facts.level_shapes)
        for tile, level in zip(facts.tile_shapes, facts.level_shapes, strict=True):
            reason = reason or (None if tile is None else absurd_tile(tile, level))
        if reason is not None:
            raise SlideError(
                f"{printable(self._path)} {reason}; the file is damaged: copy it again"
            )
        if facts.format == _PLAIN_TIFF:
            reason = channels_reason(self._files[0])
            if reason is not None:
                raise SlideError(f"{printable(self._path)} {reason}")

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self._first)
        except openslide.OpenSlideError as error:
            self._leave_to_others(str(error))
            reason = reason_not_opened(self._files[0])
            if reason is None:
                reason = f"cannot be opened as a slide ({error}); is the copy complete?"
            raise SlideError(f"{printable(self._path)} {reason}") from error

    def files(self) -> list[Path]:
        """Return all files of the slide."""
        return list(self._files)

    def downsample(self, level: int) -> float:
        """Return the size of a level's pixels in level-0 pixels, as OpenSlide computes it."""
        return self._downsamples[level]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return one tile of a level as RGB, transparent pixels on the background colour.

        ``read_region`` takes whole level-0 pixels, and blends neighbouring pixels of a level
        whose downsample is 4.002 if they fall between two of them (by up to an eighth of a
        pixel); off the slide it even rounds to whole pixels. Tiles at fixed places are blended
        alike in every window that needs them, and never begin off the slide.
        """
        scale = self._downsamples[level]
        level_cols, level_rows = self._levels[level]
        size = (min(tile.cols, level_cols - tile.col), min(tile.rows, level_rows - tile.row))
        # fast_tiff.py computes the same place.
        location = (round(tile.col * scale), round(tile.row * scale))
        with self._lock:
            slide = self._slide
        try:
            region = slide.read_region(location, level, size)
        except openslide.OpenSlideError:
            region = self._read_again(slide, location, level, size)
        if region.getchannel("A").getextrema() == _OPAQUE:
            return np.asarray(region.convert("RGB"))
        canvas = Image.new("RGB", size, self.background)
        canvas.paste(region, mask=region.getchannel("A"))
        return np.asarray(canvas)

    def _read_again(
        self,
        dead: openslide.OpenSlide,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
    ) -> Image.Image:
        """Read through a handle of this thread alone.

        OpenSlide fails every read through a handle after the first damaged tile, also those of
        other threads, whose tiles are sound.
        """
        fresh = self._reopened()
        try:
            region = fresh.read_region(location, level, size)
        except openslide.OpenSlideError as error:
            fresh.close()
            self._replace(dead, self._reopened())
            raise damaged_tile(self._path, (location[1], location[0]), error) from error
        self._replace(dead, fresh)
        return region

    def _reopened(self) -> openslide.OpenSlide:
        """Return another handle.

        Raises
        ------
        SlideError
            If the file is no longer the same slide.
        """
        slide = self._open()
        if slide.level_dimensions != self._levels:
            slide.close()
            raise SlideError(
                f"{printable(self._path)} was replaced by another slide while it was read; start "
                "again"
            )
        return slide

    def _replace(self, dead: openslide.OpenSlide, fresh: openslide.OpenSlide) -> None:
        """Put a handle in the place of a dead one, which other threads may still hold."""
        with self._lock:
            if self._slide is dead:
                self._slide = fresh
                return
        fresh.close()

    def close(self) -> None:
        """Close the file."""
        self._slide.close()
        self._remove_links()

    def _remove_links(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _together(files: tuple[Path, ...]) -> tuple[TemporaryDirectory[str] | None, Path]:
    """Return the first file, and a folder of links if the others lie in other folders.

    OpenSlide looks for the files of a DICOM slide beside the one that it opens. A MIRAX slide has
    its files in a folder of its own, which OpenSlide knows.
    """
    if len({file.parent for file in files}) == 1 or not is_dicom(files[0]):
        return None, files[0]
    folder = TemporaryDirectory(prefix="heatmaps-ome-dicom-")
    links = [Path(folder.name, f"{number}.dcm") for number in range(len(files))]
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.resolve())
    return folder, links[0]


def _facts(slide: openslide.OpenSlide) -> SlideFacts:
    """Return the facts that OpenSlide finds in a slide."""
    shapes = tuple(Shape(rows, cols) for cols, rows in slide.level_dimensions)
    vendor = slide.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
    mpp, origin = _pixel_size(slide), _ORIGINS.get(vendor, "openslide.mpp-x of OpenSlide")
    return SlideFacts(
        format=vendor,
        level_shapes=shapes,
        bounds=_bounds(slide, shapes[0]),
        mpp=mpp,
        mpp_hint=_hint(slide) if mpp is None or not is_credible(mpp) else "",
        tile_shapes=tuple(_tile_shape(slide, level) for level in range(len(shapes))),
        mpp_origin="" if mpp is None else origin,
        # The bytes themselves: openslide-python parses them, and fails where they are damaged.
        icc_profile=lowlevel.read_icc_profile(slide._osr),
    )


def _pixel_size(slide: openslide.OpenSlide) -> YX | None:
    """Return µm per level-0 pixel, or None unless both are stated as numbers."""
    try:
        return YX(
            float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]),
            float(slide.properties[openslide.PROPERTY_NAME_MPP_X]),
        )
    except (KeyError, ValueError):
        return None


def _tile_shape(slide: openslide.OpenSlide, level: int) -> Shape | None:
    """Return the size of a level's tiles; None where they have no regular size."""
    try:
        return Shape(
            int(slide.properties[f"openslide.level[{level}].tile-height"]),
            int(slide.properties[f"openslide.level[{level}].tile-width"]),
        )
    except (KeyError, ValueError):
        return None


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
    keys = (
        openslide.PROPERTY_NAME_BOUNDS_Y, openslide.PROPERTY_NAME_BOUNDS_X,
        openslide.PROPERTY_NAME_BOUNDS_HEIGHT, openslide.PROPERTY_NAME_BOUNDS_WIDTH,
    )  # fmt: skip
    try:
        return Window(*(int(slide.properties[key]) for key in keys))
    except (KeyError, ValueError):
        return Window(0, 0, *shape)


def _background(slide: openslide.OpenSlide) -> tuple[int, int, int]:
    """Return the colour behind transparent pixels: the slide's own, else white."""
    text = slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return _WHITE
    return red, green, blue
