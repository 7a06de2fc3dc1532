"""Reads the pixel size from the OME-XML of an OME-TIFF, which OpenSlide does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.tiff_head import DESCRIPTION, Damaged, TiffHead

if TYPE_CHECKING:
    from pathlib import Path

_UM_PER_UNIT: Final = {
    "": 1.0, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "dm": 1e5,
    "m": 1e6, "in": 25400.0,
}  # fmt: skip
"""µm in the units of length of OME-XML that slides have; none stated is µm. µ has two codes."""


def ome_mpp(path: Path) -> YX | None:
    """Return µm per pixel of the first image of an OME-TIFF; None if it does not state it."""
    try:
        with TiffHead(path) as head:
            text = head.directories[0].text(DESCRIPTION) if head.directories else ""
    except Damaged:
        return None
    # Entities could grow without bound; OME-XML has none.
    if "<OME" not in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return None
    y, x = (_um(pixels.attrib, f"PhysicalSize{axis}") for axis in "YX")
    return None if y is None or x is None else YX(y, x)


def _um(attributes: dict[str, str], name: str) -> float | None:
    """Return a length in µm; None if it is missing or no length."""
    unit = _UM_PER_UNIT.get(attributes.get(f"{name}Unit", "").strip())
    try:
        return None if unit is None else float(attributes[name]) * unit
    except (KeyError, ValueError):
        return None
