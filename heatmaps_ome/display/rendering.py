"""Raw maps + cohort scaling + style → display maps; cheap, and redone at will."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from heatmaps_ome.display.categories import category_map
from heatmaps_ome.display.colour import (
    BLUE_ORANGE,
    N_LEVELS,
    level_colours,
    level_values,
    opacity,
    quantised,
)
from heatmaps_ome.display.display_map import DisplayMap, RawQuantity
from heatmaps_ome.display.scaling import CohortScaling, Range
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.artefact_evidence import (
    WARNED_FROM,
    attention_on_artefacts,
    hottest_text,
)
from heatmaps_ome.maps.channels import unit_of
from heatmaps_ome.maps.curves import has_much_to_lose
from heatmaps_ome.maps.heatmap_set import map_name
from heatmaps_ome.maps.kinds import ATTENTION, CLASS_ATTENTION, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.maps.curves import Faithfulness
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.map_kind import MapKind


Fade = Literal["attention", "none"]


@dataclass(frozen=True)
class Style:
    """How maps are drawn; changing it never touches the raw values.

    Attributes
    ----------
    attention_map, score_map, contribution_map : str
        Colour maps, of matplotlib or ours; the last two diverge around chance and zero.
        Leave-one-out has that of contributions.
    spread_map : str
        Colour map of the spread of several models' scores, from zero.
    attention_alpha, score_alpha : float, in [0, 1]
        Opacity of the attention map, and of the score map where attention is highest.
    like_reference : bool
        Draw cells where create_heatmaps.py drew them, and its score colours, for comparison with
        old figures.
    leave_one_out : bool
        Draw leave-one-out maps too; on slides of many cells they look like contributions.
    fade : "attention" or "none"
        What maps of kinds that fade are opaque with; with none, they are as opaque as the attention
        map throughout.
    grey_tissue : bool
        Draw the slide grey under maps, in pictures that show both.
    """

    attention_map: str = "magma"
    score_map: str = "coolwarm"
    contribution_map: str = BLUE_ORANGE
    spread_map: str = "viridis"
    attention_alpha: float = 0.5
    score_alpha: float = 1.0
    like_reference: bool = False
    leave_one_out: bool = False
    fade: Fade = "attention"
    grey_tissue: bool = False

    def colour_map(self, kind: MapKind) -> str:
        """Return the colour map of a kind of quantity."""
        return {
            "attention": self.attention_map,
            "score": self.score_map,
            "contribution": self.contribution_map,
            "spread": self.spread_map,
        }[kind.palette]

    def alpha(self, kind: MapKind) -> float:
        """Return the greatest opacity of a kind's maps, in [0, 1]."""
        return self.score_alpha if kind.fades else self.attention_alpha


def display_maps(
    heatmaps: HeatmapSet,
    scaling: CohortScaling,
    style: Style,
    classes: Sequence[str],
    true_class: str,
) -> tuple[DisplayMap, ...]:
    """Return the maps of a slide made ready for viewers, in the order in which they are listed.

    The attention map has one opacity throughout. Most others are as opaque as the attention is
    high (create_heatmaps.py:443), so that only cells that count are visible.

    Parameters
    ----------
    classes : sequence of str
        The classes to draw, a subset of the model's.
    true_class : str
        The class drawn hot.
    """
    drawing = _Drawing(heatmaps, scaling, style)
    maps = [
        drawn
        for kind, class_name in _wanted(heatmaps, style, classes, true_class)
        if (drawn := drawing.drawn(kind, class_name)) is not None
    ]
    return tuple(map(as_reference_drew, maps)) if style.like_reference else tuple(maps)


def _wanted(
    heatmaps: HeatmapSet, style: Style, classes: Sequence[str], true_class: str
) -> Iterator[tuple[MapKind, str | None]]:
    """Yield the kinds and classes to draw in the table's order, kinds of every class by class."""
    kinds = list(KINDS.values())
    # Without contributions, leave-one-out is the map that follows the model.
    asked_for = style.leave_one_out or heatmaps.contributions is None
    asked = ("every class", "on request") if asked_for else ("every class",)
    classwise = [kind for kind in kinds if kind.drawn in asked]
    first = kinds.index(classwise[0])
    yield from ((kind, None) for kind in kinds[:first])
    yield from ((kind, name) for name in classes for kind in classwise)
    for kind in kinds[first:]:
        if kind.drawn == "once":
            yield kind, None
        elif kind.drawn == "true class":
            yield kind, true_class


_AS_REFERENCE = "as create_heatmaps.py drew it, down-right of its true place"


def as_reference_drew(drawn: DisplayMap) -> DisplayMap:
    """Return a map whose cell j lies on the square [j, j + 1) · stride of network pixels.

    That is where create_heatmaps.py:430, 447 paints it by enlarging the map to the slide.
    """
    return replace(drawn, grid=replace(drawn.grid, l0_origin=YX(0.0, 0.0)), note=_AS_REFERENCE)


