"""Zeiss CZI files: by pylibCZIrw's own writer, and with a pyramid, which that does not write.

The second follows Zeiss's description of the format (ZISRAW, DS_ZISRAW-FileFormat 1.2.2): segments
of which the file's header, the directory, the metadata and the tiles are one each.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_BGR24 = 3
_ALIGNED = 32
_XML = """<ImageDocument><Metadata><Scaling><Items>
<Distance Id="X"><Value>{mpp_x:.12g}</Value></Distance>
<Distance Id="Y"><Value>{mpp_y:.12g}</Value></Distance>
</Items></Scaling></Metadata></ImageDocument>"""


class Tile(NamedTuple):
    """A tile: its pixels, its first pixel at level 0, and the side of a pixel there."""

    rgb: np.ndarray
    row: int
    col: int
    step: int = 1


def tiles_of(rgb: np.ndarray, side: int = 256, step: int = 1) -> list[Tile]:
    """Return an image cut into tiles."""
    rows, cols = rgb.shape[:2]
    return [
        Tile(rgb[row : row + side, col : col + side], row * step, col * step, step)
        for row in range(0, rows, side)
        for col in range(0, cols, side)
    ]


def write_czi(path: Path, scenes: list[list[Tile]], mpp: float = 0.5, **settings) -> Path:
    """Write tiles by pylibCZIrw.

    Parameters
    ----------
    **settings
        ``planes``: number of planes of focus, all but the middle one black; ``compression``;
        ``channels``: number of grey channels instead of one of RGB.
    """
    from pylibCZIrw import czi

    planes, channels = settings.get("planes", 1), settings.get("channels", 0)
    with czi.create_czi(str(path)) as file:
        for scene, tiles in enumerate(scenes):
            for z in range(planes):
                for c in range(channels or 1):
                    for tile in tiles:
                        pixels = tile.rgb[..., 1:2] if channels else tile.rgb[..., ::-1]
                        file.write(
                            np.ascontiguousarray(pixels if z == planes // 2 else pixels * 0),
                            location=(tile.col, tile.row), scene=scene, plane={"Z": z, "C": c},
                            compression_options=settings.get("compression", "uncompressed:"),
                        )  # fmt: skip
        file.write_metadata("made", scale_x=mpp * 1e-6, scale_y=mpp * 1e-6)
    return path


def write_pyramid(path: Path, tiles: list[Tile], mpp: float = 0.5) -> Path:
    """Write tiles of any layers of a pyramid, uncompressed, without a dimension Z."""
    header = 32 + 512
    xml = _XML.format(mpp_x=mpp * 1e-6, mpp_y=mpp * 1e-6).encode()
    content = bytearray(header)
    metadata_at = header
    content += _segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(xml), 0) + xml)
    entries = []
    for tile in tiles:
        entry = _entry(tile, len(content))
        entries.append(entry)
        pixels = np.ascontiguousarray(tile.rgb[..., ::-1]).tobytes()
        fixed = struct.pack("<iiq", 0, 0, len(pixels)) + entry
        content += _segment(b"ZISRAWSUBBLOCK", fixed.ljust(256, b"\0") + pixels)
    directory_at = len(content)
    directory = struct.pack("<i124x", len(entries)) + b"".join(entries)
    content += _segment(b"ZISRAWDIRECTORY", directory)
    fields = struct.pack(
        "<iiii16s16siqqiq", 1, 0, 0, 0, b"A" * 16, b"A" * 16, 0, directory_at, metadata_at, 0, 0
    )
    content[:header] = _segment(b"ZISRAWFILE", fields.ljust(512, b"\0"))
    path.write_bytes(content)
    return path


def _segment(name: bytes, data: bytes) -> bytes:
    allocated = -(-len(data) // _ALIGNED) * _ALIGNED
    return struct.pack("<16sqq", name, allocated, len(data)) + data.ljust(allocated, b"\0")


def _entry(tile: Tile, place: int) -> bytes:
    """Return the directory's entry of a tile (schema DV)."""
    rows, cols = tile.rgb.shape[:2]
    dimensions = [
        (b"X", tile.col, cols * tile.step, cols),
        (b"Y", tile.row, rows * tile.step, rows),
        (b"C", 0, 1, 0),
    ]
    pyramid = 0 if tile.step == 1 else 2
    head = struct.pack("<2siqiiB5xi", b"DV", _BGR24, place, 0, 0, pyramid, len(dimensions))
    return head + b"".join(
        struct.pack("<4siifi", name, start, size, 0.0, stored)
        for name, start, size, stored in dimensions
    )
