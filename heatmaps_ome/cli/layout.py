"""Lays text out for people: lines that fit a width and break between words, and tables.

Paths and commands are never broken, so that they can be copied.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAIN_WIDTH: Final = 100
"""Columns of what is written to files and pipes."""
_LEAST_WIDTH: Final = 40
_HANG: Final = 2
"""Columns by which the later lines of a text are indented more than its first."""
_BLANK: Final = "\ue000"
"""Stands for a blank that must not be broken at: of Unicode's private use."""
_GAPS: Final = ("  ", " ")
"""Between the columns of a table: the second where the first would be too wide."""
_UNIT: Final = re.compile("(?<=[0-9]) (?=(%|µm|logits)([^a-z]|$))")
"""Between a number and its unit."""


@dataclass(frozen=True)
class Page:
    """What a text is laid out for.

    Attributes
    ----------
    width : int or None
        Columns; None: lines of any length.
    verbose : bool
        Whether all details are wanted.
    """

    width: int | None = None
    verbose: bool = True


def page_for(stream: TextIO, *, verbose: bool) -> Page:
    """Return the page of a stream: a terminal's width, or that of files."""
    return Page(columns_of(stream) or PLAIN_WIDTH, verbose)


def columns_of(stream: TextIO | None) -> int | None:
    """Return the columns of a terminal; None for anything else."""
    if stream is None or not stream.isatty():
        return None
    return max(_LEAST_WIDTH, shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns)


def for_people(text: str, stream: TextIO | None) -> str:
    """Return a text in lines that fit a terminal; as it is for files, whose lines are records."""
    return "\n".join(wrapped(text, columns_of(stream)))


def width_of(text: str) -> int:
    """Return the columns that a text takes.

    >>> width_of("MSI"), width_of("腫瘍")
    (3, 4)
    """
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def wrapped(text: str, width: int | None, whole: Iterable[str] = ()) -> list[str]:
    """Return a text in lines that fit, broken only between words; later lines are indented more.

    Parameters
    ----------
    whole : iterable of str
        Parts with blanks that are not broken, such as paths.

    >>> wrapped("  the map of a slide", 12)
    ['  the map of', '    a slide']
    """
    if width is None or width_of(text) <= width:
        return [text]
    for part in sorted(whole, key=len, reverse=True):
        text = text.replace(part, part.replace(" ", _BLANK))
    text = _UNIT.sub(_BLANK, text)
    indent = len(text) - len(text.lstrip(" "))
    lines, line = [], " " * indent
    for word in filter(None, text.split(" ")):
        joined = f"{line} {word}" if line.strip() else line + word
        if line.strip() and width_of(joined) > width:
            lines.append(line)
            joined = " " * (indent + _HANG) + word
        line = joined
    return [piece.replace(_BLANK, " ") for piece in [*lines, line]]


def table(
    rows: Sequence[Sequence[str]], width: int | None = None, right: Iterable[int] = ()
) -> list[str]:
    """Return rows in columns; where they are too wide, the first cell has a line of its own.

    Parameters
    ----------
    rows : sequence of sequence of str
        With the heads first; columns that are empty but for their heads are left out.
    right : iterable of int
        Columns that are aligned at their right.
    """
    columns = [
        column
        for column in range(len(rows[0]))
        if column == 0 or any(row[column] for row in rows[1:])
    ]
    ends = {place for place, column in enumerate(columns) if column in set(right)}
    cells = [[row[column] for column in columns] for row in rows]
    for gap in _GAPS:
        lines = _aligned(cells, ends, gap)
        if width is None or max(map(width_of, lines)) <= width:
            return lines
    rest = [[row[column] for column in columns[1:]] for row in rows]
    beside = _aligned(rest, {place - 1 for place in ends}, _GAPS[0])
    pairs = zip(rows, beside, strict=True)
    return [line for row, below in pairs for line in (row[0], f"  {below}")]


def _aligned(rows: Sequence[Sequence[str]], right: set[int], gap: str) -> list[str]:
    """Return rows as lines, their cells filled with blanks."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            blanks + cell if column in right else cell + blanks
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            for blanks in [" " * (width - width_of(cell))]
        ).rstrip()
        for row in rows
    ]
