"""A slide's sketch: its tissue cells as counts and sorted keys, from which a scaling is fitted.

It has the finite tissue cells' values of each map, as they are drawn. A value's key is an integer
of 32 bits that keeps the order of values. Keys are sorted; their high halves are the bins of a
histogram, and their low halves lie bin by bin. So a fit reads the histogram, and then the cells of
the few bins that its quantiles lie in, but never all cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from heatmaps_ome.errors import ResultError
from heatmaps_ome.maps.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

KEY_BITS: Final = 32
LOW_BITS: Final = 16
"""Bits of a key below its bin."""
FINITE_BINS: Final = (0x0080, 0xFF7F)
"""First and last bin with finite values; bins have either finite values only, or none."""
_SIGN: Final = np.uint32(1 << 31)
_MOST_BINS: Final = 1 << 18
"""Bins that are held at once, unless a single map has more; it has 2^16 at most."""
_MOST_CELLS: Final = 1 << 18
"""Cells that are held at once."""


def keys_of(values: np.ndarray) -> np.ndarray:
    """Return keys in the order of (n,) float32 values, which are not NaN: (n,) uint32.

    Both zeros have the key of 0.0.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    # No arithmetic on values, as torch may have had the processor take denormals for zero.
    bits = np.where(bits == _SIGN, np.uint32(0), bits)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def values_of(keys: np.ndarray) -> np.ndarray:
    """Return the values that (n,) integer keys stand for: (n,) float64."""
    bits = keys.astype(np.uint32)
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class SketchFacts:
    """All that a fit needs of a slide beside its cells.

    Attributes
    ----------
    classes : tuple of str
        The model's classes.
    names : mapping of kind → tuple of str
        Names of the maps of kinds that do not have one for each class: given ones.
    chance : float
        The probability that a guess gives to each class, in [0, 1].
    middle : float or None
        The median value or risk of the training's own slides, if it is known.
    prediction : tuple of float
        The slide's prediction, float64, in the order of ``classes``; NaN where there is none.
    cells : int
        Number of tissue cells; maps may have fewer that are finite.
    maps : mapping of kind → int
        Number of maps of each kind that the slide has, in the order of the sketch.
    factors : mapping of kind → int
        The number by which each kind's raw values were multiplied; see `HeatmapSet.factor`.
    """

    classes: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    chance: float
    middle: float | None
    prediction: tuple[float, ...]
    cells: int
    maps: Mapping[str, int]
    factors: Mapping[str, int] = field(default_factory=dict)

    @property
    def places(self) -> list[tuple[str, int]]:
        """The kind of each map of the sketch, and its index within the kind."""
        return [(kind, index) for kind, count in self.maps.items() for index in range(count)]

    def difference(self, other: SketchFacts) -> tuple[str, str, str] | None:
        """Return in what another slide's maps are none of this one's cohort, and both values."""
        for what, own, others in (
            ("classes", self.classes, other.classes),
            ("names of given maps", self.names, other.names),
            ("kinds of maps", tuple(self.maps), tuple(other.maps)),
            ("numbers of maps", self.maps, other.maps),
            ("chance", self.chance, other.chance),
            ("middle of the training", self.middle, other.middle),
        ):
            if own != others:
                return what, _listed(own), _listed(others)
        return None


