"""Decides by the head of a TIFF which reader reads it rightly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import openslide

from heatmaps_ome.slides import tiff_head
from heatmaps_ome.slides.readers.ome_xml import NoOmeXml, parse_ome
from heatmaps_ome.slides.readers.tiff_image import QPI
from heatmaps_ome.slides.tiff_head import MAGICS, Damaged, TiffHead

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.tiff_head import Directory

_PLAIN_TIFF: Final = "generic-tiff"
"""OpenSlide's name of tiled TIFFs of no vendor."""
_OPENSLIDES: Final = (1, 5, 7, 8, 32946)
"""Compressions of plain TIFF that OpenSlide reads: none, LZW, JPEG, and deflate."""


class TiffKind(NamedTuple):
    """The kind of a TIFF.

    Attributes
    ----------
    vendor : str or None
        OpenSlide's name of the format; None if it knows none.
    compression : int
        Of the first directory, as numbered by TIFF.
    is_openslides : bool
        Whether OpenSlide reads it rightly, with all levels.
    """

    vendor: str | None
    compression: int
    is_openslides: bool


def tiff_kind(path: Path) -> TiffKind | None:
    """Return the kind of a TIFF; None for other files and folders.

    OpenSlide reads those of vendors rightly, and plain tiled ones of 8 bits whose levels are in
    the chain of directories. Of plain ones that are cut off it may leave out levels.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(4) not in MAGICS:
            return None
    vendor = openslide.OpenSlide.detect_format(path)
    try:
        with TiffHead(path) as head:
            if not head.directories:
                return None if vendor is None else TiffKind(vendor, 0, is_openslides=True)
            first = head.directories[0]
            errs = vendor is None or (vendor == _PLAIN_TIFF and _openslide_errs(first, path.name))
            return TiffKind(vendor, first.number(tiff_head.COMPRESSION, 1), not errs)
    except Damaged:
        return None if vendor is None else TiffKind(vendor, 0, vendor != _PLAIN_TIFF)


def _openslide_errs(first: Directory, name: str) -> bool:
    """Return whether OpenSlide leaves out or misreads something of a plain tiled TIFF."""
    text = first.text(tiff_head.DESCRIPTION)
    if QPI in text or tiff_head.SUB_IFDS in first:
        return True
    if first.number(tiff_head.COMPRESSION, 1) not in _OPENSLIDES:
        return True
    if first.number(tiff_head.BITS, 8) > 8:
        return True
    try:
        parse_ome(text, name)
    except NoOmeXml:
        return False
    return True
