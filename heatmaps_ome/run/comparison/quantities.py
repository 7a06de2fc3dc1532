"""The maps of two results of a slide that can be compared, as values with one meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.maps.kinds import (
    ARTEFACTS,
    ATTENTION,
    CLASS_ATTENTION,
    KINDS,
    LEAVE_ONE_OUT,
    MARGIN,
    TISSUE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.run.comparison.common_cells import CommonCells
    from heatmaps_ome.viewers.notebook.map_values import MapValues
    from heatmaps_ome.viewers.notebook.slide_results import SlideResults

MapKey = tuple[str, str | None]
"""Kind and class of a map; the class is None for a map of all classes."""

_ATTENTIONS: Final = (ATTENTION, CLASS_ATTENTION)
_LOGITS: Final = ("logit", "log ratio")
"""Units of attention whose differences are logarithms of ratios of weights."""
LOG_RATIO: Final = "log ratio"
PERCENTILE: Final = "percentile"


@dataclass(frozen=True)
class Quantity:
    """A quantity of cells that has the same meaning in both results.

    Attributes
    ----------
    kind : str
    class_name : str or None
    form : str
        "" for the map's own values; "log ratio" and "percentile" for attention.
    name : str
        "Score of MSIH", "Attention, log ratio to the mean".
    unit : str
    text : str
        The quantity in words, for bars: "probability of MSIH".
    """

    kind: str
    class_name: str | None
    form: str
    name: str
    unit: str
    text: str

    @property
    def scale(self) -> str:
        """The rule of its colours; see `MapKind.scale`."""
        return "percent" if self.form == PERCENTILE else KINDS[self.kind].scale


@dataclass(frozen=True, eq=False)
class Compared:
    """A quantity on the common cells.

    Attributes
    ----------
    quantity : Quantity
    a, b : (rows, cols) float64
        Drawn values: raw ones × the factor of the map; NaN off the common tissue.
    raw : tuple of two (rows, cols) float64, or None
        Raw values, where they are other ones and both maps have the same cells.
    factors : tuple of two int
    """

    quantity: Quantity
    a: np.ndarray
    b: np.ndarray
    raw: tuple[np.ndarray, np.ndarray] | None = None
    factors: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Sorted:
    """Two maps that sort cells into categories, on the common cells.

    Attributes
    ----------
    kind, name : str
    categories : tuple of two tuple of str
        Names of the values 1, 2, … in A and in B; 0 is none of them.
    a, b : (rows, cols) float64
        NaN off the common tissue.
    colours : mapping of category → "#rrggbb"
    """

    kind: str
    name: str
    categories: tuple[tuple[str, ...], tuple[str, ...]]
    a: np.ndarray
    b: np.ndarray
    colours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A map that is not compared.

    Attributes
    ----------
    name : str
        "Score of MSIH".
    reason : str
        "only in A".
    """

    name: str
    reason: str


def keys_of(results: SlideResults, true_class: str) -> list[MapKey]:
    """Return the maps of a slide that are worth a comparison, in the order of the kinds.

    Tissue is compared as an area, and artefacts are of the slide whatever the model; margins are of
    one class as drawn, and leave-one-out counts where there are no contributions, to which it is
    nearly proportional.
    """
    has_contributions = results.heatmaps.contributions is not None
    return [
        (kind, name)
        for kind, name in results.maps
        if kind not in (TISSUE, ARTEFACTS)
        and not (kind == LEAVE_ONE_OUT and has_contributions)
        and not (kind == MARGIN and name != true_class)
    ]


def compared_maps(
    a: SlideResults, b: SlideResults, cells: CommonCells, true_class: str
) -> Iterator[Compared | Sorted | LeftOut]:
    """Yield every map of two results of a slide: compared, or the reason why not."""
    keys = [keys_of(results, true_class) for results in (a, b)]
    for kind, name in keys[0]:
        if (kind, name) in keys[1]:
            yield from _of_both(a.map(kind, name), b.map(kind, name), (a, b), cells)
    for own, other, where in ((*keys, "A"), (*reversed(keys), "B")):
        for kind, name in own:
            if (kind, name) not in other:
                yield LeftOut(_title(kind, name), f"only in {where}")


