"""OME-XML of one image: pixel sizes and channel names for QuPath, Bio-Formats and tifffile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from heatmaps_ome.storage.texts import printable

if TYPE_CHECKING:
    from heatmaps_ome.geometry import YX, Shape

_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(frozen=True)
class OmeImage:
    """The OME-XML metadata of an image.

    Attributes
    ----------
    name : str
    shape : Shape
        Size at the finest level.
    um_pixel : YX
        Size of its pixels in µm.
    pixel_type : "uint8" or "float"
    channels : tuple of (name, colour)
        Colour is RGBA in one signed 32-bit integer, or None.
    samples : int
        Samples per pixel of every channel.
    interleaved : bool
        Whether the samples of a pixel lie side by side.
    um_origin : YX or None
        Place of the first pixel's outer corner in µm, which is written as that of each plane; None:
        (0, 0), which needs no mention.
    """

    name: str
    shape: Shape
    um_pixel: YX
    pixel_type: Literal["uint8", "float"]
    channels: tuple[tuple[str, int | None], ...]
    samples: int = 1
    interleaved: bool = False
    um_origin: YX | None = None


RGB_CHANNELS = (("Red", -16776961), ("Green", 16711935), ("Blue", 65535))
"""Names and colours by which QuPath recognises a brightfield image."""


def rgb_image(name: str, shape: Shape, um_pixel: YX) -> OmeImage:
    """Return the metadata of an RGB image."""
    return OmeImage(name, shape, um_pixel, "uint8", RGB_CHANNELS)


def ome_xml(image: OmeImage, planes: bool) -> str:
    """Return the OME-XML of an image, with a raw "µm".

    Bio-Formats turns every ``&#`` of the XML into a blank (XMLTools.sanitizeXML), which is why
    no character reference may occur in it.

    Parameters
    ----------
    planes : bool
        Whether the pixels are in this TIFF, a directory for each channel (tifffile needs this
        information), or elsewhere.
    """
    root = ElementTree.Element(
        "OME",
        {
            "xmlns": _NAMESPACE,
            "xmlns:xsi": _XSI,
            "xsi:schemaLocation": f"{_NAMESPACE} {_NAMESPACE}/ome.xsd",
            "Creator": "heatmaps_ome",
        },
    )
    element = ElementTree.SubElement(root, "Image", ID="Image:0", Name=printable(image.name))
    pixels = ElementTree.SubElement(element, "Pixels", _pixels(image))
    for index, (name, colour) in enumerate(image.channels):
        channel = ElementTree.SubElement(
            pixels, "Channel", ID=f"Channel:0:{index}", Name=printable(name)
        )
        channel.set("SamplesPerPixel", str(image.samples))
        if colour is not None:
            channel.set("Color", str(colour))
    if planes:
        for index in range(len(image.channels)):
            ElementTree.SubElement(
                pixels, "TiffData", IFD=str(index), FirstC=str(index), PlaneCount="1"
            )
    else:
        ElementTree.SubElement(pixels, "MetadataOnly")
    if image.um_origin is not None:
        for index in range(len(image.channels)):
            ElementTree.SubElement(pixels, "Plane", _plane(index, image.um_origin))
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


def _plane(channel: int, um_origin: YX) -> dict[str, str]:
    """Return the attributes of a channel's Plane element."""
    return {
        "TheC": str(channel),
        "TheZ": "0",
        "TheT": "0",
        "PositionX": repr(float(um_origin.x)),
        "PositionXUnit": "µm",
        "PositionY": repr(float(um_origin.y)),
        "PositionYUnit": "µm",
    }


def _pixels(image: OmeImage) -> dict[str, str]:
    """Return the attributes of the Pixels element."""
    return {
        "ID": "Pixels:0",
        "DimensionOrder": "XYCZT",
        "Type": image.pixel_type,
        "SizeX": str(image.shape.cols),
        "SizeY": str(image.shape.rows),
        "SizeC": str(len(image.channels) * image.samples),
        "SizeZ": "1",
        "SizeT": "1",
        "Interleaved": "true" if image.interleaved else "false",
        "PhysicalSizeX": repr(float(image.um_pixel.x)),
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": repr(float(image.um_pixel.y)),
        "PhysicalSizeYUnit": "µm",
    }
