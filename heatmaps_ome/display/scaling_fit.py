"""Fits the scaling of a cohort to the sketches of its slides, in memory that no slide adds to.

The slides are read in rounds. The first adds up the histograms of their maps' bins. Later ones
count the cells of the bins that a quantile may lie in, by finer bins or single keys, until all are
known: one more round for few classes, two for many, and now and then another one. Counts are whole
numbers, so neither the order of the slides matters nor how they are split.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.display.bin_counts import BinCounts
from heatmaps_ome.display.order_statistics import Intervals, Quantile
from heatmaps_ome.display.scaling import CohortScaling, EarlierFit, Quantiles, Range
from heatmaps_ome.display.sketch import KEY_BITS, LOW_BITS, Sketch, SketchFacts, sketch_of
from heatmaps_ome.display.sketch_file import open_sketch
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.maps.kinds import ATTENTION, KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

_MOST_COUNTERS: Final = 1 << 23
"""Counters of a round after the first: 64 MiB."""
_FEW_BITS: Final = 8
"""By how many bits intervals are divided that are too many to be divided into single keys."""
_LEAST_SPREAD: Final = 0.01
"""Least end of a range from zero: models that agree to far more digits look alike, as they are."""


def fit_scaling(
    sketches: Sequence[Path | Sketch],
    quantiles: Quantiles,
    cohort: str,
    model_digest: str,
    extractor_digest: str,
    extended: CohortScaling | None = None,
) -> CohortScaling:
    """Return the scaling of all cells of some slides, equal to quantiles of all cells at once.

    Cells that are not finite are left out; no cells at all, or cells that are all alike, give a
    range around them that is wide enough to divide by.

    Parameters
    ----------
    sketches : sequence of Path or Sketch
        Those of the slides, in any order; each is read two to four times, in parts.
    cohort : str
        Digest of the slides.
    extended : CohortScaling, optional
        A scaling of a part of the slides, for the record.

    Raises
    ------
    ResultError
        If a sketch is missing, damaged or foreign.
    ScalingError
        If slides have maps of different classes or kinds, or a sketch changes meanwhile.
    """
    survey = _surveyed(sketches)
    fits = _fits(survey, quantiles)
    while wanted := _undecided(fits):
        _divide(fits, wanted, sketches)
    ranges: dict[str, list[Range]] = {}
    for fit in fits:
        ranges.setdefault(fit.kind, []).append(fit.range)
    # A cohort without tissue, or without attention, has no such cells, but its maps have colours.
    ranges.setdefault(ATTENTION, [Range(0.0, 1.0)])
    return CohortScaling(
        cohort=cohort,
        model_digest=model_digest,
        extractor_digest=extractor_digest,
        quantiles=quantiles,
        classes=survey.facts.classes,
        ranges={kind: tuple(ranges[kind]) for kind in KINDS if kind in ranges},
        slides=len(sketches),
        cells=survey.cells,
        names=dict(survey.facts.names),
        history=_history(extended),
    )


class ScalingFit:
    """Gathers the sketches of a cohort's slides in memory, and fits their common scaling."""

    def __init__(self, quantiles: Quantiles) -> None:
        self._quantiles = quantiles
        self._sketches: list[Sketch] = []

    def add(self, heatmaps: HeatmapSet) -> None:
        """Add a slide's tissue cells."""
        self._sketches.append(sketch_of(heatmaps))

    def fit(self, cohort: str, model_digest: str, extractor_digest: str) -> CohortScaling:
        """Return the scaling of all cells so far; see `fit_scaling`."""
        return fit_scaling(self._sketches, self._quantiles, cohort, model_digest, extractor_digest)


def _history(extended: CohortScaling | None) -> tuple[EarlierFit, ...]:
    if extended is None:
        return ()
    earlier = EarlierFit(extended.cohort, extended.slides, extended.cells)
    return (*extended.history, earlier)


@dataclass(frozen=True, eq=False)
class _Survey:
    """The result of the first round.

    Attributes
    ----------
    facts : SketchFacts
        Those of the first slide; the others' are alike.
    cells : int
        Number of tissue cells of all slides.
    counts : BinCounts
        Counts of the bins of all maps.
    predictions : (slides, classes) float64
    """

    facts: SketchFacts
    cells: int
    counts: BinCounts
    predictions: np.ndarray


def _opened(sketch: Path | Sketch) -> AbstractContextManager[Sketch]:
    return nullcontext(sketch) if isinstance(sketch, Sketch) else open_sketch(sketch)


def _surveyed(sketches: Sequence[Path | Sketch]) -> _Survey:
    """Add up the histograms of all slides."""
    first = source = None
    cells, counts, predictions = 0, BinCounts(0), []
    for place in sketches:
        with _opened(place) as sketch:
            if first is None:
                first, source = sketch.facts, sketch.source
                counts = BinCounts(len(first.places))
            difference = first.difference(sketch.facts)
            if difference is not None:
                what, own, other = difference
                raise ScalingError(
                    f"{sketch.source} and {source} have different {what} ({other}; {own}); fit "
                    "slides of one model together"
                )
            cells += sketch.facts.cells
            predictions.append(sketch.facts.prediction)
            for codes, numbers in sketch.histogram():
                counts.add(codes, numbers)
    facts = first or SketchFacts((), {}, 0.5, None, (), 0, {})
    return _Survey(facts, cells, counts, np.array(predictions, np.float64))