def reference_score_range(cohort: Range, n_classes: int) -> Range:
    """Return the range in which create_heatmaps.py:436-439 draws scores.

    It draws p at (p − 1/C) / 2q + 1/C, so that chance lies 1/C along the colour map, not at its
    middle. Our range for the same cohort reaches q to both sides of chance.
    """
    chance, reach = 1 / n_classes, (cohort.upper - cohort.lower) / 2
    return Range(chance - 2 * reach * chance, chance + 2 * reach * (1 - chance))


def with_notes(
    maps: Sequence[DisplayMap], faithfulness: Sequence[Faithfulness], heatmaps: HeatmapSet
) -> tuple[DisplayMap, ...]:
    """Return maps with notes on those that explain nothing, and on attention to artefacts.

    A map explains nothing that does not beat a random order.
    """
    probable = heatmaps.predicted if heatmaps.target.has_classes else {}
    beaten = {
        (kind, curves.class_name)
        for curves in faithfulness
        if has_much_to_lose(probable, curves.class_name)
        for kind in curves.beaten_by_chance
    }
    return tuple(
        replace(drawn, note="; ".join(filter(None, [drawn.note, beaten_note, artefact_note])))
        for drawn in maps
        for beaten_note in [_BEATEN if (drawn.kind, drawn.class_name) in beaten else ""]
        for artefact_note in [_on_artefacts(drawn, heatmaps)]
    )


def _on_artefacts(drawn: DisplayMap, heatmaps: HeatmapSet) -> str:
    """Return a note on a map of attention that is hottest on artefacts; "" for others."""
    if drawn.kind not in (ATTENTION, CLASS_ATTENTION):
        return ""
    # A lone map of attention that was given has no class beside it.
    shares = attention_on_artefacts(heatmaps, drawn.class_name or next(iter(heatmaps.classes), ""))
    return hottest_text(shares) if sum(shares.values()) > WARNED_FROM else ""


_BEATEN = "does not beat a random order, so it explains nothing of this prediction"


_ALL_BUT: Final = 1e-3
"""Share of a range that no bar shows."""


def reaching(colour_range: Range, least: float | None, largest: float | None) -> Range:
    """Return a range whose ends are the quantity's own limits where they all but reach them.

    "≤ 0.000006" below a bar of probabilities would tell nobody more than 0.

    >>> reaching(Range(6e-6, 0.9), 0.0, 1.0)
    Range(lower=0.0, upper=0.9)
    """
    near = _ALL_BUT * (colour_range.upper - colour_range.lower)
    lower, upper = colour_range.lower, colour_range.upper
    return Range(
        least if least is not None and abs(lower - least) <= near else lower,
        largest if largest is not None and abs(upper - largest) <= near else upper,
    )


