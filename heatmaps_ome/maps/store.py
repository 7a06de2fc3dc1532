"""The raw maps as ``<slide>.values.ome.zarr``: exact floats with units and true placement."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome import __version__
from heatmaps_ome.display.categories import artefact_map
from heatmaps_ome.display.display_map import ARTEFACTS
from heatmaps_ome.errors import ResultError
from heatmaps_ome.export.ome_zarr import write_ome_xml
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.maps.ensemble import all_channel_names, all_channels, records
from heatmaps_ome.maps.heatmap_set import HeatmapSet, Member
from heatmaps_ome.ome.ngff import PIXEL_ORIGIN, image_label, json_ready, multiscales, omero
from heatmaps_ome.ome.ngff_store import create_array, create_group, write_label
from heatmaps_ome.ome.ome_xml import OmeImage
from heatmaps_ome.slides.artefacts import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.ome.ngff_store import Ngff

_KIND = "values"
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError)
"""What zarr, numcodecs and the look-ups below raise on a damaged or foreign store."""


def write_values(
    heatmaps: HeatmapSet, folder: Path, extra: Mapping[str, Any], ngff: Ngff = "0.4"
) -> Path:
    """Write the raw maps of a slide: (channels, rows, cols) float32, NaN where no tissue is.

    The channels are attention, the classes' scores and, where the model has them, the classes'
    contributions and leave-one-out falls, in this order; of several models, then the standard
    deviation over them of each. Artefacts are a label on the same grid.

    Parameters
    ----------
    extra : mapping
        Anything that JSON can hold, kept under ``heatmaps_ome.extra``.
    ngff : "0.4" or "0.5"

    Raises
    ------
    ResultError
        If tissue has no attention: what is NaN could not be told from what was never analysed.
    """
    stack = all_channels(heatmaps)
    if not np.array_equal(heatmaps.tissue, ~np.isnan(stack[0])):
        raise ResultError(
            f"the attention of {heatmaps.slide_name} is not a number exactly where tissue is not; "
            "check the model's weights"
        )
    path = folder / f"{heatmaps.slide_name}.values.ome.zarr"
    names, grid = all_channel_names(heatmaps), heatmaps.grid
    windows = [("FFFFFF", _window(channel)) for channel in stack]
    channels = [(name, *rest) for name, rest in zip(names, windows, strict=True)]
    attributes = {
        "multiscales": [
            multiscales(heatmaps.slide_name, grid.um_cell, 1, "none", um_origin=grid.um_origin)
        ],
        "omero": omero(heatmaps.slide_name, channels, shown=0),
        "heatmaps_ome": {**_facts(heatmaps), "extra": dict(extra)},
    }
    group = create_group(path, attributes, ngff)
    create_array(group, "0", grid.shape, "float32", len(stack))[...] = stack
    if heatmaps.artefacts is not None:
        _write_artefacts(heatmaps, heatmaps.artefacts, path, ngff)
    image = OmeImage(
        heatmaps.slide_name, grid.shape, grid.um_cell, "float", tuple((n, None) for n in names)
    )
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
        group = zarr.open_group(path, mode="r")
        facts: Any = group.attrs["heatmaps_ome"]
        if facts["kind"] != _KIND:
            raise ResultError(
                f"{path} holds {facts['kind']!r}, not {_KIND!r}; "
                "give a folder <slide>.values.ome.zarr"
            )
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
    # A missing chunk reads as NaN without a word.
    if heatmaps.tissue_cells != facts["tissue_cells"]:
        raise ResultError(
            f"{path} holds {heatmaps.tissue_cells} tissue cells where {facts['tissue_cells']} were "
            "written; the copy is incomplete, copy it again"
        )
    return heatmaps


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
            artefact_map(heatmaps, artefacts), {"name": heatmaps.slide_name}
        ),
    }
    group = create_group(path / "labels" / ARTEFACTS, attributes, ngff)
    write_label(create_array(group, "0", grid.shape, "uint8"), 0, artefacts)


def _read_artefacts(heatmaps: HeatmapSet, path: Path) -> np.ndarray:
    """Return the artefacts that lie with the values; ValueError if they cannot be these."""
    import zarr

    found = np.asarray(zarr.open_array(path / "labels" / ARTEFACTS / "0", mode="r")[...])
    if found.shape != heatmaps.tissue.shape or found.dtype != np.uint8 or found.max() > len(KINDS):
        raise ValueError(f"artefacts of {found.dtype} {found.shape} are none of its cells")
    return found


def _window(channel: np.ndarray) -> dict[str, float]:
    """Return a display window with finite, distinct ends, which viewers insist on."""
    finite = channel[np.isfinite(channel)]
    lower, upper = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if upper <= lower:
        upper = lower + max(1.0, abs(lower))
    return {"min": lower, "max": upper, "start": lower, "end": upper}


def _facts(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return all of a HeatmapSet but its arrays, and what the numbers mean."""
    grid, n_classes = heatmaps.grid, len(heatmaps.classes)
    shares = 0 if heatmaps.contributions is None else n_classes
    units = ["logit", *["probability"] * n_classes, *["logit"] * shares, *["probability"] * shares]
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
        "contributions": heatmaps.contributions is not None,
        "leave_one_out": heatmaps.contributions is not None,
        "units": units if heatmaps.spread is None else units * 2,
        "logits": json_ready(heatmaps.logits),
        "prediction": json_ready(heatmaps.prediction),
        "tissue_cells": heatmaps.tissue_cells,
        "consistency": None if heatmaps.consistency is None else heatmaps.consistency.record(),
        **({"members": records(heatmaps), "several": _SEVERAL} if heatmaps.members else {}),
        "artefacts": heatmaps.artefacts is not None,
    }


