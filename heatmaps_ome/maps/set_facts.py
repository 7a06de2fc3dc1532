"""A set of maps as JSON facts and a stack of channels, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome import __version__
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import ChannelKey
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.maps.curves import Faithfulness
from heatmaps_ome.maps.ensemble import records
from heatmaps_ome.maps.heatmap_set import HeatmapSet, Member
from heatmaps_ome.maps.kinds import ATTENTION, CONTRIBUTION, KINDS, LEAVE_ONE_OUT, SCORE
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.target import Target
from heatmaps_ome.ome.ngff import PIXEL_ORIGIN, json_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.maps.channels import Channel

KIND = "values"


def facts_of(heatmaps: HeatmapSet, channel_list: Sequence[Channel]) -> dict[str, Any]:
    """Return all of a HeatmapSet but its arrays, and the meaning of its numbers."""
    grid = heatmaps.grid
    return {
        "kind": KIND,
        "version": __version__,
        "slide_name": heatmaps.slide_name,
        "slide_shape": heatmaps.slide_shape._asdict(),
        "mpp": grid.mpp._asdict(),
        "l0_cell": grid.l0_cell._asdict(),
        "l0_origin": grid.l0_origin._asdict(),
        "pixel_origin": PIXEL_ORIGIN,
        "classes": list(heatmaps.classes),
        "channels": [
            {
                "name": channel.name,
                "kind": channel.key.kind,
                "class": channel.key.class_name,
                "spread": channel.key.spread,
                "unit": channel.unit,
            }
            for channel in channel_list
        ],
        "logits": json_ready(heatmaps.logits),
        "prediction": json_ready(heatmaps.prediction),
        "tissue_cells": heatmaps.tissue_cells,
        "consistency": None if heatmaps.consistency is None else heatmaps.consistency.record(),
        **({"members": records(heatmaps), "several": _SEVERAL} if heatmaps.members else {}),
        "artefacts": heatmaps.artefacts is not None,
        "excluded": dict(heatmaps.excluded),
        "brightness": heatmaps.brightness,
        **_tile_facts(heatmaps),
    }


def _tile_facts(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return the facts that only maps of tiles have; none for a dense grid."""
    if heatmaps.aim is None:
        return {}
    return {
        "target": heatmaps.aim.record(),
        "names": {kind: list(names) for kind, names in heatmaps.names.items()},
        "units": dict(heatmaps.units_given),
        "explanation": json_ready(dict(heatmaps.explanation)),
        "curves": {curves.class_name: curves.record() for curves in heatmaps.curves},
        # Differences of two results are of cells, not of tiles.
        **({"table": False} if heatmaps.tiles is None and heatmaps.places is None else {}),
    }


_SEVERAL = {
    "attention": "mean over the models of the logit less the logarithm of its mean exponential "
    "over the slide's tissue: the logarithm of how many times the mean weight a cell has",
    "others": "means over the models",
    "sd": "sample standard deviation over the models, of n - 1 degrees of freedom",
}
"""Meaning of the channels of several models."""


def set_of(facts: dict[str, Any], stack: np.ndarray) -> HeatmapSet:
    """Return the HeatmapSet of a store's facts and channels; KeyError or ValueError if unfit."""
    classes = tuple(str(name) for name in facts["classes"])
    names = {str(kind): tuple(map(str, group)) for kind, group in facts.get("names", {}).items()}
    keys = _channel_keys(facts, classes)
    if stack.ndim != 3 or len(stack) != len(keys) or stack.dtype != np.float32:
        raise ValueError(
            f"an array of {stack.dtype} {stack.shape} is not {len(keys)} channels of float32"
        )
    maps = {
        spread: _maps(keys, stack, {"": classes, **names}, spread=spread)
        for spread in (False, True)
    }
    # The first versions did not look at plain tiles.
    compared = facts.get("consistency")
    mpp, cell, origin = (YX(**facts[key]) for key in ("mpp", "l0_cell", "l0_origin"))
    aim = _target(facts["target"]) if "target" in facts else None
    # A dense grid has attention wherever it has anything.
    tissue = ~np.isnan(maps[False][ATTENTION]) if aim is None else known(stack)
    return HeatmapSet(
        slide_name=str(facts["slide_name"]),
        slide_shape=Shape(**facts["slide_shape"]),
        grid=Grid(Shape(*stack.shape[1:]), cell, origin, mpp),
        classes=classes,
        tissue=tissue,
        maps=maps[False],
        logits=_per_class(facts["logits"], len(classes)),
        prediction=_per_class(facts["prediction"], len(classes)),
        consistency=None if compared is None else Consistency.of_record(compared),
        excluded={str(kind): int(n) for kind, n in facts.get("excluded", {}).items()},
        brightness=facts.get("brightness"),
        members=tuple(_member(entry, classes) for entry in facts.get("members", ())),
        spread=maps[True],
        names=names,
        units_given={str(name): str(unit) for name, unit in facts.get("units", {}).items()},
        aim=aim,
        curves=tuple(
            Faithfulness.of_record(name, record) for name, record in facts.get("curves", {}).items()
        ),
        explanation=facts.get("explanation", {}),
    )


