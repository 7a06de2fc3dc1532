"""Writes ``viewers/qupath-NAME/``: QuPath projects of some of the slides of a large cohort.

A selection is noted beside its project, so that the project stays up to date as slides are added.
As in the project of all slides, what people did in QuPath is never changed or removed: a slide that
is selected no more keeps its entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import ResultError
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.qupath_project import QUPATH, write_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.viewers.qupath_project import ProjectSlide

SELECTION: Final = "selection.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Selection:
    """Some slides of an output folder.

    Attributes
    ----------
    name : str
        Ends the name of the project's folder.
    patterns : tuple of str
        Names of results, or patterns such as ``A*``.

    Raises
    ------
    ValueError
        If no folder can have the name.
    """

    name: str
    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse names that not every disk takes."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"a project cannot be named {self.name!r}; take letters, digits, -, _ and ."
            )

    @property
    def folder(self) -> str:
        """The name of the project's folder."""
        return f"{QUPATH}-{self.name}"

    def of(self, slides: Sequence[ProjectSlide]) -> list[ProjectSlide]:
        """Return the slides in the selection."""
        plain = set(self.patterns)
        patterns = [one for one in self.patterns if set(one) & set("*?[")]
        return [
            slide
            for slide in slides
            if slide.name in plain or any(fnmatchcase(slide.name, one) for one in patterns)
        ]


def note_selection(output: Path, selection: Selection) -> None:
    """Note a selection, instead of an earlier one of its name.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = output / VIEWERS / selection.folder / SELECTION
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"slides": list(selection.patterns)})
    except OSError as error:
        raise disk_error(path, error) from error


def write_selections(
    output: Path, slides: Sequence[ProjectSlide], classes: Sequence[str], now_ms: int
) -> None:
    """Bring the projects of all selections up to date.

    Parameters
    ----------
    slides : sequence of ProjectSlide
        All slides with results.
    now_ms : int
        The time, in ms since 1970.

    Raises
    ------
    ResultError, OutputError
        As `write_project` does, or if a selection is damaged.
    """
    for path in sorted((output / VIEWERS).glob(f"{QUPATH}-*/{SELECTION}")):
        try:
            patterns = tuple(map(str, read_json(path)["slides"]))
            selection = Selection(path.parent.name.removeprefix(f"{QUPATH}-"), patterns)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(
                f"{path} is damaged; select the slides anew: heatmaps-ome collect {output} "
                "--project NAME --slides NAMES"
            ) from error
        write_project(output, selection.of(slides), classes, now_ms, selection.folder)
