"""The metadata of a map's label: the value of each level, and how the map is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.ome import ngff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.display.display_map import DisplayMap


def image_label(drawn: DisplayMap, slide: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``image-label`` block of a map.

    A level at a clipped end has a ``bound`` beside its value: "at most" or "at least" this.

    Parameters
    ----------
    slide : mapping
        Facts about the slide, stored under the extra key ``heatmaps_ome``.
    """
    stands_for = dict(enumerate(drawn.categories, start=1)) or {
        level: _seven_digits(value)
        for level, value in enumerate(drawn.values)
        if level > 0 and np.isfinite(value)
    }
    facts = {
        **drawn.label_facts(),
        "cell_um": drawn.grid.um_cell._asdict(),
        "origin_um": drawn.grid.um_origin._asdict(),
        "pixel_origin": ngff.PIXEL_ORIGIN,
        "slide": dict(slide),
    }
    block = ngff.image_label(drawn.name, dict(enumerate(drawn.colours)), stands_for, facts)
    for entry in block["properties"]:
        if entry["label-value"] in drawn.bounds:
            entry["bound"] = drawn.bounds[entry["label-value"]]
    return block


def _seven_digits(value: float) -> float:
    """Return a float32 as the shortest float that means it: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(value)))
