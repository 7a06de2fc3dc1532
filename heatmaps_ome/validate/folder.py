"""Checks of a slide's folder: each file by itself, then files with one another and the slide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from heatmaps_ome.validate.flat import FLAT, PlacedFlat
from heatmaps_ome.validate.hashes import PROVENANCE, RESULT, Result
from heatmaps_ome.validate.manifest import LISTED_FILES, MANIFEST, Listed
from heatmaps_ome.validate.placement import IMAGE_PLACE, LABEL_PLACE, OVERLAY_PLACE, PlacedMap
from heatmaps_ome.validate.problems import UNREADABLE, Problem, one_line
from heatmaps_ome.validate.record import RECORD, Recorded
from heatmaps_ome.validate.source import SOURCE, Sourced
from heatmaps_ome.validate.stores import (
    Findings,
    check_image,
    check_values,
    checked_overlay,
    checked_value_tiff,
)
from heatmaps_ome.validate.value_tiff import VALUE_TIFF_PLACE

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.validate.labels import Label
    from heatmaps_ome.validate.ngff import Pyramid
    from heatmaps_ome.validate.raw_values import Values

VALUES_STORE, FLAT_STORE, IMAGE_STORE = ".values.ome.zarr", ".flat.ome.zarr", ".ome.zarr"
VALUE_TIFFS = (".values.ome.tiff", ".values.ome.tif")
OVERLAYS = (".ome.tiff", ".ome.tif")
"""Endings of files' names; the longest that fits decides the kind of a file."""


@dataclass(eq=False)
class _Parts:
    """The readable parts of a slide's folder.

    Attributes
    ----------
    folder : Path
    record : dict or None
        The provenance.
    values : Values or None
    images, flats : list of Pyramid
        The slide, and pictures of it with a map burnt in.
    labels : dict of name → Label
    """

    folder: Path
    record: dict[str, Any] | None
    values: Values | None = None
    images: list[Pyramid] = field(default_factory=list)
    flats: list[Pyramid] = field(default_factory=list)
    labels: dict[str, Label] = field(default_factory=dict)

    def drawn(self, path: Path) -> PlacedMap | None:
        """Return the map that a file must show; None without raw values or provenance.

        Raises
        ------
        ValueError
            If the file is named after none of the maps.
        """
        if self.values is None or self.record is None:
            return None
        name = _map_name(path, self.values)
        return PlacedMap(name, self.values, self.record, self.labels.get(name))


def check_folder(folder: Path, slide: Path | None, findings: Findings) -> None:
    """Check a slide's folder."""
    result = Result(folder)
    findings.hold(result, folder, RESULT)
    parts = _Parts(folder, _record(result))
    _check_zarrs(parts, findings)
    if parts.record is not None:
        findings.hold(Recorded(parts.record, parts.values), folder / PROVENANCE, RECORD)
    if parts.values is not None:
        _check_places(parts, parts.values, findings)
    _check_flats(parts, findings)
    for path in sorted(folder.iterdir()):
        if path.name.endswith(VALUE_TIFFS):
            _check_value_tiff(path, parts, findings)
        elif path.name.endswith(OVERLAYS):
            _check_overlay(path, parts, findings)
    if (folder / MANIFEST).exists():
        listed = Listed(folder / MANIFEST, parts.values, parts.labels)
        findings.hold(listed, listed.path, LISTED_FILES)
    if slide is not None and parts.record is not None:
        image = parts.images[0] if parts.images else None
        findings.hold(Sourced(parts.record, slide, image), folder, SOURCE)


def _record(result: Result) -> dict[str, Any] | None:
    """Return a result's provenance, or None if it cannot be read (which other rules report)."""
    try:
        return result.record
    except UNREADABLE:
        return None


def _check_zarrs(parts: _Parts, findings: Findings) -> None:
    """Check every OME-Zarr by itself, and keep those that can be read."""
    compat = ((parts.record or {}).get("options") or {}).get("compat")
    for path in sorted(parts.folder.glob(f"*{IMAGE_STORE}")):
        if path.name.endswith(VALUES_STORE):
            parts.values = check_values(path, findings, as_reference=compat == "reference")
            continue
        image, labels = check_image(path, findings)
        if image is not None:
            (parts.flats if path.name.endswith(FLAT_STORE) else parts.images).append(image)
        parts.labels |= labels


def _check_places(parts: _Parts, values: Values, findings: Findings) -> None:
    """Compare images and labels with the raw values' places."""
    for image in (*parts.images, *parts.flats):
        findings.hold((image, values), image.path, IMAGE_PLACE)
    for label in parts.labels.values():
        findings.hold((label.pyramid, values), label.pyramid.path, IMAGE_PLACE)
        findings.hold((label, values), label.pyramid.path, LABEL_PLACE)


def _check_flats(parts: _Parts, findings: Findings) -> None:
    """Compare the pictures with a map burnt in with the slide image and the raw values."""
    for flat in parts.flats:
        drawn_map = _drawn_map(flat.path, FLAT[0].name, parts, findings)
        if drawn_map is not None and parts.images:
            findings.hold(PlacedFlat(flat, parts.images[0], drawn_map), flat.path, FLAT)


def _check_overlay(path: Path, parts: _Parts, findings: Findings) -> None:
    """Check an overlay, and compare it with the raw values where there are any."""
    with checked_overlay(path, findings) as overlay:
        if overlay is None:
            return
        drawn_map = _drawn_map(path, OVERLAY_PLACE[0].name, parts, findings)
        if drawn_map is not None:
            findings.hold((overlay, drawn_map), path, OVERLAY_PLACE)


def _check_value_tiff(path: Path, parts: _Parts, findings: Findings) -> None:
    """Check the raw values in a TIFF, and compare them with those in the OME-Zarr."""
    with checked_value_tiff(path, findings) as tiff:
        if tiff is not None and parts.values is not None:
            findings.hold((tiff, parts.values), path, VALUE_TIFF_PLACE)


def _drawn_map(path: Path, rule: str, parts: _Parts, findings: Findings) -> PlacedMap | None:
    """Return the map that a file must show; None, with a problem noted, if it is unknown."""
    try:
        return parts.drawn(path)
    except UNREADABLE as error:
        message = f"its map cannot be told ({one_line(error)})"
        findings.problems.append(Problem(rule, path, message))
        return None


def _map_name(path: Path, values: Values) -> str:
    """Return the name of the map that a file shows, from the file's name.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    plain = path.name
    for ending in (FLAT_STORE, *OVERLAYS):
        plain = plain.removesuffix(ending)
    names = [name for name in values.drawn_names if plain.endswith(f".{name}")]
    if not names:
        raise ValueError(f"{path.name} is named after none of {', '.join(values.drawn_names)}")
    return max(names, key=len)
