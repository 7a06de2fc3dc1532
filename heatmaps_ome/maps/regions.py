"""Finds a slide's hot and cold regions: those of the evidence for a class, and against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from heatmaps_ome.maps.channels import unit_of
from heatmaps_ome.maps.evidence import evidence, evidence_kind, evidence_words, undefined_reason
from heatmaps_ome.maps.kinds import CONTRIBUTION, SCORE
from heatmaps_ome.maps.kinds import KINDS as MAP_KINDS
from heatmaps_ome.maps.numbers import is_next_to_nothing, number, percent
from heatmaps_ome.maps.outlines import footprints, outlines
from heatmaps_ome.maps.tile_maps import without_finer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shapely import Polygon

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

Kind = Literal["hot", "cold"]
KINDS: tuple[Kind, Kind] = ("hot", "cold")

SHARE = 0.8
"""Share of the evidence: the fewest cells that carry it are hot, or cold. On slides with known
islands these cells cover the islands best, and hardly depend on the number; scores saturate as soon
as a part of a tile is of a class, and so cover a rim of half a tile too."""
LEAST_CELLS = 4
"""Size of the smallest region: maps are means over 7 × 7 cells, so that fewer are only the
tip of a threshold."""
REGIONS_LIMIT = 200
"""Regions of a kind: more can be neither looked at nor edited."""
_SIDES: dict[Kind, str] = {"hot": "for", "cold": "against"}
_LEAST_ON_SLIDE = 0.01
"""Part of a cell's side that must be on the slide for a region to have it."""


