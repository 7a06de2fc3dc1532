"""Compares two results of one slide: all maps on common cells, and all numbers of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ResultError
from heatmaps_ome.maps.kinds import PREDICTION, SCORE
from heatmaps_ome.run.comparison.agreement import (
    RegionPair,
    category_agreement,
    region_pairs,
    tile_agreement,
    tissue_agreement,
)
from heatmaps_ome.run.comparison.common_cells import CommonCells
from heatmaps_ome.run.comparison.predictions import Predictions, predicted_classes
from heatmaps_ome.run.comparison.quantities import Compared, LeftOut, Sorted, compared_maps
from heatmaps_ome.run.comparison.statistics import Numbers, numbers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.run.comparison.pairing import Pair, Side
    from heatmaps_ome.viewers.notebook.slide_results import SlideResults


@dataclass(frozen=True, eq=False)
class SlideComparison:
    """Two results of a slide, compared.

    Attributes
    ----------
    pair : Pair
    sides : tuple of two SlideResults
    cells : CommonCells
    true_class : str
        The class whose regions and tiles are compared: the one drawn hot in A or, where B has no
        such class, in B; "" where they have none in common.
    maps : tuple of Compared
        The score of the class drawn hot first.
    categories : tuple of Sorted
    left_out : tuple of LeftOut
    numbers : mapping of map name → Numbers
    regions : list of RegionPair
        Empty without a class in common.
    tiles : dict
    predictions : Predictions
    """

    pair: Pair
    sides: tuple[SlideResults, SlideResults]
    cells: CommonCells
    true_class: str
    maps: tuple[Compared, ...]
    categories: tuple[Sorted, ...]
    left_out: tuple[LeftOut, ...]
    numbers: Mapping[str, Numbers]
    regions: list[RegionPair]
    tiles: Mapping[str, Any]
    predictions: Predictions

    @property
    def name(self) -> str:
        """The slide's name in A, which names its comparison."""
        return self.pair.a

    def record(self) -> dict[str, Any]:
        """Return all numbers as plain JSON values."""
        lattice = self.cells.lattice
        return {
            "name": self.name,
            "name_b": self.pair.b,
            "status": "done",
            "message": "",
            "matched_by": self.pair.matched_by,
            "true_class": self.true_class,
            "cells": {
                "same_grid": self.cells.same_grid,
                "um_a": list(self.cells.grids[0].um_cell),
                "um_b": list(self.cells.grids[1].um_cell),
                "um_common": list(lattice.um_cell),
            },
            "predictions": self.predictions.record(),
            "tissue": tissue_agreement(self.cells),
            "maps": [self._map_record(one) for one in self.maps],
            "categories": [category_agreement(one, self.cells.tissue) for one in self.categories],
            "left_out": [{"map": one.name, "reason": one.reason} for one in self.left_out],
            "regions": {pair.kind: pair.record(lattice.mpp) for pair in self.regions},
            "tiles": dict(self.tiles),
        }

    def _map_record(self, compared: Compared) -> dict[str, Any]:
        """Return the numbers of a map with its identity."""
        quantity = compared.quantity
        return {
            "map": quantity.name,
            "kind": quantity.kind,
            "class": quantity.class_name,
            "form": quantity.form,
            "unit": quantity.unit,
            "factor_a": compared.factors[0],
            "factor_b": compared.factors[1],
            **self.numbers[quantity.name].record(),
        }


def compared_slide(pair: Pair, a: Side, b: Side) -> SlideComparison:
    """Compare two results of a slide.

    Raises
    ------
    ResultError
        If either is damaged, or they are of slides of other sizes.
    """
    sides = a.results[pair.a], b.results[pair.b]
    sets = sides[0].heatmaps, sides[1].heatmaps
    if sets[0].slide_shape != sets[1].slide_shape:
        sizes = [f"{one.slide_shape.cols} × {one.slide_shape.rows} pixels" for one in sets]
        raise ResultError(
            f"{pair.a} is another slide in B: it has {sizes[0]} in A and {sizes[1]} in B"
        )
    records = a.records[pair.a], b.records[pair.b]
    cells, hot = CommonCells.of(*sets), _common_class(*sides)
    maps = list(compared_maps(*sides, cells, hot))
    numbers = sorted(
        (one for one in maps if isinstance(one, Compared)),
        key=lambda one: not _is_first(one, hot),
    )
    options = _options(records[0]), _options(records[1])
    return SlideComparison(
        pair=pair,
        sides=sides,
        cells=cells,
        true_class=hot,
        maps=tuple(numbers),
        categories=tuple(one for one in maps if isinstance(one, Sorted)),
        left_out=tuple(one for one in maps if isinstance(one, LeftOut)),
        numbers={
            one.quantity.name: numbers_of(one.a, one.b, cells.tissue, cells.lattice, one.raw)
            for one in numbers
        },
        regions=region_pairs(sets, hot, options) if hot else [],
        tiles=tile_agreement(sets, hot, options) if hot else {},
        predictions=_predictions(sides),
    )


def _is_first(compared: Compared, true_class: str) -> bool:
    """Return whether a map is listed first: the score, or prediction, of the class drawn hot."""
    quantity = compared.quantity
    return quantity.kind in (SCORE, PREDICTION) and quantity.class_name == true_class


def _common_class(a: SlideResults, b: SlideResults) -> str:
    """Return the class drawn hot in A or, if B lacks it, in B; "" if neither has the other's."""
    for own, other in ((a, b), (b, a)):
        if own.true_class in own.classes and own.true_class in other.classes:
            return own.true_class
    return ""


def _predictions(sides: tuple[SlideResults, SlideResults]) -> Predictions:
    """Return the predictions of two results, and the ground truth that either was given."""
    own = [
        ({}, None)
        if side.heatmaps.target.is_given
        else (side.prediction, predicted_classes(side.prediction, side.heatmaps.target))
        for side in sides
    ]
    label = sides[1].label if sides[0].label is None else sides[0].label
    return Predictions(own[0][0], own[1][0], (own[0][1], own[1][1]), label)


def _options(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a run's options in a slide's provenance; {} if it has none."""
    options = record.get("options")
    return options if isinstance(options, dict) else {}
