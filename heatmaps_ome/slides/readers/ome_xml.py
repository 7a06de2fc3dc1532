"""Reads the images that the OME-XML of an OME-TIFF describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree

from heatmaps_ome.geometry import YX, Shape

_UM_PER_UNIT: Final = {
    "": 1.0, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "\ufffdm": 1.0, "Å": 1e-4, "pm": 1e-6,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "dam": 1e7, "hm": 1e8, "km": 1e9,
    "thou": 25.4, "li": 25400 / 12, "in": 25400.0, "ft": 304800.0, "yd": 914400.0, "pt": 25400 / 72,
}  # fmt: skip
"""µm in the units of length of OME-XML that slides may have; none stated is µm.

µ has two codes, and is lost where the XML is no UTF-8. Others, as light years and "pixel", count
as none. https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd, UnitsLength
"""
_PRIMARIES: Final = (
    ({"red", "r"}, 0xFF0000FF),
    ({"green", "g"}, 0x00FF00FF),
    ({"blue", "b"}, 0x0000FFFF),
)
"""Names and colours (RGBA) of the channels of an RGB image, in their order."""


class NoOmeXml(ValueError):
    """A text is no OME-XML."""


@dataclass(frozen=True)
class OmeImage:
    """An image of an OME-TIFF.

    Attributes
    ----------
    name : str
    shape : Shape
        Pixels of its finest level.
    n_z, n_t : int
        Numbers of focal planes and of points in time.
    samples : tuple of int
        Samples per pixel of each channel.
    channels : tuple of (str, int or None)
        Name, and RGBA colour in 32 bits, of each channel.
    significant_bits : int or None
        Bits of the numbers that are used.
    mpp : YX or None
        µm per pixel.
    magnification : float or None
        Of the objective.
    directories : tuple of int
        Number of the TIFF directory of each channel's first plane.
    elsewhere : str or None
        Name of another file with pixels of this image.
    """

    name: str
    shape: Shape
    n_z: int
    n_t: int
    samples: tuple[int, ...]
    channels: tuple[tuple[str, int | None], ...]
    significant_bits: int | None
    mpp: YX | None
    magnification: float | None
    directories: tuple[int, ...]
    elsewhere: str | None = None

    @property
    def primaries(self) -> bool:
        """Whether its three channels are red, green and blue by their names, else by colours."""
        if self.samples != (1, 1, 1):
            return False
        names = [name.strip().lower() for name, _ in self.channels]
        if any(names):
            return all(name in known for name, (known, _) in zip(names, _PRIMARIES, strict=True))
        return all(
            colour == own for (_, colour), (_, own) in zip(self.channels, _PRIMARIES, strict=True)
        )


@dataclass(frozen=True)
class OmeFile:
    """The images of an OME-TIFF.

    Attributes
    ----------
    images : tuple of OmeImage
    companion : str or None
        Name of the file that has the metadata, if it is another.
    """

    images: tuple[OmeImage, ...]
    companion: str | None = field(default=None)


def parse_ome(text: str, name: str) -> OmeFile:
    """Return the images that a text describes.

    Parameters
    ----------
    text : str
        The description of the TIFF's first directory.
    name : str
        Name of the TIFF, which other files of a set name too.

    Raises
    ------
    NoOmeXml
        If it is no OME-XML.
    """
    # Entities could grow without bound; OME-XML has none.
    if "OME" not in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NoOmeXml
    try:
        root = ElementTree.fromstring(text.strip().encode())
    except (ElementTree.ParseError, ValueError) as error:
        raise NoOmeXml(str(error)) from error
    if root.tag.rpartition("}")[2] != "OME":
        raise NoOmeXml(root.tag)
    only = root.find("{*}BinaryOnly")
    if only is not None:
        return OmeFile((), only.get("MetadataFile", "another file"))
    powers = _powers(root)
    images, begin = [], 0
    for element in root.iterfind("{*}Image"):
        pixels = element.find("{*}Pixels")
        image = None if pixels is None else _image(element, pixels, begin, powers)
        if image is not None and pixels is not None:
            other = _elsewhere(pixels, root.get("UUID"), name)
            images.append(OmeImage(**{**vars(image), "elsewhere": other}))
            begin += len(image.samples) * image.n_z * image.n_t
    if not images:
        raise NoOmeXml("no image")
    return OmeFile(tuple(images))


def _image(
    element: ElementTree.Element, pixels: ElementTree.Element, begin: int, powers: dict[str, float]
) -> OmeImage | None:
    """Return an image; None where it has no size.

    Parameters
    ----------
    begin : int
        Directory of its first plane, if it states none.
    """
    sizes = {axis: _integer(pixels.get(f"Size{axis}"), 1) for axis in "XYZCT"}
    if min(sizes["X"], sizes["Y"]) < 1 or "SizeX" not in pixels.attrib:
        return None
    channels = pixels.findall("{*}Channel")
    samples = tuple(_integer(channel.get("SamplesPerPixel"), 1) for channel in channels)
    if sum(samples) != sizes["C"]:
        # Channels may be left out; a single one of several samples then holds them all.
        samples = (sizes["C"],) if len(channels) == 1 else (1,) * sizes["C"]
    names = tuple((c.get("Name", ""), _colour(c.get("Color"))) for c in channels)
    y, x = (_um(pixels.attrib, f"PhysicalSize{axis}") for axis in "YX")
    objective = element.find("{*}ObjectiveSettings")
    return OmeImage(
        name=element.get("Name", ""),
        shape=Shape(sizes["Y"], sizes["X"]),
        n_z=sizes["Z"],
        n_t=sizes["T"],
        samples=samples,
        channels=names if len(names) == len(samples) else (("", None),) * len(samples),
        significant_bits=_integer(pixels.get("SignificantBits"), 0) or None,
        mpp=None if y is None or x is None else YX(y, x),
        magnification=None if objective is None else powers.get(objective.get("ID", "")),
        directories=_directories(pixels, len(samples), begin),
    )


def _directories(pixels: ElementTree.Element, n_channels: int, begin: int) -> tuple[int, ...]:
    """Return the directory of each channel's first plane."""
    places = {channel: begin + channel for channel in range(n_channels)}
    for block in pixels.iterfind("{*}TiffData"):
        if (
            any(_integer(block.get(f"First{axis}"), 0) for axis in "ZT")
            or "IFD" not in block.attrib
        ):
            continue
        first, ifd = _integer(block.get("FirstC"), 0), _integer(block.get("IFD"), 0)
        for n in range(max(1, min(_integer(block.get("PlaneCount"), 1), n_channels - first))):
            places[first + n] = ifd + n
    return tuple(places[channel] for channel in range(n_channels))


