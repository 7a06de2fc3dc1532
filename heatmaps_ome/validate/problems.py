"""Rules, and the problems that a validation reports where they are broken."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar
from xml.etree import ElementTree

import openslide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

SubjectT = TypeVar("SubjectT")

UNREADABLE = (
    # Missing and damaged files, wrong JSON (zarr, tifffile and pydantic raise ValueErrors too),
    # metadata of another form than expected, absurd sizes, and damaged chunks (numcodecs).
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError,
    MemoryError, struct.error, zlib.error, ElementTree.ParseError, openslide.OpenSlideError,
)  # fmt: skip
"""The errors of the readers on a broken file; none of them is a fault of this program."""

_LIMIT = 5
_LONGEST = 300


@dataclass(frozen=True)
class Problem:
    """Something wrong with a result.

    Attributes
    ----------
    rule : str
        Name of the broken rule.
    path : Path
        Where the problem is.
    message : str
        The finding, and what it should be.
    """

    rule: str
    path: Path
    message: str


@dataclass(frozen=True)
class Rule(Generic[SubjectT]):
    """A demand on a part of a result.

    Attributes
    ----------
    name : str
        Problems are reported by it.
    demands : str
        The demand in a few words.
    check : function
        Yields the faults of a subject, a sentence each.
    """

    name: str
    demands: str
    check: Callable[[SubjectT], Iterable[str]]


def problems_of(
    subject: SubjectT, path: Path, rules: Sequence[Rule[SubjectT]]
) -> tuple[Problem, ...]:
    """Return the problems of a subject; an unreadable part breaks the rule that reads it.

    At most five problems are reported per rule: a sixth would add nothing new.
    """
    problems = []
    for rule in rules:
        try:
            messages = list(islice(rule.check(subject), _LIMIT))
        except UNREADABLE as error:
            messages = [f"this cannot be read ({one_line(error)})"]
        problems += [Problem(rule.name, path, message) for message in messages]
    return tuple(problems)


def one_line(error: BaseException) -> str:
    """Return an error in one line of bearable length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
