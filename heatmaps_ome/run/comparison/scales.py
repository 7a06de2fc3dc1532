"""Colour scales that all compared slides share: one for A and B of a map, one for B − A."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.maps.kinds import DIFFERENCE, KINDS

if TYPE_CHECKING:
    from heatmaps_ome.run.comparison.quantities import Quantity
    from heatmaps_ome.run.comparison.slide_comparison import SlideComparison

RAW: Final = ", raw"
"""End of the name of a difference of raw values."""
QUANTILES: Final = Quantiles(attention_lower=0.01, attention_upper=0.99, score=0.95)
"""Quantiles of both scales, as of a run's; the upper one so that one cell does not darken a map."""
_LEAST = 1e-12
_UNSEEN = 1e-3
"""Part of a bar's span that its numbers do not show."""


@dataclass(frozen=True)
class MapScale:
    """The colour scales of a map.

    Attributes
    ----------
    quantity : Quantity
    values : Range
        Of A and B.
    middle : float or None
        That of a diverging scale of values.
    difference : Range
        Of B − A: as far to both sides of zero.
    raw : Range or None
        Of B − A of raw values.
    clips : tuple of three bool
        Whether cells have values below and above that of A and B, and differences beyond theirs;
        they have the colour of the end.
    """

    quantity: Quantity
    values: Range
    middle: float | None
    difference: Range
    raw: Range | None
    clips: tuple[bool, bool, bool] = (False, False, False)

    def record(self) -> dict[str, Any]:
        """Return the scales as plain JSON values."""
        return {
            "map": self.quantity.name,
            "unit": self.quantity.unit,
            "values": [self.values.lower, self.values.upper],
            "difference": self.difference.upper,
            "raw_difference": None if self.raw is None else self.raw.upper,
        }


@dataclass
class _Cells:
    """The cells of a map over all slides so far."""

    quantity: Quantity
    chance: float
    values: list[np.ndarray] = field(default_factory=list)
    differences: list[np.ndarray] = field(default_factory=list)
    raw: list[np.ndarray] = field(default_factory=list)


class ScaleFit:
    """Gathers the cells of all compared slides and fits the scales that they share."""

    def __init__(self) -> None:
        self._maps: dict[str, _Cells] = {}
        self._slides = self._n_cells = 0

    def add(self, slide: SlideComparison) -> None:
        """Add a slide's cells."""
        tissue, chance = slide.cells.tissue, slide.sides[0].heatmaps.chance
        for one in slide.maps:
            own = self._maps.setdefault(one.quantity.name, _Cells(one.quantity, chance))
            first, second = one.a[tissue], one.b[tissue]
            own.values += [first.astype(np.float32), second.astype(np.float32)]
            own.differences.append(np.abs(second - first).astype(np.float32))
            if one.raw is not None:
                own.raw.append(np.abs(one.raw[1][tissue] - one.raw[0][tissue]))
        self._slides += 1
        self._n_cells += int(np.count_nonzero(tissue))

    def fit(self) -> Scales:
        """Return the scales of all cells so far."""
        maps = {name: _scale(cells) for name, cells in self._maps.items()}
        return Scales(maps, self._slides, self._n_cells)


@dataclass(frozen=True)
class Scales:
    """The scales of all maps.

    Attributes
    ----------
    maps : dict of map name → MapScale
    slides, cells : int
        Number of slides and of common tissue cells that they were fitted to.
    """

    maps: dict[str, MapScale]
    slides: int
    cells: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all difference maps: of each map and, if it has one, of its raw values."""
        return tuple(
            name
            for own, scale in self.maps.items()
            for name in (own, *([own + RAW] if scale.raw is not None else []))
        )

    def cohort(self, digest: str) -> CohortScaling:
        """Return the scales of the differences as a scaling for display maps."""
        ranges = {}
        for own, scale in self.maps.items():
            ranges[own] = scale.difference
            if scale.raw is not None:
                ranges[own + RAW] = scale.raw
        return CohortScaling(
            cohort="",
            model_digest=digest,
            extractor_digest=digest,
            quantiles=QUANTILES,
            classes=self.names,
            ranges={DIFFERENCE: tuple(ranges[name] for name in self.names)},
            slides=self.slides,
            cells=self.cells,
            names={DIFFERENCE: self.names},
        )


def _scale(cells: _Cells) -> MapScale:
    """Return the scales of a map's cells."""
    quantity = cells.quantity
    own, distances = _finite(cells.values), _finite(cells.differences)
    values, middle = _values_range(quantity, own, cells.chance)
    span = (values.upper - values.lower) / 2
    difference = _around_zero(distances, span)
    raw = None if not cells.raw else _around_zero(_finite(cells.raw), span)
    limits = KINDS[quantity.kind].levels or (None, None)
    least, largest = (0.0, 100.0) if quantity.scale == "percent" else limits
    clips = (
        bool((own < values.lower).any()) and not _is_near(values.lower, least, span),
        bool((own > values.upper).any()) and not _is_near(values.upper, largest, span),
        bool((distances > difference.upper).any()),
    )
    return MapScale(quantity, values, middle, difference, raw, clips)


def _is_near(end: float, limit: float | None, span: float) -> bool:
    """Return whether the end of a bar is as good as the quantity's own limit."""
    return limit is not None and abs(end - limit) < _UNSEEN * span


def _values_range(
    quantity: Quantity, values: np.ndarray, chance: float
) -> tuple[Range, float | None]:
    """Return the range of the colours of A and B, and its middle if it diverges."""
    if quantity.scale == "percent":
        return Range(0.0, 100.0), None
    if not values.size:
        return Range(0.0, 1.0), None
    if quantity.scale in ("quantiles", "from zero"):
        lower, upper = np.quantile(values, [QUANTILES.attention_lower, QUANTILES.attention_upper])
        low = 0.0 if quantity.scale == "from zero" else float(lower)
        if upper > low:
            return Range(low, float(upper)), None
        return Range.around(low, max(_LEAST, abs(low) * 1e-6)), None
    middle = {"around chance": chance, "around zero": 0.0}.get(quantity.scale)
    middle = float(np.median(values)) if middle is None else middle
    reach = float(np.quantile(np.abs(values - middle), QUANTILES.score))
    return Range.around(middle, max(reach, _LEAST, abs(middle) * 1e-6)), middle


def _around_zero(distances: np.ndarray, span: float) -> Range:
    """Return the range of differences; where A and B are the same, that of the values' colours."""
    reach = 0.0
    if distances.size:
        reach = float(np.quantile(distances, QUANTILES.score)) or float(distances.max())
    return Range.around(0.0, max(reach or span, _LEAST))


def _finite(parts: list[np.ndarray]) -> np.ndarray:
    """Return the finite numbers of several arrays, float64."""
    joined = np.concatenate(parts).astype(np.float64)
    return joined[np.isfinite(joined)]
