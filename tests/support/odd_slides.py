"""Small slides as users have them that are odd or damaged, made from the speckled slide."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pyvips
import tifffile
from slide_files import speckled

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (600, 900)
MPP = 0.5
TILE_WIDTH, TILE_LENGTH, TILE_BYTES, WIDTH, LENGTH = 322, 323, 325, 256, 257
_SIZE = {"PhysicalSizeX": MPP, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": MPP,
         "PhysicalSizeYUnit": "µm"}  # fmt: skip
_PER_CM = {"resolution": (10000 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
_TILED = {"tile": (256, 256), "compression": "deflate"}


def rgb() -> np.ndarray:
    """Return the pixels of all slides here: (600, 900, 3) uint8."""
    return speckled(*SHAPE)


def planes(rgb: np.ndarray) -> np.ndarray:
    """Return (3, rows, cols) uint8."""
    return np.ascontiguousarray(np.moveaxis(rgb, 2, 0))


def plain_tiff(path: Path, image: np.ndarray, **settings) -> Path:
    """Write a tiled TIFF of no vendor, or another by settings of tifffile."""
    options = {"photometric": "rgb", **_TILED, **_PER_CM, **settings}
    tifffile.imwrite(path, image, **{k: v for k, v in options.items() if v is not None})
    return path


def ome_tiff(path: Path, image: np.ndarray, axes: str = "YXS", **settings) -> Path:
    """Write an OME-TIFF whose pixel size stands in its OME-XML alone."""
    options = {"photometric": "rgb", **_TILED, **settings}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, metadata={"axes": axes, **_SIZE}, **options)
    return path


def with_subifds(path: Path) -> Path:
    """Write an OME-TIFF with its levels in SubIFDs, as QuPath and bfconvert do."""
    image = rgb()
    with tifffile.TiffWriter(path, ome=True) as file:
        metadata = {"axes": "YXS", **_SIZE}
        file.write(image, subifds=1, photometric="rgb", metadata=metadata, **_TILED)
        half = np.ascontiguousarray(image[::2, ::2])
        file.write(half, subfiletype=1, photometric="rgb", **_TILED)
    return path


def black_filled(path: Path) -> Path:
    """Write a slide that was scanned in a circle only; the rest is black."""
    rows, cols = np.indices(SHAPE)
    scanned = (rows - 300) ** 2 + (cols - 300) ** 2 < 200**2
    return plain_tiff(path, np.where(scanned[..., None], rgb(), np.uint8(0)))


def jpeg_slide(path: Path, side: int = 128) -> Path:
    """Write a tiled TIFF of one level in JPEG tiles of 128 px."""
    image = pyvips.Image.new_from_array(rgb()).copy(xres=1000 / MPP, yres=1000 / MPP)
    image.tiffsave(
        str(path), tile=True, tile_width=side, tile_height=side, compression="jpeg", Q=90
    )
    return path


def spoil_tiles(path: Path, *numbers: int) -> Path:
    """Overwrite tiles of level 0 with zeros."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[n], page.databytecounts[n]) for n in numbers]
    with path.open("r+b") as file:
        for place, size in places:
            file.seek(place)
            file.write(bytes(size))
    return path


def with_field(path: Path, tag: int, value: int) -> Path:
    """Put a value of 32 bits in the place of a field of the first directory of a classic TIFF."""
    content = bytearray(path.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (n_fields,) = struct.unpack_from(f"{order}H", content, place)
    for field in range(place + 2, place + 2 + 12 * n_fields, 12):
        if struct.unpack_from(f"{order}H", content, field) == (tag,):
            struct.pack_into(f"{order}HII", content, field + 2, 4, 1, value)
    path.write_bytes(content)
    return path
