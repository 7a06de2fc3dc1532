"""zlib streams of pictures with repeated rows, in the time that their different rows take.

zlib compresses a row once. Its repetitions are a piece of DEFLATE that says "copy what stands a row
before": that depends on no pixel, and is put together here, once for each number of repetitions.

References
----------
RFC 1950 (zlib), https://www.rfc-editor.org/rfc/rfc1950
RFC 1951 (DEFLATE), https://www.rfc-editor.org/rfc/rfc1951
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADLER = 65521
"""Adler-32's modulus: RFC 1950, section 9."""
_START, _END = b"\x78\x01", b"\x03\x00"
"""Header of a zlib stream (RFC 1950, section 2.2), and an empty last block."""
_LONGEST, _SHORTEST = 258, 227
"""Bytes of the copies that symbols 285 and 284 (at its longest 257) stand for."""
_CODE_LENGTHS = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
"""The order in which RFC 1951, section 3.2.7, has the lengths of the codes of code lengths."""


class Row(NamedTuple):
    """A compressed row of pixels.

    Attributes
    ----------
    piece : bytes
        DEFLATE blocks that end on a whole byte and need nothing that comes before them.
    total, weighed : int
        Sum of the row's bytes, plain and each times its place as counted from the row's end.
    """

    piece: bytes
    total: int
    weighed: int


class RowCompressor:
    """Compresses rows one by one.

    Parameters
    ----------
    size : int
        Bytes of a row: a power of 2 from 1024 to 32768, which DEFLATE can look back.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Few colours a row: fixed codes are as short as a table of codes with codes. Of the little
        # memory nothing is kept from row to row.
        self._zlib = zlib.compressobj(1, zlib.DEFLATED, -12, 5, zlib.Z_FIXED)

    def compressed(self, pixels: bytes | memoryview) -> Row:
        """Return a row compressed."""
        piece = self._zlib.compress(pixels) + self._zlib.flush(zlib.Z_FULL_FLUSH)
        adler = zlib.adler32(pixels)
        # Known but for multiples of the modulus, which is all that `joined` asks for.
        return Row(piece, (adler & 0xFFFF) - 1, (adler >> 16) - self.size)

    def joined(self, rows: Iterable[tuple[Row, int]]) -> bytes:
        """Return the zlib stream of rows, each so many times."""
        parts, low, high = [_START], 1, 0
        for row, times in rows:
            parts.append(row.piece)
            if times > 1:
                parts.append(_copies(self.size, times - 1))
            # Adler-32 of the row so often: `low` grows by its sum each time, `high` by all of low.
            high += times * (self.size * low + row.weighed)
            high += times * (times - 1) // 2 * self.size * row.total
            low += times * row.total
        checksum = (high % _ADLER) << 16 | low % _ADLER
        return b"".join([*parts, _END, checksum.to_bytes(4, "big")])


class _Bits:
    """Bits in DEFLATE's order: RFC 1951, section 3.1.1."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def add(self, value: int, count: int) -> None:
        """Append a number of so many bits, its lowest first."""
        self.value |= value << self.count
        self.count += count


@cache
def _copies(size: int, times: int) -> bytes:
    """Return DEFLATE blocks that repeat the last ``size`` bytes so many times.

    In codes of the block's own, 0 copies 258 bytes and 11 fewer, 10 ends it, and 1 is the distance:
    with the distance's extra bits about a bit for each 25 bytes.
    """
    bits = _Bits()
    # The size is the greatest distance of its symbol, so that the extra bits are all ones.
    extra = size.bit_length() - 3
    _add_codes(bits, 2 * extra + 3)
    distance = (1 << 1 + extra) - 1
    longest = -(-size * times // _LONGEST)
    surplus = longest * _LONGEST - size * times
    while surplus:
        less = min(surplus, _LONGEST - _SHORTEST)
        bits.add(0b11, 2)
        bits.add(_LONGEST - _SHORTEST - less, 5)
        bits.add(distance, 1 + extra)
        surplus -= less
        longest -= 1
    for _ in range(longest):
        bits.add(distance << 1, 2 + extra)
    bits.add(0b01, 2)
    # An empty stored block, up to a whole byte.
    bits.add(0, 3)
    return bits.value.to_bytes(-(-bits.count // 8), "little") + b"\x00\x00\xff\xff"


def _add_codes(bits: _Bits, distance: int) -> None:
    """Begin a block with codes for 256 (its end), 284 and 285 (lengths), and a distance.

    Huffman codes stand with their first bit lowest, unlike numbers. The distance before gets a code
    too, as codes that leave bits without meaning are not taken by every reader.
    """
    bits.add(0b100, 3)
    bits.add(286 - 257, 5)
    bits.add(distance, 5)
    bits.add(len(_CODE_LENGTHS) - 1 - 4, 4)
    # 18, so many zeros, is coded 0; the length 1 is coded 10, 2 is coded 11.
    for symbol in _CODE_LENGTHS[:-1]:
        bits.add({18: 1, 1: 2, 2: 2}.get(symbol, 0), 3)
    one, two = (0b01, 2), (0b11, 2)
    lengths = (_zeros(138), _zeros(118), two, _zeros(27), two, one)
    for code in (*lengths, _zeros(distance - 1), one, one):
        bits.add(*code)


def _zeros(count: int) -> tuple[int, int]:
    """Return the code, and its bits, of 11 to 138 symbols that do not occur."""
    return (count - 11) << 1, 8