def _listed(value: object) -> str:
    """Return a value for a message, not too long."""
    if isinstance(value, dict):
        value = tuple(f"{key}: {_listed(item)}" for key, item in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


class Numbers(Protocol):
    """A row of numbers: an array, or a dataset of a file of which only parts are read."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Return those from ``part.start`` up to ``part.stop``, both within the row."""
        ...


@dataclass(frozen=True, eq=False)
class Sketch:
    """The cells of a slide's maps, in memory or in a file that is open.

    Attributes
    ----------
    source : str
        The slide or the file, for messages.
    facts : SketchFacts
    sizes : (maps,) int64
        Number of bins of each map.
    steps : row of uint16
        Each bin less the one before it, modulo 2^16, of all maps in turn; the first less 0.
    counts : row of uint32
        Number of cells of each bin, at least 1.
    low : row of uint16
        The low half of each cell's key: bin by bin, and in order within a bin.
    """

    source: str
    facts: SketchFacts
    sizes: np.ndarray
    steps: Numbers
    counts: Numbers
    low: Numbers

    def histogram(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield codes of bins in order, each map's index times 2^16 plus the bin, and their counts.

        Both are (bins,) int64.

        Raises
        ------
        ResultError
            If the numbers of a file do not fit each other.
        """
        carried, end, n_cells = 0, 0, 0
        for first, last in self._blocks:
            start, end = end, end + int(self.sizes[first:last].sum())
            bins = np.cumsum(self.steps[start:end], dtype=np.uint16) + np.uint16(carried)
            carried = int(bins[-1]) if len(bins) else carried
            maps = np.repeat(np.arange(first, last), self.sizes[first:last])
            codes = (maps << LOW_BITS) | bins
            counts = self.counts[start:end].astype(np.int64)
            n_cells += int(counts.sum())
            low, high = FINITE_BINS
            if not (
                (np.diff(codes) > 0).all()
                and ((bins >= low) & (bins <= high) & (counts > 0)).all()
                and n_cells <= len(self.low)
            ):
                raise self._damage
            yield codes, counts
        if (end, end, n_cells) != (len(self.steps), len(self.counts), len(self.low)):
            raise self._damage

    def cells_in(self, wanted: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the cells of some bins.

        Parameters
        ----------
        wanted : (n,) int64, sorted
            Codes of bins, as `histogram` has them.

        Yields
        ------
        (n,) int64
            Each cell's map's index times 2^32 plus its key, at most 2^18 at once.
        """
        begin = 0
        for codes, counts in self.histogram():
            ends = begin + np.cumsum(counts)
            for first, last in _runs(np.isin(codes, wanted, kind="sort")):
                for start in range(int(ends[first] - counts[first]), int(ends[last]), _MOST_CELLS):
                    stop = min(start + _MOST_CELLS, int(ends[last]))
                    bins = codes[np.searchsorted(ends, np.arange(start, stop), side="right")]
                    yield (bins << LOW_BITS) | self.low[start:stop]
            begin = int(ends[-1]) if len(ends) else begin

    @cached_property
    def _blocks(self) -> list[tuple[int, int]]:
        """First map, and the one behind the last, of blocks with few enough bins."""
        blocks = [(0, 0)]
        n_bins = 0
        for index, size in enumerate(self.sizes.tolist()):
            n_bins += size
            if n_bins > _MOST_BINS:
                blocks.append((index, index))
                n_bins = size
            blocks[-1] = (blocks[-1][0], index + 1)
        return blocks

    @property
    def _damage(self) -> ResultError:
        return ResultError(
            f"{self.source} is damaged: its counts do not fit its cells; delete it and make the "
            "slide's maps again"
        )


def _runs(chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of each run of True."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for first, behind in edges.reshape(-1, 2).tolist():
        yield first, behind - 1


def sketch_of(heatmaps: HeatmapSet) -> Sketch:
    """Return the sketch of a slide's tissue cells, all of it in memory: 2 bytes for each value."""
    maps, factors = {}, {}
    steps, counts, low = [], [], []
    last = np.uint16(0)
    for kind, values in _drawn(heatmaps):
        maps[kind], factors[kind] = len(values), heatmaps.factor(kind)
        for row in values:
            keys = np.sort(keys_of(row[np.isfinite(row)]))
            bins, numbers = np.unique((keys >> LOW_BITS).astype(np.uint16), return_counts=True)
            steps.append(np.diff(bins, prepend=last))
            last = bins[-1] if len(bins) else last
            counts.append(numbers.astype(np.uint32))
            low.append(keys.astype(np.uint16))
    return Sketch(
        source=heatmaps.slide_name,
        facts=_facts(heatmaps, maps, factors),
        sizes=np.array([len(row) for row in steps], np.int64),
        steps=_joined(steps, np.uint16),
        counts=_joined(counts, np.uint32),
        low=_joined(low, np.uint16),
    )


def _drawn(heatmaps: HeatmapSet) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each kind that has ranges, and its tissue cells as drawn: (maps, cells) float32."""
    for key, kind in KINDS.items():
        values = None if kind.scale == "categories" else heatmaps.values(key)
        if values is not None:
            factor = heatmaps.factor(key)
            cells = values[..., heatmaps.tissue]
            drawn = cells if factor == 1 else cells * np.float32(factor)
            yield key, drawn if kind.per_class else drawn[np.newaxis]


def _facts(
    heatmaps: HeatmapSet, maps: Mapping[str, int], factors: Mapping[str, int]
) -> SketchFacts:
    return SketchFacts(
        classes=heatmaps.classes,
        names=dict(heatmaps.names),
        chance=heatmaps.chance,
        middle=heatmaps.target.middle,
        prediction=tuple(np.asarray(heatmaps.prediction, np.float64).tolist()),
        cells=heatmaps.tissue_cells,
        maps=maps,
        factors=factors,
    )


def _joined(parts: list[np.ndarray], dtype: type[np.unsignedinteger]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
