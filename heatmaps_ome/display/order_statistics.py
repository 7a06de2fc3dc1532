"""Exact quantiles of a map's values from counts of its keys, which are refined where needed.

The keys of a map are divided into intervals, of which only the number of cells is known. A value of
a given rank lies between the one that it would be if all cells were as small as their intervals
allow, and the one if they were as large. Intervals between these bounds are divided further, until
the bounds are equal. The result is that of `numpy.quantile` over all cells, to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatmaps_ome.display.sketch import LOW_BITS, values_of

_WIDE = 16
"""Intervals that are narrower than the widest by more than this wait for another round: the bounds
that the wide ones leave may exclude them."""


@dataclass(frozen=True)
class Quantile:
    """A quantile to find.

    Attributes
    ----------
    share : float
        In [0, 1].
    middle : float or None
        None for a quantile of the values; else of their absolute distances from this.
    """

    share: float
    middle: float | None = None


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of the keys of a map that have cells, in the order of their keys.

    Attributes
    ----------
    starts : (n,) int64
        First key of each.
    bits : (n,) int64
        Each has 2^bits keys: 16, 8 or 0.
    counts : (n,) int64
        Number of cells in each.
    """

    starts: np.ndarray
    bits: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_bins(cls, bins: np.ndarray, counts: np.ndarray) -> Intervals:
        """Return the intervals of bins in order, both (n,) int64."""
        return cls(bins << LOW_BITS, np.full(len(bins), LOW_BITS), counts)

    @property
    def total(self) -> int:
        """Number of cells."""
        return int(self.counts.sum())

    def quantile(self, wanted: Quantile) -> float:
        """Return a quantile as numpy computes it.

        There must be cells, and none of the intervals `undecided`.
        """
        before, after, share = _ranks(self.total, wanted.share)
        least, _ = self._ends(wanted)
        # numpy's own interpolation, whose digits depend on how it is written.
        return float(np.quantile([self._ranked(least, rank) for rank in (before, after)], share))

    def undecided(self, wanted: Quantile) -> np.ndarray:
        """Return which intervals to divide for a quantile, as indices; none if it is known."""
        before, after, _ = _ranks(self.total, wanted.share)
        least, largest = self._ends(wanted)
        chosen = np.zeros(len(self.starts), bool)
        for rank in {before, after}:
            # The value of this rank is not below the one, nor above the other.
            low, high = self._ranked(least, rank), self._ranked(largest, rank)
            if low < high:
                chosen |= (least < largest) & (least <= high) & (largest >= low)
        widths = np.where(chosen, largest - least, 0.0)
        return np.flatnonzero(chosen & (widths * _WIDE >= widths.max(initial=0.0)))

    def divided(self, indices: np.ndarray, counts: np.ndarray, bits: int) -> Intervals:
        """Return intervals of which some are divided.

        Parameters
        ----------
        indices : (k,) int64
            Those to divide.
        counts : (k, 2^bits) int64
            Number of cells of their parts; an interval of fewer keys has fewer parts.
        bits : int
        """
        rows, parts = np.nonzero(counts)
        whole = self.bits[indices][rows]
        left = np.maximum(whole - bits, 0)
        others = np.delete(np.arange(len(self.starts)), indices)
        starts = np.concatenate([self.starts[others], self.starts[indices][rows] + (parts << left)])
        order = np.argsort(starts)
        return Intervals(
            starts[order],
            np.concatenate([self.bits[others], left])[order],
            np.concatenate([self.counts[others], counts[rows, parts]])[order],
        )

    def _ends(self, wanted: Quantile) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest value or distance in each interval, float64.

        Rounding keeps order, so no cell's computed distance is beyond those of the ends.
        """
        first = values_of(self.starts)
        last = values_of(self.starts + (1 << self.bits) - 1)
        if wanted.middle is None:
            return first, last
        near, far = np.abs(first - wanted.middle), np.abs(last - wanted.middle)
        around = (first <= wanted.middle) & (wanted.middle <= last)
        return np.where(around, 0.0, np.minimum(near, far)), np.maximum(near, far)

    def _ranked(self, values: np.ndarray, rank: int) -> float:
        """Return the value with a rank if all cells of an interval have the same."""
        order = np.argsort(values)
        place = np.searchsorted(np.cumsum(self.counts[order]), rank, side="right")
        return float(values[order[place]])


def _ranks(total: int, share: float) -> tuple[int, int, float]:
    """Return the ranks of a quantile's neighbours, and the share of the way between them.

    As numpy computes them in float64 (numpy.quantile, method "linear").
    """
    place = float((total - 1) * np.float64(share))
    before = min(int(place), total - 1)
    return before, min(before + 1, total - 1), place - before if place < total - 1 else 0.0
