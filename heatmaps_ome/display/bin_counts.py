"""Counts of bins of many maps, with memory for the parts of the histograms that have cells."""

from __future__ import annotations

from typing import Final

import numpy as np

from heatmaps_ome.display.sketch import LOW_BITS

_PAGE_BITS: Final = 8
_PAGE: Final = 1 << _PAGE_BITS
_MAP_PAGES: Final = 1 << (LOW_BITS - _PAGE_BITS)


class BinCounts:
    """Adds up histograms; at most 2^16 counters a map, made by 256 where cells are.

    Parameters
    ----------
    n_maps : int
    """

    def __init__(self, n_maps: int) -> None:
        self._places = np.full(n_maps * _MAP_PAGES, -1, np.int32)
        self._pages = np.zeros((0, _PAGE), np.int64)

    def add(self, codes: np.ndarray, counts: np.ndarray) -> None:
        """Add (n,) int64 counts of bins with different codes; see `Sketch.histogram`."""
        pages = codes >> _PAGE_BITS
        fresh = np.unique(pages[self._places[pages] < 0])
        if len(fresh):
            self._places[fresh] = len(self._pages) + np.arange(len(fresh))
            more = np.zeros((len(fresh), _PAGE), np.int64)
            self._pages = np.concatenate([self._pages, more])
        self._pages[self._places[pages], codes & (_PAGE - 1)] += counts

    def of_map(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a map's bins with cells, in order, and their counts: both (n,) int64."""
        places = self._places[index * _MAP_PAGES : (index + 1) * _MAP_PAGES]
        used = np.flatnonzero(places >= 0)
        rows, parts = np.nonzero(self._pages[places[used]])
        return (used[rows] << _PAGE_BITS) | parts, self._pages[places[used][rows], parts]
