"""Reads HDF5 files that a stranger may have made: plain numbers of bounded size, nothing else.

HDF5 can refer to other files (external links and storage, virtual datasets), and load filters as
plugins. So a dataset is looked at before it is read: its links, its storage, its filters, its type
and its size have to be on the lists below. Files are opened without a lock, as a writer elsewhere
or a file system without locks would prevent reading.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.features.files.hdf5_chunks import FILTERS, filters_of, reason_damaged
from heatmaps_ome.features.files.refusals import Unfit, listed, quoted
from heatmaps_ome.storage.regular_file import require_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MOST_BYTES = 32 << 30
_MOST_SPARSE_BYTES = 256 << 20
"""Bytes of a dataset, unless so much lies on disk that it must be real."""
_MOST_EXPANSION = 1100
"""More than deflate can compress."""
_MOST_CHUNK_BYTES = 1 << 30
_MOST_ATTRIBUTE_ITEMS = 4096
_MOST_DATASETS, _MOST_DEPTH = 2000, 6
_REASONS: Final = (
    ("truncated file", "is cut short; copy it again"),
    ("already open for write", "is being written, or its writer was killed; wait until it is "
     "complete, or write it again"),
    ("unable to lock file", "is locked by its writer; wait until it is complete"),
    ("file signature not found", "is no HDF5 file; give the file that the other program wrote"),
)  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, without a lock.

    Raises
    ------
    Unfit
        If it is none, is cut short, damaged, or being written; also for what HDF5 raises while
        the file is open.
    OSError
        If there is no such file, or it is a folder, a pipe or a device.
    """
    require_regular(path)
    with _hdf5_errors(), _file(path) as file:
        yield file


def _file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # This very process has it open with a lock, as in a notebook.
        if "locking flag values" not in str(error):
            raise
        return h5py.File(path, "r")


@contextmanager
def _hdf5_errors() -> Iterator[None]:
    try:
        yield
    # Some are ValueErrors or OSErrors too.
    except HeatmapsError:
        raise
    # h5py raises all of these for damaged files.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        text = str(error)
        for part, reason in _REASONS:
            if part in text.lower():
                raise Unfit(reason) from error
        raise Unfit(f"is damaged (HDF5: {text[:200]}); copy or write it again") from error


def dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset of plain numbers below a group that is safe to read; None if not there.

    Raises
    ------
    Unfit
        If it lies in another file, uses other filters than HDF5's own, holds no numbers, or is
        larger than its file can hold.
    """
    item = member(group, name)
    if item is None:
        return None
    if not isinstance(item, h5py.Dataset):
        raise Unfit(f"has a group {quoted(name)} where a dataset is needed")
    reason = _reason_unread(item)
    if reason is not None:
        raise Unfit(f"has a dataset {quoted(name)} that {reason}, which is not read")
    return item


def member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return a group or dataset below a group; None if there is none of that name.

    Raises
    ------
    Unfit
        If a link on the way leads elsewhere.
    """
    item: Any = group
    for part in [part for part in name.split("/") if part]:
        if not isinstance(item, h5py.Group) or part in (".", ".."):
            return None
        link = item.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise Unfit(f"has a link {quoted(name)} that leads elsewhere, which is not followed")
        item = item[part]
    return item


def numeric_names(group: h5py.Group) -> list[str]:
    """Return the names of the datasets of numbers that are safe to read, in all groups below."""
    return list(_numeric_names(group, "", 0))[:_MOST_DATASETS]


def _numeric_names(group: h5py.Group, prefix: str, depth: int) -> Iterator[str]:
    for count, name in enumerate(group):
        if count >= _MOST_DATASETS or depth > _MOST_DEPTH:
            return
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Dataset) and _reason_unread(item) is None:
            yield prefix + name
        elif isinstance(item, h5py.Group):
            yield from _numeric_names(item, f"{prefix}{name}/", depth + 1)


def _reason_unread(item: h5py.Dataset) -> str | None:
    """Return why a dataset is not read: a predicate; None if it is plain."""
    if item.dtype.kind not in "iufb" or item.dtype.itemsize > 8:
        return f"holds no plain numbers but {item.dtype.name}"
    facts = item.id.get_create_plist()
    if item.is_virtual or facts.get_layout() == h5py.h5d.VIRTUAL or facts.get_external_count():
        return "lies in another file"
    filters = {number for number, _ in filters_of(item)}
    if filters - FILTERS.keys():
        return f"is compressed with the filters {sorted(filters)}"
    if item.chunks and math.prod(item.chunks) * item.dtype.itemsize > _MOST_CHUNK_BYTES:
        return "has chunks that are too large"
    if item.shape is None or len(item.shape) > 4:
        return "has no shape of a table"
    n_bytes = math.prod(item.shape) * item.dtype.itemsize
    stored = item.id.get_storage_size()
    if n_bytes > min(_MOST_BYTES, max(_MOST_SPARSE_BYTES, stored * _MOST_EXPANSION)):
        return f"has the shape {item.shape} in {stored} bytes"
    return None


def read(item: h5py.Dataset, dtype: np.dtype[Any] | None = None) -> np.ndarray:
    """Return all numbers of a dataset in native byte order, without a second copy.

    Raises
    ------
    Unfit
        If its chunks are damaged.
    """
    reason = reason_damaged(item)
    if reason is not None:
        raise Unfit(f"{reason} in {quoted(item.name)}; copy or write it again")
    own = item.dtype.newbyteorder("=") if dtype is None else dtype
    values = np.empty(item.shape, own)
    if values.size:
        item.read_direct(values)
    return values


def attribute(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """Return an attribute as a text, a number or a 1-D array of numbers; None if it is not there.

    Attributes of other types count as missing.
    """
    if name not in item.attrs:
        return None
    stored = item.attrs.get_id(name)
    if stored.shape is None or math.prod(stored.shape) > _MOST_ATTRIBUTE_ITEMS:
        return None
    if stored.dtype.kind not in "iufbSUO":
        return None
    # Objects are texts of any length; references and sequences are none.
    if stored.dtype.kind == "O" and h5py.check_string_dtype(stored.dtype) is None:
        return None
    value = item.attrs[name]
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind != "O":
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (str, np.ndarray)) else None


def text_attribute(item: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """Return an attribute that is a text; None if it is another, or not there."""
    value = attribute(item, name)
    return value if isinstance(value, str) else None


def number_attribute(item: h5py.Group | h5py.Dataset, name: str) -> float | None:
    """Return an attribute that is a number, also as a text; None if it is another, or not there.

    Raises
    ------
    Unfit
        If it is not finite.
    """
    value = attribute(item, name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value):
        raise Unfit(f"states {value} for {name}; write it again")
    return float(value)


def pair_attribute(item: h5py.Group | h5py.Dataset, name: str) -> tuple[float, float] | None:
    """Return an attribute of two numbers, x first; None if it is another, or not there."""
    value = attribute(item, name)
    if not isinstance(value, np.ndarray) or value.shape != (2,) or value.dtype.kind not in "iuf":
        return None
    return float(value[0]), float(value[1])


def names_in(file: h5py.File) -> str:
    """Return the names of a file's datasets for a message."""
    names = numeric_names(file)
    return listed(names) if names else "no datasets of numbers"
