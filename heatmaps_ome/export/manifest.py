"""Describes a slide's files for viewers: ``maps.json`` says what each map is and where it lies.

It is the one file that our own page and the scripts for QuPath and napari start from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.colour import class_colours, hex_colours
from heatmaps_ome.display.display_map import ARTEFACTS, MARGIN, WINNER
from heatmaps_ome.export import VALUES, result_files
from heatmaps_ome.maps.ensemble import all_channel_names, measurements
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.ome.ngff import json_ready

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

MANIFEST = "maps.json"
_FORMAT = "heatmaps-ome maps 1"


def manifest(result: SlideResult, folder: Path) -> dict[str, Any]:
    """Return what ``maps.json`` says, as plain JSON values.

    Parameters
    ----------
    folder : Path
        Where the files are; those that are not there are given as None.

    Returns
    -------
    dict
        Places and sizes are in level-0 pixels from the slide's outer top left corner; ``colours``
        are those of ``levels_lower`` to ``levels_upper``, evenly spaced; a map that ``fades`` is
        as opaque as ``alpha`` times the attention's place between its ends. A map with
        ``categories`` sorts cells into kinds: 1, 2, … are the first, the second of them, which have
        the first, the second of its colours.
    """
    heatmaps, name = result.heatmaps, result.slide.name
    channels, in_tables = all_channel_names(heatmaps), measurements(heatmaps)
    prediction = dict(zip(heatmaps.classes, heatmaps.prediction.tolist(), strict=True))

    def there(ending: str) -> str | None:
        return f"{name}{ending}" if (folder / f"{name}{ending}").exists() else None

    return json_ready({
        "format": _FORMAT,
        "slide": slide_facts(result),
        "classes": list(heatmaps.classes),
        "class_colours": class_colours(heatmaps.classes),
        "true_class": result.true_class,
        "prediction": prediction,
        "grid": grid_facts(heatmaps.grid),
        **{file.key: there(file.ending) for file in result_files() if file.key is not None},
        "maps": [
            {
                **_map(shown),
                **_channel(shown.name, channels, in_tables),
                "worked_out": _worked_out(shown, heatmaps, there(VALUES.ending)),
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


def _channel(name: str, channels: list[str], in_tables: Mapping[str, str]) -> dict[str, Any]:
    """Return where a map's raw values are: channel of the values, measurement of the cells."""
    channel = channels.index(name) if name in channels else None
    return {"channel": channel, "measurement": in_tables.get(name)}


def _worked_out(
    shown: DisplayMap, heatmaps: HeatmapSet, values: str | None
) -> dict[str, Any] | None:
    """Return how a map without a channel follows from the values, None if it has one.

    Returns
    -------
    dict or None
        ``highest_of``: channels, of whose highest value the place counted from 1 is the map's;
        ``channel`` and ``minus_highest_of``: a channel less the highest of some;
        ``label``: a label on the grid of the values.
    """
    scores = range(1, len(heatmaps.classes) + 1)
    if shown.name == WINNER:
        return {"highest_of": [*scores]}
    if shown.name.startswith(f"{MARGIN}-"):
        own = 1 + class_keys(heatmaps.classes).index(shown.name.removeprefix(f"{MARGIN}-"))
        return {"channel": own, "minus_highest_of": [each for each in scores if each != own]}
    if shown.name == ARTEFACTS and values is not None:
        return {"label": f"{values}/labels/{ARTEFACTS}"}
    return None


def _map(shown: DisplayMap) -> dict[str, Any]:
    """Return what a map is and how it is drawn."""
    return {
        "name": shown.name,
        **shown.facts(),
        "note": shown.note,
        "colours": hex_colours(shown.colours[1:]),
        "levels_lower": shown.values[1],
        "levels_upper": shown.values[-1],
        "alpha": shown.alpha,
        "fades": shown.fades,
    }  # fmt: skip