@dataclass(frozen=True, eq=False)
class Region:
    """Cells that hang together by their sides and speak for a class, or against it.

    Attributes
    ----------
    kind : "hot" or "cold"
    number : int
        Rank among the slide's regions of the kind, by their share of the evidence, from 1.
    l0_polygon : Polygon
        Outline in level-0 pixels (x, y) from the slide's outer top left corner; holes are kept.
    cells : int
    area_mm2 : float
        Area of the cells, as far as they are on the slide.
    share_of_tissue : float, in [0, 1]
        Share of the slide's tissue cells.
    mean_score : float, in [0, 1]
        Mean score of the class.
    contribution : float, logits
        To the class, summed over the cells; NaN where contributions do not exist.
    share_of_evidence : float, in [0, 1]
        Share of the slide's evidence for the class or, for cold regions, against it; NaN where
        evidence does not exist, or that side's is next to nothing beside the other's.
    """

    kind: Kind
    number: int
    l0_polygon: Polygon
    cells: int
    area_mm2: float
    share_of_tissue: float
    mean_score: float
    contribution: float
    share_of_evidence: float

    @property
    def name(self) -> str:
        """Its name for people: "hot 1"."""
        return f"{self.kind} {self.number}"


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a slide, and the thresholds that make a cell hot or cold.

    Attributes
    ----------
    class_name : str
        Hot regions speak for it, cold ones against it.
    hot_from, cold_to : float
        Values of the quantity from which, and up to which, cells are hot and cold; NaN where no
        cell can be.
    quantity : str
        "evidence for MSIH" or, where that does not exist, "score of MSIH".
    regions : tuple of Region
        Hot ones first, each kind by rank.
    left_out : int
        Regions of fewer than ``LEAST_CELLS`` cells, and those after the first ``REGIONS_LIMIT`` of
        a kind.
    hot_share, cold_share : float, in [0, 1]
        The shares of the evidence that the thresholds were chosen for; NaN for scores.
    why : str
        Why evidence does not exist, or there is no region at all; else empty.
    unit : str
        Of the quantity, for people; "" where it names it.
    unit_name : "cell" or "tile"
    hot_total, cold_total : float, at least 0
        All of the slide's evidence for the class, and against it, in the unit; NaN for scores.
    """

    class_name: str
    hot_from: float
    cold_to: float
    quantity: str
    regions: tuple[Region, ...]
    left_out: int
    hot_share: float = math.nan
    cold_share: float = math.nan
    why: str = ""
    unit: str = "logits"
    unit_name: str = "cell"
    hot_total: float = math.nan
    cold_total: float = math.nan

    def total(self, kind: Kind) -> float:
        """Return all of the slide's evidence of a kind."""
        return self.hot_total if kind == "hot" else self.cold_total

    def of(self, kind: Kind) -> tuple[Region, ...]:
        """Return the regions of a kind, by rank."""
        return tuple(region for region in self.regions if region.kind == kind)

    def criterion(self, kind: Kind) -> str:
        """Return the criterion for hot or cold cells: "score of MSIH >= 0.75"."""
        sign, limit = (">=", self.hot_from) if kind == "hot" else ("<=", self.cold_to)
        if math.isnan(limit):
            return f"no {self.unit_name}"
        share = self.hot_share if kind == "hot" else self.cold_share
        if math.isnan(share):
            return f"{self.quantity} {sign} {number(limit)}"
        whose = "it" if kind == "hot" else f"that against {self.class_name}"
        return (
            f"{self.quantity} {sign} {self._amount(limit)}, the fewest {self.unit_name}s that "
            f"carry {percent(share)} of {whose}"
        )

    def sentence(self) -> str:
        """Return a summary: "3 hot regions carry 71 % of the evidence for MSIH (1.9 of 2.7 …"."""
        if not self.regions and math.isnan(self.hot_from) and math.isnan(self.cold_to):
            nothing = f"no {self.unit_name} speaks for or against a class"
            text = f"no regions, as {self.why or nothing}"
        else:
            text = f"{self._summary('hot')}, {self._summary('cold')}"
        if self.left_out:
            small = f"of fewer than {LEAST_CELLS} cells or " if self.unit_name == "cell" else ""
            text += (
                f"; {self.left_out} more {'are' if self.left_out > 1 else 'is'} left out, {small}"
                f"after the first {REGIONS_LIMIT}"
            )
        return text

    def _summary(self, kind: Kind) -> str:
        """Return a summary of a kind's regions."""
        regions = self.of(kind)
        if not regions:
            return f"no {kind} region"
        counted = f"{len(regions)} {kind} region{'s' if len(regions) > 1 else ''}"
        carried = math.fsum(region.share_of_evidence for region in regions)
        if math.isnan(carried) and not math.isnan(self.total(kind)):
            return self._little(counted, kind)
        if math.isnan(carried):
            return f"{counted} ({self.criterion(kind)})"
        carry = "carry" if len(regions) > 1 else "carries"
        total = self.total(kind)
        totals = f" ({number(carried * total)} of {self._amount(total)})" if total > 0 else ""
        tissue = percent(math.fsum(region.share_of_tissue for region in regions))
        return (
            f"{counted} {carry} {percent(carried)} of the evidence {_SIDES[kind]} "
            f"{self.class_name}{totals} on {tissue} of the tissue"
        )

    def _amount(self, value: float) -> str:
        """Return a value of the quantity with its unit."""
        return f"{number(value)}{' ' * bool(self.unit)}{self.unit}"

    def _little(self, counted: str, kind: Kind) -> str:
        """Return a summary of regions that carry next to nothing."""
        own, other = ("for", "against") if kind == "hot" else ("against", "for")
        beside = self.hot_total if kind == "cold" else self.cold_total
        return (
            f"{counted} with next to no evidence {own} {self.class_name} "
            f"({self._amount(self.total(kind))} {own} it, beside {number(beside)} {other} it)"
        )

    def record(self) -> dict[str, Any]:
        """Return everything but the single regions as plain JSON values."""
        return {
            "class": self.class_name,
            "sentence": self.sentence(),
            "quantity": self.quantity,
            **{kind: self._record(kind) for kind in KINDS},
            "left_out": self.left_out,
            "least_cells": LEAST_CELLS,
            "most": REGIONS_LIMIT,
            "why": self.why,
        }

    def _record(self, kind: Kind) -> dict[str, Any]:
        """Return the sums over a kind's regions."""
        regions = self.of(kind)
        numbers = {
            "threshold": self.hot_from if kind == "hot" else self.cold_to,
            "wanted_share_of_evidence": self.hot_share if kind == "hot" else self.cold_share,
            "area_mm2": math.fsum(region.area_mm2 for region in regions),
            "share_of_tissue": math.fsum(region.share_of_tissue for region in regions),
            "share_of_evidence": math.fsum(region.share_of_evidence for region in regions),
            "total_evidence": self.total(kind),
        }
        known = {
            name: float(f"{value:.6g}") if math.isfinite(value) else None
            for name, value in numbers.items()
        }
        return {"criterion": self.criterion(kind), "regions": len(regions), **known}


