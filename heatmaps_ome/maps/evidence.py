"""How much each cell speaks for a class, and whether that is defined for a slide at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.maps import formulas
from heatmaps_ome.maps.kinds import CONTRIBUTION, EVIDENCE, LEAVE_ONE_OUT

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.maps.heatmap_set import HeatmapSet


def undefined_reason(heatmaps: HeatmapSet) -> str:
    """Return why predictions without some cells are undefined; empty if they are not."""
    if heatmaps.aim is None:
        return formulas.undefined_reason(
            heatmaps.tissue, heatmaps.attention, heatmaps.contributions
        )
    if heatmaps.aim.task == "none":
        return "the maps were given, and no model predicted anything"
    return "" if heatmaps.tissue.any() else "the slide has no tiles"


def evidence(heatmaps: HeatmapSet, class_name: str) -> np.ndarray | None:
    """Return how much each cell speaks for a class, a value or a risk.

    It is the evidence where classes are compared, else the contribution; for a model without
    contributions it is the fall of the prediction without the tile.

    Returns
    -------
    (rows, cols) float32, in the unit of `evidence_kind`; or None
        Above zero where a cell speaks for the class, below zero where against it; NaN where no
        tissue is; None where neither is known.
    """
    kind = evidence_kind(heatmaps, class_name)
    return None if kind is None else heatmaps.map(kind, class_name)


def evidence_kind(heatmaps: HeatmapSet, class_name: str) -> str | None:
    """Return the kind of map that `evidence` is, None if there is none."""
    compared = len(heatmaps.classes) > 1 and heatmaps.target.link == "softmax"
    kinds = [EVIDENCE if compared else CONTRIBUTION]
    if heatmaps.units.places is not None:
        kinds.append(LEAVE_ONE_OUT)
    return next((kind for kind in kinds if heatmaps.map(kind, class_name) is not None), None)


def evidence_words(heatmaps: HeatmapSet, class_name: str) -> str:
    """Return the quantity of `evidence` for people: "evidence for MSIH"."""
    if evidence_kind(heatmaps, class_name) == LEAVE_ONE_OUT:
        return f"leave-one-out of {class_name}"
    return f"evidence for {class_name}"