def _target(record: dict[str, Any]) -> Target:
    """Return the target of a record; KeyError, TypeError or ValueError if it is none."""
    try:
        return Target.of_record(record)
    except Unusable as reason:
        raise ValueError(f"its target {reason}") from reason


def known(stack: np.ndarray) -> np.ndarray:
    """Return where any channel of a (channels, rows, cols) stack has a number."""
    tissue = np.zeros(stack.shape[1:], bool)
    for plane in stack:
        tissue |= ~np.isnan(plane)
    return tissue


def _channel_keys(facts: dict[str, Any], classes: tuple[str, ...]) -> list[ChannelKey]:
    """Return the map of each channel; earlier versions had the same order in all files."""
    if "channels" in facts:
        return [
            ChannelKey(str(entry["kind"]), entry["class"], bool(entry["spread"]))
            for entry in facts["channels"]
        ]
    kinds = [SCORE]
    if facts["contributions"]:
        kinds.append(CONTRIBUTION)
    if facts.get("leave_one_out", False):
        kinds.append(LEAVE_ONE_OUT)
    plain = [ChannelKey(ATTENTION), *(ChannelKey(kind, name) for kind in kinds for name in classes)]
    spread = [replace(key, spread=True) for key in plain] if facts.get("members") else []
    return plain + spread


def _maps(
    keys: Sequence[ChannelKey],
    stack: np.ndarray,
    names_of: Mapping[str, tuple[str, ...]],
    *,
    spread: bool,
) -> dict[str, np.ndarray]:
    """Return the maps, or their spread, by kind; ValueError where a class's map is missing.

    Parameters
    ----------
    names_of : mapping of kind → tuple of str
        Names of its maps; "" for those of other kinds.
    """
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        if key.spread == spread:
            places.setdefault(key.kind, []).append(place)
    for kind, indices in places.items():
        names = [keys[place].class_name for place in indices]
        wanted = names_of.get(kind, names_of[""])
        if kind not in KINDS or names != (list(wanted) if names[0] is not None else [None]):
            raise ValueError(f"the channels of {kind} are not one for each class")
    # Channels of a kind lie one after the other, so that no map is copied.
    return {
        kind: stack[indices[0] : indices[-1] + 1] if keys[indices[0]].class_name is not None
        else stack[indices[0]]
        for kind, indices in places.items()
    }  # fmt: skip


def _member(entry: dict[str, Any], classes: tuple[str, ...]) -> Member:
    """Return a model's answer for a slide; KeyError or ValueError if it lacks a class."""
    prediction, logits = (
        tuple(_per_class([entry[key][name] for name in classes], len(classes)).tolist())
        for key in ("prediction", "logits")
    )
    return Member(str(entry["name"]), str(entry["digest"]), prediction, logits)


def _per_class(numbers: list[float | None], n_classes: int) -> np.ndarray:
    """Return one float64 per class, NaN for None."""
    if len(numbers) != n_classes:
        raise ValueError(f"{len(numbers)} numbers for {n_classes} classes")
    return np.array([math.nan if n is None else n for n in numbers], np.float64)
