"""Numbers as people read them: three significant digits, and no share of next to nothing.

The page and the report have the same formats in JavaScript.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUS: Final = "\u2212"
LEAST_TOTAL: Final = 0.01
"""Part of the other side's total below which a side's evidence is next to nothing."""
_DIGITS: Final = 3
_LEAST_LENGTH: Final = len("0.123")
_PLAIN: Final = (1e-4, 1e6)
"""Numbers between these are written without an exponent."""
_OF_VALUES: Final = ("regression", "survival")
_NONE: Final = "unknown"


def number(value: float) -> str:
    """Return a number with three significant digits.

    >>> number(2.7412), number(-0.0012345), number(1.2e-7), number(12345.6), number(999.7)
    ('2.74', '−0.00123', '1.2e-07', '12346', '1000')
    """
    if not math.isfinite(value):
        return _not_finite(value)
    size = abs(value)
    if value == 0 or _PLAIN[0] <= size < _PLAIN[1]:
        # Rounding may carry: 999.7 has three digits as 1000.
        text = f"{value:.0f}" if size >= 10**_DIGITS - 0.5 else f"{value:.{_DIGITS}g}"
    else:
        text = f"{value:.{_DIGITS}g}"
    return text.replace("-", MINUS, 1) if value < 0 else text.lstrip("-")


def probability(p: float) -> str:
    """Return a probability with three significant digits of itself or, above 0.5, of 1 - p.

    There are three decimals at least, and no more than are needed.

    >>> probability(0.8342), probability(0.1), probability(0.95), probability(0.0123456)
    ('0.834', '0.100', '0.950', '0.0123')
    >>> probability(0.99987), probability(0.000123456)
    ('0.99987', '0.000123')
    >>> probability(1 - 1.2e-7), probability(1.2e-7), probability(1.0), probability(0.0)
    ('1 − 1.2e-07', '1.2e-07', '1', '0')
    """
    rest = 1 - p
    if not 0 < p < 1:
        return number(p)
    if rest < _PLAIN[0]:
        return f"1 {MINUS} {number(rest)}"
    least = min(p, rest)
    if least < _PLAIN[0]:
        return number(p)
    # Rounding may carry: 0.0999999 has three digits as 0.100.
    exponent = int(f"{least:.{_DIGITS - 1}e}".partition("e")[2])
    text = f"{p:.{_DIGITS - 1 - exponent}f}"
    return text[:_LEAST_LENGTH] + text[_LEAST_LENGTH:].rstrip("0")


def is_probability(target: Mapping[str, Any]) -> bool:
    """Return whether predictions are probabilities, by a `Target.record`; not so values, risks."""
    return target.get("task") not in _OF_VALUES


def predicted_text(value: float, target: Mapping[str, Any]) -> str:
    """Return a prediction: a class's probability, or a value or risk; see `is_probability`."""
    return probability(value) if is_probability(target) else number(value)


def percent(share: float) -> str:
    """Return a share in per cent with three digits; only none and all are 0 and 100 %.

    >>> percent(0.8234), percent(0.0412), percent(0.000312), percent(1e-6), percent(0.99991)
    ('82.3 %', '4.12 %', '0.0312 %', '< 0.01 %', '> 99.9 %')
    >>> percent(0.0), percent(0.5), percent(1 - 1e-12)
    ('0 %', '50 %', '100 %')
    """
    if 0 < share < 1e-4:
        return "< 0.01 %"
    # Sums of all shares differ from 1 in their last digits.
    if 0.9995 <= share < 1 - 1e-9:
        return "> 99.9 %"
    return _NONE if not math.isfinite(share) else f"{number(100 * share)} %"


def is_next_to_nothing(total: float, beside: float) -> bool:
    """Return whether a total is so small beside the other side's that shares of it mislead.

    >>> is_next_to_nothing(0.001, 2.7), is_next_to_nothing(0.3, 2.7), is_next_to_nothing(0, 0)
    (True, False, True)
    """
    return total <= 0 or total < LEAST_TOTAL * beside


def _not_finite(value: float) -> str:
    """Return what people read for an infinite number, or none."""
    if math.isnan(value):
        return _NONE
    return "∞" if value > 0 else f"{MINUS}∞"
