"""What a validation finds: rules, and the problems that break them."""

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
"""All that the readers raise on a broken file; none of it is a fault of this program."""

_MOST = 5
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
        What was found and what should be.
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
        As problems are told by.
    demands : str
        What must be, in a few words.
    check : function
        Yields what is wrong with a subject, in sentences.
    """

    name: str
    demands: str
    check: Callable[[SubjectT], Iterable[str]]


def problems_of(
    subject: SubjectT, path: Path, rules: Sequence[Rule[SubjectT]]
) -> tuple[Problem, ...]:
    """Return all that is wrong with a subject; what cannot be read breaks the rule that reads it.

    At most five problems are told of each rule: the sixth would say nothing new.
    """
    problems = []
    for rule in rules:
        try:
            said = list(islice(rule.check(subject), _MOST))
        except UNREADABLE as error:
            said = [f"this cannot be read ({told(error)})"]
        problems += [Problem(rule.name, path, message) for message in said]
    return tuple(problems)


def told(error: BaseException) -> str:
    """Return an error in one line of bearable length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
