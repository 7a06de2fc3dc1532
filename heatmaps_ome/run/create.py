"""The whole job from Python: options as keywords, results as objects."""

from __future__ import annotations

import difflib
import logging
import numbers
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError
from heatmaps_ome.options import CreateOptions, assignment, names, path
from heatmaps_ome.run.progress import for_stream, silent
from heatmaps_ome.viewers.notebook.opening import open as open_results
from heatmaps_ome.viewers.notebook.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.run.progress import Progress

    AnyPath = str | os.PathLike[str]

logger = logging.getLogger(__name__)

_POSITIONAL = ("slides", "model_path", "output_path", "true_class")
_OF_THE_COMMAND_LINE = ("verbose",)
"""Options that only say what the command line prints."""


def create(
    slides: AnyPath | Iterable[AnyPath],
    model: AnyPath | Iterable[AnyPath],
    true_class: str,
    output: AnyPath,
    *,
    progress: bool | Progress = False,
    **options: Any,
) -> Results:
    """Make heatmaps of slides and return them; the same as ``heatmaps-ome create``.

    Messages go to the logger ``heatmaps_ome``, which is left as it is. So is the environment: the
    command line sets variables that make torch faster and its memory flat. For long runs, call
    ``heatmaps_ome.memory.tune_torch()`` before torch is imported to set them too.

    Parameters
    ----------
    slides : path or several
        An empty list for those of ``from_file``, or of the ``table`` of ``--slides``, alone.
    model : path or several
        MIL models: marugoto's export.pkl, or what convert-model made of it.
    true_class : str
        The class that is drawn hot.
    output : path
        The folder to write the results to.
    progress : bool or callable
        Show the progress on stderr, or call this with (slide, stage, steps done, steps in all).
    **options
        Options of the command line, with underscores: ``extractor_weights="best_ckpt.pth"``,
        ``covariate={"AGE": 63}``, ``formats=["png"]``, ``overwrite=True``. Messages name them as
        the command line does.

    Returns
    -------
    Results
        Of these slides. Those that failed are in its ``failed``, with the reason.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If the run as a whole cannot be done; nothing has been written then.
    """
    values = {name: _option(name, value) for name, value in options.items()}
    try:
        request = CreateOptions(
            slides=_paths("slides", slides),
            model_path=_paths("model", model),
            output_path=_path("output", output),
            true_class=true_class,
            **values,
        )
    except ValueError as error:
        raise OptionError(str(error)) from error
    for note in request.notes():
        logger.warning("%s", note)
    from heatmaps_ome.run import pipeline

    with_bar = for_stream(sys.stderr) if progress is True else None
    report = with_bar or (progress if callable(progress) else silent)
    try:
        outcomes = pipeline.create(request, report)
    finally:
        if with_bar is not None:
            with_bar.close()
    folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
    # The reasons there are free of paths, which may name a patient.
    reasons = open_results(request.output_path).failed
    failed = {
        outcome.slide: reasons.get(outcome.slide, outcome.message)
        for outcome in outcomes
        if outcome.folder is None
    }
    return Results({folder.name: folder for folder in folders}, failed)


def _path(name: str, value: AnyPath) -> Path:
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


def _paths(name: str, paths: AnyPath | Iterable[AnyPath]) -> tuple[Path, ...]:
    """Return one path or several as several."""
    several = paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths]
    return tuple(_path(name, one) for one in several)


def _option(name: str, value: Any, options: type = CreateOptions) -> Any:
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
