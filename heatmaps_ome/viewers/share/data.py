"""A slide's data as scripts: a page that was opened from disk can load scripts and pictures alone.

Each script calls one function with the name of its data and the data. Values are float32, as they
are stored, in the tissue cells.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.maps.channels import channels
from heatmaps_ome.maps.kinds import ARTEFACTS
from heatmaps_ome.viewers.share.plan import TILE_PX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.viewers.share.plan import TilePlan

CALLBACK: Final = "heatmapsData"
"""The page's function that takes data."""
_KEPT: Final = (
    "format", "slide", "classes", "class_colours", "true_class", "label", "prediction", "target",
    "grid", "maps", "outlines",
)  # fmt: skip
"""What the page needs of maps.json; the rest names files."""
_FILES: Final = frozenset({"overlay", "flat", "measurement"})
"""What it does not need of a map."""
_VALUES: Final = "values"
_REGIONS: Final = "regions"


@dataclass(frozen=True, eq=False)
class SlideData:
    """A slide's data beside its tiles.

    Attributes
    ----------
    name : str
        Name to show.
    content : mapping
        Of ``maps.json``.
    heatmaps : HeatmapSet
    regions : dict or None
        From `regions_of`.
    """

    name: str
    content: Mapping[str, Any]
    heatmaps: HeatmapSet
    regions: dict[str, Any] | None

    def manifest(self) -> dict[str, Any]:
        """Return ``maps.json`` as the page reads it, without names of files."""
        facts = {key: self.content[key] for key in _KEPT if key in self.content}
        slide = {**self.content["slide"], "name": self.name}
        maps = [_without_files(entry) for entry in self.content["maps"]]
        regions = None if self.regions is None else _REGIONS
        ours = {"slide": slide, "values": _VALUES, "regions_geojson": regions, "maps": maps}
        return {**facts, **ours}

    def scripts(self, key: str, plan: TilePlan) -> Iterator[tuple[str, str]]:
        """Yield (name, text) of each script.

        Parameters
        ----------
        key : str
            The slide's folder, by which the page asks for its data.
        """
        heatmaps, cells = self.heatmaps, known_cells(self.heatmaps)
        facts = {
            "manifest": self.manifest(),
            "cells": text_of(np.packbits(cells)),
            "picture": picture_facts(plan),
        }
        yield "slide.js", script(f"{key}/slide", facts)
        for place, channel in enumerate(channels(heatmaps)):
            yield _values_script(key, _VALUES, place, channel.values[cells])
        if self.regions is not None:
            yield f"{_REGIONS}.js", script(f"{key}/{_REGIONS}", self.regions)
        if heatmaps.artefacts is not None:
            yield _values_script(key, ARTEFACTS, 0, heatmaps.artefacts[cells])


def known_cells(heatmaps: HeatmapSet) -> np.ndarray:
    """Return the cells that any map has a value in, (rows, cols) bool."""
    cells = heatmaps.tissue.copy()
    for channel in channels(heatmaps):
        cells |= ~np.isnan(channel.values)
    return cells


def script(name: str, value: Any) -> str:
    """Return the script that hands data to the page; pure ASCII, so that no encoding matters."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"{CALLBACK}({json.dumps(name)},{text});\n"


def text_of(numbers: np.ndarray) -> str:
    """Return the bytes of an array in base64."""
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def picture_facts(plan: TilePlan) -> dict[str, Any]:
    """Return the size of a picture and which of its tiles there are."""
    shape, um_px = plan.lattice.shape, plan.lattice.um_cell
    return {
        "rows": shape.rows,
        "cols": shape.cols,
        "um": um_px._asdict(),
        "tile": TILE_PX,
        # Bit by bit in reading order; null where all are there.
        "tiles": [None if mask.all() else text_of(np.packbits(mask)) for mask in plan.masks],
    }


def _values_script(key: str, name: str, place: int, values: np.ndarray) -> tuple[str, str]:
    """Return name and text of the script with a channel."""
    text = text_of(values.astype("<f4"))
    return f"{name}-{place}.js", script(f"{key}/{name}-{place}", text)


def _without_files(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a map's entry without the names of its files."""
    facts = {key: value for key, value in entry.items() if key not in _FILES}
    derived = facts.get("derived")
    if derived and "label" in derived:
        # "<values store>/labels/artefacts"
        facts["derived"] = {"label": str(derived["label"]).rpartition("/")[2]}
    return facts
