"""The raw maps as ``<slide>.values.ome.zarr``: exact floats with units and true placement."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome import __version__
from heatmaps_ome.errors import ResultError
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import ChannelKey, channels, stacked
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.maps.ensemble import records
from heatmaps_ome.maps.heatmap_set import HeatmapSet, Member
from heatmaps_ome.maps.kinds import ARTEFACTS, ATTENTION, CONTRIBUTION, KINDS, LEAVE_ONE_OUT, SCORE
from heatmaps_ome.ome.ngff import PIXEL_ORIGIN, image_label, json_ready, multiscales, omero
from heatmaps_ome.ome.ngff_store import create_array, create_group, write_label, write_ome_xml
from heatmaps_ome.ome.ome_xml import OmeImage
from heatmaps_ome.slides.artefacts import KIND_COLOURS
from heatmaps_ome.slides.artefacts import KINDS as ARTEFACT_KINDS
from heatmaps_ome.slides.plain_zarr import read_object, require_plain_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.maps.channels import Channel
    from heatmaps_ome.ome.ngff_store import Ngff

_KIND = "values"
_UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
    MemoryError,
)  # fmt: skip
"""Errors of zarr, numcodecs and the look-ups below on a damaged or foreign store."""


def write_values(
    heatmaps: HeatmapSet, folder: Path, extra: Mapping[str, Any], ngff: Ngff = "0.4"
) -> Path:
    """Write the raw maps of a slide: (channels, rows, cols) float32, NaN where no tissue is.

    For the channels see `channels`; artefacts are a label on the same grid.

    Parameters
    ----------
    extra : mapping
        Anything that JSON can hold, kept under ``heatmaps_ome.extra``.
    ngff : "0.4" or "0.5"

    Raises
    ------
    ResultError
        If tissue has no attention: its NaN would look like cells that were never analysed.
    """
    channel_list, grid = channels(heatmaps), heatmaps.grid
    stack = stacked(channel_list)
    if not np.array_equal(heatmaps.tissue, ~np.isnan(stack[0])):
        raise ResultError(
            f"the attention of {heatmaps.slide_name} is not a number exactly where tissue is not; "
            "check the model's weights"
        )
    path = folder / f"{heatmaps.slide_name}.values.ome.zarr"
    omero_channels = [
        (channel.name, "FFFFFF", _window(plane))
        for channel, plane in zip(channel_list, stack, strict=True)
    ]
    attributes = {
        "multiscales": [
            multiscales(heatmaps.slide_name, grid.um_cell, 1, "none", um_origin=grid.um_origin)
        ],
        "omero": omero(heatmaps.slide_name, omero_channels, visible=0),
        "heatmaps_ome": {**_facts(heatmaps, channel_list), "extra": dict(extra)},
    }
    group = create_group(path, attributes, ngff)
    create_array(group, "0", grid.shape, "float32", len(stack))[...] = stack
    if heatmaps.artefacts is not None:
        _write_artefacts(heatmaps, heatmaps.artefacts, path, ngff)
    image = OmeImage(
        heatmaps.slide_name, grid.shape, grid.um_cell, "float",
        tuple((channel.name, None) for channel in channel_list),
    )  # fmt: skip
    write_ome_xml(path, image, ngff)
    return path


def read_values(path: Path) -> HeatmapSet:
    """Return the raw maps that ``write_values`` wrote, bit by bit.

    Raises
    ------
    ResultError
        If the folder is no such store, or parts of it are missing or damaged.
    """
    import zarr

    try:
        facts: Any = _attributes(path)["heatmaps_ome"]
        if facts["kind"] != _KIND:
            raise ResultError(
                f"{path} holds {facts['kind']!r}, not {_KIND!r}; "
                "give a folder <slide>.values.ome.zarr"
            )
        require_plain_array(path / "0", whole=True)
        stack = np.asarray(zarr.open_array(path / "0", mode="r")[...])
        heatmaps = _heatmaps(facts, stack)
        # The first versions had none.
        if facts.get("artefacts", False):
            heatmaps = replace(heatmaps, artefacts=_read_artefacts(heatmaps, path))
    except ResultError:
        raise
    except _UNREADABLE as error:
        raise ResultError(
            f"{path} cannot be read as the values of a slide ({type(error).__name__}: {error}); "
            "make it anew with create"
        ) from error
    # A missing chunk silently reads as NaN.
    if heatmaps.tissue_cells != facts["tissue_cells"]:
        raise ResultError(
            f"{path} holds {heatmaps.tissue_cells} tissue cells where {facts['tissue_cells']} were "
            "written; the copy is incomplete, copy it again"
        )
    return heatmaps


def _attributes(path: Path) -> dict[str, Any]:
    """Return the metadata of a store of zarr v2 or v3; OSError or ValueError if it is damaged."""
    version3 = path / "zarr.json"
    if version3.exists():
        return read_object(version3)["attributes"]
    return read_object(path / ".zattrs")


def _write_artefacts(heatmaps: HeatmapSet, artefacts: np.ndarray, path: Path, ngff: Ngff) -> None:
    """Write artefacts as a label of the values, on their grid and at its place."""
    grid = heatmaps.grid
    create_group(path / "labels", {"labels": [ARTEFACTS]}, ngff)
    attributes = {
        "multiscales": [
            multiscales(
                ARTEFACTS, grid.um_cell, 1, "none", um_origin=grid.um_origin, channels=False
            )
        ],
        "image-label": image_label(
            ARTEFACTS,
            {level: (*bytes.fromhex(code[1:]), 255) for level, code in _numbered(KIND_COLOURS)},
            dict(_numbered(ARTEFACT_KINDS)),
            _artefact_facts(heatmaps),
        ),
    }
    group = create_group(path / "labels" / ARTEFACTS, attributes, ngff)
    write_label(create_array(group, "0", grid.shape, "uint8"), 0, artefacts)


def _numbered(entries: Sequence[str]) -> enumerate[str]:
    """Return entries with the levels that stand for them, from 1 on."""
    return enumerate(entries, start=1)


def _artefact_facts(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return the metadata that the label of artefacts needs to be read."""
    kind, grid = KINDS[ARTEFACTS], heatmaps.grid
    return {
        "kind": kind.key,
        "class": None,
        "title": kind.title,
        "quantity": kind.quantity,
        "unit": kind.unit,
        "colour_map": "categories",
        "lower": 1.0,
        "upper": float(len(ARTEFACT_KINDS)),
        "middle": None,
        "categories": list(ARTEFACT_KINDS),
        "cell_um": grid.um_cell._asdict(),
        "origin_um": grid.um_origin._asdict(),
        "pixel_origin": PIXEL_ORIGIN,
        "slide": {"name": heatmaps.slide_name},
    }


