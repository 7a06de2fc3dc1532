"""Raw maps + cohort scaling + style → display maps; cheap, and redone at will."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.colour import N_LEVELS, level_colours, level_values, quantised
from heatmaps_ome.display.display_map import TISSUE, DisplayMap
from heatmaps_ome.display.scaling import CohortScaling, Range
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.ensemble import SPREAD, score_spread
from heatmaps_ome.maps.heatmap_set import class_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet


@dataclass(frozen=True)
class Style:
    """How maps are drawn; changing it never touches the raw values.

    Attributes
    ----------
    attention_map, score_map, contribution_map : str
        matplotlib colour maps; the last two diverge around chance and zero. Leave-one-out has that
        of contributions.
    spread_map : str
        Of how far the scores of several models spread, from none.
    attention_alpha, score_alpha : float, in [0, 1]
        Opacity of the attention map, and of the score map where attention is highest.
    like_reference : bool
        Draw cells where create_heatmaps.py drew them, and its score colours, for comparison with
        old figures.
    leave_one_out : bool
        Draw leave-one-out maps too; on slides of many cells they look like contributions.
    """

    attention_map: str = "magma"
    score_map: str = "coolwarm"
    contribution_map: str = "PuOr_r"
    spread_map: str = "viridis"
    attention_alpha: float = 0.5
    score_alpha: float = 1.0
    like_reference: bool = False
    leave_one_out: bool = False


def display_maps(
    heatmaps: HeatmapSet, scaling: CohortScaling, style: Style, classes: Sequence[str]
) -> tuple[DisplayMap, ...]:
    """Return the maps of a slide made ready for viewers.

    The attention map has one opacity throughout; all others are as opaque as the attention is high
    (create_heatmaps.py:443), so that only what counts is seen.

    Parameters
    ----------
    classes : sequence of str
        The classes to draw, a part of the model's.
    """
    attended = np.nan_to_num(scaling.attention.position(heatmaps.attention))
    fall = heatmaps.falls if style.leave_one_out else None
    spread = score_spread(heatmaps)
    maps = [_attention(heatmaps, scaling, style)]
    for name in classes:
        index = heatmaps.classes.index(name)
        maps.append(_score(heatmaps, scaling, style, index, attended))
        if heatmaps.contributions is not None:
            shown, values = scaling.contributions[index], heatmaps.contributions[index]
            signed = _signed(heatmaps, values, shown, style, attended)
            maps.append(_contribution(signed, heatmaps.classes, index))
        if fall is not None:
            signed = _signed(heatmaps, fall[index], scaling.leave_one_out[index], style, attended)
            maps.append(_leave_one_out(signed, heatmaps.classes, index))
        if spread is not None:
            maps.append(_spread(heatmaps, spread[index], scaling, style, attended, index))
    maps = [_of_several(each, heatmaps) for each in maps]
    maps.append(_tissue(heatmaps))
    return tuple(as_reference_drew(each) for each in maps) if style.like_reference else tuple(maps)


_TISSUE_ALPHA = 0.5
_AS_REFERENCE = "as create_heatmaps.py drew it, down-right of its true place"


def as_reference_drew(shown: DisplayMap) -> DisplayMap:
    """Return a map whose cell j lies on the square [j, j + 1) · stride of network pixels.

    That is where create_heatmaps.py:430, 447 paints it by enlarging the map to the slide.
    """
    return replace(shown, grid=replace(shown.grid, l0_origin=YX(0.0, 0.0)), note=_AS_REFERENCE)


def reference_score_range(shown: Range, n_classes: int) -> Range:
    """Return the range in which create_heatmaps.py:436-439 draws scores.

    It draws p at (p − 1/C) / 2q + 1/C, so that chance lies 1/C along the colour map, not at its
    middle. Our range for the same cohort reaches q to both sides of chance.
    """
    chance, reach = 1 / n_classes, (shown.upper - shown.lower) / 2
    return Range(chance - 2 * reach * chance, chance + 2 * reach * (1 - chance))


def _attention(heatmaps: HeatmapSet, scaling: CohortScaling, style: Style) -> DisplayMap:
    """Return the attention map between the cohort's quantiles."""
    shown = scaling.attention
    return DisplayMap(
        name="attention",
        kind="attention",
        kind_title="Attention",
        title="Attention",
        quantity="attention (logit)",
        unit="logit",
        grid=heatmaps.grid,
        levels=quantised(heatmaps.attention, shown),
        values=level_values(shown),
        colours=level_colours(np.linspace(0, 1, N_LEVELS), style.attention_map),
        opacity=opacity(heatmaps.tissue * style.attention_alpha),
        colour_map=style.attention_map,
        lower=shown.lower,
        upper=shown.upper,
        alpha=style.attention_alpha,
    )


