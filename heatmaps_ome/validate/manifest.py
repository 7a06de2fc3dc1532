"""Rules for ``maps.json``: the list that viewers start from agrees with the stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.plain_zarr import inside, read_object
from heatmaps_ome.validate.form import faults_of
from heatmaps_ome.validate.manifest_forms import Manifest
from heatmaps_ome.validate.predictions import prediction_faults
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heatmaps_ome.validate.labels import Label
    from heatmaps_ome.validate.raw_values import Values

MANIFEST = "maps.json"
_FORMAT = "heatmaps-ome maps 3"
_EARLIER_FORMATS = ("heatmaps-ome maps 1", "heatmaps-ome maps 2")
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
"""Key → ending of the name of its file, after the slide's name."""
_MAP_FILES = {"overlay": ".ome.tiff", "flat": ".flat.ome.zarr"}
"""The same for a map, after the slide's name and the map's."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A manifest beside the stores that it describes.

    Attributes
    ----------
    path : Path
        The manifest's.
    values : Values or None
    labels : mapping of name → Label
        Empty if there is no image.
    """

    path: Path
    values: Values | None
    labels: Mapping[str, Label]


def _agrees(listed: Listed) -> Iterator[str]:
    """Demand the files, the grid, the ranges and the colours that the stores have."""
    facts = read_object(listed.path)
    if facts["format"] in _EARLIER_FORMATS:
        yield (
            "it was made by an earlier version of heatmaps-ome; run create again with --overwrite "
            "(the network's work is in the cache)"
        )
        return
    if facts["format"] != _FORMAT:
        yield f"its format is {facts['format']!r}, not {_FORMAT!r}"
        return
    if any(True for _ in faults_of(facts, Manifest)):
        return  # Another rule reports that.
    yield from _predicted(facts)
    yield from _files(facts, listed.path.parent)
    yield from _grouped(facts)
    yield from _fading(facts)
    if listed.values is not None:
        yield from _placed(facts, listed.values)
        yield from _scaled(facts, listed.values)
    missing = sorted(set(listed.labels) - {entry["name"] for entry in facts["maps"]})
    if missing:
        yield f"its maps lack {', '.join(missing)}, of which there are labels"
    for entry in facts["maps"]:
        if entry["name"] in listed.labels:
            yield from _coloured(entry, listed.labels[entry["name"]])


def _form(listed: Listed) -> Iterator[str]:
    """Demand every field, of its type and in its range; the format is another rule's."""
    facts = read_object(listed.path)
    if facts.get("format", _FORMAT) == _FORMAT:
        yield from faults_of(facts, Manifest)


def _predicted(facts: dict[str, Any]) -> Iterator[str]:
    """Demand the model's classes everywhere, and probabilities that sum to 1."""
    classes = facts["classes"]
    target = facts.get("target")
    yield from prediction_faults(facts["prediction"], classes, target)
    if list(facts["class_colours"]) != classes:
        yield f"colours are of {', '.join(facts['class_colours'])}, not of {', '.join(classes)}"
    is_given = target is not None and target["task"] == "none"
    if facts["true_class"] not in classes and not is_given:
        yield f"the class drawn hot, {facts['true_class']!r}, is none of {', '.join(classes)}"


def _files(facts: dict[str, Any], folder: Path) -> Iterator[str]:
    """Demand the names of the files that are there, and of no others."""
    slide = facts["slide"]["name"]
    named = [(key, facts.get(key), f"{slide}{ending}") for key, ending in _FILES.items()]
    for entry in facts["maps"]:
        for key, ending in _MAP_FILES.items():
            named.append((key, entry[key], f"{slide}.{entry['name']}{ending}"))
    for key, name, wanted in named:
        there = wanted if inside(folder, wanted).exists() else None
        if name != there:
            yield f"its {key} is {name!r} where {there!r} is there"


def _grouped(facts: dict[str, Any]) -> Iterator[str]:
    """Demand one map of a kind and class, and classes that the model has."""
    seen: set[tuple[str, str | None]] = set()
    for entry in facts["maps"]:
        group = (entry["kind"], entry["class"])
        if group in seen:
            yield f"two of its maps are of the kind {group[0]!r} and the class {group[1]!r}"
        if entry["class"] not in (None, *facts["classes"]):
            yield f"{entry['name']} is of the class {entry['class']!r}, which the model lacks"
        seen.add(group)


def _fading(facts: dict[str, Any]) -> Iterator[str]:
    """Demand that maps fade over the range that the channel they fade with is drawn in."""
    ranges = {entry["channel"]: entry["range"] for entry in facts["maps"]}
    for entry in facts["maps"]:
        fading = entry["opacity"]["fades_with"]
        if fading is None:
            continue
        wanted = ranges.get(fading["channel"])
        if wanted is None or any(fading[end] != wanted[end] for end in ("lower", "upper")):
            yield f"{entry['name']} fades with {fading}, which is not how that channel is drawn"


