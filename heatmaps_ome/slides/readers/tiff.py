"""Reads TIFFs by tifffile: OME-TIFF, and plain TIFF in tiles or strips."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np
from tifffile import TiffFile, TiffPage

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import Window
from heatmaps_ome.slides.damage import damaged_tile, l0_place_of
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.slides.readers.open_file import OpenFile
from heatmaps_ome.slides.readers.tiff_choice import tiff_kind
from heatmaps_ome.slides.readers.tiff_colour import Colours
from heatmaps_ome.slides.readers.tiff_fitness import require_fit
from heatmaps_ome.slides.readers.tiff_image import SlideImage, Unfit, slide_image
from heatmaps_ome.slides.readers.tiff_scale import pixel_size
from heatmaps_ome.slides.readers.tiff_segments import DECODERS_ERRORS, SegmentCache, Segments
from heatmaps_ome.slides.slide_file import SlideFacts
from heatmaps_ome.slides.tiff_head import Damaged, TiffHead
from heatmaps_ome.storage.file_stamp import file_stamp

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.readers.tiff_image import Place

_CACHED_BYTES: Final = 2**27
"""Decoded tiles or strips; a row of tiles of 256 px across a wide picture in strips."""
_VENDORS: Final = (None, "generic-tiff", "aperio")
"""OpenSlide's names of formats without pages and sizes by rules of their own."""
_ICC_PROFILE: Final = 34675


class TifffileSlide:
    """A SlideFile of a TIFF: by default of those that OpenSlide does not read with all levels.

    Raises
    ------
    SlideError
        If the file is damaged, or holds no slide that can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        image = self._checked_image()
        self._file = OpenFile(path)
        try:
            self._stamp = file_stamp(os.fstat(self._file.fileno()))
            with TiffFile(path, _multifile=False) as file:
                pages = [[_page(file, place) for place in level] for level in image.levels]
                self._levels = [[Segments(page) for page in planes] for planes in pages]
                bits = image.ome.significant_bits if image.ome is not None else None
                self._colours = Colours(pages[0][0], bits)
                self.facts = self._facts(image, pages[0][0])
        except (*DECODERS_ERRORS, LookupError) as error:
            self._file.close()
            raise SlideError(
                f"{printable(path)} cannot be opened as a TIFF ({error}); is the copy complete?"
            ) from error
        except BaseException:
            self._file.close()
            raise
        self._cache = SegmentCache(_CACHED_BYTES)

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file is a TIFF whose levels lie as in TIFFs of no vendor."""
        kind = tiff_kind(path)
        return kind is not None and kind.vendor in _VENDORS

    @staticmethod
    def is_default(path: Path) -> bool:
        """Return whether OpenSlide does not read a TIFF, or not rightly."""
        kind = tiff_kind(path)
        return kind is not None and not kind.is_openslides

    def _checked_image(self) -> SlideImage:
        """Return the image that is the slide, once all that its head claims can be.

        Raises
        ------
        SlideError
            With the reason.
        """
        name = printable(self._path)
        try:
            with TiffHead(self._path) as head:
                image = slide_image(head.directories, self._path.name)
                require_fit(image, head.size, self._path.name)
        except Unfit as unfit:
            raise SlideError(f"{name} {unfit}") from unfit
        except Damaged as damage:
            raise SlideError(
                f"{name} is a TIFF that is cut off or damaged ({damage}); copy it again"
            ) from damage
        return image

    def _facts(self, image: SlideImage, page: TiffPage) -> SlideFacts:
        mpp, origin = pixel_size(page, image.ome)
        shapes = tuple(planes[0].shape for planes in self._levels)
        power = None if image.ome is None else image.ome.magnification
        hint = "" if power is None else (
            f" (objective {power:g}x, which often means {10 / power:g})"
        )  # fmt: skip
        profile = page.tags.valueof(_ICC_PROFILE)
        return SlideFacts(
            format=image.format,
            level_shapes=shapes,
            bounds=Window(0, 0, *shapes[0]),
            mpp=mpp,
            mpp_hint=hint,
            tile_shapes=tuple(planes[0].tile for planes in self._levels),
            mpp_origin=origin,
            icc_profile=profile if isinstance(profile, bytes) else None,
            pixels="tifffile",
            notes=(*image.notes, *self._colours.notes),
        )

    def files(self) -> list[Path]:
        """Return the file."""
        return [self._path]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level; see SlideFile."""
        inside = tile.common(Window(0, 0, *self.facts.level_shapes[level]))
        out = np.full((inside.rows, inside.cols, 3), 255, np.uint8)
        for own in self._levels[level][0].under(inside):
            pixels = self._cache.get((level, own), lambda own=own: self._decoded(level, own))
            if pixels is None:
                continue
            # The file's tiles at an edge may end with the picture.
            part = Window(own.row, own.col, *pixels.shape[:2]).common(inside)
            out[part.within(inside).slices] = pixels[part.within(own).slices]
        return out

    def _decoded(self, level: int, tile: Window) -> np.ndarray | None:
        """Return a tile of the file as RGB; None if the file leaves it out, as not scanned."""
        planes = self._levels[level]
        numbers = [(planes[0], n) for n in range(planes[0].n_planes)]
        if len(planes) > 1:
            numbers = [(plane, 0) for plane in planes]
        samples = []
        for plane, number in numbers:
            begin, size = plane.place(tile, number)
            if not size:
                return None
            data = self._file.read(size, begin)
            try:
                samples.append(plane.decode(data, tile, number))
            except DECODERS_ERRORS as error:
                raise self._damaged(level, tile, error) from error
        return self._colours.rgb(
            np.concatenate(samples, axis=-1) if len(samples) > 1 else samples[0]
        )

    def _damaged(self, level: int, tile: Window, error: Exception) -> SlideError:
        """Return the error for a tile that cannot be decoded."""
        name = printable(self._path)
        try:
            now = file_stamp(self._path.stat())
        except OSError:
            now = None
        if now != self._stamp:
            return SlideError(
                f"{name} was replaced by another slide while it was read; start again"
            )
        place = l0_place_of(self.facts.level_shapes, level, tile)
        return damaged_tile(self._path, place, error)

    def close(self) -> None:
        """Close the file and free the cached tiles."""
        self._cache.clear()
        self._file.close()


def _page(file: TiffFile, place: Place) -> TiffPage:
    """Return a directory as tifffile has it."""
    page = file.pages[place.number]
    if place.sub is not None and page.pages is not None:
        page = page.pages[place.sub]
    if not isinstance(page, TiffPage):
        raise ValueError("a directory is no picture")
    return page
