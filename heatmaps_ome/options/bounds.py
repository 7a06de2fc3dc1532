"""Bounds of options: by their metadata, each is checked against what it can mean.

``between=(low, high)`` bounds numbers. ``among`` has the values that texts may have, or is a
function that returns them; a ``Literal`` has its values in its type. ``form=(pattern, forms)``
bounds other texts, whose forms a message lists. Texts are never empty. Paths are on disks, but for
options with ``urls=True``.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from heatmaps_ome.options.fields import flag_of
from heatmaps_ome.storage.remote.urls import public, url_of

_HUGE = 10**18
_LONGEST = 60
"""Characters of a value that messages quote."""


def require_sound(options: Any) -> None:
    """Refuse the first value of an options dataclass that nothing can be meant by.

    Raises
    ------
    ValueError
        Names the option, its value, and values that it may have.
    """
    for entry in fields(options):
        for value in _flat(getattr(options, entry.name)):
            _require(entry, value)


def quoted(value: object) -> str:
    """Return a value as messages quote it.

    >>> quoted(0.5), quoted(8), quoted("x"), quoted("x" * 1000) == repr("x" * 59 + "…")
    ('0.5', '8', "'x'", True)
    """
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and abs(value) >= _HUGE:
        return f"beyond {_HUGE:g}"  # Python does not print thousands of digits
    text = str(value)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return text if isinstance(value, int) else repr(text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question for the nearest known words, or "" if none is near.

    >>> nearest("retcl", ["retccl", "tiny"])
    'did you mean retccl?'
    """
    known = list(known)
    plain = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold().strip(), list(plain), 1, 0.5)
    return f"did you mean {plain[close[0]]}?" if close else ""


def _flat(value: Any) -> Iterator[Any]:
    """Yield a value, or the values in nested tuples; an option that is not given has none."""
    if isinstance(value, tuple):
        for one in value:
            yield from _flat(one)
    elif value is not None:
        yield value


def _require(entry: Field[Any], value: Any) -> None:
    flag = flag_of(entry)
    if isinstance(value, str | Path):
        _require_text(flag, str(value))
    url = url_of(value) if isinstance(value, Path) else None
    if url is not None and not entry.metadata.get("urls"):
        raise ValueError(f"{flag} is a URL ({quoted(public(url))}); give a path on a disk")
    if "between" in entry.metadata:
        low, high = entry.metadata["between"]
        if not low <= value <= high:
            raise ValueError(f"{flag} is {quoted(value)}; give a value from {low} to {high}")
    if "form" in entry.metadata:
        pattern, forms = entry.metadata["form"]
        if not re.fullmatch(pattern, str(value)):
            raise ValueError(f"{flag}: unknown {quoted(value)}; it takes {forms}")
    choices = _choices(entry)
    if choices and value not in choices:
        hint = nearest(str(value), choices)
        listed = f"it takes {', '.join(choices)}"
        hint = f"{hint} {listed[0].upper()}{listed[1:]}" if hint else listed
        raise ValueError(f"{flag}: unknown {quoted(value)}; {hint}")


def _require_text(flag: str, text: str) -> None:
    if not text:
        raise ValueError(f"{flag} is empty; give a value or leave it out")
    if "\0" in text:
        raise ValueError(f"{flag} holds a NUL character, which no name has")


def _choices(entry: Field[Any]) -> tuple[str, ...]:
    """Return the values that an option may have; () if there is no list of them."""
    if get_origin(entry.type) is Literal:
        return get_args(entry.type)
    if "among" not in entry.metadata:
        return ()
    listed: Any = entry.metadata["among"]
    values: Iterable[str] = listed if isinstance(listed, tuple) else listed()
    return tuple(values)