def _elsewhere(pixels: ElementTree.Element, own: str | None, name: str) -> str | None:
    """Return the name of another file with pixels of an image, else None.

    A file that was renamed still has its old name in its XML, but its own identifier.
    """
    blocks = pixels.findall("{*}TiffData/{*}UUID")
    places = {((block.text or "").strip(), block.get("FileName", "")) for block in blocks}
    if own is None and len(places) < 2:
        return None
    others = [file for uuid, file in places if uuid != own and file != name]
    return min(others, default=None)


def _powers(root: ElementTree.Element) -> dict[str, float]:
    """Return the nominal magnification of each objective, by its identifier."""
    powers = {}
    for objective in root.iterfind("{*}Instrument/{*}Objective"):
        try:
            power = float(objective.get("NominalMagnification", ""))
        except ValueError:
            continue
        if power > 0:
            powers[objective.get("ID", "")] = power
    return powers


def _colour(text: str | None) -> int | None:
    """Return RGBA in 32 bits, which OME-XML writes as a signed number."""
    try:
        return None if text is None else int(text) & 0xFFFFFFFF
    except ValueError:
        return None


def _integer(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def _um(attributes: dict[str, str], name: str) -> float | None:
    """Return a length in µm; None if it is missing or no length."""
    unit = um_per_unit(attributes.get(f"{name}Unit", ""))
    try:
        return None if unit is None else float(attributes[name]) * unit
    except (KeyError, ValueError):
        return None


def um_per_unit(text: str) -> float | None:
    """Return the µm of a unit of length by its symbol; None if it is none."""
    return _UM_PER_UNIT.get(text.strip())
