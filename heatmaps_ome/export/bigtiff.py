"""BigTIFF files of an RGBA pyramid from tiles that are compressed already.

Entries of several tiles may point to the same bytes, which neither libvips nor tifffile writes: the
empty tiles of a file are all one.

References
----------
https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from heatmaps_ome.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from heatmaps_ome.geometry import YX, Shape

_FIRST_AT = 8
_UM_PER_CM = 10_000
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8, _IFD8 = 2, 3, 4, 5, 16, 18
_LETTERS = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q", _IFD8: "Q"}


@dataclass(frozen=True)
class Level:
    """A level of a pyramid, whose tiles are made as they are written.

    Attributes
    ----------
    shape : Shape
        In pixels.
    tiles : iterable of bytes or None
        zlib streams of RGBA with straight alpha, row by row; None for tiles in which nothing is.
    """

    shape: Shape
    tiles: Iterable[bytes | None]


class _Tag(NamedTuple):
    """An entry of a directory."""

    code: int
    kind: int
    n_values: int
    data: bytes


def _numbers(code: int, kind: int, *values: int) -> _Tag:
    """Return an entry of numbers; a rational one is two."""
    count = len(values) // (2 if kind == _RATIONAL else 1)
    return _Tag(code, kind, count, struct.pack(f"<{len(values)}{_LETTERS[kind]}", *values))


def _text(code: int, text: str) -> _Tag:
    """Return an entry of UTF-8."""
    data = text.encode() + b"\x00"
    return _Tag(code, _ASCII, len(data), data)


def write_pyramid(
    path: Path,
    levels: Iterable[Level],
    side: int,
    blank: bytes,
    description: str,
    um_pixel: YX,
) -> None:
    """Write a pyramid, its coarser levels in SubIFDs of the finest.

    Parameters
    ----------
    levels : iterable of Level
        Finest first.
    side : int
        Of a tile in pixels.
    blank : bytes
        The tile in which nothing is.
    um_pixel : YX
        Size of the finest level's pixels in µm.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            file.write(struct.pack("<2s3HQ", b"II", 43, 8, 0, 0))
            at_blank = file.tell()
            file.write(blank)
            finest, *coarser = [
                _level_tags(file, level, side, (at_blank, len(blank))) for level in levels
            ]
            below = [_write_directory(file, [_numbers(254, _LONG, 1), *tags]) for tags in coarser]
            finest += [_text(270, description), *_resolution(um_pixel)]
            if below:
                finest.append(_numbers(330, _IFD8, *below))
            first = _write_directory(file, finest)
            file.seek(_FIRST_AT)
            file.write(struct.pack("<Q", first))
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}); is there space left?") from error


def _level_tags(file: BinaryIO, level: Level, side: int, blank: tuple[int, int]) -> list[_Tag]:
    """Write a level's tiles and return what its directory says of it."""
    offsets, sizes = array("Q"), array("Q")
    for tile in level.tiles:
        offset, size = blank if tile is None else (file.tell(), file.write(tile))
        offsets.append(offset)
        sizes.append(size)
    return [
        _numbers(256, _LONG, level.shape.cols),
        _numbers(257, _LONG, level.shape.rows),
        _numbers(258, _SHORT, 8, 8, 8, 8),  # bits of a sample
        _numbers(259, _SHORT, 8),  # DEFLATE
        _numbers(262, _SHORT, 2),  # RGB
        _numbers(277, _SHORT, 4),  # samples of a pixel
        _numbers(284, _SHORT, 1),  # which lie side by side
        _numbers(322, _SHORT, side),
        _numbers(323, _SHORT, side),
        _numbers(324, _LONG8, *offsets),
        _numbers(325, _LONG8, *sizes),
        _numbers(338, _SHORT, 2),  # the fourth is straight alpha
        _numbers(339, _SHORT, 1, 1, 1, 1),  # unsigned integers
    ]


def _resolution(um_pixel: YX) -> list[_Tag]:
    """Return how many pixels a centimetre has."""
    across, down = (
        Fraction(_UM_PER_CM / um).limit_denominator(_UM_PER_CM).as_integer_ratio()
        for um in (um_pixel.x, um_pixel.y)
    )
    return [
        _numbers(282, _RATIONAL, *across),
        _numbers(283, _RATIONAL, *down),
        _numbers(296, _SHORT, 3),
    ]


def _write_directory(file: BinaryIO, tags: list[_Tag]) -> int:
    """Write a directory, the last of its chain, and return where it stands."""
    entries = []
    for tag in sorted(tags, key=lambda tag: tag.code):
        value = tag.data.ljust(8, b"\x00")
        if len(tag.data) > 8:
            value = struct.pack("<Q", _aligned(file))
            file.write(tag.data)
        entries.append(struct.pack("<HHQ", tag.code, tag.kind, tag.n_values) + value)
    at = _aligned(file)
    file.write(struct.pack("<Q", len(entries)) + b"".join(entries) + struct.pack("<Q", 0))
    return at


def _aligned(file: BinaryIO) -> int:
    """Go on at the next multiple of 8 and return it."""
    file.write(bytes(-file.tell() % 8))
    return file.tell()
