"""Notes of where slides lie, one file each, from which any run can rebuild the QuPath project.

They lie beside the project, which has the slides' paths as well: no other file of a run has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.storage.digests import json_text, write_json
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.files import file_uri, path_of_uri

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER: Final = ("qupath", "slides")


def note_place(output: Path, name: str, slide: Path) -> None:
    """Note the file of a slide.

    Parameters
    ----------
    name : str
        Name of the slide's results.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = _note(output, name)
    # The name itself may be a link to a file without a suffix: only the folder is resolved.
    facts = {"uri": file_uri(slide.parent.resolve() / slide.name)}
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == json_text(facts):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)
    except OSError as error:
        raise disk_error(path, error) from error


def noted_place(output: Path, name: str) -> Path | None:
    """Return the file of the slide whose results have a name, or None if no run has noted it."""
    try:
        return path_of_uri(str(read_json(_note(output, name))["uri"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(output: Path, name: str) -> Path:
    """Return the path of the note of a slide."""
    return output.joinpath(VIEWERS, *_FOLDER, f"{name}.json")
