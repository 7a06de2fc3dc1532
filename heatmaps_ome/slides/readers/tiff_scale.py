"""Finds the pixel size in the metadata of a TIFF."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.readers.ome_xml import um_per_unit
from heatmaps_ome.slides.sizes import is_credible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tifffile import TiffPage

    from heatmaps_ome.slides.readers.ome_xml import OmeImage

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_UM_PER_RESOLUTION_UNIT: Final = {2: 25400.0, 3: 10000.0}
"""µm of inch and centimetre by their numbers in TIFF; 1 is no unit."""
_INCH = 2
_APERIO: Final = re.compile(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)")
_IMAGEJ_UNIT: Final = re.compile(r"^unit=(.+)$", re.M)


def pixel_size(page: TiffPage, ome: OmeImage | None) -> tuple[YX | None, str]:
    """Return µm per pixel of a directory as its file states it, and where.

    The first credible one counts: OME-XML goes before the resolution, which is often
    that of a screen.

    Parameters
    ----------
    page : TiffPage
        Level 0.
    ome : OmeImage or None
    """
    stated = list(_stated(page, ome))
    credible = [row for row in stated if is_credible(row[0])]
    return next(iter(credible or stated), (None, ""))


def _stated(page: TiffPage, ome: OmeImage | None) -> Iterator[tuple[YX, str]]:
    if ome is not None and ome.mpp is not None:
        yield ome.mpp, "PhysicalSizeX of the OME-XML"
    text = page.description if isinstance(page.description, str) else ""
    stated = _APERIO.search(text)
    if stated is not None:
        mpp = _number(stated[1])
        if mpp is not None:
            yield YX(mpp, mpp), "MPP of the image's description"
    resolution = _resolution(page)
    if resolution is None:
        return
    unit = _IMAGEJ_UNIT.search(text) if text.startswith("ImageJ=") else None
    if unit is not None:
        um = um_per_unit(_unescaped(unit[1]))
        if um is not None:
            yield YX(um / resolution.y, um / resolution.x), "the unit of ImageJ"
            return
    um = _UM_PER_RESOLUTION_UNIT.get(page.tags.valueof(_RESOLUTION_UNIT, _INCH))
    if um is not None:
        yield YX(um / resolution.y, um / resolution.x), "XResolution of the TIFF"


def _resolution(page: TiffPage) -> YX | None:
    """Return pixels per unit; None where one of them is missing or nothing."""
    values = []
    for tag in (_Y_RESOLUTION, _X_RESOLUTION):
        value = page.tags.valueof(tag)
        if not isinstance(value, tuple) or len(value) != 2 or not all(value):
            return None
        values.append(value[0] / value[1])
    return YX(*values)


def _unescaped(text: str) -> str:
    """Return ImageJ's spelling of a unit as text: it writes µ as an escape of Java."""
    return text.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
