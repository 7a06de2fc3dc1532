"""The cases of the fast reader and of tifffile: JPEG pyramids, OME-TIFF, strips and planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import odd_slides
import pyvips
import tifffile
from slide_files import speckled

from heatmaps_ome.geometry import YX, Window
from reader_cases.case import MadeSlide, ReaderCase
from reader_cases.openslide_cases import plain_jpeg, spoil, vips_levels

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 64
_MPP = YX(odd_slides.MPP, odd_slides.MPP)


def jpeg_pyramid(folder: Path) -> MadeSlide:
    """Of sides that halve three times: where they do not, OpenSlide blends pixels of the levels."""
    path = folder / "made.tif"
    image = pyvips.Image.new_from_array(speckled(608, 912))
    image = image.copy(interpretation="srgb", xres=1000 / _MPP.x, yres=1000 / _MPP.y)
    image.tiffsave(
        str(path), tile=True, tile_width=128, tile_height=128, pyramid=True, compression="jpeg",
        Q=90,
    )  # fmt: skip
    return MadeSlide(path, vips_levels(path, 4))


def huge_jpeg_tiles(folder: Path) -> Path:
    path = odd_slides.jpeg_slide(folder / "huge-tile.tif")
    return odd_slides.with_field(path, odd_slides.TILE_WIDTH, 2**30)


def ome_with_levels(folder: Path) -> MadeSlide:
    path = odd_slides.with_subifds(folder / "made.ome.tif")
    rgb = odd_slides.rgb()
    return MadeSlide(path, (rgb, rgb[::2, ::2]))


def planes_of_ome(folder: Path) -> MadeSlide:
    """Red, green and blue as three directories in grey, as Bio-Formats writes them."""
    path, rgb = folder / "made.ome.tif", odd_slides.rgb()
    with tifffile.TiffWriter(path, ome=True) as file:
        colours = {"Name": ["Red", "Green", "Blue"]}
        sizes = {f"PhysicalSize{axis}{unit}": value for axis in "XY"
                 for unit, value in (("", _MPP.x), ("Unit", "µm"))}  # fmt: skip
        file.write(
            odd_slides.planes(rgb), tile=(128, 128), compression="deflate",
            photometric="minisblack", metadata={"axes": "CYX", "Channel": colours, **sizes},
        )  # fmt: skip
    return MadeSlide(path, (rgb,))


def strips(folder: Path) -> MadeSlide:
    path, rgb = folder / "made.tif", odd_slides.rgb()
    odd_slides.plain_tiff(path, rgb, tile=None, rowsperstrip=_ROWS)
    return MadeSlide(path, (rgb,))


def spoil_strips(path: Path) -> tuple[Window, ...]:
    odd_slides.spoil_tiles(path, 2, 5)
    cols = odd_slides.SHAPE[1]
    return tuple(Window(row * _ROWS, 0, _ROWS, cols) for row in (2, 5))


def huge_strips(folder: Path) -> Path:
    path = odd_slides.plain_tiff(folder / "huge.tif", odd_slides.rgb(), tile=None)
    return odd_slides.with_field(path, odd_slides.LENGTH, 2**31 - 1)


def bomb(folder: Path) -> Path:
    """A TIFF of 512 × 512 pixels, whose only strip unpacks to 400 MB."""
    path = odd_slides.plain_tiff(
        folder / "bomb.tif", np.zeros((11585, 11585, 3), np.uint8), tile=None,
        rowsperstrip=11585, compressionargs={"level": 1},
    )  # fmt: skip
    for tag in (odd_slides.WIDTH, odd_slides.LENGTH):
        odd_slides.with_field(path, tag, 512)
    return path


CASES = (
    ReaderCase(
        "JPEG pyramid", "fast TIFF", jpeg_pyramid, "XResolution", needs=("simplejpeg",),
        lies=(huge_jpeg_tiles,),
    ),
    ReaderCase(
        "JPEG tiles", "fast TIFF", plain_jpeg, "XResolution", needs=("simplejpeg",), damage=spoil,
    ),
    ReaderCase("OME-TIFF with SubIFDs", "tifffile", ome_with_levels, "PhysicalSizeX"),
    ReaderCase("OME-TIFF in planes", "tifffile", planes_of_ome, "PhysicalSizeX"),
    ReaderCase(
        "strips", "tifffile", strips, "XResolution", damage=spoil_strips,
        lies=(huge_strips, bomb),
    ),
)  # fmt: skip