def find_regions(
    heatmaps: HeatmapSet, class_name: str, hot_share: float = SHARE, cold_share: float = SHARE
) -> Regions:
    """Return the regions of the evidence for a class, and of that against it.

    The hot cells are the fewest that carry ``hot_share`` of the evidence for the class, so those
    whose evidence is at least some threshold. The cold cells likewise carry ``cold_share`` of the
    evidence against it. Where evidence does not exist, cells are hot whose score is at least
    half-way from chance to 1, and cold whose score is at most half of chance. There is no region
    without either.
    """
    heatmaps = without_finer(heatmaps)
    why = undefined_reason(heatmaps)
    values, chosen = evidence(heatmaps, class_name), (hot_share, cold_share)
    scores, unit = heatmaps.map(SCORE, class_name), ""
    if values is not None and (not why or scores is None):
        quantity, why = evidence_words(heatmaps, class_name), ""
        unit = _unit_words(heatmaps, class_name)
        known = values[heatmaps.tissue & np.isfinite(values)].astype(np.float64)
        limits = _threshold(known, hot_share), -_threshold(-known, cold_share)
    elif scores is None:
        return _none(class_name)
    else:
        values, chosen = scores, (math.nan, math.nan)
        quantity, chance = f"score of {class_name}", heatmaps.chance
        limits = ((1 + chance) / 2, chance / 2)
        if not heatmaps.tissue.any() or chance == 1:
            why = why if chance < 1 else "the score of an only class is 1 everywhere"
            limits = (math.nan, math.nan)
    masks = (values >= limits[0], values <= limits[1])
    own = None if math.isnan(chosen[0]) else values
    totals = _totals(heatmaps, own)
    finder = _Finder(heatmaps, class_name, own, totals)
    parts = [finder.regions(kind, mask) for kind, mask in zip(KINDS, masks, strict=True)]
    return Regions(
        unit=unit,
        unit_name=heatmaps.unit_name,
        class_name=class_name,
        hot_from=limits[0],
        cold_to=limits[1],
        quantity=quantity,
        regions=tuple(region for regions, _ in parts for region in regions),
        left_out=sum(left_out for _, left_out in parts),
        hot_share=chosen[0],
        cold_share=chosen[1],
        why=why,
        hot_total=totals["hot"],
        cold_total=totals["cold"],
    )


def _totals(heatmaps: HeatmapSet, values: np.ndarray | None) -> dict[Kind, float]:
    """Return the sums of the evidence for a class, and against it; NaN where there is none."""
    if values is None:
        return dict.fromkeys(KINDS, math.nan)
    known = values[heatmaps.tissue & np.isfinite(values)].astype(np.float64)
    return {"hot": float(known[known > 0].sum()), "cold": float(-known[known < 0].sum())}


def _unit_words(heatmaps: HeatmapSet, class_name: str) -> str:
    """Return the unit of the evidence for people; "" for probabilities and where it is unknown."""
    kind = evidence_kind(heatmaps, class_name)
    unit = "" if kind is None else unit_of(MAP_KINDS[kind], heatmaps, class_name)
    return {"logit": "logits", "probability": ""}.get(unit, unit)


def _none(class_name: str) -> Regions:
    """Return no regions, for a slide whose maps do not speak for anything or against it."""
    return Regions(
        class_name=class_name, hot_from=math.nan, cold_to=math.nan, quantity="evidence",
        regions=(), left_out=0, why=f"no map tells what speaks for {class_name}, or against it",
    )  # fmt: skip


def _threshold(values: np.ndarray, share: float) -> float:
    """Return the value from which on the fewest of the values carry a share of all above zero.

    >>> _threshold(np.array([4.0, 3.0, 2.0, 1.0, -5.0]), 0.6), _threshold(np.array([-1.0]), 0.6)
    (3.0, nan)
    """
    largest_first = np.sort(values[values > 0])[::-1]
    if not len(largest_first):
        return math.nan
    carried = np.cumsum(largest_first)
    last = np.searchsorted(carried, share * carried[-1])
    return float(largest_first[min(last, len(largest_first) - 1)])