_SEVERAL = {
    "attention": "mean over the models of the logit less the logarithm of its mean exponential "
    "over the slide's tissue: the logarithm of how many times the mean weight a cell has",
    "others": "means over the models",
    "sd": "sample standard deviation over the models, of n - 1 degrees of freedom",
}
"""What the channels of several models are."""


def _heatmaps(facts: dict[str, Any], stack: np.ndarray) -> HeatmapSet:
    """Return the HeatmapSet of a store's facts and channels; KeyError or ValueError if unfit."""
    classes = tuple(str(name) for name in facts["classes"])
    n_classes, has_shares = len(classes), bool(facts["contributions"])
    # They follow from the rest; the first versions wrote none.
    has_falls = bool(facts.get("leave_one_out", False))
    members = tuple(_member(each, classes) for each in facts.get("members", ()))
    n_maps = 1 + n_classes * (1 + has_shares + has_falls)
    n_channels = n_maps * (2 if members else 1)
    if stack.ndim != 3 or len(stack) != n_channels or stack.dtype != np.float32:
        raise ValueError(
            f"an array of {stack.dtype} {stack.shape} is not {n_channels} channels of float32"
        )
    # The first versions did not look at plain tiles.
    compared = facts.get("consistency")
    mpp, cell, origin = (YX(**facts[key]) for key in ("mpp", "l0_cell", "l0_origin"))
    return HeatmapSet(
        slide_name=str(facts["slide_name"]),
        slide_shape=Shape(**facts["slide_shape"]),
        grid=Grid(Shape(*stack.shape[1:]), cell, origin, mpp),
        classes=classes,
        tissue=~np.isnan(stack[0]),
        attention=stack[0],
        scores=stack[1 : 1 + n_classes],
        contributions=stack[1 + n_classes : 1 + 2 * n_classes] if has_shares else None,
        logits=_per_class(facts["logits"], n_classes),
        prediction=_per_class(facts["prediction"], n_classes),
        consistency=None if compared is None else Consistency.of_record(compared),
        members=members,
        spread=stack[n_maps:] if members else None,
        mean_falls=stack[1 + 2 * n_classes : n_maps] if members and has_falls else None,
    )


def _member(said: dict[str, Any], classes: tuple[str, ...]) -> Member:
    """Return what a model says of a slide; KeyError or ValueError if it is not of all classes."""
    prediction, logits = (
        tuple(_per_class([said[key][name] for name in classes], len(classes)).tolist())
        for key in ("prediction", "logits")
    )
    return Member(str(said["name"]), str(said["digest"]), prediction, logits)


def _per_class(numbers: list[float | None], n_classes: int) -> np.ndarray:
    """Return one float64 per class, NaN for None."""
    if len(numbers) != n_classes:
        raise ValueError(f"{len(numbers)} numbers for {n_classes} classes")
    return np.array([math.nan if n is None else n for n in numbers], np.float64)