@dataclass(eq=False)
class _MapFit:
    """The range of one map, while it is found."""

    kind: str
    middle: float
    wanted: tuple[Quantile, ...]
    intervals: Intervals

    @property
    def range(self) -> Range:
        """The range, once all quantiles are known."""
        wanted = self.wanted if self.intervals.total else ()
        values = [self.intervals.quantile(quantile) for quantile in wanted]
        scale = KINDS[self.kind].scale
        if scale == "quantiles":
            return _between(*values) if values else Range(0.0, 1.0)
        reach = max([_smallest_reach(self.middle), *values])
        if scale == "from zero":
            # No deviation is below zero: its range is the upper half of the one around zero.
            return Range(0.0, max(reach, _LEAST_SPREAD))
        return Range.around(self.middle, reach)

    def undecided(self) -> np.ndarray:
        """Return the intervals to divide, as sorted indices; none once the range is known."""
        if not self.intervals.total:
            return np.empty(0, np.int64)
        parts = [self.intervals.undecided(quantile) for quantile in self.wanted]
        return np.unique(np.concatenate(parts))


def _fits(survey: _Survey, quantiles: Quantiles) -> list[_MapFit]:
    """Return a fit for each map, with its bins."""
    fits = []
    for place, (kind, index) in enumerate(survey.facts.places):
        middle, wanted = _wanted(kind, index, survey, quantiles)
        intervals = Intervals.of_bins(*survey.counts.of_map(place))
        fits.append(_MapFit(kind, middle, wanted, intervals))
    return fits


def _wanted(
    kind: str, index: int, survey: _Survey, quantiles: Quantiles
) -> tuple[float, tuple[Quantile, ...]]:
    """Return the middle of a map's range, and the quantiles that it follows from."""
    scale = KINDS[kind].scale
    if scale == "quantiles":
        shares = (quantiles.attention_lower, quantiles.attention_upper)
        return 0.0, tuple(map(Quantile, shares))
    middle = 0.0
    if scale == "around chance":
        middle = survey.facts.chance
    elif scale == "around the middle":
        middle = _middle(survey, index)
    return middle, (Quantile(quantiles.score, middle),)


def _middle(survey: _Survey, index: int) -> float:
    """Return the middle of the training or, if unknown, the slides' median prediction."""
    if survey.facts.middle is not None:
        return survey.facts.middle
    predictions = survey.predictions[:, index]
    known = predictions[np.isfinite(predictions)]
    return float(np.median(known)) if len(known) else 0.0


def _undecided(fits: Sequence[_MapFit]) -> Mapping[int, np.ndarray]:
    """Return the intervals to divide next, by the index of their map; bounded in number."""
    wanted: dict[int, np.ndarray] = {}
    left = _MOST_COUNTERS >> _FEW_BITS
    for index, fit in enumerate(fits):
        indices = fit.undecided()[:left]
        if len(indices):
            wanted[index] = indices
            left -= len(indices)
    return wanted


def _divide(
    fits: Sequence[_MapFit], wanted: Mapping[int, np.ndarray], sketches: Sequence[Path | Sketch]
) -> None:
    """Divide some intervals of maps, by one more round through the slides."""
    parts = [(index << KEY_BITS) | fits[index].intervals.starts[w] for index, w in wanted.items()]
    widths = [fits[index].intervals.bits[w] for index, w in wanted.items()]
    starts, widths = np.concatenate(parts), np.concatenate(widths)
    bits = LOW_BITS if len(starts) << LOW_BITS <= _MOST_COUNTERS else _FEW_BITS
    counts = _counted(sketches, starts, widths, bits)
    begin = 0
    for index, indices in wanted.items():
        fit, own = fits[index], counts[begin : begin + len(indices)]
        begin += len(indices)
        if not np.array_equal(own.sum(axis=1), fit.intervals.counts[indices]):
            raise ScalingError("maps have changed while the scaling was fitted; fit it again")
        fit.intervals = fit.intervals.divided(indices, own, bits)


def _counted(
    sketches: Sequence[Path | Sketch], starts: np.ndarray, widths: np.ndarray, bits: int
) -> np.ndarray:
    """Return the number of cells in each part of some intervals.

    Parameters
    ----------
    starts : (n,) int64, sorted
        Index of the map times 2^32 plus the first key.
    widths : (n,) int64
        Each has 2^width keys.
    bits : int
        Each is divided into 2^bits parts, or into single keys.

    Returns
    -------
    (n, 2^bits) int64
    """
    counts = np.zeros((len(starts), 1 << bits), np.int64)
    bins = np.unique(starts >> LOW_BITS)
    ends, shifts = starts + (1 << widths), np.maximum(widths - bits, 0)
    for place in sketches:
        with _opened(place) as sketch:
            for cells in sketch.cells_in(bins):
                rows = np.searchsorted(starts, cells, side="right") - 1
                inside = (rows >= 0) & (cells < ends[rows])
                rows, cells = rows[inside], cells[inside]
                np.add.at(counts, (rows, (cells - starts[rows]) >> shifts[rows]), 1)
    return counts


def _between(low: float, high: float) -> Range:
    """Return the range between two quantiles."""
    return Range(low, high) if low < high else Range.around(low, _smallest_reach(low))


def _smallest_reach(value: float) -> float:
    """Return a reach that float64 can still distinguish from zero at this value.

    At zero it is far below the share that a cell of a slide of millions has in the slide.
    """
    return max(1e-12, abs(value) * 1e-6)
