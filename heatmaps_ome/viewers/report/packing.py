"""Packs the values of a slide's tissue cells into text that a browser unpacks by itself.

A value is stored as a whole number of steps between the slide's smallest and largest value, so the
error is at most half a step. Neighbours are alike, so the difference to the previous value is
stored, with low and high bytes apart: the high bytes are mostly zero, which zlib compresses well.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np

_NONE: Final = 0
_BELOW_ALL: Final = 1
_ABOVE_ALL: Final = 65535
_FIRST: Final = 2
FINE: Final = 65532
"""Steps for maps whose small values matter too: errors are at most 1/131064 of the range."""
PLAIN: Final = 4096
"""Steps for evenly spread values such as probabilities: errors are at most 1/8192 of the range."""
_EFFORT: Final = 6


def packed_mask(tissue: np.ndarray) -> str:
    """Return (rows, cols) bool as text: a bit a cell in reading order, each row from a new byte."""
    return _text(np.packbits(tissue, axis=1))


def unpacked_mask(text: str, rows: int, cols: int) -> np.ndarray:
    """Return the (rows, cols) bool that `packed_mask` packed."""
    packed = _numbers(text, np.uint8).reshape(rows, -1)
    return np.unpackbits(packed, axis=1, count=cols).astype(bool)


def packed_values(values: np.ndarray, steps: int = FINE) -> dict[str, Any]:
    """Return the values of tissue cells as JSON values.

    Parameters
    ----------
    values : (n,) float, of any kind
    steps : int
        Number of steps from the smallest to the largest value, at most ``FINE``.

    Returns
    -------
    dict
        ``min`` and ``max`` of the finite values, ``steps`` and ``codes``: 0 for NaN, 1 and 65535
        for the infinities, else ``2 + steps (value - min) / (max - min)``, differences packed.
    """
    numbers = np.asarray(values, np.float64)
    finite = np.isfinite(numbers)
    low, high = (
        (float(numbers[finite].min()), float(numbers[finite].max())) if finite.any() else (0.0, 0.0)
    )
    codes = np.zeros(len(numbers), np.uint16)
    if high > low:
        # Halved: the difference of two numbers may be more than the largest number.
        place = (numbers[finite] / 2 - low / 2) / (high / 2 - low / 2)
        codes[finite] = _FIRST + np.rint(place * steps).astype(np.uint16)
    else:
        codes[finite] = _FIRST
    codes[np.isneginf(numbers)], codes[np.isposinf(numbers)] = _BELOW_ALL, _ABOVE_ALL
    return {"min": low, "max": high, "steps": steps, "codes": _packed_codes(codes)}


def unpacked_values(record: dict[str, Any], count: int) -> np.ndarray:
    """Return the (count,) float64 that `packed_values` packed, to within half a step."""
    codes = _unpacked_codes(record["codes"], count)
    place = (codes.astype(np.float64) - _FIRST) / record["steps"]
    values = record["min"] * (1 - place) + record["max"] * place
    values[codes == _NONE] = np.nan
    values[codes == _BELOW_ALL], values[codes == _ABOVE_ALL] = -np.inf, np.inf
    return values


def packed_levels(levels: np.ndarray) -> str:
    """Return (n,) uint8 levels of a map whose levels have names."""
    return _text(levels.astype(np.uint8))


def unpacked_levels(text: str) -> np.ndarray:
    """Return the (n,) uint8 that `packed_levels` packed."""
    return _numbers(text, np.uint8)


def _packed_codes(codes: np.ndarray) -> str:
    """Return (n,) uint16 as text: differences, small ones as small numbers whatever their sign."""
    steps = np.diff(codes.astype(np.int32), prepend=0).astype(np.int16)
    folded = ((steps << 1) ^ (steps >> 15)).astype(np.uint16)
    return _text(np.concatenate([folded & 255, folded >> 8]).astype(np.uint8))


def _unpacked_codes(text: str, count: int) -> np.ndarray:
    """Return the (count,) uint16 of a text."""
    parts = _numbers(text, np.uint8).astype(np.uint16)
    if len(parts) != 2 * count:
        raise ValueError(f"{len(parts)} bytes are not the values of {count} cells")
    folded = parts[:count] | (parts[count:] << 8)
    steps = (folded >> 1) ^ (0 - (folded & 1)).astype(np.uint16)
    return np.cumsum(steps, dtype=np.uint64).astype(np.uint16)


def _text(numbers: np.ndarray) -> str:
    """Return bytes as zlib's stream in base64."""
    return base64.b64encode(zlib.compress(numbers.tobytes(), _EFFORT)).decode("ascii")


def _numbers(text: str, kind: type) -> np.ndarray:
    """Return the array of numbers from which `_text` made a text."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)
