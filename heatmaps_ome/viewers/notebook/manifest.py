"""Reads a slide's ``maps.json``: its prediction, its grid, and the facts of its maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.display_map import first_map
from heatmaps_ome.errors import ResultError
from heatmaps_ome.exporters.manifest import MANIFEST, MAPS_FORMAT
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.slides.plain_zarr import read_object
from heatmaps_ome.viewers.notebook.map_facts import MapFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMATS = MAPS_FORMAT.rpartition(" ")[0]
"""How all versions of the format begin."""
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


@dataclass(frozen=True, eq=False)
class Manifest:
    """A slide's ``maps.json``.

    Attributes
    ----------
    classes : tuple of str
    true_class : str
        The class drawn hot.
    label : str or None
        Ground truth, if the table of slides gave it.
    prediction : dict of class → probability
        NaN for a slide without tissue.
    grid : Grid
    values : str
        The store of raw values, in the slide's folder.
    maps : mapping of (kind, class or None) → MapFacts
        Those that the run drew.
    target : mapping
        The `Target.record` of what is predicted.
    first : tuple of two str
        Name in files' names, and title, of the map to show first.
    """

    classes: tuple[str, ...]
    true_class: str
    label: str | None
    prediction: dict[str, float]
    grid: Grid
    values: str
    maps: Mapping[tuple[str, str | None], MapFacts]
    target: Mapping[str, Any]
    first: tuple[str, str]


def read_manifest(folder: Path) -> Manifest:
    """Return the ``maps.json`` in a slide's folder.

    Raises
    ------
    ResultError
        If there is none, or it is damaged or of another version.
    """
    path = folder / MANIFEST
    try:
        content = read_object(path)
        form = content["format"]
        if form == MAPS_FORMAT:
            return _manifest(content)
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read ({error.strerror}); give a slide's folder of results, or make "
            "them anew with create"
        ) from error
    except _DAMAGED as error:
        raise ResultError(
            f"{path} is damaged ({type(error).__name__}: {error}); make the result anew with create"
        ) from error
    if str(form).startswith(_FORMATS):
        raise ResultError(
            f"{folder} was made by another version of heatmaps-ome (its {MANIFEST} is {form!r}, "
            f"not {MAPS_FORMAT!r}); run create again with --overwrite (the network's work is in "
            "the cache)"
        )
    raise ResultError(f"{path} is {form!r}, which is no result of heatmaps-ome")


def _manifest(content: Mapping[str, Any]) -> Manifest:
    """Return the manifest in JSON values; any misfit is one of `_DAMAGED`."""
    grid = content["grid"]
    entries = [MapFacts.of(entry) for entry in content["maps"]]
    first = first_map(content["maps"], str(content["true_class"]))
    return Manifest(
        classes=tuple(str(name) for name in content["classes"]),
        true_class=str(content["true_class"]),
        label=None if content.get("label") is None else str(content["label"]),
        prediction={
            str(name): math.nan if value is None else float(value)
            for name, value in content["prediction"].items()
        },
        grid=Grid(
            Shape(**grid["shape"]),
            *(YX(**grid[key]) for key in ("l0_cell", "l0_origin", "mpp")),
        ),
        values=plain_name(content["values"]),
        maps={(facts.kind, facts.class_name): facts for facts in entries},
        target=dict(content.get("target") or {}),
        first=("", "") if first is None else (plain_name(first["name"]), str(first["title"])),
    )


def plain_name(name: str) -> str:
    """Return a name that a file gives, if it names something in a folder and leads nowhere else.

    >>> plain_name("slide.values.ome.zarr")
    'slide.values.ome.zarr'

    Raises
    ------
    ValueError
        If it does.
    """
    if not name or PurePath(name).name != name:
        raise ValueError(f"{name!r} is no name of a file in a folder")
    return name