class _Finder:
    """Makes regions of a slide's cells."""

    def __init__(
        self,
        heatmaps: HeatmapSet,
        class_name: str,
        values: np.ndarray | None,
        totals: Mapping[Kind, float],
    ) -> None:
        self._heatmaps, self._totals = heatmaps, totals
        self._scores = heatmaps.map(SCORE, class_name)
        self._contributions = heatmaps.map(CONTRIBUTION, class_name)
        self._evidence = values
        # A tile is a measurement of its own; a cell of a dense grid shares most of its
        # neighbours'.
        self._least = LEAST_CELLS if heatmaps.tiles is None else 1
        edges = heatmaps.grid.l0_edges_on(heatmaps.slide_shape)
        heights, widths = (np.diff(axis_edges) for axis_edges in edges)
        cell, mpp = heatmaps.grid.l0_cell, heatmaps.grid.mpp
        tall, wide = heights >= _LEAST_ON_SLIDE * cell.y, widths >= _LEAST_ON_SLIDE * cell.x
        self._on_slide = tall[:, None] & wide
        self._mm2 = np.outer(heights * mpp.y, widths * mpp.x) / 1e6

    def regions(self, kind: Kind, mask: np.ndarray) -> tuple[list[Region], int]:
        """Return a kind's regions, of the cells of a mask, and the number of those left out."""
        from scipy import ndimage

        # By sides alone: cells that touch only at a corner would be no valid polygon.
        parts: Any = ndimage.label(mask & self._heatmaps.tissue & self._on_slide)
        labels, count = parts
        cells = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        shares = self._shares(kind, labels, count)
        order = np.argsort(-(cells if np.isnan(shares).any() else shares), kind="stable")
        other = self._totals["cold" if kind == "hot" else "hot"]
        if is_next_to_nothing(self._totals[kind], other):
            shares = np.full(count, np.nan)
        chosen = order[cells[order] >= self._least][:REGIONS_LIMIT]
        ranks = np.zeros(count + 1, np.int32)
        ranks[chosen + 1] = np.arange(1, len(chosen) + 1)
        ranked = ranks[labels]
        drawn = outlines if self._heatmaps.tiles is None else footprints
        polygons = drawn(ranked, self._heatmaps.grid, self._heatmaps.slide_shape)
        measured = self._measured(ranked, len(chosen))
        regions = [
            Region(kind, number, polygon, *row, share)
            for number, polygon, row, share in zip(
                range(1, len(chosen) + 1), polygons, measured, shares[chosen].tolist(), strict=True
            )
        ]
        return regions, count - len(chosen)

    def _shares(self, kind: Kind, labels: np.ndarray, count: int) -> np.ndarray:
        """Return each labelled part's share of all evidence of a kind: (count,) float64."""
        if self._evidence is None:
            return np.full(count, np.nan)
        own = self._evidence if kind == "hot" else -self._evidence
        for_it = np.where(self._heatmaps.tissue & (own > 0), own, 0).astype(np.float64)
        sums = np.bincount(labels.ravel(), for_it.ravel(), count + 1)[1:]
        return sums / for_it.sum() if count else sums

    def _measured(
        self, labels: np.ndarray, count: int
    ) -> list[tuple[int, float, float, float, float]]:
        """Return each part's cells, area, share of tissue, mean score and contribution."""
        flat = labels.ravel()

        def summed(values: np.ndarray) -> np.ndarray:
            wanted = np.where(labels > 0, values, 0).ravel()
            return np.bincount(flat, wanted, count + 1)[1:]

        cells = np.bincount(flat, minlength=count + 1)[1:]
        unknown = np.full(count, np.nan)
        scores, shares = self._scores, self._contributions
        columns = (
            cells,
            summed(self._mm2),
            cells / max(1, self._heatmaps.tissue_cells),
            unknown if scores is None else summed(scores) / np.maximum(1, cells),
            unknown if shares is None else summed(shares),
        )
        return list(zip(*(column.tolist() for column in columns), strict=True))
