"""Small JSON files beside a checkpoint, which programs write with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.storage.regular_file import read_json

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 4 << 20


def sidecar_of(path: Path | None, name: str) -> Path | None:
    """Return the file of a name beside a checkpoint, or one folder up; None if there is none."""
    if path is None:
        return None
    places = (path.parent / name, path.absolute().parent.parent / name)
    return next((place for place in places if place.is_file()), None)


def read_sidecar(path: Path | None, name: str) -> dict[str, Any]:
    """Return the JSON object in a file beside a checkpoint, or one folder up; {} without one.

    Raises
    ------
    Unusable
        If it is damaged, or no object.
    """
    file = sidecar_of(path, name)
    if file is None:
        return {}
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise Unusable(f"has a {name} beside it that is too large for a description")
        content = read_json(file)
    except (OSError, ValueError, RecursionError):
        raise Unusable(f"has a {name} beside it that is no JSON file") from None
    if not isinstance(content, dict):
        raise Unusable(f"has a {name} beside it that is no JSON object")
    return content
