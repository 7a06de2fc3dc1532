"""Looks at the chunks of an HDF5 dataset before HDF5 reads them.

HDF5 2.0 ends the program over a compressed chunk of 0 bytes, and reads past the end of one that
unpacks to less than its nominal size. So each chunk's place and size is looked at first, and a
deflated one is unpacked once more than it would have to be.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator

FILTERS: Final = {
    h5py.h5z.FILTER_SHUFFLE: 0, h5py.h5z.FILTER_DEFLATE: 1, h5py.h5z.FILTER_LZF: 1,
    h5py.h5z.FILTER_FLETCHER32: 2,
}  # fmt: skip
"""Filters that are part of every build of h5py → their place in the order that they come in."""
_CHECKSUM_BYTES: Final = 4


def reason_damaged(item: h5py.Dataset) -> str | None:
    """Return why a dataset's chunks are not read: a predicate; None if they may be.

    Parameters
    ----------
    item : h5py.Dataset
        Of plain numbers, with no other filters than `FILTERS`.
    """
    if item.chunks is None or item.size == 0:
        return None
    nominal = math.prod(item.chunks) * item.dtype.itemsize
    filters = filters_of(item)
    numbers = [number for number, _ in filters]
    order = [FILTERS[number] for number in numbers]
    if order != sorted(set(order)):
        return "has filters in an order that h5py does not write"
    for number, options in filters:
        if number == h5py.h5z.FILTER_LZF and (len(options) < 3 or options[2] != nominal):
            return "states another size of its chunks than they have"
        if number == h5py.h5z.FILTER_SHUFFLE and options[:1] != (item.dtype.itemsize,):
            return "states another size of its numbers than they have"
    chunks: list[Any] = []
    item.id.chunk_iter(chunks.append)
    n_bytes = item.file.id.get_filesize()
    for chunk in chunks:
        stored, least = chunk.size, 1 + _CHECKSUM_BYTES * (2 in order)
        whole = chunk.filter_mask == 0 and (stored >= least if filters else stored == nominal)
        if not whole or chunk.byte_offset + stored > n_bytes or stored > 2 * nominal + (1 << 16):
            return "has a damaged chunk"
    if h5py.h5z.FILTER_DEFLATE in numbers:
        ending = _CHECKSUM_BYTES * (2 in order)
        if any(_unpacked(packed, ending, nominal) != nominal for packed in _packed(item, chunks)):
            return "has a chunk that does not unpack to its size"
    return None


def filters_of(item: h5py.Dataset) -> list[tuple[int, tuple[int, ...]]]:
    """Return the filters of a dataset, in the order that they are applied, with their options."""
    facts = item.id.get_create_plist()
    filters = (facts.get_filter(place) for place in range(facts.get_nfilters()))
    return [(number, tuple(options)) for number, _flags, options, *_name in filters]


def _packed(item: h5py.Dataset, chunks: list[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        yield item.id.read_direct_chunk(chunk.chunk_offset)[1]


def _unpacked(packed: bytes, ending: int, limit: int) -> int:
    """Return the size that a chunk unpacks to, up to one byte more than a limit; -1 if damaged."""
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(memoryview(packed)[: len(packed) - ending], limit + 1))
    except zlib.error:
        return -1
