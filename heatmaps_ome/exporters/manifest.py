"""Describes a slide's files for viewers: ``maps.json`` lists its maps with kinds, ranges and files.

It is the one file that our own page and the scripts for QuPath and napari start from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.colour import class_colours, hex_colours
from heatmaps_ome.display.outlines import outline_facts
from heatmaps_ome.exporters import VALUES, result_files
from heatmaps_ome.maps.channels import ChannelKey, channels
from heatmaps_ome.maps.kinds import ARTEFACTS, ATTENTION, KINDS, MARGIN, SCORE, WINNER
from heatmaps_ome.ome.ngff import json_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

MANIFEST = "maps.json"
MAPS_FORMAT = "heatmaps-ome maps 3"


def manifest(result: SlideResult, folder: Path) -> dict[str, Any]:
    """Return the content of ``maps.json``, as plain JSON values.

    Parameters
    ----------
    folder : Path
        Folder of the files; missing ones are given as None.

    Returns
    -------
    dict
        Places and sizes are in level-0 pixels from the slide's outer top left corner. Each map
        states its kind and class, so that no reader parses a name. Drawn values are those of
        ``channel`` times ``factor``; ranges, levels, unit and quantity are of drawn values,
        ``channel`` and ``measurement`` name the raw ones. ``colours`` are those from
        ``levels.lower`` to ``levels.upper``, evenly spaced; a map with ``categories`` has values
        1, 2, … for the first, the second of them, with the first, the second of its colours. For
        ``opacity`` see `opacity_rule`.
    """
    heatmaps, name = result.heatmaps, result.slide.name
    channel_list = channels(heatmaps)
    places = {channel.key: place for place, channel in enumerate(channel_list)}
    measurements = {channel.key: channel.measurement for channel in channel_list}
    fading = attention_range(result.maps)
    fades_with = fading and {"channel": places[ChannelKey(ATTENTION)], **fading}

    def there(ending: str) -> str | None:
        return f"{name}{ending}" if (folder / f"{name}{ending}").exists() else None

    return json_ready({
        "format": MAPS_FORMAT,
        "slide": slide_facts(result),
        "classes": list(heatmaps.classes),
        "class_colours": class_colours(heatmaps.classes),
        "true_class": result.true_class,
        "outlines": outline_facts(),
        "label": result.label,
        "prediction": heatmaps.predicted,
        "target": heatmaps.target.record(),
        "grid": grid_facts(heatmaps.grid),
        **{file.key: there(file.ending) for file in result_files() if file.key is not None},
        "maps": [
            {
                **drawn.facts(),
                "colours": hex_colours(drawn.colours[1:]),
                "opacity": opacity_rule(drawn, fades_with),
                "l0_origin": drawn.grid.l0_origin._asdict(),
                "channel": places.get(channel_key(drawn)),
                "measurement": measurements.get(channel_key(drawn)),
                "derived": _derived(drawn, places, there(VALUES.ending)),
                "overlay": there(f".{drawn.name}.ome.tiff"),
                "flat": there(f".{drawn.name}.flat.ome.zarr"),
            }
            for drawn in result.maps
        ],
    })  # fmt: skip


def slide_facts(result: SlideResult) -> dict[str, Any]:
    """Return the slide's name, size and pixel size, to place a map on it; nothing private."""
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


def channel_key(drawn: DisplayMap) -> ChannelKey:
    """Return the key of the channel of raw values that a map shows, if there is one."""
    source = KINDS[drawn.kind].spread_of
    return ChannelKey(source or drawn.kind, drawn.class_name, spread=bool(source))


def opacity_rule(drawn: DisplayMap, fades_with: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the opacity rule of a map's cells.

    Returns
    -------
    dict
        ``alpha``, in [0, 1]. Where ``fades_with`` is not None, it is multiplied by the position of
        another map's value between its ``lower`` and ``upper``, clipped to [0, 1].
    """
    return {"alpha": drawn.alpha, "fades_with": fades_with if drawn.fades else None}


def attention_range(maps: Sequence[DisplayMap]) -> dict[str, float] | None:
    """Return the values of the attention between which other maps fade; None without its map."""
    for drawn in maps:
        if drawn.kind == ATTENTION:
            return {"lower": drawn.lower, "upper": drawn.upper}
    return None


def _derived(
    drawn: DisplayMap, places: Mapping[ChannelKey, int], values: str | None
) -> dict[str, Any] | None:
    """Return the rule that derives a map without a channel from the values; None if it has one.

    Returns
    -------
    dict or None
        ``highest_of``: a list of channels; the map has the position in it, counted from 1, of the
        channel with the highest value;
        ``channel`` and ``minus_highest_of``: a channel less the highest of some others;
        ``label``: a label on the grid of the values.
    """
    scores = {
        key.class_name: place
        for key, place in places.items()
        if key.kind == SCORE and not key.spread
    }
    if drawn.kind == WINNER:
        return {"highest_of": [*scores.values()]}
    if drawn.kind == MARGIN:
        own = scores[drawn.class_name]
        return {"channel": own, "minus_highest_of": [p for p in scores.values() if p != own]}
    if drawn.kind == ARTEFACTS and values is not None:
        return {"label": f"{values}/labels/{ARTEFACTS}"}
    return None
