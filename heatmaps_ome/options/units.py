"""Sizes and ages as options give them: a number with its unit."""

import math
import re

_SIZES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_AGES_S = {"h": 3600, "d": 86400, "w": 604800}
"""Unit of time → its length in s."""
_LARGEST_SIZE = 10**18
_LARGEST_AGE_S = 10**10


def size_in_bytes(text: str) -> int:
    """Return the bytes of a size.

    >>> size_in_bytes("50GB"), size_in_bytes("1.5 KiB"), size_in_bytes("0")
    (50000000000, 1536, 0)
    """
    return round(_number(text, _SIZES, _LARGEST_SIZE, "a size such as 50GB"))


def age_in_s(text: str) -> float:
    """Return the seconds of an age.

    >>> age_in_s("30d"), age_in_s("2 w"), age_in_s("0")
    (2592000.0, 1209600.0, 0.0)
    """
    return _number(text, _AGES_S, _LARGEST_AGE_S, "an age such as 30d, 12h or 4w")


def _number(text: str, units: dict[str, int], maximum: float, example: str) -> float:
    """Return a number times its unit; nothing but 0 may lack a unit."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    factors = {name.lower(): factor for name, factor in units.items()}
    if match is None or (match[2].lower() not in factors and (match[2] or float(match[1]))):
        raise ValueError(f"{text!r} is not {example}")
    value = float(match[1]) * factors.get(match[2].lower(), 1)
    if not math.isfinite(value) or value > maximum:
        raise ValueError(f"{text!r} is too large")
    return value
