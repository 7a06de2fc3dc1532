"""Lists the slides of a run, from the command line, a list and a table, each slide once."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OptionError, RemoteError, SlideError
from heatmaps_ome.run.list_text import list_bytes, list_lines, require_few
from heatmaps_ome.run.slide_paths import exists, located, slides_named
from heatmaps_ome.run.slide_row import SlideRow, for_people, path_problem
from heatmaps_ome.run.slide_table import FACTS, table_rows
from heatmaps_ome.run.slide_urls import rows_at
from heatmaps_ome.storage.remote.urls import public, url_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.run.inputs import SlideList

logger = logging.getLogger(__name__)

_FLAG: Final = "--from-file"
_QUOTES: Final = "\"'"


def slide_rows(slides: SlideList) -> list[SlideRow]:
    """Return the slides of the command line, of ``--from-file`` and of ``--slides``, each once.

    A slide that several of them name has the facts of the table.

    Raises
    ------
    OptionError
        If there are no slides, or the list or the table as a whole cannot be read.
    """
    rows = [row for path in slides.paths for row in _named(path, "")]
    if slides.from_file is not None:
        rows += _listed(slides.from_file)
    facts = [] if slides.table is None else _without_contradictions(table_rows(slides.table))
    if not rows and not facts:
        raise OptionError("no slides are given; name them, or list them in a table of --slides")
    return _once(rows, facts)


def _named(path: Path, origin: str) -> list[SlideRow]:
    """Return the slides of a word of the command line, or of a line of a list."""
    begin = f"{origin}: " if origin else ""
    text = for_people(str(path))
    try:
        if url := url_of(path):
            text = for_people(public(url))
            return rows_at(url, origin)
        if problem := path_problem(str(path)):
            raise SlideError(f"{text} {problem}")
        return [SlideRow(slide, origin=origin) for slide in slides_named(path)]
    except (SlideError, RemoteError) as error:
        return [SlideRow(Path(origin or text), origin=origin, problem=f"{begin}{error}")]


def _listed(file: Path) -> list[SlideRow]:
    """Return the slides of a list, whose lines are words of the command line or comments."""
    rows: list[SlideRow] = []
    # A pipe of the shell has a number for a name.
    name = _FLAG if file.name.isdigit() else file.name
    # Absolute paths stay as they are; others start at the current folder, like the reference's, or
    # at the list's.
    folders = [Path(), file.parent]
    for number, readings in enumerate(list_lines(list_bytes(file, _FLAG)), 1):
        texts = [text for reading in readings if (text := _unquoted(reading.strip()))]
        if texts and (not texts[0].startswith("#") or exists(located(texts, folders))):
            rows += _named(_line_path(texts, folders), f"{name}, line {number}")
            require_few(len(rows), file)
    if not rows:
        raise OptionError(f"{file} lists no slides; give one path a line")
    return rows


def _line_path(texts: Sequence[str], folders: Sequence[Path]) -> Path:
    """Return the path that a line means: a file, or a pattern where it matches something."""
    if url_of(texts[0]):
        return Path(texts[0])
    path = located(texts, folders)
    if exists(path) or path_problem(texts[0]):
        return path
    for folder in folders:
        try:
            if exists(slides_named(folder / texts[0])[0]):
                return folder / texts[0]
        except SlideError:
            continue
    return path


def _unquoted(line: str) -> str:
    """Return a line without quotes around it, as the Explorer copies paths."""
    has_quotes = len(line) > 1 and line[0] == line[-1] and line[0] in _QUOTES
    return line[1:-1].replace('""', '"').strip() if has_quotes and not exists(Path(line)) else line


def _once(rows: Sequence[SlideRow], facts: Sequence[SlideRow]) -> list[SlideRow]:
    """Return one row for each slide, at its first place; a row of the table replaces others."""
    slides: dict[str, SlideRow] = {}
    for row in [*rows, *facts]:
        before = slides.setdefault(row.identity, row)
        if before.path.name != row.path.name:
            logger.warning(
                "%s and %s are the same file, which counts once",
                for_people(str(before.path)), for_people(str(row.path)),
            )  # fmt: skip
    return list((slides | {row.identity: row for row in facts}).values())


def _without_contradictions(rows: Sequence[SlideRow]) -> list[SlideRow]:
    """Return a row for each slide of a table; one with a problem where its rows differ."""
    by_slide: dict[str, list[SlideRow]] = defaultdict(list)
    for row in rows:
        by_slide[row.identity].append(row)
    slides = [_agreed(same) for same in by_slide.values()]
    by_name: dict[str, list[SlideRow]] = defaultdict(list)
    for row in slides:
        if row.name is not None and not row.problem:
            # On many disks, names that differ only by case are the same folder.
            by_name[row.name.casefold()].append(row)
    return [
        row
        if row.name is None or row.problem or len(by_name[row.name.casefold()]) == 1
        else _refused(by_name[row.name.casefold()], row, f"have the name {row.name} alike; rename")
        for row in slides
    ]


def _agreed(rows: Sequence[SlideRow]) -> SlideRow:
    """Return the row of a slide that one row or several of a table name."""
    for row in rows:
        if row.problem:
            return row
    first = rows[0]
    for row in rows[1:]:
        if difference := _difference(first, row):
            return _refused((first, row), first, f"name the same slide with {difference}; keep one")
    return first


def _difference(one: SlideRow, other: SlideRow) -> str:
    """Return the first fact in which two rows of a slide differ; "" if there is none."""
    facts = [
        {**{name: getattr(row, name) for name in FACTS}, **row.covariates} for row in (one, other)
    ]
    for name in dict.fromkeys([*facts[0], *facts[1]]):
        values = [facts[0].get(name), facts[1].get(name)]
        if values[0] != values[1]:
            here, there = ("nothing" if v is None else for_people(str(v)) for v in values)
            return f"another {for_people(name)} ({here} and {there})"
    return ""


def _refused(rows: Sequence[SlideRow], row: SlideRow, reason: str) -> SlideRow:
    """Return a row that cannot be used, as it is at odds with others."""
    origins = " and ".join(other.origin for other in rows)
    return replace(row, problem=f"{origins} {reason}")
