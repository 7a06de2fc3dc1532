"""Describes a slide's files for viewers: ``maps.json`` says what each map is and where it lies.

It is the one file that our own page and the scripts for QuPath and napari start from. They go by
what it states of each map, and read nothing out of a map's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.colour import class_colours, hex_colours
from heatmaps_ome.display.display_map import ARTEFACTS, ATTENTION, MARGIN, WINNER
from heatmaps_ome.maps.ensemble import all_channel_names, measurements
from heatmaps_ome.ome.ngff import json_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

MANIFEST = "maps.json"
MAPS_FORMAT = "heatmaps-ome maps 2"
VALUES = ".values.ome.zarr"


def manifest(result: SlideResult, folder: Path) -> dict[str, Any]:
    """Return what ``maps.json`` says, as plain JSON values.

    Parameters
    ----------
    folder : Path
        Where the files are; those that are not there are given as None.

    Returns
    -------
    dict
        Places and sizes are in level-0 pixels from the slide's outer top left corner. Of each map,
        ``map_facts`` with ``colours`` "#rrggbb", the ``channel`` of the values and the
        ``measurement`` of the cells that it is, how it is ``derived`` from others if it is
        neither, and its files. ``opacity`` has the ``channel`` of what it ``fades_with``.
    """
    heatmaps, name = result.heatmaps, result.slide.name
    channels, in_tables = all_channel_names(heatmaps), measurements(heatmaps)
    prediction = dict(zip(heatmaps.classes, heatmaps.prediction.tolist(), strict=True))

    def there(ending: str) -> str | None:
        return f"{name}{ending}" if (folder / f"{name}{ending}").exists() else None

    return json_ready({
        "format": MAPS_FORMAT,
        "slide": slide_facts(result),
        "classes": list(heatmaps.classes),
        "class_colours": class_colours(heatmaps.classes),
        "true_class": result.true_class,
        "prediction": prediction,
        "grid": grid_facts(heatmaps.grid),
        "image": there(".ome.zarr"),
        "values": there(VALUES),
        "values_tiff": there(".values.ome.tiff"),
        "cells": there(".cells.csv"),
        "cells_geojson": there(".cells.geojson"),
        "regions": there(".regions.csv"),
        "regions_geojson": there(".regions.geojson"),
        "tiles": there(".tiles.csv"),
        "maps": [
            {
                **_with_channel(map_facts(shown, result.maps), channels),
                "colours": hex_colours(shown.colours[1:]),
                **_channel(shown.name, channels, in_tables),
                "derived": _derived(shown, heatmaps, there(VALUES)),
                "overlay": there(f".{shown.name}.ome.tiff"),
                "flat": there(f".{shown.name}.flat.ome.zarr"),
            }
            for shown in result.maps
        ],
    })  # fmt: skip


def slide_facts(result: SlideResult) -> dict[str, Any]:
    """Return where the slide lies, for those who place a map on it; nothing private."""
    slide = result.slide
    return {
        "name": slide.name,
        "rows": slide.shape.rows,
        "cols": slide.shape.cols,
        "mpp": slide.mpp._asdict(),
        "mpp_source": slide.mpp_source,
        "bounds": slide.bounds._asdict(),
    }


def grid_facts(grid: Grid) -> dict[str, Any]:
    """Return a grid's size and place."""
    return {
        "shape": grid.shape._asdict(),
        "l0_cell": grid.l0_cell._asdict(),
        "l0_origin": grid.l0_origin._asdict(),
        "mpp": grid.mpp._asdict(),
    }


def map_facts(shown: DisplayMap, maps: Sequence[DisplayMap]) -> dict[str, Any]:
    """Return what a map is and how it is drawn, as ``maps.json`` and the report's part state it.

    Parameters
    ----------
    shown : DisplayMap
    maps : sequence of DisplayMap
        All of the slide's.

    Returns
    -------
    dict
        ``kind`` is the key of the map's kind and ``kind_title`` its name for people, ``class`` the
        model's class or None. ``levels`` are the values of its first and its last colour, which
        are evenly spaced, or None with ``categories``: of these the first is the value 1 in the
        first colour. ``range`` has the values at the ends of the colour bar, the ``middle`` to mark
        on it or None, and what the ``ends`` speak for. ``opacity``: a cell is ``alpha`` opaque,
        times (if the map ``fades_with`` attention) the place of its attention between ``lower``
        and ``upper``, in [0, 1].
    """
    levels = {"lower": shown.values[1], "upper": shown.values[-1]}
    return {
        "name": shown.name,
        "kind": shown.kind,
        "kind_title": shown.kind_title,
        "class": shown.class_name,
        "title": shown.title,
        "quantity": shown.quantity,
        "unit": shown.unit,
        "colour_map": shown.colour_map,
        "levels": None if shown.categories else levels,
        "range": {
            "lower": shown.lower,
            "upper": shown.upper,
            "middle": shown.middle,
            "ends": list(shown.ends),
        },
        "opacity": {
            "alpha": shown.alpha,
            "fades_with": _attention_range(maps) if shown.fades else None,
        },
        "categories": list(shown.categories),
        "note": shown.note,
    }


def _attention_range(maps: Sequence[DisplayMap]) -> dict[str, float] | None:
    """Return the attention of a cell that is not seen and of one that is as opaque as can be."""
    ranges = ((shown.lower, shown.upper) for shown in maps if shown.kind == ATTENTION)
    lower, upper = next(ranges, (None, None))
    return None if lower is None or upper is None else {"lower": lower, "upper": upper}


def _with_channel(facts: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """Return a map's facts with the channel of what it fades with."""
    fading = facts["opacity"]["fades_with"]
    if fading is None:
        return facts
    fading = {"channel": channels.index(ATTENTION), **fading}
    return {**facts, "opacity": {**facts["opacity"], "fades_with": fading}}


def _channel(name: str, channels: list[str], in_tables: Mapping[str, str]) -> dict[str, Any]:
    """Return where a map's raw values are: channel of the values, measurement of the cells."""
    channel = channels.index(name) if name in channels else None
    return {"channel": channel, "measurement": in_tables.get(name)}


def _derived(shown: DisplayMap, heatmaps: HeatmapSet, values: str | None) -> dict[str, Any] | None:
    """Return how a map without a channel follows from the values, None if it has one.

    Returns
    -------
    dict or None
        ``highest_of``: channels, of whose highest value the place counted from 1 is the map's;
        ``channel`` and ``minus_highest_of``: a channel less the highest of some;
        ``label``: a label on the grid of the values.
    """
    scores = range(1, len(heatmaps.classes) + 1)
    if shown.kind == WINNER:
        return {"highest_of": [*scores]}
    if shown.kind == MARGIN and shown.class_name is not None:
        own = 1 + heatmaps.classes.index(shown.class_name)
        return {"channel": own, "minus_highest_of": [each for each in scores if each != own]}
    if shown.kind == ARTEFACTS and values is not None:
        return {"label": f"{values}/labels/{ARTEFACTS}"}
    return None
