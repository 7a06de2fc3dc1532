"""The cases of OpenSlide: Aperio's kind, a plain tiled JPEG TIFF, and Leica's with its bounds."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import odd_slides
import pyvips
import tifffile
from slide_files import speckled, write_slide

from heatmaps_ome.geometry import YX, Window
from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path

_SPOILED = ((0, 1), (2, 3), (3, 0))
_JPEG_TILE, _JPEG_COLS = 128, 8
_HAS_NO_FASTER = importlib.util.find_spec("simplejpeg") is None
_LEICA = """<?xml version="1.0" encoding="utf-8"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="1000000"
 sizeY="800000"><barcode/><image name="image_0"><pixels sizeX="600" sizeY="400">
 <dimension sizeX="600" sizeY="400" r="0" ifd="0"/></pixels>
 <view sizeX="300000" sizeY="200000" offsetX="100000" offsetY="50000"/>
 <scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>
 <illuminationSettings><illuminationSource>brightfield</illuminationSource>
 <numericalAperture>0.4</numericalAperture></illuminationSettings></scanSettings></image>
</collection></scn>"""


def vips_levels(path: Path, count: int) -> tuple[np.ndarray, ...]:
    """Return the levels of a TIFF as libvips decodes them: (rows, cols, 3) uint8."""
    return tuple(
        pyvips.Image.tiffload(str(path), page=page).numpy()[..., :3] for page in range(count)
    )


def aperio(folder: Path) -> MadeSlide:
    """Of sides that halve twice: where they do not, OpenSlide blends pixels of the levels."""
    path = write_slide(folder / "made.svs", speckled(604, 908))
    levels = vips_levels(path, 3)
    assert (levels[0] == speckled(604, 908)).all()
    return MadeSlide(path, levels)


def plain_jpeg(folder: Path) -> MadeSlide:
    path = odd_slides.jpeg_slide(folder / "made.tif", _JPEG_TILE)
    return MadeSlide(path, vips_levels(path, 1), YX(odd_slides.MPP, odd_slides.MPP))


def leica(folder: Path) -> MadeSlide:
    """A scan of 600 × 400 pixels of 0.5 µm, on a collection of 2000 × 1600."""
    rgb = speckled(400, 600)
    path = folder / "made.scn"
    tifffile.imwrite(
        path, rgb, photometric="rgb", tile=(256, 256), compression="deflate", bigtiff=True,
        description=_LEICA, metadata=None, resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    whole = np.full((1600, 2000, 3), 255, np.uint8)
    whole[100:500, 200:800] = rgb
    return MadeSlide(path, (whole,), bounds=Window(100, 200, 400, 600))


def spoil(path: Path) -> tuple[Window, ...]:
    odd_slides.spoil_tiles(path, *(row * _JPEG_COLS + col for row, col in _SPOILED))
    side = _JPEG_TILE
    return tuple(Window(row * side, col * side, side, side) for row, col in _SPOILED)


def with_huge_tiles(folder: Path) -> Path:
    path = odd_slides.plain_tiff(folder / "huge-tile.tif", odd_slides.rgb())
    return odd_slides.with_field(path, odd_slides.TILE_WIDTH, 2**30)


def with_huge_sides(folder: Path) -> Path:
    path = odd_slides.plain_tiff(folder / "huge-side.tif", odd_slides.rgb())
    return odd_slides.with_field(path, odd_slides.WIDTH, 2**31 - 1)


CASES = (
    ReaderCase("Aperio SVS", "OpenSlide", aperio, "MPP"),
    ReaderCase(
        "tiled JPEG TIFF", "OpenSlide", plain_jpeg, "XResolution", chosen=_HAS_NO_FASTER,
        damage=spoil, lies=(with_huge_tiles, with_huge_sides),
    ),
    ReaderCase("Leica SCN", "OpenSlide", leica, "view"),
)  # fmt: skip
