"""Rules for ``maps.json``: what viewers start from says what the stores say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heatmaps_ome.validate.labels import Label
    from heatmaps_ome.validate.values import Values

MANIFEST = "maps.json"
_FORMAT = "heatmaps-ome maps 2"
_EARLIER_FORMAT = "heatmaps-ome maps 1"
_FILES = {
    "image": ".ome.zarr",
    "values": ".values.ome.zarr",
    "values_tiff": ".values.ome.tiff",
    "cells": ".cells.csv",
    "cells_geojson": ".cells.geojson",
    "regions": ".regions.csv",
    "regions_geojson": ".regions.geojson",
    "tiles": ".tiles.csv",
}
"""Key → how the name of the file that it gives ends, after the slide's."""
_MAP_FILES = {"overlay": ".ome.tiff", "flat": ".flat.ome.zarr"}
"""The same of a map, after the slide's name and the map's."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A manifest beside what it describes.

    Attributes
    ----------
    path : Path
        Of the manifest.
    values : Values or None
    labels : mapping of name → Label
        Empty if there is no image.
    """

    path: Path
    values: Values | None
    labels: Mapping[str, Label]


def _agrees(listed: Listed) -> Iterator[str]:
    """Demand the files, the grid, the ranges and the colours that the stores have."""
    said: dict[str, Any] = json.loads(listed.path.read_text(encoding="utf-8"))
    if said["format"] == _EARLIER_FORMAT:
        yield (
            "it was made by an earlier version of heatmaps-ome; run create again with --overwrite "
            "(the network's work is in the cache)"
        )
        return
    if said["format"] != _FORMAT:
        yield f"its format is {said['format']!r}, not {_FORMAT!r}"
        return
    yield from _files(said, listed.path.parent)
    yield from _grouped(said)
    yield from _fading(said)
    if listed.values is not None:
        yield from _placed(said, listed.values)
    missing = sorted(set(listed.labels) - {each["name"] for each in said["maps"]})
    if missing:
        yield f"its maps lack {', '.join(missing)}, of which there are labels"
    for each in said["maps"]:
        if each["name"] in listed.labels:
            yield from _coloured(each, listed.labels[each["name"]])


def _files(said: dict[str, Any], folder: Path) -> Iterator[str]:
    """Demand that it names the files that are there, and those only."""
    slide = said["slide"]["name"]
    named = [(key, said.get(key), f"{slide}{ending}") for key, ending in _FILES.items()]
    for shown in said["maps"]:
        for key, ending in _MAP_FILES.items():
            named.append((key, shown[key], f"{slide}.{shown['name']}{ending}"))
    for key, found, wanted in named:
        there = wanted if (folder / wanted).exists() else None
        if found != there:
            yield f"its {key} is {found!r} where {there!r} is there"


def _grouped(said: dict[str, Any]) -> Iterator[str]:
    """Demand one map of a kind and class, and classes that the model has."""
    seen: set[tuple[str, str | None]] = set()
    for shown in said["maps"]:
        group = (shown["kind"], shown["class"])
        if group in seen:
            yield f"two of its maps are of the kind {group[0]!r} and the class {group[1]!r}"
        if shown["class"] not in (None, *said["classes"]):
            yield f"{shown['name']} is of the class {shown['class']!r}, which the model lacks"
        seen.add(group)


def _fading(said: dict[str, Any]) -> Iterator[str]:
    """Demand that maps fade over the range in which what they fade with is drawn."""
    ranges = {shown["channel"]: shown["range"] for shown in said["maps"]}
    for shown in said["maps"]:
        fading = shown["opacity"]["fades_with"]
        if fading is None:
            continue
        wanted = ranges.get(fading["channel"])
        if wanted is None or any(fading[end] != wanted[end] for end in ("lower", "upper")):
            yield f"{shown['name']} fades with {fading}, which is not how that channel is drawn"


def _placed(said: dict[str, Any], values: Values) -> Iterator[str]:
    """Demand the slide's size, the grid's place and the channels of the raw values."""
    slide, grid = said["slide"], said["grid"]
    mpp = YX(**grid["mpp"])
    if {"rows": slide["rows"], "cols": slide["cols"]} != values.facts["slide_shape"]:
        yield f"the slide has {slide['rows']} × {slide['cols']} pixels here, not in the values"
    if tuple(grid["shape"].values()) != tuple(values.pyramid.shapes[0]):
        yield f"the grid has {grid['shape']} cells where the values have another number"
    for what, found, wanted in (
        ("pixels", YX(**slide["mpp"]), YX(**values.facts["mpp"])),
        ("cells", YX(**grid["l0_cell"]).times(mpp), values.um_cell),
        ("first corner", YX(**grid["l0_origin"]).times(mpp), values.um_origin),
    ):
        if not np.allclose(found, wanted, rtol=1e-6, atol=1e-6):
            yield f"the {what} are {tuple(found)} µm here and {tuple(wanted)} µm in the values"
    for shown in said["maps"]:
        label = (shown["derived"] or {}).get("label")
        if label is not None and not (values.pyramid.path.parent / label).is_dir():
            yield f"{shown['name']} is derived from {label}, which is not there"
        channel = values.names.index(shown["name"]) if shown["name"] in values.names else None
        if shown["channel"] != channel:
            yield f"{shown['name']} is channel {channel} of the values, not {shown['channel']}"


def _coloured(shown: dict[str, Any], label: Label) -> Iterator[str]:
    """Demand the range and the colours of a map's label."""
    own, drawn = label.block["heatmaps_ome"], {**shown, **shown["range"]}
    for key in ("title", "quantity", "colour_map", "lower", "upper", "middle", "categories"):
        # Earlier versions named no categories in labels.
        here, there = drawn[key], own.get(key)
        if here != there:
            yield f"{shown['name']} has the {key} {here!r} here, {there!r} in its label"
    here, there = shown["categories"], [name for _, name in sorted(label.names.items())]
    if here != there:
        yield f"{shown['name']} has the categories {here} here, values named {there} in its label"
    # A level without a colour is told by another rule.
    differing = [
        level
        for level, rgba in label.colours.items()
        if level > 0 and shown["colours"][level - 1] != "#" + bytes(rgba[:3]).hex()
    ]
    if differing:
        yield (
            f"{len(differing)} levels of {shown['name']} have another colour than in the label, "
            f"{differing[0]} for one"
        )


LISTED_FILES: tuple[Rule[Listed], ...] = (
    Rule("manifest-agrees", "maps.json says the files, places and colours there are", _agrees),
)
"""Of ``maps.json``."""
