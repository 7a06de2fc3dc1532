"""Maps that sort cells into kinds: the winning class and artefacts; and the margin beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.colour import (
    N_LEVELS,
    class_colours,
    level_colours,
    level_values,
    quantised,
)
from heatmaps_ome.display.display_map import ARTEFACTS, MARGIN, WINNER, DisplayMap
from heatmaps_ome.display.rendering import as_reference_drew, opacity
from heatmaps_ome.display.scaling import Range
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.maps.winner import maps_left_out, margins, winners
from heatmaps_ome.slides.artefacts import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.display.rendering import Style
    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

ARTEFACT_COLOURS = ("#009e73", "#d55e00", "#56b4e9", "#f0e442")
"""Of the kinds, in their order: Okabe and Ito's that stained tissue has none of."""
_ARTEFACT_ALPHA = 0.7
_MOST_NAMED = 2


def category_maps(
    heatmaps: HeatmapSet, scaling: CohortScaling, style: Style, true_class: str
) -> tuple[DisplayMap, ...]:
    """Return the maps of all classes at once and of artefacts, those that there can be."""
    omitted, maps = maps_left_out(heatmaps.classes), []
    if "winner" not in omitted:
        maps.append(_winner(heatmaps, style))
    if "margin" not in omitted:
        maps.append(_margin(heatmaps, scaling, style, true_class))
    if heatmaps.artefacts is not None:
        maps.append(artefact_map(heatmaps, heatmaps.artefacts))
    return tuple(as_reference_drew(each) for each in maps) if style.like_reference else tuple(maps)


def artefact_map(heatmaps: HeatmapSet, artefacts: np.ndarray) -> DisplayMap:
    """Return the map of a slide's artefacts, (rows, cols) uint8."""
    return replace(
        _sorted_into(heatmaps, artefacts, KINDS, ARTEFACT_COLOURS, _ARTEFACT_ALPHA),
        name=ARTEFACTS,
        kind=ARTEFACTS,
        kind_title="Artefacts",
        title="Artefacts",
        quantity="kind of artefact",
    )


def _winner(heatmaps: HeatmapSet, style: Style) -> DisplayMap:
    """Return the class with the highest score of each cell.

    It does not fade with attention: over stained tissue a faint colour cannot be told from that of
    another class.
    """
    levels, colours = winners(heatmaps.scores), class_colours(heatmaps.classes)
    return replace(
        _sorted_into(
            heatmaps,
            levels,
            heatmaps.classes,
            [colours[name] for name in heatmaps.classes],
            style.attention_alpha,
        ),
        name=WINNER,
        kind=WINNER,
        kind_title="Winner",
        title="Winner",
        quantity="class with the highest score",
    )


def _sorted_into(
    heatmaps: HeatmapSet,
    levels: np.ndarray,
    categories: Sequence[str],
    category_colours: Sequence[str],
    alpha: float,
) -> DisplayMap:
    """Return a map whose level k + 1 is category k; it has no name yet."""
    known = slice(1, len(categories) + 1)
    values = np.full(N_LEVELS + 1, np.nan, np.float32)
    values[known] = np.arange(1, len(categories) + 1)
    colours = np.zeros((N_LEVELS + 1, 4), np.uint8)
    colours[known] = [(*bytes.fromhex(code[1:]), 255) for code in category_colours]
    return DisplayMap(
        name="",
        kind="",
        kind_title="",
        title="",
        quantity="",
        unit="",
        grid=heatmaps.grid,
        levels=levels,
        values=values,
        colours=colours,
        opacity=opacity((levels > 0) * alpha),
        colour_map="categories",
        lower=1.0,
        upper=float(len(categories)),
        alpha=alpha,
        categories=tuple(categories),
    )


def _margin(
    heatmaps: HeatmapSet, scaling: CohortScaling, style: Style, true_class: str
) -> DisplayMap:
    """Return how far the true class is ahead: levels over [-1, 1], colours over the cohort's range.

    It fades with attention as scores do.
    """
    index, whole = heatmaps.classes.index(true_class), Range(-1.0, 1.0)
    shown = scaling.margins[index] if scaling.margins else whole
    values = level_values(whole)
    attended = np.nan_to_num(scaling.attention.position(heatmaps.attention))
    rivals = [name for name in heatmaps.classes if name != true_class]
    return DisplayMap(
        name=f"{MARGIN}-{class_keys(heatmaps.classes)[index]}",
        kind=MARGIN,
        kind_title="Margin",
        class_name=true_class,
        title=f"Margin of {true_class}",
        unit="probability",
        quantity=f"score of {true_class} minus its strongest rival's",
        grid=heatmaps.grid,
        levels=quantised(margins(heatmaps.scores)[index], whole),
        values=values,
        colours=level_colours(shown.position(values[1:]), style.score_map),
        opacity=opacity(attended * style.score_alpha),
        colour_map=style.score_map,
        lower=shown.lower,
        upper=shown.upper,
        middle=0.0,
        ends=(" or ".join(rivals) if len(rivals) <= _MOST_NAMED else "another class", true_class),
        alpha=style.score_alpha,
        fades=True,
    )
