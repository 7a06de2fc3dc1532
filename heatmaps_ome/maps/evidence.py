"""How much each cell speaks for a class, and whether that is defined for a slide at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps import formulas

if TYPE_CHECKING:
    from heatmaps_ome.maps.heatmap_set import HeatmapSet


def undefined_reason(heatmaps: HeatmapSet) -> str:
    """Return why predictions without some cells are undefined; empty if they are not."""
    return formulas.undefined_reason(heatmaps.tissue, heatmaps.attention, heatmaps.contributions)


def evidence(heatmaps: HeatmapSet, class_name: str) -> np.ndarray | None:
    """Return how much each cell speaks for a class: its contribution, centred over the classes.

    The softmax does not see a number that all classes share, so only aᵢ (sᵢ of the class less the
    mean of sᵢ over all classes) moves the class's probability. For a model of one class it is the
    plain contribution.

    Returns
    -------
    (rows, cols) float32, logits; or None
        Above zero where a cell speaks for the class, below zero where against it; NaN where no
        tissue is; None where the model's head is not affine.
    """
    if heatmaps.contributions is None:
        return None
    own = heatmaps.contributions[heatmaps.classes.index(class_name)]
    if len(heatmaps.classes) == 1:
        return own
    return own - heatmaps.contributions.mean(axis=0, dtype=np.float64).astype(np.float32)
