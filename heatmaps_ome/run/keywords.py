"""Options as keywords of Python: each is read as the command line reads it."""

from __future__ import annotations

import difflib
import logging
import numbers
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError
from heatmaps_ome.options import assignment, names, path
from heatmaps_ome.run.progress import for_stream, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.run.progress import Progress

    AnyPath = str | os.PathLike[str]

logger = logging.getLogger(__name__)

_POSITIONAL = (
    "slides", "model_path", "output_path", "true_class", "scores", "path", "paths", "output",
)  # fmt: skip
_OF_THE_COMMAND_LINE = ("verbose", "dry_run")
"""Options that only decide what the command line prints; `forecast.dry_run` returns a forecast."""


def asked(options: type, keywords: Mapping[str, Any], **positional: Any) -> Any:
    """Return the options of a command from keywords; notes on idle ones are logged.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    """
    values = {name: option_value(name, value, options) for name, value in keywords.items()}
    try:
        request = options(**positional, **values)
    except ValueError as error:
        raise OptionError(str(error)) from error
    for note in getattr(request, "notes", tuple)():
        logger.warning("%s", note)
    return request


@contextmanager
def reporting(progress: bool | Progress) -> Iterator[Progress]:
    """Enter a report of progress: a bar on stderr, a function of the user's, or none."""
    with_bar = for_stream(sys.stderr) if progress is True else None
    try:
        yield with_bar or (progress if callable(progress) else silent)
    finally:
        if with_bar is not None:
            with_bar.close()


def one_path(name: str, value: AnyPath) -> Path:
    """Return a path that is not empty.

    Raises
    ------
    OptionError
        If it is no path.
    """
    try:
        return path(os.fspath(value))
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} is {value!r}; give a path, . for the current folder") from error


def paths_of(name: str, paths: AnyPath | Iterable[AnyPath]) -> tuple[Path, ...]:
    """Return one path or several as several."""
    several = paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths]
    return tuple(one_path(name, one) for one in several)


def option_value(name: str, value: Any, options: type) -> Any:
    """Return an option's value as its field has it.

    Parameters
    ----------
    options : type
        The command's options.

    Raises
    ------
    OptionError
        If there is no such option, or it takes no such value.
    """
    known = {
        field.name: field
        for field in fields(options)
        if field.name not in (*_POSITIONAL, *_OF_THE_COMMAND_LINE)
    }
    if name not in known:
        command = options.__name__.removesuffix("Options").lower()
        close = difflib.get_close_matches(name, ["model", "output", "progress", *known], 3, 0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known)}"
        raise OptionError(f"{command} has no option {name!r}; {hint}")
    field = known[name]
    if value is None and field.default is None:
        return None
    read, wanted = _READERS[field.metadata.get("type", bool)]
    try:
        return read(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} is {value!r}; give {wanted}") from error


def _number(value: Any) -> float:
    """Return a number that is no bool."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    return float(value)


def _whole(value: Any) -> int:
    """Return a whole number that is no bool."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError
    return int(value)


def _text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def _names(value: Any) -> tuple[str, ...]:
    """Return several names, given so or with commas between them.

    >>> _names("png,cells"), _names(["png"])
    (('png', 'cells'), ('png',))
    """
    return names(value) if isinstance(value, str) else tuple(map(_text, value))


def _assignments(value: Any) -> tuple[tuple[str, str], ...]:
    """Return names with their values, given as a mapping or as texts.

    >>> _assignments({"AGE": 63}), _assignments(["AGE=63"])
    ((('AGE', '63'),), (('AGE', '63'),))
    """
    if isinstance(value, Mapping):
        return tuple((_text(name), str(one)) for name, one in value.items())
    return tuple(assignment(_text(text)) for text in ([value] if isinstance(value, str) else value))


_READERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    Path: (lambda value: path(os.fspath(value)), "a path"),
    float: (_number, "a number"),
    int: (_whole, "a whole number"),
    str: (_text, "a text"),
    bool: (_flag, "True or False"),
    names: (_names, "names"),
    assignment: (_assignments, "a dict of names and values"),
}
"""How the command line reads a field → how its value is read here, and what it is in words."""
