"""The cases of CZI, made by Zeiss's own library and, with a pyramid, from the format's text."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from czi_files import Tile, tiles_of, write_czi, write_pyramid
from slide_files import speckled

from heatmaps_ome.geometry import Window
from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path

_NEEDS = ("pylibCZIrw",)
_SPOILED = (Window(0, 256, 256, 256), Window(256, 512, 256, 256))


def with_planes(folder: Path) -> MadeSlide:
    rgb = speckled(604, 908)
    path = write_czi(folder / "made.czi", [tiles_of(rgb)], planes=3, compression="zstd0:")
    return MadeSlide(path, (rgb,))


def with_scenes(folder: Path) -> MadeSlide:
    """Two scenes apart from each other, the first one left of and above the origin."""
    rgb = speckled(300, 400)
    first = [tile._replace(col=tile.col - 150, row=tile.row - 40) for tile in tiles_of(rgb)]
    second = [tile._replace(col=tile.col + 500, row=tile.row + 200) for tile in tiles_of(rgb[::-1])]
    path = write_czi(folder / "made.czi", [first, second])
    whole = np.full((540, 1050, 3), 255, np.uint8)
    whole[:300, :400] = rgb
    whole[240:, 650:] = rgb[::-1]
    return MadeSlide(path, (whole,))


def with_pyramid(folder: Path) -> MadeSlide:
    """Layers of 1/2 and 1/4, which are other pictures than level 0, halved."""
    levels = tuple(speckled(604 // step, 908 // step, seed=step) for step in (1, 2, 4))
    tiles = [
        tile
        for step, rgb in zip((1, 2, 4), levels, strict=True)
        for tile in tiles_of(rgb, 256, step)
    ]
    return MadeSlide(write_pyramid(folder / "made.czi", tiles), levels)


def spoil(path: Path) -> tuple[Window, ...]:
    """Make two tiles, compressed with Zstandard in three planes, undecodable in the middle one."""
    content = bytearray(path.read_bytes())
    for window in _SPOILED:
        start = _block_at(content, window.row, window.col, plane=1)
        content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    return _SPOILED


def _block_at(content: bytes, row: int, col: int, plane: int) -> int:
    """Return where the data of the tile at a place begin."""
    at = 0
    while True:
        at = content.index(b"ZISRAWSUBBLOCK\0\0", at)
        n_metadata, _, _ = struct.unpack_from("<iiq", content, at + 32)
        (count,) = struct.unpack_from("<i", content, at + 48 + 28)
        starts = {}
        for n in range(count):
            name, start = struct.unpack_from("<4si", content, at + 48 + 32 + 20 * n)
            starts[name.rstrip(b"\0")] = start
        if (starts[b"Y"], starts[b"X"], starts.get(b"Z")) == (row, col, plane):
            return at + 32 + max(256, 16 + 32 + 20 * count) + n_metadata
        at += 16


def with_huge_sides(folder: Path) -> Path:
    """A file whose directory places a tile 2**30 pixels away."""
    rgb = speckled(64, 64)
    return write_pyramid(folder / "huge.czi", [Tile(rgb, 0, 0), Tile(rgb, 0, 2**30)])


def with_huge_tiles(folder: Path) -> Path:
    """A file whose only tile claims to have 60,000 pixels a side."""
    path = write_pyramid(folder / "huge-tile.czi", [Tile(speckled(64, 64), 0, 0)])
    content = path.read_bytes()
    for name in (b"X\0\0\0", b"Y\0\0\0"):
        old = struct.pack("<4siifi", name, 0, 64, 0.0, 64)
        assert old in content
        content = content.replace(old, struct.pack("<4siifi", name, 0, 60000, 0.0, 60000))
    path.write_bytes(content)
    return path


CASES = (
    ReaderCase("planes of focus", "CZI", with_planes, "Scaling", needs=_NEEDS, damage=spoil),
    ReaderCase("scenes", "CZI", with_scenes, "Scaling", needs=_NEEDS),
    ReaderCase(
        "pyramid", "CZI", with_pyramid, "Scaling", needs=_NEEDS,
        lies=(with_huge_sides, with_huge_tiles),
    ),
)  # fmt: skip