class _Drawing:
    """Draws the maps of a slide one by one."""

    def __init__(self, heatmaps: HeatmapSet, scaling: CohortScaling, style: Style) -> None:
        self._heatmaps, self._scaling, self._style = heatmaps, scaling, style
        attention = heatmaps.attention
        self._fading = None if attention is None else scaling.attention.position(attention)

    def drawn(self, kind: MapKind, class_name: str | None) -> DisplayMap | None:
        """Return a map, or None if the slide has none or the scaling no range for it."""
        values = self._heatmaps.map(kind.key, class_name)
        if values is None:
            return None
        if kind.scale == "categories":
            categories = category_map(self._heatmaps, kind, values, self._style.alpha(kind))
            return replace(categories, over_grey=self._style.grey_tissue)
        cohort, whole = self._scaling.range_of(kind.key, class_name), None
        if kind.levels is not None:
            whole = Range(*kind.levels)
        colour_range = cohort or whole
        if colour_range is None:
            return None
        if self._style.like_reference and kind.scale == "around chance":
            colour_range = reference_score_range(colour_range, len(self._heatmaps.classes))
        else:
            colour_range = reaching(colour_range, *(kind.levels or (None, None)))
        factor = self._heatmaps.factor(kind.key)
        drawn = values if factor == 1 else values * np.float32(factor)
        return self._quantity(kind, class_name, drawn, (colour_range, whole or colour_range))

    def _quantity(
        self,
        kind: MapKind,
        class_name: str | None,
        values: np.ndarray,
        ranges: tuple[Range, Range],
    ) -> DisplayMap:
        """Return a map of numbers.

        Parameters
        ----------
        values : (rows, cols) float32
            Drawn values.
        ranges : tuple of two Range
            The values at the ends of the colour map, and those of the first and last level.
        """
        heatmaps, style = self._heatmaps, self._style
        colour_range, whole = ranges
        steps = level_values(whole)
        evenly = np.linspace(0, 1, N_LEVELS)
        positions = evenly if colour_range == whole else colour_range.position(steps[1:])
        names = heatmaps.names_of(kind.key)
        index = 0 if class_name is None else names.index(class_name)
        words = self._words(kind, class_name)
        # Nothing fades with an attention that the model does not have; then no map may hide the
        # tissue.
        fading = self._fading if kind.fades and style.fade == "attention" else None
        alpha = style.attention_alpha if fading is None else style.score_alpha
        visible = ~np.isnan(values) if fading is None else np.nan_to_num(fading)
        return DisplayMap(
            name=map_name(kind.key, names, index),
            kind=kind.key,
            class_name=class_name,
            title=self._title(kind).format_map(words),
            quantity=self._quantity_text(kind, kind.quantity, kind.of_values).format_map(words),
            unit=unit_of(kind, heatmaps, class_name),
            grid=heatmaps.grid,
            levels=quantised(values, whole),
            values=steps,
            colours=level_colours(positions, style.colour_map(kind)),
            opacity=opacity(visible * alpha),
            colour_map=style.colour_map(kind),
            lower=colour_range.lower,
            upper=colour_range.upper,
            middle=self._middle(kind, colour_range),
            ends=self._ends(kind, words),
            alpha=alpha,
            fades=fading is not None,
            factor=heatmaps.factor(kind.key),
            raw=self._raw(kind, class_name, words),
            clips=self._clips(kind, values, colour_range),
            over_grey=style.grey_tissue,
        )

    def _raw(
        self, kind: MapKind, class_name: str | None, words: dict[str, str]
    ) -> RawQuantity | None:
        """Return the quantity of a kind's raw values where it is not the drawn one."""
        if self._heatmaps.factor(kind.key) == 1:
            return None
        text = self._quantity_text(kind, *kind.raw).format_map(words)
        return RawQuantity(text, unit_of(kind, self._heatmaps, class_name))

    def _clips(self, kind: MapKind, values: np.ndarray, colour_range: Range) -> tuple[bool, bool]:
        """Return whether values lie beyond the ends of the colours, on this slide or on others.

        Parameters
        ----------
        values : (rows, cols) float32
        """
        lower, upper = colour_range.lower, colour_range.upper
        least, largest = kind.levels or (None, None)
        # A quantile of 0 or 1 is no slide's clipping, unless a slide joined the cohort later.
        low_fit, high_fit = self._scaling.quantiles.leave_out(kind.scale)
        below, above = bool((values < lower).any()), bool((values > upper).any())
        return (
            below or (low_fit and (least is None or lower > least)),
            above or (high_fit and (largest is None or upper < largest)),
        )

    def _ends(self, kind: MapKind, words: dict[str, str]) -> tuple[str, str]:
        """Return the meaning of values below and above the middle."""
        below, above = kind.ends
        target = self._heatmaps.target
        if kind.of_values and below and not (target.has_classes or target.is_given):
            below, above = "lowers {name}", "raises {name}"
        return below.format_map(words), above.format_map(words)

    def _shares(self, kind: MapKind) -> bool:
        """Return whether the cells of a tile share its value."""
        tiles = self._heatmaps.tiles
        several = tiles is not None and self._heatmaps.tissue_cells > tiles.tissue_cells
        return kind.summed and several

    def _words(self, kind: MapKind, class_name: str | None) -> dict[str, str]:
        """Return the names that the texts of a kind have placeholders for."""
        rivals = [name for name in self._heatmaps.classes if name != class_name]
        return {
            "name": class_name or "",
            "unit": "cell" if self._shares(kind) else self._heatmaps.unit_name,
            "rivals": " or ".join(rivals) if len(rivals) <= _MOST_NAMED else "another class",
        }

    def _title(self, kind: MapKind) -> str:
        """Return the title of a kind's map."""
        given = kind.of_given[0] if self._heatmaps.target.is_given else ""
        return given or kind.map_title

    def _quantity_text(self, kind: MapKind, quantity: str, of_values: str) -> str:
        """Return a kind's quantity, with the number of models where it is taken over several.

        Parameters
        ----------
        quantity, of_values : str
            Drawn or raw: of classes, and of a value or a risk.
        """
        target = self._heatmaps.target
        if of_values and not target.has_classes:
            quantity = of_values
        if target.is_given:
            quantity = kind.of_given[1] or quantity
        # Times the cells, a share is as large as the tile's whole value times the tiles.
        if self._shares(kind) and "{unit}" not in quantity:
            quantity += ", shared by a tile's cells"
        n_models = len(self._heatmaps.members)
        if not n_models or not (kind.stored or kind.spread_of):
            return quantity
        over = " over" if kind.spread_of else ", mean of"
        return f"{kind.means[0] or quantity}{over} {n_models} models"

    def _middle(self, kind: MapKind, colour_range: Range) -> float | None:
        """Return the value to mark on a diverging colour map."""
        if kind.scale == "around chance":
            return self._heatmaps.chance
        if kind.scale == "around the middle":
            return (colour_range.lower + colour_range.upper) / 2
        return 0.0 if kind.scale == "around zero" else None


_MOST_NAMED = 2
"""Rivals of a class that are named; more are "another class"."""
