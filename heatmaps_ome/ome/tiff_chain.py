"""Links SubIFDs into the IFD chain for OpenSlide and ASAP.

OME-TIFF stores the coarser levels of a pyramid in SubIFDs of the first directory. OpenSlide follows
the chain of directories instead. Both can point to the same directories: eight bytes a level.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from heatmaps_ome.errors import ResultError

if TYPE_CHECKING:
    from pathlib import Path

_SUB_IFDS = 330
_ENTRY_BYTES = 20
_OFFSET_FORMATS = {4: "I", 13: "I", 16: "Q", 18: "Q"}
"""TIFF types that can hold an offset: LONG, IFD, LONG8, IFD8."""


def chain_sub_ifds(path: Path) -> int:
    """Link the SubIFDs of a BigTIFF's only image into the chain of directories, in place.

    Returns
    -------
    int
        Number of levels that the chain now has.

    Raises
    ------
    ResultError
        If the file is no BigTIFF with one image.

    References
    ----------
    https://www.awaresystems.be/imaging/tiff/bigtiff.html
    """
    with path.open("r+b") as file:
        header = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        if order is None or header[2:4] not in (b"\x2b\x00", b"\x00\x2b"):
            raise ResultError(f"{path} is no BigTIFF; only those have levels that can be chained")
        first = struct.unpack(f"{order}Q", header[8:])[0]
        if _next_offset(file, order, first):
            raise ResultError(f"{path} holds several images or is chained already; write it anew")
        directories = [first, *_sub_ifds(file, order, first)]
        for directory, following in zip(directories, [*directories[1:], 0], strict=True):
            file.seek(_next_at(file, order, directory))
            file.write(struct.pack(f"{order}Q", following))
    return len(directories)


def _read(file: BinaryIO, order: str, layout: str, offset: int) -> tuple[int, ...]:
    """Return the integers of a layout at an offset."""
    file.seek(offset)
    layout = order + layout
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _next_at(file: BinaryIO, order: str, directory: int) -> int:
    """Return the position in the file of a directory's offset to the next one."""
    (entries,) = _read(file, order, "Q", directory)
    return directory + 8 + _ENTRY_BYTES * entries


def _next_offset(file: BinaryIO, order: str, directory: int) -> int:
    """Return a directory's offset to the next one, 0 for the last."""
    return _read(file, order, "Q", _next_at(file, order, directory))[0]


def _sub_ifds(file: BinaryIO, order: str, directory: int) -> tuple[int, ...]:
    """Return the offsets of a directory's SubIFDs."""
    (entries,) = _read(file, order, "Q", directory)
    for index in range(entries):
        entry = directory + 8 + _ENTRY_BYTES * index
        tag, kind, count = _read(file, order, "HHQ", entry)
        if tag != _SUB_IFDS:
            continue
        layout = f"{count}{_OFFSET_FORMATS[kind]}"
        inline = struct.calcsize(order + layout) <= 8
        at = entry + 12 if inline else _read(file, order, "Q", entry + 12)[0]
        return _read(file, order, layout, at)
    return ()
