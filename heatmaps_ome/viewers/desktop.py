"""Writes ``viewers/`` of a run: a QuPath project and a script for napari, ready to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.files import copy_viewer_files
from heatmaps_ome.viewers.qupath_project import ProjectSlide, write_project
from heatmaps_ome.viewers.qupath_selections import write_selections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAPARI = ("napari", "open.py", "plain_zarr.py")


def write_viewers(
    output: Path, slides: Sequence[ProjectSlide], classes: Sequence[str], now_ms: int
) -> None:
    """Write the script for napari, and QuPath's projects of all slides and of selections.

    Parameters
    ----------
    slides : sequence of ProjectSlide
        The slides with results.
    now_ms : int
        The time, in ms since 1970.

    Raises
    ------
    ResultError, OutputError
        As `write_project` does; the slides' results are complete nevertheless.
    """
    try:
        copy_viewer_files(NAPARI[0], output / VIEWERS / NAPARI[0], NAPARI[1:])
    except OSError as error:
        raise OutputError(
            f"{output / VIEWERS} cannot be written ({error.strerror or error}); the results are "
            "complete, only the files for viewers are missing"
        ) from error
    write_project(output, slides, classes, now_ms)
    write_selections(output, slides, classes, now_ms)
