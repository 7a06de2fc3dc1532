"""Rules for OME-XML: the entries that Bio-Formats, QuPath and tifffile need."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.slides.plain_zarr import require_regular
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.validate.ngff import Pyramid

_OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
_TYPES = {"uint8": "uint8", "float32": "float"}


def pixels_of(xml: str) -> ElementTree.Element:
    """Return the Pixels of OME-XML's only image.

    Raises
    ------
    ElementTree.ParseError, ValueError
        If it is no XML, or no OME-XML of one image.
    """
    root = ElementTree.fromstring(xml.encode())
    images = root.findall(f"{_OME}Image/{_OME}Pixels")
    if root.tag != f"{_OME}OME" or len(images) != 1:
        raise ValueError(f"{root.tag} with {len(images)} images is no OME-XML 2016-06 of one image")
    return images[0]


def um_pixel_of(pixels: ElementTree.Element) -> YX:
    """Return the size of a pixel in µm; ValueError or TypeError if it is not given in µm."""
    units = [pixels.get(f"PhysicalSize{axis}Unit") for axis in "YX"]
    if units != ["µm", "µm"]:
        raise ValueError(f"pixel sizes have the units {units}, not µm")
    return YX(*(float(str(pixels.get(f"PhysicalSize{axis}"))) for axis in "YX"))


def um_origins_of(pixels: ElementTree.Element) -> list[YX]:
    """Return the place in µm that each plane states; ValueError or TypeError if it is in no µm."""
    planes = pixels.findall(f"{_OME}Plane")
    units = {plane.get(f"Position{axis}Unit") for plane in planes for axis in "YX"}
    if not units <= {"µm"}:
        raise ValueError(f"positions have the units {units}, not µm")
    return [YX(*(float(str(plane.get(f"Position{axis}"))) for axis in "YX")) for plane in planes]


def channel_names_of(pixels: ElementTree.Element) -> list[str]:
    """Return the names of the channels, empty where one has none."""
    return [channel.get("Name", "") for channel in pixels.findall(f"{_OME}Channel")]


def faults(xml: str, shape: Shape, samples: int, channels: int, dtype: str) -> Iterator[str]:
    """Yield the faults of an image's OME-XML.

    Parameters
    ----------
    samples : int
        Interleaved samples of each channel.
    channels : int
    dtype : str
        numpy's name of the pixels' type.
    """
    if "&#" in xml:
        yield "there is a character reference (&#…;), which Bio-Formats turns into a blank"
    pixels = pixels_of(xml)
    wanted = {
        "SizeX": str(shape.cols),
        "SizeY": str(shape.rows),
        "SizeC": str(samples * channels),
        "Type": _TYPES.get(dtype, dtype),
    }
    for name, value in wanted.items():
        if pixels.get(name) != value:
            yield f"{name} is {pixels.get(name)} where the pixels say {value}"
    per_pixel = [channel.get("SamplesPerPixel") for channel in pixels.findall(f"{_OME}Channel")]
    if per_pixel != [str(samples)] * channels:
        yield (
            f"the channels have {per_pixel} samples per pixel, not {channels} of {samples}; "
            "QuPath fails to open it"
        )
    if samples > 1 and pixels.get("Interleaved") != "true":
        yield "the samples are not said to be interleaved; Avivator finds no image then"
    if pixels.find(f"{_OME}TiffData") is None and pixels.find(f"{_OME}MetadataOnly") is None:
        yield "it says nothing of where the pixels are; tifffile takes it for no OME-TIFF"


def _beside_zarr(image: Pyramid) -> Iterator[str]:
    """Demand the file that QuPath takes the pixel size of an OME-Zarr from."""
    path = image.path / "OME" / "METADATA.ome.xml"
    require_regular(path)
    xml = path.read_text(encoding="utf-8")
    finest = image.levels[0]
    yield from faults(xml, image.shapes[0], 1, finest.shape[0], str(finest.dtype))
    um_pixel, wanted = um_pixel_of(pixels_of(xml)), image.um_pixel
    if not all(abs(a - b) <= 1e-6 * b for a, b in zip(um_pixel, wanted, strict=True)):
        yield f"the pixels are {tuple(um_pixel)} µm here and {tuple(wanted)} µm in multiscales"


ZARR_XML: tuple[Rule[Pyramid], ...] = (
    Rule("ome-xml", "OME/METADATA.ome.xml states the size and µm of the OME-Zarr", _beside_zarr),
)
"""Rules for an image or values in OME-Zarr."""
