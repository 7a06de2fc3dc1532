"""The cases of pictures: PNG and JPEG, written and decoded by Pillow."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from slide_files import speckled

from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path

_RGB = speckled(301, 437)
_SIZE_AT = 16
"""Where the head of a PNG has its width."""


def png(folder: Path) -> MadeSlide:
    return _saved(folder / "made.png")


def jpeg(folder: Path) -> MadeSlide:
    return _saved(folder / "made.jpg", quality=90)


def _saved(path: Path, **settings) -> MadeSlide:
    Image.fromarray(_RGB).save(path, **settings)
    with Image.open(path) as image:
        return MadeSlide(path, (np.asarray(image),), mpp=None)


def huge_sides(folder: Path) -> Path:
    """A PNG whose head, with a right checksum, claims two billion pixels a side."""
    path = _saved(folder / "huge.png").path
    content = bytearray(path.read_bytes())
    struct.pack_into(">II", content, _SIZE_AT, 2**31 - 1, 2**31 - 1)
    end = _SIZE_AT + 13
    struct.pack_into(">I", content, end, zlib.crc32(content[_SIZE_AT - 4 : end]))
    path.write_bytes(content)
    return path


CASES = (
    ReaderCase("PNG", "picture", png, lies=(huge_sides,)),
    ReaderCase("JPEG", "picture", jpeg),
)
