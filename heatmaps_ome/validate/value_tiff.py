"""Rules for the raw values as OME-TIFF: a pixel for each cell, under its name and at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.validate.ome_xml import (
    channel_names_of,
    faults,
    pixels_of,
    um_origins_of,
    um_pixel_of,
)
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

_ARTEFACTS = "artefacts"
_NOISE_UM = 1e-3
"""Difference of places that float noise may make."""


class ValueTiff:
    """An OME-TIFF with a page per channel.

    Attributes
    ----------
    path : Path
    channels : list of list of tifffile.TiffPage
        Levels of each channel, finest first; further ones would be in SubIFDs.
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
    def shape(self) -> Shape:
        """(rows, cols) of the first channel."""
        return Shape(self.channels[0][0].imagelength, self.channels[0][0].imagewidth)

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
        """Size of a pixel in µm, by OME-XML."""
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
    yield from faults(tiff.xml, tiff.shape, 1, len(tiff.channels), str(finest.dtype))
    if tiff.kind != "ome":
        yield f"tifffile takes it for {tiff.kind!r}, not for an OME-TIFF"
    for number, pages in enumerate(tiff.channels):
        forms = {(page.samplesperpixel, str(page.dtype)) for page in pages}
        if forms != {(1, "float32")}:
            yield f"channel {number} has samples and types {forms}, not one of float32"
        yield from (f"channel {number}: {fault}" for fault in compression_faults(pages))


def _levels(tiff: ValueTiff) -> Iterator[str]:
    """Demand no coarser levels: their pixels would be no cells."""
    for number, pages in enumerate(tiff.channels):
        if len(pages) > 1:
            yield f"channel {number} has {len(pages)} levels"


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where two arrays of floats are not the same, NaN being the same as NaN."""
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _physical_size(tiff: ValueTiff) -> Iterator[str]:
    """Demand one pixel size in OME-XML and in the tags."""
    yield from physical_size_faults(tiff.channels[0][0], tiff.um_pixel)


def _planes(values: Values) -> dict[str, np.ndarray]:
    """Return the planes that the TIFF must have, (rows, cols) by name, in their order."""
    planes = dict(zip(values.names, values.stack, strict=True))
    if values.facts.get("artefacts", False):
        kinds = np.nan_to_num(values.channel(_ARTEFACTS))
        planes[_ARTEFACTS] = np.where(values.tissue, kinds, np.nan).astype(np.float32)
    return planes


def _channels(placed: tuple[ValueTiff, Values]) -> Iterator[str]:
    """Demand the names that the raw values have, in their order, and the artefacts if known."""
    tiff, values = placed
    names, wanted = channel_names_of(pixels_of(tiff.xml)), list(_planes(values))
    if names != wanted:
        yield f"the channels are {', '.join(names)}, those of the values {', '.join(wanted)}"


def _values(placed: tuple[ValueTiff, Values]) -> Iterator[str]:
    """Demand the cells of the raw values as pixels, of their size, at their place and exact."""
    tiff, values = placed
    if tiff.shape != values.tissue.shape:
        yield f"there are {tuple(tiff.shape)} pixels for {tuple(values.tissue.shape)} cells"
        return
    off = np.subtract(tiff.um_pixel, values.um_cell) * tiff.shape
    if np.abs(off).max() > _NOISE_UM:
        yield f"pixels of {tuple(tiff.um_pixel)} µm stand for cells of {tuple(values.um_cell)} µm"
    origins = um_origins_of(pixels_of(tiff.xml))
    right = [np.allclose(place, values.um_origin, rtol=0, atol=_NOISE_UM) for place in origins]
    if right != [True] * len(tiff.channels):
        yield (
            f"{sum(right)} of {len(tiff.channels)} planes state the place of the first cell's "
            f"corner, {tuple(values.um_origin)} µm"
        )
    for (name, wanted), pages in zip(_planes(values).items(), tiff.channels, strict=False):
        pixels = pages[0].asarray()
        wrong = _differ(pixels, wanted)
        if wrong.any():
            row, col = np.argwhere(wrong)[0]
            yield (
                f"{name} differs from the raw values in {wrong.sum()} cells, first in row {row}, "
                f"column {col}: {pixels[row, col]:g} where {wanted[row, col]:g} is"
            )


VALUE_TIFF: tuple[Rule[ValueTiff], ...] = (
    Rule("value-tiff-form", "values are float32 without loss, and OME-XML agrees", _form),
    Rule("value-tiff-levels", "values have one level", _levels),
    Rule("value-tiff-physical-size", "OME-XML and tags state one pixel size", _physical_size),
)
"""Rules for ``*.values.ome.tiff``."""

VALUE_TIFF_PLACE: tuple[Rule[tuple[ValueTiff, Values]], ...] = (
    Rule("value-tiff-channels", "channels of the TIFF are named as the values are", _channels),
    Rule("placement-value-tiff", "each pixel is a cell at its place, with its raw value", _values),
)
