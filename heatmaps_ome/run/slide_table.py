"""Reads the table of slides of ``--slides``: a row a slide, with its pixel size and covariates."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OptionError, RemoteError, SlideError
from heatmaps_ome.models.covariates import MISSING
from heatmaps_ome.run.list_text import WINDOWS, list_bytes, require_few, table_text
from heatmaps_ome.run.slide_paths import is_slide_folder, located, with_ending
from heatmaps_ome.run.slide_row import SlideRow, for_people, path_problem
from heatmaps_ome.run.slide_urls import slide_with_ending
from heatmaps_ome.slides.opened_slide import SANE_MPP
from heatmaps_ome.storage.remote.urls import public, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAG: Final = "--slides"
SLIDE_COLUMNS: Final = ("slide", "wsi", "path", "filename")
FACTS: Final = ("name", "mpp", "label", "features", "scores")
_SEPARATORS: Final = (",", ";", "\t")
_BLANKS = "".join(_SEPARATORS) + " \r\n"
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_NAME_BYTES = 200
_MAX_CELLS = 10_000


@dataclass(frozen=True)
class _Line:
    """A record of the file: its first line, from 1, and its cells or the reason for having none."""

    number: int
    cells: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True)
class _Table:
    """The columns and how to read cells.

    Attributes
    ----------
    columns : dict of str → int
        The slide's column as "slide", the facts, then the other columns by name.
    width : int
        Number of cells of the header.
    has_decimal_commas : bool
        Whether cells are separated by semicolons, which leaves the comma to numbers.
    encoding : str
        "" for Unicode.
    """

    path: Path
    columns: dict[str, int]
    width: int
    has_decimal_commas: bool
    encoding: str

    def cell(self, line: _Line, column: str) -> str:
        """Return a cell without the spaces around it; "" where there is none."""
        place = self.columns.get(column)
        return "" if place is None or place >= len(line.cells) else line.cells[place]


def table_rows(path: Path) -> list[SlideRow]:
    """Return the rows of a table.

    Raises
    ------
    OptionError
        If it cannot be read, or its header is none. A wrong row is a row with a problem.
    """
    text, encoding = table_text(list_bytes(path, FLAG), path)
    separator, lines = _parsed(text, path)
    header, *lines = lines
    columns = _columns(header, path)
    table = _Table(path, columns, len(header.cells), separator == ";", encoding)
    rows = [_row(table, line) for line in lines]
    if not rows:
        raise OptionError(f"{path} has a header but no slides; add a row for each slide")
    return rows


def _parsed(text: str, path: Path) -> tuple[str, list[_Line]]:
    """Return the separator and the records, from the header on."""
    if not text.strip(_BLANKS):
        raise OptionError(f"{path} is empty; give a table with a column slide")
    declared = re.match(r"sep=([,;\t|])[\r\n]+", text, re.IGNORECASE)
    if declared:
        return declared[1], _require_header(list(_lines(text, declared[1], path))[1:], path)
    # The header decides: other cells may hold any of the marks.
    best = max(_SEPARATORS, key=lambda mark: _suits(text, mark, path))
    return best, _require_header(list(_lines(text, best, path)), path)


def _suits(text: str, separator: str, path: Path) -> tuple[bool, int]:
    """Return a measure for how well a separator suits the header."""
    try:
        cells = next(_lines(text, separator, path)).cells
    except (OptionError, StopIteration):
        return False, 0
    return any(cell.casefold() in SLIDE_COLUMNS for cell in cells), len(cells)


def _require_header(lines: list[_Line], path: Path) -> list[_Line]:
    if not lines:
        raise OptionError(f"{path} is empty; give a table with a column slide")
    if lines[0].fault:
        raise OptionError(f"{path}, line {lines[0].number}: {lines[0].fault}")
    return lines


def _lines(text: str, separator: str, path: Path) -> Iterator[_Line]:
    """Yield the records that are not blank."""
    # Strict, or a quote that is never closed swallows all lines after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    n_lines = 0
    while True:
        number = reader.line_num + 1
        require_few(n_lines, path)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise OptionError(
                    f"{path}, line {number}: a quote is opened there and never closed; close it"
                ) from error
            n_lines += 1
            yield _Line(number, (), f"the quotes are not those of a table ({error}); mend them")
            continue
        line = _line(number, cells)
        if line is not None:
            n_lines += 1
            yield line


def _line(number: int, cells: list[str]) -> _Line | None:
    """Return a record without the spaces around its cells; None if it is blank."""
    if len(cells) > _MAX_CELLS:
        return _Line(number, (), f"the row has {len(cells):,} cells; check the separators")
    stripped = tuple(cell.strip() for cell in cells)
    # Windows PowerShell writes a line of its own before the header.
    is_blank = not any(stripped) or stripped[0].startswith("#TYPE ")
    return None if is_blank else _Line(number, stripped)


def _columns(header: _Line, path: Path) -> dict[str, int]:
    """Return the place of each column, by the name that `_Table` describes."""
    names = [
        name.casefold() if name.casefold() in (*SLIDE_COLUMNS, *FACTS) else name
        for name in header.cells
    ]
    where = f"{path}, line {header.number}"
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise OptionError(f"{where}: two columns are named {for_people(twice[0])}; rename one")
    naming = [name for name in SLIDE_COLUMNS if name in names]
    if not naming:
        raise OptionError(
            f"{where}: no column is named slide (or wsi, path, filename); the header is "
            f"{for_people(', '.join(names))}"
        )
    if len(naming) > 1:
        raise OptionError(
            f"{where}: the columns {' and '.join(naming)} could both name the slides; rename one"
        )
    places = {name: place for place, name in enumerate(names) if name}
    return {"slide": places.pop(naming[0]), **places}


def _row(table: _Table, line: _Line) -> SlideRow:
    origin = f"{table.path.name}, line {line.number}"
    # Where there is no path, messages name the line.
    path = type(table.path)(origin)
    try:
        path = _path(table, line, table.cell(line, "slide"))
        url = url_of(path)
        if url is not None:
            path = type(path)(public(url))
        _require_cells(table, line)
        return SlideRow(
            path=path,
            url=url or "",
            name=_name(table.cell(line, "name")),
            mpp=_mpp(table.cell(line, "mpp")),
            label=_label(table.cell(line, "label")),
            features=_tiles(table, table.cell(line, "features")),
            scores=_tiles(table, table.cell(line, "scores")),
            covariates=_covariates(table, line),
            origin=origin,
        )
    except (SlideError, RemoteError) as error:
        return SlideRow(path=path, origin=origin, problem=f"{origin}: {error}")


def _path(table: _Table, line: _Line, text: str) -> Path:
    """Return the slide's path, which may be a URL.

    Raises
    ------
    SlideError
        If it cannot be a slide.
    RemoteError
        If it cannot be reached.
    """
    if line.fault:
        raise SlideError(line.fault)
    if not text:
        raise SlideError("the cell of the slide is empty; give its path")
    if url := url_of(text):
        return type(table.path)(slide_with_ending(url))
    readings = [text]
    if table.encoding == WINDOWS:
        # The bytes may be the name itself.
        readings.append(text.encode(WINDOWS).decode("utf-8", "surrogateescape"))
    if problem := path_problem(text):
        raise SlideError(f"{for_people(text)} {problem}")
    path = located(readings, [table.path.parent])
    try:
        path = with_ending(path)
    except SlideError as error:
        raise SlideError(f"{for_people(text)} {error}") from error
    if problem := path_problem(str(path)):
        raise SlideError(f"{for_people(text)} {problem}")
    if path.is_dir() and not is_slide_folder(path):
        raise SlideError(
            f"{for_people(text)} is a folder, and a row is one slide; give a row to each slide"
        )
    return path


def _require_cells(table: _Table, line: _Line) -> None:
    """Refuse cells without a column: a separator too many shifts all that follow.

    Raises
    ------
    SlideError
        If there are any.
    """
    named = set(table.columns.values())
    surplus = [place for place, cell in enumerate(line.cells) if cell and place not in named]
    if surplus:
        raise SlideError(
            f"the row has {max(surplus) + 1} cells, and cell {surplus[0] + 1} has no column in a "
            f"header of {table.width}; put quotes around cells that hold a separator"
        )


def _name(text: str) -> str | None:
    if not text:
        return None
    if set("/\\") & set(text) or text.strip(".") == "" or not text.isprintable():
        raise SlideError(
            f"the name {for_people(text)} is no file name; leave out slashes and control characters"
        )
    if len(text.encode("utf-8", "surrogateescape")) > _NAME_BYTES:
        raise SlideError(
            f"the name {for_people(text)} is over {_NAME_BYTES} bytes, too long once endings are "
            "added; shorten it"
        )
    return text


def _mpp(text: str) -> float | None:
    if text in MISSING:
        return None
    number = text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text
    try:
        mpp = float(number)
    except ValueError:
        mpp = math.nan
    low, high = SANE_MPP
    if not low <= mpp <= high:
        raise SlideError(
            f"mpp is {for_people(text)}; give the µm per pixel, a number from {low:g} to {high:g}"
        )
    return mpp


def _label(text: str) -> str | None:
    return None if text in MISSING else text


def _tiles(table: _Table, text: str) -> Path | None:
    """Return the path of features or scores, relative to the table's folder."""
    if text in MISSING:
        return None
    if problem := path_problem(text):
        raise SlideError(f"{for_people(text)} {problem}")
    return located([text], [table.path.parent])


def _covariates(table: _Table, line: _Line) -> dict[str, str]:
    """Return the cells of all other columns, by the name of the column, but empty ones."""
    names = [name for name in table.columns if name not in ("slide", *FACTS)]
    spellings = Counter(name.casefold() for name in names)
    values: dict[str, str] = {}
    for name in names:
        cell = table.cell(line, name)
        if table.has_decimal_commas and _DECIMAL_COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        # An empty AGE hides the column age beside it, which may be something else.
        if cell or spellings[name.casefold()] > 1:
            values[name] = cell
    return values
