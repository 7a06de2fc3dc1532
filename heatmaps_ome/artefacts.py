"""Tells what on a slide is an artefact, cell by cell, and how much evidence lies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.explain import evidence

if TYPE_CHECKING:
    from heatmaps_ome.heatmaps import HeatmapSet

KINDS = ("pen", "dark", "blurred", "empty")


def evidence_on_artefacts(heatmaps: HeatmapSet, class_name: str) -> dict[str, dict[str, float]]:
    """Return each kind's share of the tissue cells and of the evidence for a class."""
    if heatmaps.artefacts is None:
        return {}
    own = evidence(heatmaps, class_name)
    positive = np.zeros(heatmaps.tissue.shape) if own is None else np.where(own > 0, own, 0.0)
    cells, whole = heatmaps.tissue_cells, float(positive.sum())
    return {
        kind: {
            "cells": float((heatmaps.artefacts == k).sum()) / max(1, cells),
            "evidence": float(positive[heatmaps.artefacts == k].sum()) / whole if whole else 0.0,
        }
        for k, kind in enumerate(KINDS, 1)
    }
