"""Runs whose output folder is at a URL: the settings, lists and scaling that go with it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.run.collect import collect
from heatmaps_ome.run.staged import ScratchPlace
from heatmaps_ome.storage.remote.outputs import keep_shared, know_all, open_output, with_urls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.run.collect import Collected
    from heatmaps_ome.run.settings import RunSettings
    from heatmaps_ome.viewers.qupath_selections import Selection


def at_folder(settings: RunSettings, *, writes: bool = True) -> RunSettings:
    """Return the settings of a run with the folder to work in, which stands for a URL.

    Parameters
    ----------
    writes : bool
        Whether the run will write to it.

    Raises
    ------
    RemoteError
        If the URL cannot be read, or not be written to.
    """
    output, resources = settings.output, settings.resources
    folder = open_output(output.folder, resources.scratch.path, writes=writes)
    if folder == output.folder:
        return settings
    cache = resources.cache
    if cache.is_relative_to(output.folder):
        cache = folder / cache.relative_to(output.folder)
    files = output.files
    if files.cache is not None:
        files = replace(files, cache=cache)
    return replace(
        settings,
        output=replace(output, folder=folder, files=files),
        resources=replace(resources, cache=cache),
    )


@contextmanager
def named_by_urls() -> Iterator[None]:
    """Have errors inside name output folders by their URLs, not by what stands for them."""
    try:
        yield
    except HeatmapsError as error:
        error.args = (with_urls(str(error)), *error.args[1:])
        raise


@named_by_urls()
def collect_there(output: Path, selection: Selection | None = None) -> Collected:
    """Rebuild the files that all runs in an output folder share, wherever it is.

    Parameters
    ----------
    output : Path
        A folder, one that stands for a URL, or a URL as a path.
    selection : Selection or None
        Slides for a QuPath project of their own.

    Raises
    ------
    HeatmapsError
        As `collect`, or if the URL cannot be read or written.
    """
    folder = open_output(output, ScratchPlace().path)
    know_all(folder)
    collected = collect(folder, selection)
    keep_shared(folder)
    return collected
