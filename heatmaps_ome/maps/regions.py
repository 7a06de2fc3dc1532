"""Finds a slide's hot and cold regions: where the evidence for a class is, and that against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from heatmaps_ome.maps.evidence import evidence, undefined_reason
from heatmaps_ome.maps.outlines import outlines

if TYPE_CHECKING:
    from shapely import Polygon

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

Kind = Literal["hot", "cold"]
KINDS: tuple[Kind, Kind] = ("hot", "cold")

SHARE = 0.8
"""Of the evidence: the fewest cells that carry it are hot, or cold. On slides with known islands
it covers these best, and hardly depends on the number; scores saturate as soon as a part of a tile
is of a class, and so cover a rim of half a tile too."""
LEAST_CELLS = 4
"""Of a region: maps are means over 7 × 7 cells, so that fewer are but the tip of a threshold."""
MOST = 200
"""Regions of a kind: more can be neither looked at nor edited."""
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
        Of the cells, as far as they are on the slide.
    share_of_tissue : float, in [0, 1]
        Of the number of cells.
    mean_score : float, in [0, 1]
        Of the class.
    contribution : float, logits
        To the class, summed over the cells; NaN where contributions do not exist.
    share_of_evidence : float, in [0, 1]
        Of all that speaks for the class on the slide or, of cold regions, against it; NaN where
        evidence does not exist.
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
        """What people call it: "hot 1"."""
        return f"{self.kind} {self.number}"


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a slide, and what makes a cell hot or cold.

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
        Regions of fewer than ``LEAST_CELLS`` cells, and those after the first ``MOST`` of a kind.
    hot_share, cold_share : float, in [0, 1]
        The shares of the evidence that the thresholds were chosen for; NaN for scores.
    why : str
        Why evidence does not exist, or there is no region at all; else empty.
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

    def of(self, kind: Kind) -> tuple[Region, ...]:
        """Return the regions of a kind, by rank."""
        return tuple(each for each in self.regions if each.kind == kind)

    def criterion(self, kind: Kind) -> str:
        """Return what makes a cell hot or cold: "score of MSIH >= 0.75"."""
        sign, limit = (">=", self.hot_from) if kind == "hot" else ("<=", self.cold_to)
        if math.isnan(limit):
            return "no cell"
        share = self.hot_share if kind == "hot" else self.cold_share
        if math.isnan(share):
            return f"{self.quantity} {sign} {limit:.3g}"
        whose = "it" if kind == "hot" else f"that against {self.class_name}"
        return (
            f"{self.quantity} {sign} {limit:.3g} logits, the fewest cells that carry "
            f"{_percent(share)} of {whose}"
        )

    def sentence(self) -> str:
        """Return what there is: "3 hot regions carry 71 % of the evidence for MSIH on …"."""
        if not self.regions and math.isnan(self.hot_from) and math.isnan(self.cold_to):
            said = f"no regions, as {self.why or 'no cell speaks for or against a class'}"
        else:
            said = f"{self._said('hot')}, {self._said('cold')}"
        if self.left_out:
            said += (
                f"; {self.left_out} more {'are' if self.left_out > 1 else 'is'} left out, of fewer "
                f"than {LEAST_CELLS} cells or after the first {MOST}"
            )
        return said

    def _said(self, kind: Kind) -> str:
        """Return what there is of a kind."""
        found = self.of(kind)
        if not found:
            return f"no {kind} region"
        counted = f"{len(found)} {kind} region{'s' if len(found) > 1 else ''}"
        carried = math.fsum(each.share_of_evidence for each in found)
        if math.isnan(carried):
            return f"{counted} ({self.criterion(kind)})"
        carry = "carry" if len(found) > 1 else "carries"
        side = "for" if kind == "hot" else "against"
        tissue = _percent(math.fsum(each.share_of_tissue for each in found))
        return (
            f"{counted} {carry} {_percent(carried)} of the evidence {side} {self.class_name} on "
            f"{tissue} of the tissue"
        )

    def record(self) -> dict[str, Any]:
        """Return all of it but the single regions as plain JSON values."""
        return {
            "class": self.class_name,
            "sentence": self.sentence(),
            "quantity": self.quantity,
            **{kind: self._record(kind) for kind in KINDS},
            "left_out": self.left_out,
            "least_cells": LEAST_CELLS,
            "most": MOST,
            "why": self.why,
        }

    def _record(self, kind: Kind) -> dict[str, Any]:
        """Return the sums over a kind's regions."""
        found = self.of(kind)
        numbers = {
            "threshold": self.hot_from if kind == "hot" else self.cold_to,
            "wanted_share_of_evidence": self.hot_share if kind == "hot" else self.cold_share,
            "area_mm2": math.fsum(each.area_mm2 for each in found),
            "share_of_tissue": math.fsum(each.share_of_tissue for each in found),
            "share_of_evidence": math.fsum(each.share_of_evidence for each in found),
        }
        known = {
            name: float(f"{number:.6g}") if math.isfinite(number) else None
            for name, number in numbers.items()
        }
        return {"criterion": self.criterion(kind), "regions": len(found), **known}


