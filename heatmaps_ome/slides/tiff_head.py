"""Reads the directories of a TIFF, and nothing else, within fixed bounds.

OpenSlide ends the whole process where a tile's claimed size cannot be allocated. So sizes are
looked at before it opens a file: by this reader, which reads a few numbers whatever a file claims,
where libraries for TIFF read as much as it claims.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
DESCRIPTION, SAMPLES, PLANAR, SOFTWARE = 270, 277, 284, 305
STRIP_OFFSETS, STRIP_ROWS, STRIP_BYTES, SUB_IFDS, SAMPLE_FORMAT = 273, 278, 279, 330, 339
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325

_TYPES: Final = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4", 16: "u8",
    17: "i8", 18: "u8",
}  # fmt: skip
"""Field types of TIFF 6.0 and BigTIFF that hold whole numbers or bytes → numpy's."""
_MOST_DIRECTORIES = 1000
_MOST_ENTRIES = 4096
_MOST_VALUES = 2**24
"""Values of a field that are read: more tiles than the largest slides have."""
_MOST_TEXT = 2**22
_MOST_SUBDIRECTORIES = 64
MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Beginnings of TIFF, in either order of bytes, and then of BigTIFF."""


class Damaged(ValueError):
    """A file's head is cut off or no TIFF."""


@dataclass(frozen=True)
class _Entry:
    """A field of a directory: its type, its number of values, and the place of the first."""

    type: int
    count: int
    place: int


class Directory:
    """A directory of a TIFF: the fields of one image.

    Parameters
    ----------
    file : TiffHead
    entries : dict of tag → _Entry
    """

    def __init__(self, file: TiffHead, entries: dict[int, _Entry]) -> None:
        self._file, self._entries = file, entries

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def count(self, tag: int) -> int:
        """Return the number of whole numbers that a field claims to have; 0 without the field."""
        entry = self._entries.get(tag)
        return entry.count if entry is not None and entry.type in _TYPES else 0

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a field of whole numbers, or a default."""
        values = self.numbers(tag, at_most=1)
        return int(values[0]) if values.size else default

    def numbers(self, tag: int, at_most: int = _MOST_VALUES) -> np.ndarray:
        """Return the values of a field of whole numbers, (n,) int64 or uint64; maybe none.

        Raises
        ------
        Damaged
            If they lie beyond the file's end.
        """
        entry = self._entries.get(tag)
        if entry is None or entry.type not in _TYPES:
            return np.empty(0, np.int64)
        return self._file.values(entry.place, _TYPES[entry.type], min(entry.count, at_most))

    def subdirectories(self) -> list[Directory]:
        """Return the directories of the SubIFDs, where OME-TIFFs have the levels of an image.

        Raises
        ------
        Damaged
            If one of them lies beyond the file's end.
        """
        places = self.numbers(SUB_IFDS, at_most=_MOST_SUBDIRECTORIES)
        return [self._file.directory_at(int(place)) for place in places]

    @property
    def longest(self) -> int:
        """Number of values of the longest field, as the directory claims."""
        return max((entry.count for entry in self._entries.values()), default=0)

    def text(self, tag: int) -> str:
        """Return a field of text, or ""."""
        values = self.numbers(tag, at_most=_MOST_TEXT)
        return values.astype(np.uint8).tobytes().split(b"\0")[0].decode("utf-8", "replace")


class TiffHead:
    """The directories in the chain of a TIFF; those of SubIFDs are asked of a directory; a context.

    Parameters
    ----------
    path : Path
        A regular file.

    Raises
    ------
    Damaged
        If it is no TIFF, or the chain leads beyond its end.

    Attributes
    ----------
    directories : list of Directory
        None for files whose places are not exact.
    size : int
        Bytes of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            start = self._bytes(0, 8)
            if start[:4] not in MAGICS:
                raise Damaged("no TIFF")
            self._order = "<" if start[:2] == b"II" else ">"
            self._big = start[:4] in MAGICS[2:]
            # Places in NDPI files beyond 4 GiB have more bits than the format.
            exact = self._big or self.size < 2**32
            self.directories = self._chain() if exact else []
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TiffHead:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def directory_at(self, place: int) -> Directory:
        """Return the directory at a place; Damaged if it lies beyond the file's end."""
        return Directory(self, self._directory(place)[0])

    def values(self, place: int, kind: str, count: int) -> np.ndarray:
        """Return numbers at a place; Damaged if they lie beyond the file's end."""
        dtype = np.dtype(self._order + kind)
        content = self._bytes(place, count * dtype.itemsize)
        return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))

    def _chain(self) -> list[Directory]:
        directories: list[Directory] = []
        places: set[int] = set()
        place = self._number("Q", 8) if self._big else self._number("I", 4)
        while place and place not in places and len(directories) < _MOST_DIRECTORIES:
            places.add(place)
            entries, place = self._directory(place)
            directories.append(Directory(self, entries))
        return directories

    def _directory(self, place: int) -> tuple[dict[int, _Entry], int]:
        """Return the fields of the directory at a place, and the place of the next."""
        n_entries = self._number("Q" if self._big else "H", place)
        first, size = (place + 8, 20) if self._big else (place + 2, 12)
        if n_entries > _MOST_ENTRIES:
            raise Damaged(f"{n_entries} fields in a directory")
        entries: dict[int, _Entry] = {}
        for field in range(first, first + n_entries * size, size):
            tag, kind = self._number("H", field), self._number("H", field + 2)
            count = self._number("Q" if self._big else "I", field + 4)
            inline, value = (8, field + 12) if self._big else (4, field + 8)
            if kind in _TYPES and count * np.dtype(_TYPES[kind]).itemsize > inline:
                value = self._number("Q" if self._big else "I", value)
            # libtiff, too, takes the first of several.
            entries.setdefault(tag, _Entry(kind, count, value))
        return entries, self._number("Q" if self._big else "I", first + n_entries * size)

    def _number(self, kind: str, place: int) -> int:
        return struct.unpack(self._order + kind, self._bytes(place, struct.calcsize("<" + kind)))[0]

    def _bytes(self, place: int, count: int) -> bytes:
        if place + count > self.size:
            raise Damaged(f"it should go on at byte {place}, but has only {self.size}")
        self._file.seek(place)
        content = self._file.read(count)
        if len(content) < count:
            raise Damaged(f"it should go on at byte {place}, but ends before")
        return content
