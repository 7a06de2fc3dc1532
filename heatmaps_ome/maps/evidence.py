"""How much each cell speaks for a class, and whether that is defined for a slide at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.maps import formulas
from heatmaps_ome.maps.kinds import CONTRIBUTION, EVIDENCE

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.maps.heatmap_set import HeatmapSet


def undefined_reason(heatmaps: HeatmapSet) -> str:
    """Return why predictions without some cells are undefined; empty if they are not."""
    return formulas.undefined_reason(heatmaps.tissue, heatmaps.attention, heatmaps.contributions)


def evidence(heatmaps: HeatmapSet, class_name: str) -> np.ndarray | None:
    """Return how much each cell speaks for a class; for a model of one class its contribution.

    Returns
    -------
    (rows, cols) float32, logits; or None
        Above zero where a cell speaks for the class, below zero where against it; NaN where no
        tissue is; None where the model's head is not affine.
    """
    kind = EVIDENCE if len(heatmaps.classes) > 1 else CONTRIBUTION
    return heatmaps.map(kind, class_name)
