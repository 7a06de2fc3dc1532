"""Maps that sort cells into categories: tissue, the winning class, artefacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.colour import N_LEVELS, class_colours, opacity
from heatmaps_ome.display.display_map import DisplayMap
from heatmaps_ome.maps.kinds import ARTEFACTS, WINNER
from heatmaps_ome.slides.artefacts import KIND_COLOURS, KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.map_kind import MapKind

_TISSUE_COLOUR = "#009e73"
_TISSUE_ALPHA = 0.5
_ARTEFACT_ALPHA = 0.7


def category_map(
    heatmaps: HeatmapSet, kind: MapKind, levels: np.ndarray, alpha: float
) -> DisplayMap:
    """Return a map whose level k + 1 is category k.

    It does not fade with attention: over stained tissue a faint colour cannot be distinguished from
    that of another category.

    Parameters
    ----------
    levels : (rows, cols) bool or uint8
        0 where a cell has no category.
    alpha : float, in [0, 1]
        Opacity of categories that are read from colours, such as the winning class.
    """
    if kind.key == WINNER:
        colours = class_colours(heatmaps.classes)
        return _sorted_into(heatmaps, kind, levels, (heatmaps.classes, [*colours.values()]), alpha)
    if kind.key == ARTEFACTS:
        return _sorted_into(heatmaps, kind, levels, (KINDS, KIND_COLOURS), _ARTEFACT_ALPHA)
    return _sorted_into(heatmaps, kind, levels, ((), (_TISSUE_COLOUR,)), _TISSUE_ALPHA)


def _sorted_into(
    heatmaps: HeatmapSet,
    kind: MapKind,
    levels: np.ndarray,
    categories: tuple[Sequence[str], Sequence[str]],
    alpha: float,
) -> DisplayMap:
    """Return a map of categories, given as their names and colours; a mask has no names."""
    names, codes = categories
    known = slice(1, len(codes) + 1)
    values = np.full(N_LEVELS + 1, np.nan, np.float32)
    values[known] = np.arange(1, len(codes) + 1)
    colours = np.zeros((N_LEVELS + 1, 4), np.uint8)
    colours[known] = [(*bytes.fromhex(code[1:]), 255) for code in codes]
    return DisplayMap(
        name=kind.key,
        kind=kind.key,
        class_name=None,
        title=kind.map_title,
        quantity=kind.quantity,
        unit=kind.unit,
        grid=heatmaps.grid,
        levels=levels.astype(np.uint8, copy=False),
        values=values,
        colours=colours,
        opacity=opacity((levels > 0) * alpha),
        colour_map="categories" if names else kind.key,
        lower=1.0 if names else 0.0,
        upper=float(len(codes)),
        alpha=alpha,
        categories=tuple(names),
    )