def _title(kind: str, name: str | None) -> str:
    """Return the title of a map, without the names of other classes."""
    return KINDS[kind].map_title.format(name=name or "", rivals="", unit="cell")


def _of_both(
    a: MapValues, b: MapValues, sides: tuple[SlideResults, SlideResults], cells: CommonCells
) -> Iterator[Compared | Sorted | LeftOut]:
    """Yield a map that both results have, in all its forms."""
    if a.categories or b.categories:
        yield _sorted(a, b, cells)
    elif a.kind in _ATTENTIONS:
        yield from _attention(a, b, cells)
    elif a.unit != b.unit:
        units = " and ".join(unit or "no unit" for unit in (a.unit, b.unit))
        yield LeftOut(a.title, f"its units differ: {units}")
    else:
        yield _numbers(a, b, sides, cells)


def _placed(
    first: np.ndarray, second: np.ndarray, cells: CommonCells
) -> tuple[np.ndarray, np.ndarray]:
    """Return a map of A and one of B on the common cells."""
    return cells.placed(first, 0), cells.placed(second, 1)


def _sorted(a: MapValues, b: MapValues, cells: CommonCells) -> Sorted:
    """Return two maps of categories."""
    colours = {
        name: colour
        for one in (b, a)
        for name, colour in zip(one.categories, one.colours.colours, strict=False)
    }
    first, second = _placed(a.values, b.values, cells)
    return Sorted(a.kind, a.title, (a.categories, b.categories), first, second, colours)


def _numbers(
    a: MapValues, b: MapValues, sides: tuple[SlideResults, SlideResults], cells: CommonCells
) -> Compared:
    """Return two maps of a quantity with a unit that both share."""
    factors = sides[0].heatmaps.factor(a.kind), sides[1].heatmaps.factor(b.kind)
    raw, is_raw = _placed(a.values, b.values, cells), factors == (1, 1)
    text = a.colours.quantity or b.colours.quantity or a.quantity
    quantity = Quantity(a.kind, a.class_name, "", a.title, a.unit, text)
    drawn = raw[0] * factors[0], raw[1] * factors[1]
    return Compared(quantity, *drawn, None if is_raw or not cells.same_grid else raw, factors)


def _attention(a: MapValues, b: MapValues, cells: CommonCells) -> Iterator[Compared]:
    """Yield attention in the forms that two models share: log ratio to the mean, and percentile."""
    title = a.title if a.title == b.title else _title(a.kind, a.class_name)
    if a.unit in _LOGITS and b.unit in _LOGITS:
        name, text = f"{title}, log ratio to the mean", "log of attention weight over its mean"
        quantity = Quantity(a.kind, a.class_name, LOG_RATIO, name, LOG_RATIO, text)
        yield Compared(quantity, *_placed(log_ratio(a.values), log_ratio(b.values), cells))
    first, second = _placed(a.values, b.values, cells)
    name, text = f"{title}, percentile", "percentile of attention"
    quantity = Quantity(a.kind, a.class_name, PERCENTILE, name, "%", text)
    yield Compared(quantity, percentiles(first), percentiles(second))


def log_ratio(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of each cell's attention weight over the mean weight of the slide.

    With w the softmax of the logits over the n cells that have one, it is log(n·w), whatever is
    added to all logits; so it compares models, and grids.

    Parameters
    ----------
    logits : (rows, cols) float, logits
        NaN off tissue.

    Returns
    -------
    (rows, cols) float64, log ratios

    >>> log_ratio(np.array([[5.0, 5.0, np.nan]])).tolist()
    [[0.0, 0.0, nan]]
    """
    values = logits.astype(np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        return values
    highest = known.max()
    return values - highest - np.log(np.exp(known - highest).mean())


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the percentile of each cell among all cells with a number; equal ones share theirs.

    Returns
    -------
    (rows, cols) float64, in [0, 100]
        NaN where there is no number.

    >>> percentiles(np.array([[3.0, 1.0, np.nan, 3.0]])).round(1).tolist()
    [[66.7, 16.7, nan, 66.7]]
    """
    from scipy.stats import rankdata

    ranked = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    if known.any():
        ranked[known] = (rankdata(values[known]) - 0.5) / np.count_nonzero(known) * 100
    return ranked