def _placed(facts: dict[str, Any], values: Values) -> Iterator[str]:
    """Demand the slide's size, the grid's place and the channels of the raw values."""
    slide, grid = facts["slide"], facts["grid"]
    if facts["classes"] != values.facts["classes"]:
        yield f"the classes are {facts['classes']} here, {values.facts['classes']} in the values"
    predicted = [*facts["prediction"].values()]
    stated = values.facts["prediction"]
    if predicted != (stated if predicted or None not in stated else []):
        yield f"the prediction is {predicted} here, {values.facts['prediction']} in the values"
    mpp = YX(**grid["mpp"])
    if {"rows": slide["rows"], "cols": slide["cols"]} != values.facts["slide_shape"]:
        yield f"the slide has {slide['rows']} × {slide['cols']} pixels here, not in the values"
    if tuple(grid["shape"].values()) != tuple(values.pyramid.shapes[0]):
        yield f"the grid has {grid['shape']} cells where the values have another number"
    for what, um, wanted in (
        ("pixels", YX(**slide["mpp"]), YX(**values.facts["mpp"])),
        ("cells", YX(**grid["l0_cell"]).times(mpp), values.um_cell),
        ("first corner", YX(**grid["l0_origin"]).times(mpp), values.um_origin),
    ):
        if not np.allclose(um, wanted, rtol=1e-6, atol=1e-6):
            yield f"the {what} are {tuple(um)} µm here and {tuple(wanted)} µm in the values"
    for entry in facts["maps"]:
        label = (entry["derived"] or {}).get("label")
        if label is not None and not inside(values.pyramid.path.parent, label).is_dir():
            yield f"{entry['name']} is derived from {label}, which is not there"
        channel = values.names.index(entry["name"]) if entry["name"] in values.names else None
        if entry["channel"] != channel:
            yield f"{entry['name']} is channel {channel} of the values, not {entry['channel']}"


def _scaled(facts: dict[str, Any], values: Values) -> Iterator[str]:
    """Demand factors that make slides comparable, and ends that own up to values beyond them."""
    for entry in facts["maps"]:
        factor = values.factor(entry["name"])
        if entry["factor"] != factor:
            yield f"{entry['name']} is drawn times {entry['factor']}, not {factor}"
        if (entry["raw"] is None) != (factor == 1):
            yield f"{entry['name']} is drawn times {factor}, and its raw quantity is {entry['raw']}"
        if entry["channel"] is None or entry["channel"] >= len(values.stack):
            continue
        drawn = values.stack[entry["channel"]].astype(np.float64) * factor
        ends = entry["range"]
        slack = 1e-6 * (abs(ends["lower"]) + abs(ends["upper"]))
        beyond = ((drawn < ends["lower"] - slack).any(), (drawn > ends["upper"] + slack).any())
        for end, is_beyond, clips in zip(("lower", "upper"), beyond, ends["clips"], strict=True):
            if is_beyond and not clips:
                yield f"{entry['name']} has values beyond its {end} end, which it does not state"


def _coloured(entry: dict[str, Any], label: Label) -> Iterator[str]:
    """Demand the range and the colours of a map's label."""
    own, drawn = label.block["heatmaps_ome"], {**entry, **entry["range"]}
    for key in (
        "title", "quantity", "colour_map", "lower", "upper", "middle", "categories", "clips",
        "factor", "raw",
    ):  # fmt: skip
        # Earlier versions named no categories in labels.
        here, there = drawn[key], own.get(key)
        if here != there:
            yield f"{entry['name']} has the {key} {here!r} here, {there!r} in its label"
    here, there = entry["categories"], [name for _, name in sorted(label.names.items())]
    if here != there:
        yield f"{entry['name']} has the categories {here} here, values named {there} in its label"
    # Another rule reports levels without a colour.
    differing = [
        level
        for level, rgba in label.colours.items()
        if level > 0 and entry["colours"][level - 1] != "#" + bytes(rgba[:3]).hex()
    ]
    if differing:
        yield (
            f"{len(differing)} levels of {entry['name']} have another colour than in the label, "
            f"{differing[0]} for one"
        )


LISTED_FILES: tuple[Rule[Listed], ...] = (
    Rule("manifest-form", "maps.json has all fields, in their types and ranges", _form),
    Rule("manifest-agrees", "maps.json agrees with the files, places and colours there", _agrees),
)
"""Rules for ``maps.json``."""