def find_regions(
    heatmaps: HeatmapSet, class_name: str, hot_share: float = SHARE, cold_share: float = SHARE
) -> Regions:
    """Return where the evidence for a class is, and that against it.

    Hot are the fewest cells that carry ``hot_share`` of what speaks for the class, so those whose
    evidence is at least some threshold; cold are those of what speaks against it. Where evidence
    does not exist, those cells are hot whose score is at least half-way from chance to 1, and cold
    whose score is at most half of chance.
    """
    why = undefined_reason(heatmaps)
    values, chosen = evidence(heatmaps, class_name), (hot_share, cold_share)
    if not why and values is not None:
        quantity = f"evidence for {class_name}"
        known = values[heatmaps.tissue].astype(np.float64)
        limits = _threshold(known, hot_share), -_threshold(-known, cold_share)
    else:
        values, chosen = heatmaps.score(class_name), (math.nan, math.nan)
        quantity, chance = f"score of {class_name}", 1 / len(heatmaps.classes)
        limits = ((1 + chance) / 2, chance / 2)
        if not heatmaps.tissue.any() or chance == 1:
            why = why if chance < 1 else "the score of an only class is 1 everywhere"
            limits = (math.nan, math.nan)
    masks = (values >= limits[0], values <= limits[1])
    finder = _Finder(heatmaps, class_name, None if math.isnan(chosen[0]) else values)
    parts = [finder.found(kind, mask) for kind, mask in zip(KINDS, masks, strict=True)]
    return Regions(
        class_name=class_name,
        hot_from=limits[0],
        cold_to=limits[1],
        quantity=quantity,
        regions=tuple(each for regions, _ in parts for each in regions),
        left_out=sum(left_out for _, left_out in parts),
        hot_share=chosen[0],
        cold_share=chosen[1],
        why=why,
    )


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

    def __init__(self, heatmaps: HeatmapSet, class_name: str, values: np.ndarray | None) -> None:
        self._heatmaps = heatmaps
        self._index = heatmaps.classes.index(class_name)
        self._evidence = values
        edges = heatmaps.grid.l0_edges_on(heatmaps.slide_shape)
        heights, widths = (np.diff(each) for each in edges)
        cell, mpp = heatmaps.grid.l0_cell, heatmaps.grid.mpp
        tall, wide = heights >= _LEAST_ON_SLIDE * cell.y, widths >= _LEAST_ON_SLIDE * cell.x
        self._on_slide = tall[:, None] & wide
        self._mm2 = np.outer(heights * mpp.y, widths * mpp.x) / 1e6

    def found(self, kind: Kind, mask: np.ndarray) -> tuple[list[Region], int]:
        """Return the regions of a kind that cells make up, and how many are left out."""
        from scipy import ndimage

        # By sides alone: what touches at a corner only would be no valid polygon.
        parts: Any = ndimage.label(mask & self._heatmaps.tissue & self._on_slide)
        labels, count = parts
        cells = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        shares = self._shares(kind, labels, count)
        order = np.argsort(-(cells if np.isnan(shares).any() else shares), kind="stable")
        kept = order[cells[order] >= LEAST_CELLS][:MOST]
        ranks = np.zeros(count + 1, np.int32)
        ranks[kept + 1] = np.arange(1, len(kept) + 1)
        ranked = ranks[labels]
        polygons = outlines(ranked, self._heatmaps.grid, self._heatmaps.slide_shape)
        measured = self._measured(ranked, len(kept))
        regions = [
            Region(kind, number, polygon, *row, share)
            for number, polygon, row, share in zip(
                range(1, len(kept) + 1), polygons, measured, shares[kept].tolist(), strict=True
            )
        ]
        return regions, count - len(kept)

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
        shares = self._heatmaps.contributions
        columns = (
            cells,
            summed(self._mm2),
            cells / max(1, self._heatmaps.tissue_cells),
            summed(self._heatmaps.scores[self._index]) / np.maximum(1, cells),
            np.full(count, np.nan) if shares is None else summed(shares[self._index]),
        )
        return list(zip(*(column.tolist() for column in columns), strict=True))


def _percent(share: float) -> str:
    """Return a share as people write it."""
    return f"{100 * share:.0f} %"
