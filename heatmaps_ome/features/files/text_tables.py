"""Reads tables of numbers in text files: commas, semicolons or tabs between the columns."""

from __future__ import annotations

import codecs
import csv
import io
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from heatmaps_ome.features.files.columns import Columns, names_slides
from heatmaps_ome.features.files.placing import MOST_TILES
from heatmaps_ome.features.files.refusals import Unfit, listed, quoted
from heatmaps_ome.storage.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES: Final = 4 << 30
_MOST_COLUMNS: Final = 4096
_MOST_LINE: Final = 1 << 20
_ROWS_AT_ONCE: Final = 10_000
_MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})


def read_text_table(path: Path) -> Columns:
    """Return the columns of numbers in a table.

    A byte order mark, quotes, empty lines and, where semicolons separate the columns, decimal
    commas are read. An empty field, NA and the like are missing numbers.

    Raises
    ------
    Unfit
        If it is too large, is no table, or its rows differ in length.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        if file.seek(0, io.SEEK_END) > _MOST_BYTES:
            raise Unfit(f"has more than {_MOST_BYTES >> 30} GiB, too many for a table of tiles")
        file.seek(0)
        text = io.TextIOWrapper(file, encoding=_encoding(file), newline="", errors="strict")
        try:
            return _columns(text)
        except UnicodeDecodeError as error:
            raise Unfit("is no text in UTF-8; save it as CSV in UTF-8") from error
        except csv.Error as error:
            raise Unfit(f"is no table ({error}); save it as CSV") from error


def _encoding(file: BinaryIO) -> str:
    """Return the encoding of a text, by its mark or by whether its first line is UTF-8."""
    start = file.read(3)
    file.seek(0)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if start[:2] == b"PK":
        raise Unfit("is a workbook or an archive; save it as CSV")
    line = file.readline(_MOST_LINE)
    file.seek(0)
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"  # as Excel saves in western languages
    return "utf-8-sig"


def _columns(text: io.TextIOWrapper) -> Columns:
    lines = _lines(text)
    header = next((line for line in lines if line.strip()), None)
    if header is None:
        raise Unfit("is empty; write it again")
    delimiter = max(",;\t", key=header.count)
    [names] = csv.reader([header], delimiter=delimiter)
    names = [name.strip() for name in names]
    _require_header(names)
    slide_place = next((place for place, name in enumerate(names) if names_slides(name)), None)
    parts: list[list[np.ndarray] | None] = [[] for _ in names]
    slides: list[np.ndarray] = []
    mixed: dict[str, str] = {}
    n_rows = 0
    for block in _row_blocks(lines, delimiter, len(names)):
        n_rows += len(block)
        columns = list(zip(*block, strict=True))
        if slide_place is not None:
            slides.append(np.array(columns[slide_place]))
        for place, texts in enumerate(columns):
            column = parts[place]
            values = None if column is None else _numbers(texts, delimiter == ";")
            if values is None and column is not None:
                mixed |= _text_among_numbers(names[place], texts, n_rows - len(block), delimiter)
            if column is None or values is None:
                parts[place] = None
            else:
                column.append(values)
    numbers = {
        name: np.concatenate([*column, np.empty(0)])
        for name, column in zip(names, parts, strict=True)
        if column is not None
    }
    own = np.concatenate(slides) if slides else None
    return Columns(tuple(names), numbers, n_rows, own, mixed)


def _row_blocks(lines: Iterator[str], delimiter: str, length: int) -> Iterator[list[list[str]]]:
    """Yield blocks of a table's rows, without empty ones, all of the header's length."""
    rows = csv.reader(lines, delimiter=delimiter)
    n_rows = 0
    while read := list(islice(rows, _ROWS_AT_ONCE)):
        block = [row for row in read if any(row)]
        _require_lengths(block, length, n_rows)
        n_rows += len(block)
        if n_rows > MOST_TILES:
            raise Unfit(f"has more than {MOST_TILES} rows")
        if block:
            yield block


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines of a bounded length."""
    while line := text.readline(_MOST_LINE):
        if len(line) >= _MOST_LINE:
            raise Unfit(f"has a line of more than {_MOST_LINE >> 10} KiB; it is no table of tiles")
        yield line


def _require_header(names: list[str]) -> None:
    if len(names) > _MOST_COLUMNS:
        raise Unfit(f"has {len(names)} columns, more than {_MOST_COLUMNS}")
    if _numbers(names, decimal_comma=False) is not None:
        raise Unfit("has numbers in its first line; give its columns names such as x,y,score")
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise Unfit(
            f"has several columns of the name {listed(sorted(twice))}; name each differently"
        )


def _require_lengths(block: list[list[str]], length: int, before: int) -> None:
    for place, row in enumerate(block):
        if len(row) != length:
            raise Unfit(
                f"has {len(row)} fields in row {before + place + 1} and {length} in its header; "
                "write it again"
            )


def _text_among_numbers(
    name: str, texts: tuple[str, ...], n_before: int, delimiter: str
) -> dict[str, str]:
    """Return name → the first text, if most fields of a column are numbers; else nothing."""
    rows = [row for row, text in enumerate(texts) if _numbers([text], delimiter == ";") is None]
    if 2 * len(rows) > len(texts):
        return {}
    return {name: f"{quoted(texts[rows[0]])} in row {n_before + rows[0] + 1}"}


def _numbers(texts: tuple[str, ...] | list[str], decimal_comma: bool) -> np.ndarray | None:
    """Return a column as numbers, NaN where they are missing; None if it holds texts."""
    try:
        return np.array(texts, np.float64)
    except ValueError:
        pass
    plain = [text.strip() for text in texts]
    plain = ["nan" if text.lower() in _MISSING else text for text in plain]
    if decimal_comma:
        plain = [text.replace(",", ".") for text in plain]
    try:
        return np.array(plain, np.float64)
    except ValueError:
        return None
