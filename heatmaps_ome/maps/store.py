"""The raw maps as ``<slide>.values.ome.zarr``: exact floats with units and true placement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import ResultError
from heatmaps_ome.maps.channels import channels, stacked
from heatmaps_ome.maps.kinds import ARTEFACTS, KINDS
from heatmaps_ome.maps.set_facts import KIND, facts_of, known, set_of
from heatmaps_ome.maps.tile_store import TILES, read_table, write_table
from heatmaps_ome.ome.ngff import PIXEL_ORIGIN, image_label, multiscales, omero
from heatmaps_ome.ome.ngff_store import create_array, create_group, write_label, write_ome_xml
from heatmaps_ome.ome.ome_xml import OmeImage
from heatmaps_ome.slides.artefacts import KIND_COLOURS
from heatmaps_ome.slides.artefacts import KINDS as ARTEFACT_KINDS
from heatmaps_ome.slides.plain_zarr import attributes_of, require_plain_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.ome.ngff_store import Ngff

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
        If tissue has no value: its NaN would look like cells that were never analysed.
    """
    channel_list, grid = channels(heatmaps), heatmaps.grid
    stack = stacked(channel_list)
    first = stack[0] if heatmaps.aim is None else None
    if not np.array_equal(heatmaps.tissue, known(stack) if first is None else ~np.isnan(first)):
        raise ResultError(
            f"the {channel_list[0].name} of {heatmaps.slide_name} is not a number exactly where "
            "tissue is not; check the model's weights"
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
        "heatmaps_ome": {**facts_of(heatmaps, channel_list), "extra": dict(extra)},
    }
    group = create_group(path, attributes, ngff)
    create_array(group, "0", grid.shape, "float32", len(stack))[...] = stack
    if heatmaps.artefacts is not None:
        _write_artefacts(heatmaps, heatmaps.artefacts, path, ngff)
    if heatmaps.tiles is not None:
        write_table(heatmaps.tiles, path / TILES, ngff)
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
        facts: Any = attributes_of(path)["heatmaps_ome"]
        if facts["kind"] != KIND:
            raise ResultError(
                f"{path} holds {facts['kind']!r}, not {KIND!r}; "
                "give a folder <slide>.values.ome.zarr"
            )
        require_plain_array(path / "0", whole=True)
        stack = np.asarray(zarr.open_array(path / "0", mode="r")[...])
        heatmaps = set_of(facts, stack)
        # The first versions had none.
        if facts.get("artefacts", False):
            heatmaps = replace(heatmaps, artefacts=_read_artefacts(heatmaps, path))
        if "target" in facts and facts.get("table", True):
            heatmaps = replace(heatmaps, tiles=read_table(path / TILES))
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