def _read_artefacts(heatmaps: HeatmapSet, path: Path) -> np.ndarray:
    """Return the artefacts stored with the values; ValueError if they do not fit these."""
    import zarr

    finest = path / "labels" / ARTEFACTS / "0"
    require_plain_array(finest, whole=True)
    artefacts = np.asarray(zarr.open_array(finest, mode="r")[...])
    if (
        artefacts.shape != heatmaps.tissue.shape
        or artefacts.dtype != np.uint8
        or artefacts.max() > len(ARTEFACT_KINDS)
    ):
        raise ValueError(f"artefacts of {artefacts.dtype} {artefacts.shape} are none of its cells")
    return artefacts


def _window(channel: np.ndarray) -> dict[str, float]:
    """Return a display window with finite, distinct ends, which viewers insist on."""
    finite = channel[np.isfinite(channel)]
    lower, upper = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if upper <= lower:
        upper = lower + max(1.0, abs(lower))
    return {"min": lower, "max": upper, "start": lower, "end": upper}


def _facts(heatmaps: HeatmapSet, channel_list: Sequence[Channel]) -> dict[str, Any]:
    """Return all of a HeatmapSet but its arrays, and the meaning of its numbers."""
    grid = heatmaps.grid
    return {
        "kind": _KIND,
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
    }


_SEVERAL = {
    "attention": "mean over the models of the logit less the logarithm of its mean exponential "
    "over the slide's tissue: the logarithm of how many times the mean weight a cell has",
    "others": "means over the models",
    "sd": "sample standard deviation over the models, of n - 1 degrees of freedom",
}
"""Meaning of the channels of several models."""


def _heatmaps(facts: dict[str, Any], stack: np.ndarray) -> HeatmapSet:
    """Return the HeatmapSet of a store's facts and channels; KeyError or ValueError if unfit."""
    classes = tuple(str(name) for name in facts["classes"])
    keys = _channel_keys(facts, classes)
    if stack.ndim != 3 or len(stack) != len(keys) or stack.dtype != np.float32:
        raise ValueError(
            f"an array of {stack.dtype} {stack.shape} is not {len(keys)} channels of float32"
        )
    maps = {spread: _maps(keys, stack, classes, spread=spread) for spread in (False, True)}
    # The first versions did not look at plain tiles.
    compared = facts.get("consistency")
    mpp, cell, origin = (YX(**facts[key]) for key in ("mpp", "l0_cell", "l0_origin"))
    attention = maps[False][ATTENTION]
    return HeatmapSet(
        slide_name=str(facts["slide_name"]),
        slide_shape=Shape(**facts["slide_shape"]),
        grid=Grid(Shape(*stack.shape[1:]), cell, origin, mpp),
        classes=classes,
        tissue=~np.isnan(attention),
        maps=maps[False],
        logits=_per_class(facts["logits"], len(classes)),
        prediction=_per_class(facts["prediction"], len(classes)),
        consistency=None if compared is None else Consistency.of_record(compared),
        excluded={str(kind): int(n) for kind, n in facts.get("excluded", {}).items()},
        brightness=facts.get("brightness"),
        members=tuple(_member(entry, classes) for entry in facts.get("members", ())),
        spread=maps[True],
    )


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
    keys: Sequence[ChannelKey], stack: np.ndarray, classes: tuple[str, ...], *, spread: bool
) -> dict[str, np.ndarray]:
    """Return the maps, or their spread, by kind; ValueError where a class's map is missing."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        if key.spread == spread:
            places.setdefault(key.kind, []).append(place)
    for kind, indices in places.items():
        names = [keys[place].class_name for place in indices]
        if names != (list(classes) if names[0] is not None else [None]):
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
