"""The channels of a slide's raw values: every stored map, and the spread over several models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps.heatmap_set import map_name
from heatmaps_ome.maps.kinds import KINDS, stored_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.map_kind import MapKind

_SPREAD = "sd-"
"""Prefix of the name of a map's standard deviation. No other map's name begins like this, whatever
its class is called; a suffix could be the end of a class's name."""


@dataclass(frozen=True)
class ChannelKey:
    """The map that a channel holds.

    Attributes
    ----------
    kind : str
    class_name : str or None
        None for kinds that have one map for all classes.
    spread : bool
        Whether it is the map's standard deviation over several models.
    """

    kind: str
    class_name: str | None = None
    spread: bool = False


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel of the raw values.

    Attributes
    ----------
    key : ChannelKey
    name : str
        The same as that of the map's label and overlay: "score-MSIH".
    unit : str
    measurement : str or None
        Its name in tables, for people: "score: MSIH"; None where tables leave it out.
    values : (rows, cols) float32
        NaN where no tissue is.
    """

    key: ChannelKey
    name: str
    unit: str
    measurement: str | None
    values: np.ndarray


def channels(heatmaps: HeatmapSet) -> tuple[Channel, ...]:
    """Return the channels of a slide's raw values, in the order in which they are stored.

    These are attention, then kind by kind the maps of the classes, as far as the model has them;
    then the standard deviation of each over several models.
    """
    return (*_channels(heatmaps, None), *_channels(heatmaps, heatmaps.spread))


def stacked(channel_list: Sequence[Channel]) -> np.ndarray:
    """Return channels as one (channels, rows, cols) float32 array."""
    return np.stack([channel.values for channel in channel_list]).astype(np.float32, copy=False)


def unit_of(kind: MapKind, heatmaps: HeatmapSet, class_name: str | None = None) -> str:
    """Return the unit of a kind's maps, which may be another one for means of several models."""
    target = heatmaps.target
    if class_name is not None and class_name in heatmaps.units_given:
        return heatmaps.units_given[class_name]
    if (kind.of_values and not target.has_classes) or (target.is_given and kind.of_given[0]):
        return target.unit
    return (kind.means[1] if heatmaps.members else "") or kind.unit


def _channels(heatmaps: HeatmapSet, spread: Mapping[str, np.ndarray] | None) -> Iterator[Channel]:
    """Yield the channels of all stored kinds with values, or of their spread."""
    for kind in stored_kinds():
        values = heatmaps.values(kind.key) if spread is None else spread.get(kind.key)
        if values is None:
            continue
        names = heatmaps.names_of(kind.key)
        for index, plane in enumerate(values.reshape(-1, *heatmaps.grid.shape)):
            class_name = names[index] if kind.per_class else None
            name = map_name(kind.key, names, index)
            label = kind.key if class_name is None else f"{kind.key}: {class_name}"
            if spread is not None:
                # Tables have the spread of those maps whose spread is also drawn.
                drawn = any(other.spread_of == kind.key for other in KINDS.values())
                name, label = _SPREAD + name, f"SD of {label}" if drawn else None
            key = ChannelKey(kind.key, class_name, spread is not None)
            yield Channel(key, name, unit_of(kind, heatmaps, class_name), label, plane)
