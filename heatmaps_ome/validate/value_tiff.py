"""Rules for the raw values as OME-TIFF: every reader finds each cell's float, under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.validate.ome_xml import channel_names_of, faults, pixels_of, um_pixel_of
from heatmaps_ome.validate.placement import cells_along
from heatmaps_ome.validate.problems import Rule
from heatmaps_ome.validate.tiff import (
    compression_faults,
    physical_size_faults,
    require_modest,
    whole_page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.validate.raw_values import Values


class ValueTiff:
    """An OME-TIFF with a page per channel, each with its coarser levels in SubIFDs.

    Attributes
    ----------
    path : Path
    channels : list of list of tifffile.TiffPage
        Levels of each channel, finest first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = tifffile.TiffFile(path)
        try:
            self.channels = [_levels_of(whole_page(page)) for page in self._file.pages]
            for pages in self.channels:
                for page in pages:
                    require_modest(page)
        except BaseException:
            self._file.close()
            raise

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """(rows, cols) of every level of the first channel."""
        return tuple(Shape(page.imagelength, page.imagewidth) for page in self.channels[0])

    @property
    def xml(self) -> str:
        """The OME-XML."""
        return self.channels[0][0].description

    @property
    def kind(self) -> str:
        """The file's kind, as tifffile recognises it."""
        return self._file.series[0].kind

    @property
    def um_pixel(self) -> YX:
        """Size of the finest level's pixels in µm, by OME-XML."""
        return um_pixel_of(pixels_of(self.xml))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _levels_of(page: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    """Return a page and those in its SubIFDs."""
    return [page, *(whole_page(coarser) for coarser in page.pages or ())]


def _form(tiff: ValueTiff) -> Iterator[str]:
    """Demand floats without loss, a page per channel, and OME-XML that agrees."""
    finest = tiff.channels[0][0]
    yield from faults(tiff.xml, tiff.shapes[0], 1, len(tiff.channels), str(finest.dtype))
    if tiff.kind != "ome":
        yield f"tifffile takes it for {tiff.kind!r}, not for an OME-TIFF"
    for number, pages in enumerate(tiff.channels):
        forms = {(page.samplesperpixel, str(page.dtype)) for page in pages}
        if forms != {(1, "float32")}:
            yield f"channel {number} has samples and types {forms}, not one of float32"
        yield from (f"channel {number}: {fault}" for fault in compression_faults(pages))


def _levels(tiff: ValueTiff) -> Iterator[str]:
    """Demand levels that halve exactly and show values of the finer one, in every channel."""
    for number, pages in enumerate(tiff.channels):
        shapes = [Shape(page.imagelength, page.imagewidth) for page in pages]
        halves = [Shape(n.rows << level, n.cols << level) for level, n in enumerate(shapes)]
        if set(halves) != {tiff.shapes[0]} or len(shapes) != len(tiff.shapes):
            yield f"channel {number} has levels of {[tuple(shape) for shape in shapes]} pixels"
            continue
        finer = pages[0].asarray()
        for level, page in enumerate(pages[1:], start=1):
            coarse = page.asarray()
            four = (finer[down::2, right::2] for down in (0, 1) for right in (0, 1))
            wrong = np.all([_differ(coarse, one) for one in four], axis=0)
            if wrong.any():
                row, col = np.argwhere(wrong)[0]
                yield (
                    f"channel {number}, level {level} has a value that level {level - 1} lacks "
                    f"there in {wrong.sum()} pixels, first in row {row}, column {col}"
                )
            finer = coarse


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where two arrays of floats are not the same, NaN being the same as NaN."""
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _physical_size(tiff: ValueTiff) -> Iterator[str]:
    """Demand one pixel size in OME-XML and in the tags."""
    yield from physical_size_faults(tiff.channels[0][0], tiff.um_pixel)


def _channels(placed: tuple[ValueTiff, Values]) -> Iterator[str]:
    """Demand the names that the raw values have, in their order."""
    tiff, values = placed
    names = channel_names_of(pixels_of(tiff.xml))
    if names != list(values.names):
        yield f"the channels are {', '.join(names)}, those of the values {', '.join(values.names)}"


def _values(placed: tuple[ValueTiff, Values]) -> Iterator[str]:
    """Demand at every pixel's centre the raw value of the cell around it, NaN where none is."""
    tiff, values = placed
    um_pixel, shape = tiff.um_pixel, tiff.shapes[0]
    coarsest = 2 ** (len(tiff.shapes) - 1)
    for axis, size, pixel, end in zip("yx", shape, um_pixel, values.um_slide, strict=True):
        if not end - 1e-3 * pixel <= size * pixel < end + (coarsest + 1) * pixel:
            yield f"along {axis} it ends at {size * pixel:.2f} µm, the slide at {end:.2f}"
            return
    (rows, clear_rows), (cols, clear_cols) = (
        _cells_along(*axis)
        for axis in zip(
            shape, um_pixel, values.um_slide, values.um_origin, values.um_cell,
            values.tissue.shape, strict=True,
        )
    )  # fmt: skip
    clear = np.logical_and.outer(clear_rows, clear_cols)
    for name, raw, pages in zip(values.names, values.stack, tiff.channels, strict=False):
        wanted = np.pad(raw, [(0, 1), (0, 1)], constant_values=np.nan)[np.ix_(rows, cols)]
        pixels = pages[0].asarray()
        wrong = _differ(pixels, wanted) & clear
        if wrong.any():
            row, col = np.argwhere(wrong)[0]
            yield (
                f"{name} differs from the raw values in {wrong.sum()} pixels, first in row {row}, "
                f"column {col}: {pixels[row, col]:g} where {wanted[row, col]:g} is"
            )


def _cells_along(
    size: int, pixel: float, slide: float, origin: float, cell: float, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return, along an axis, the cell around each pixel's centre and whether that is certain.

    Parameters
    ----------
    size, cells : int
        Numbers of pixels and of cells.
    pixel, slide, origin, cell : float
        Sizes in µm, and where cell 0 begins.

    Returns
    -------
    (size,) int64 and (size,) bool
        -1 where there is no cell, and beyond the slide.
    """
    index, clear = cells_along((np.arange(size) + 0.5) * pixel, origin, cell, cells)
    on_slide = np.arange(size) < np.ceil(round(slide / pixel, 6))
    return np.where(on_slide, index, -1), clear


VALUE_TIFF: tuple[Rule[ValueTiff], ...] = (
    Rule("value-tiff-form", "values are float32 without loss, and OME-XML agrees", _form),
    Rule("value-tiff-levels", "levels of values halve exactly and hold no others", _levels),
    Rule("value-tiff-physical-size", "OME-XML and tags state one pixel size", _physical_size),
)
"""Rules for ``*.values.ome.tiff``."""

VALUE_TIFF_PLACE: tuple[Rule[tuple[ValueTiff, Values]], ...] = (
    Rule("value-tiff-channels", "channels of the TIFF are named as the values are", _channels),
    Rule("placement-value-tiff", "every pixel has the raw value of the cell around it", _values),
)
