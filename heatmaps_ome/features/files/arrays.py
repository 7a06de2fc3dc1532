"""Reads NumPy's files, npy and npz, of plain numbers: never pickles, nor more than a file holds."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.features.files.numbers import filled_from
from heatmaps_ome.features.files.refusals import Unfit, brief, quoted
from heatmaps_ome.storage.regular_file import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 32 << 30
_MOST_PACKED_BYTES: Final = 256 << 20
_MOST_EXPANSION: Final = 1100
"""More than deflate can compress: an entry that claims more is no array."""
_MOST_ENTRIES: Final = 256
_MOST_HEADER: Final = 10_000


def read_npy(path: Path) -> np.ndarray:
    """Return the array in an npy file.

    Raises
    ------
    Unfit
        If it holds objects, or is damaged.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        n_bytes = file.seek(0, 2)
        file.seek(0)
        return _array(file, n_bytes, path.name)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of plain numbers in an npz file, by name.

    Raises
    ------
    Unfit
        If one is damaged or unpacks to too much, or there are none.
    OSError
        If it cannot be read.
    """
    arrays: dict[str, np.ndarray] = {}
    reason: Unfit | None = None
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in _entries(archive):
                    name = entry.filename.removesuffix(".npy")
                    with archive.open(entry) as packed:
                        try:
                            arrays[name] = _array(packed, entry.file_size, name)
                        except _Objects as error:
                            reason = error
        except (
            zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError,
            NotImplementedError, RuntimeError, ValueError,
        ) as error:  # fmt: skip
            raise Unfit(f"is damaged ({brief(error)}); copy or write it again") from error
    if not arrays:
        raise reason or Unfit("holds no arrays; write it again")
    return arrays


class _Objects(Unfit):
    """An array of Python objects, beside which others may be read."""


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise Unfit(f"holds {len(entries)} arrays, more than {_MOST_ENTRIES}")
    for entry in entries:
        limit = max(_MOST_PACKED_BYTES, _MOST_EXPANSION * entry.compress_size)
        if entry.file_size > min(limit, _MOST_BYTES) or entry.flag_bits & 1:
            raise Unfit(f"holds an entry {quoted(entry.filename)} that unpacks to too much")
    if len({entry.filename for entry in entries}) < len(entries):
        raise Unfit("holds two arrays of one name; write it again")
    return [entry for entry in entries if entry.filename.endswith(".npy")]


def _array(file: Any, n_bytes: int, name: str) -> np.ndarray:
    """Return the array whose header comes next, after a look at its type and size."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise Unfit(f"is of the npy version {version}, which is not read")
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = header(file, max_header_size=_MOST_HEADER)
    # NumPy evaluates the header as a literal of Python, which fails in all of these ways.
    except (
        ValueError, SyntaxError, TypeError, LookupError, EOFError, RecursionError, MemoryError,
        struct.error, tokenize.TokenError,
    ) as error:  # fmt: skip
        raise Unfit(f"has a damaged header in {quoted(name)}; copy or write it again") from error
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        raise _Objects(f"holds no plain numbers in {quoted(name)} but {quoted(dtype)}")
    size = math.prod(shape) * dtype.itemsize
    if len(shape) > 4 or min((*shape, 0)) < 0 or file.tell() + size != n_bytes:
        raise Unfit(
            f"is cut short or damaged: {quoted(name)} has {n_bytes} bytes, not the {size} of "
            f"{shape}; copy it again"
        )
    values = filled_from(file, np.empty(math.prod(shape), dtype))
    native = values.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if fortran else "C")