def _score(
    heatmaps: HeatmapSet, scaling: CohortScaling, style: Style, index: int, attended: np.ndarray
) -> DisplayMap:
    """Return a class's score map: levels over [0, 1], colours over the cohort's range."""
    name, shown, whole = heatmaps.classes[index], scaling.scores[index], Range(0.0, 1.0)
    if style.like_reference:
        shown = reference_score_range(shown, len(heatmaps.classes))
    values = level_values(whole)
    return DisplayMap(
        name=f"score-{class_keys(heatmaps.classes)[index]}",
        kind="score",
        kind_title="Score",
        class_name=name,
        title=f"Score of {name}",
        quantity=f"probability of {name}",
        unit="probability",
        grid=heatmaps.grid,
        levels=quantised(heatmaps.scores[index], whole),
        values=values,
        colours=level_colours(shown.position(values[1:]), style.score_map),
        opacity=opacity(attended * style.score_alpha),
        colour_map=style.score_map,
        lower=shown.lower,
        upper=shown.upper,
        middle=1 / len(heatmaps.classes),
        alpha=style.score_alpha,
        fades=True,
    )


def _contribution(signed: DisplayMap, classes: Sequence[str], index: int) -> DisplayMap:
    """Return a class's contribution map."""
    return replace(
        signed,
        name=f"contribution-{class_keys(classes)[index]}",
        kind="contribution",
        kind_title="Contribution",
        class_name=classes[index],
        title=f"Contribution to {classes[index]}",
        unit="logit",
        quantity=f"share of the slide's {classes[index]} logit",
        ends=_for_and_against(classes[index]),
    )


def _leave_one_out(signed: DisplayMap, classes: Sequence[str], index: int) -> DisplayMap:
    """Return a class's leave-one-out map."""
    return replace(
        signed,
        name=f"leave-one-out-{class_keys(classes)[index]}",
        kind="leave-one-out",
        kind_title="Leave-one-out",
        class_name=classes[index],
        title=f"Leave-one-out of {classes[index]}",
        unit="probability",
        quantity=f"fall of the slide's {classes[index]} probability without the cell",
        ends=_for_and_against(classes[index]),
    )


def _for_and_against(name: str) -> tuple[str, str]:
    """Return what cells below and above zero speak for."""
    return f"against {name}", f"for {name}"


def _signed(
    heatmaps: HeatmapSet, values: np.ndarray, shown: Range, style: Style, attended: np.ndarray
) -> DisplayMap:
    """Return a map around zero that has no name yet."""
    return DisplayMap(
        name="",
        kind="",
        kind_title="",
        title="",
        quantity="",
        unit="",
        grid=heatmaps.grid,
        levels=quantised(values, shown),
        values=level_values(shown),
        colours=level_colours(np.linspace(0, 1, N_LEVELS), style.contribution_map),
        opacity=opacity(attended * style.score_alpha),
        colour_map=style.contribution_map,
        lower=shown.lower,
        upper=shown.upper,
        middle=0.0,
        alpha=style.score_alpha,
        fades=True,
    )


def _spread(
    heatmaps: HeatmapSet,
    values: np.ndarray,
    scaling: CohortScaling,
    style: Style,
    attended: np.ndarray,
    index: int,
) -> DisplayMap:
    """Return how far several models' scores of a class spread: from none to the cohort's bound."""
    name, shown = heatmaps.classes[index], scaling.spread[index]
    return DisplayMap(
        name=f"{SPREAD}score-{class_keys(heatmaps.classes)[index]}",
        kind=f"{SPREAD}score",
        kind_title="Spread of score",
        class_name=name,
        title=f"Spread of score of {name}",
        unit="probability",
        quantity=f"standard deviation of the probability of {name}",
        grid=heatmaps.grid,
        levels=quantised(values, shown),
        values=level_values(shown),
        colours=level_colours(np.linspace(0, 1, N_LEVELS), style.spread_map),
        opacity=opacity(attended * style.score_alpha),
        colour_map=style.spread_map,
        lower=shown.lower,
        upper=shown.upper,
        alpha=style.score_alpha,
        fades=True,
    )


def _of_several(shown: DisplayMap, heatmaps: HeatmapSet) -> DisplayMap:
    """Return a map whose quantity says over how many models it is taken, if over several."""
    if not heatmaps.members:
        return shown
    quantity, unit = shown.quantity, shown.unit
    if shown.kind == "attention":
        quantity, unit = "attention (log of weight over mean weight)", "log ratio"
    over = " over" if shown.kind.startswith(SPREAD) else ", mean of"
    return replace(shown, quantity=f"{quantity}{over} {len(heatmaps.members)} models", unit=unit)


def _tissue(heatmaps: HeatmapSet) -> DisplayMap:
    """Return the foreground as a map with one level."""
    colours = np.zeros((N_LEVELS + 1, 4), np.uint8)
    colours[1] = (0, 158, 115, 255)
    values = np.full(N_LEVELS + 1, np.nan, np.float32)
    values[1] = 1
    return DisplayMap(
        name=TISSUE,
        kind=TISSUE,
        kind_title="Tissue",
        title="Tissue",
        quantity="tissue",
        unit="",
        grid=heatmaps.grid,
        levels=heatmaps.tissue.astype(np.uint8),
        values=values,
        colours=colours,
        opacity=opacity(heatmaps.tissue * _TISSUE_ALPHA),
        colour_map="tissue",
        lower=0.0,
        upper=1.0,
        alpha=_TISSUE_ALPHA,
    )


def opacity(alpha: np.ndarray) -> np.ndarray:
    """Return alpha in [0, 1] as uint8."""
    return np.rint(alpha * 255).astype(np.uint8)
