"""Describes a slide's files for viewers: ``maps.json`` says what each map is and where it lies.

It is the one file that our own page and the scripts for QuPath and napari start from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.colour import class_colours, hex_colours
from heatmaps_ome.export import VALUES, result_files
from heatmaps_ome.maps.channels import ChannelKey, channels
from heatmaps_ome.maps.kinds import ARTEFACTS, ATTENTION, KINDS, MARGIN, SCORE, WINNER
from heatmaps_ome.ome.ngff import json_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

MANIFEST = "maps.json"
MAPS_FORMAT = "heatmaps-ome maps 2"


def manifest(result: SlideResult, folder: Path) -> dict[str, Any]:
    """Return what ``maps.json`` says, as plain JSON values.

    Parameters
    ----------
    folder : Path
        Where the files are; those that are not there are given as None.

    Returns
    -------
    dict
        Places and sizes are in level-0 pixels from the slide's outer top left corner. Each map
        states its kind and class, so that no reader parses a name. ``colours`` are those from
        ``levels.lower`` to ``levels.upper``, evenly spaced; a map with ``categories`` has values
        1, 2, … for the first, the second of them, with the first, the second of its colours. For
        ``opacity`` see `opacity_rule`.
    """
    heatmaps, name = result.heatmaps, result.slide.name
    places = {channel.key: place for place, channel in enumerate(channels(heatmaps))}
    measurements = {channel.key: channel.measurement for channel in channels(heatmaps)}
    fades_with = _fading(result.maps, places)
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
        **{file.key: there(file.ending) for file in result_files() if file.key is not None},
        "maps": [
            {
                **shown.facts(),
                "colours": hex_colours(shown.colours[1:]),
                "opacity": opacity_rule(shown, fades_with),
                "channel": places.get(channel_key(shown)),
                "measurement": measurements.get(channel_key(shown)),
                "derived": _derived(shown, places, there(VALUES.ending)),
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


def channel_key(shown: DisplayMap) -> ChannelKey:
    """Return which channel of the raw values a map shows, if there is one."""
    source = KINDS[shown.kind].spread_of
    return ChannelKey(source or shown.kind, shown.class_name, spread=bool(source))


def opacity_rule(shown: DisplayMap, fades_with: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how opaque a map's cells are.

    Returns
    -------
    dict
        ``alpha``, in [0, 1]; where ``fades_with`` is not None, times the place of another map's
        value between its ``lower`` and ``upper``, clipped to [0, 1].
    """
    return {"alpha": shown.alpha, "fades_with": fades_with if shown.fades else None}


def _fading(maps: Sequence[DisplayMap], places: Mapping[ChannelKey, int]) -> dict[str, Any] | None:
    """Return the channel that maps fade with, and the values between which they do."""
    for shown in maps:
        if shown.kind == ATTENTION:
            place = places[channel_key(shown)]
            return {"channel": place, "lower": shown.lower, "upper": shown.upper}
    return None


def _derived(
    shown: DisplayMap, places: Mapping[ChannelKey, int], values: str | None
) -> dict[str, Any] | None:
    """Return how a map without a channel follows from the values, None if it has one.

    Returns
    -------
    dict or None
        ``highest_of``: channels, of whose highest value the place counted from 1 is the map's;
        ``channel`` and ``minus_highest_of``: a channel less the highest of some;
        ``label``: a label on the grid of the values.
    """
    scores = {
        key.class_name: place
        for key, place in places.items()
        if key.kind == SCORE and not key.spread
    }
    if shown.kind == WINNER:
        return {"highest_of": [*scores.values()]}
    if shown.kind == MARGIN:
        own = scores[shown.class_name]
        return {"channel": own, "minus_highest_of": [p for p in scores.values() if p != own]}
    if shown.kind == ARTEFACTS and values is not None:
        return {"label": f"{values}/labels/{ARTEFACTS}"}
    return None
