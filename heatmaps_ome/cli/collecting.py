"""The command ``collect``: what it is asked for, and the lines that it prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.errors import OptionError
from heatmaps_ome.run.list_text import list_bytes, list_lines
from heatmaps_ome.run.remote_output import collect_there
from heatmaps_ome.storage.remote.urls import url_of
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.qupath_project import PROJECT
from heatmaps_ome.viewers.qupath_selections import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.options import CollectOptions
    from heatmaps_ome.run.collect import Collected

_MOST_NAMES: Final = 5


def run_collect(options: CollectOptions) -> int:
    """Run ``collect`` and return its exit code."""
    selection = _selection(options)
    for line in _lines(options, collect_there(options.path, selection), selection):
        sys.stdout.write(f"{one_line(line)}\n")
    return 0


def _selection(options: CollectOptions) -> Selection | None:
    """Return the slides for a project of their own; None: there is none.

    Raises
    ------
    OptionError
        If the project has no usable name, or the list of slides cannot be read.
    """
    if options.project is None:
        return None
    listed = [] if options.from_file is None else list(_listed(options.from_file))
    try:
        return Selection(options.project, (*options.slides, *listed))
    except ValueError as error:
        raise OptionError(f"--project: {error}") from error


def _listed(path: Path) -> Iterator[str]:
    """Yield the names in a list; empty lines and lines that begin with # do not count."""
    for readings in list_lines(list_bytes(path, "--from-file")):
        name = readings[0].strip()
        if name and not name.startswith("#"):
            yield name


def _lines(
    options: CollectOptions, slides: Collected, selection: Selection | None
) -> Iterator[str]:
    done = "1 slide" if slides.done == 1 else f"{slides.done} slides"
    failed = f", {slides.failed} failed" if slides.failed else ""
    output = url_of(options.path) or str(options.path)
    yield f"{output}: {done} with results{failed}"
    if slides.undrawn:
        more = " …" if len(slides.undrawn) > _MOST_NAMES else ""
        yield (
            f"{len(slides.undrawn)} with raw maps, but not drawn "
            f"({', '.join(slides.undrawn[:_MOST_NAMES])}{more}); "
            f"then: heatmaps-ome draw {output}"
        )
    if selection is not None:
        yield f"QuPath: {output}/{VIEWERS}/{selection.folder}/{PROJECT}"
