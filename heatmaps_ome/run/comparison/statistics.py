"""Numbers of two maps on the same cells: correlations, and differences B − A."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid

_LEAST_CELLS = 3
"""Two cells always lie on a line."""


@dataclass(frozen=True)
class Largest:
    """The cell with the largest difference.

    Attributes
    ----------
    difference, a, b : float
    x_um, y_um : float
        Its middle in µm from the slide's top left corner.
    """

    difference: float
    a: float
    b: float
    x_um: float
    y_um: float


@dataclass(frozen=True)
class Differences:
    """How two maps of one quantity differ, in its unit.

    Attributes
    ----------
    mean : float
        Of B − A: by how much B is higher throughout.
    mean_absolute, sd : float
    largest : Largest
    """

    mean: float
    mean_absolute: float
    sd: float
    largest: Largest


@dataclass(frozen=True)
class Numbers:
    """The numbers of a map of two results.

    Attributes
    ----------
    cells : int
        Cells with a number in both.
    cells_without : int
        Cells of the common tissue that lack one.
    pearson, spearman : float or None
        None where they are undefined.
    undefined : str
        Why they are; else empty.
    differences : Differences or None
        Of drawn values; None without cells.
    raw : Differences or None
        Of raw values, where these are other ones on the same cells.
    """

    cells: int
    cells_without: int
    pearson: float | None
    spearman: float | None
    undefined: str
    differences: Differences | None
    raw: Differences | None = None

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return asdict(self)


def numbers_of(
    a: np.ndarray,
    b: np.ndarray,
    tissue: np.ndarray,
    lattice: Grid,
    raw: tuple[np.ndarray, np.ndarray] | None = None,
) -> Numbers:
    """Return the numbers of two maps.

    Parameters
    ----------
    a, b : (rows, cols) float64
        NaN off the common tissue.
    tissue : (rows, cols) bool
        Common tissue.
    raw : tuple of two (rows, cols) float64, or None
        Their raw values, if these are other ones.
    """
    known = tissue & np.isfinite(a) & np.isfinite(b)
    count = int(np.count_nonzero(known))
    without = int(np.count_nonzero(tissue)) - count
    why = _undefined(a[known], b[known])
    pearson, spearman = (None, None) if why else _correlations(a[known], b[known])
    differences, of_raw = (
        None if maps is None or not count else _differences(*maps, known, lattice)
        for maps in ((a, b), raw)
    )
    return Numbers(count, without, pearson, spearman, why, differences, of_raw)


def _undefined(a: np.ndarray, b: np.ndarray) -> str:
    """Return why maps of these cells have no correlation, or ""."""
    if a.size < _LEAST_CELLS:
        cells = "cell" if a.size == 1 else "cells"
        return f"only {a.size} {cells} in common" if a.size else "no cell in common"
    constant = [side for side, values in (("A", a), ("B", b)) if np.ptp(values) == 0]
    if not constant:
        return ""
    verb = "are" if len(constant) > 1 else "is"
    return f"{' and '.join(constant)} {verb} the same in all cells"


def _correlations(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return Pearson's and Spearman's correlation, in [-1, 1]."""
    from scipy.stats import rankdata

    return _pearson(a, b), _pearson(rankdata(a), rankdata(b))


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of values that are not all alike."""
    # Scaled first: squares of very small or large values would leave the range of floats.
    first, second = ((values - values.mean()) / np.ptp(values) for values in (a, b))
    share = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    return float(np.clip(share, -1, 1))


def _differences(a: np.ndarray, b: np.ndarray, known: np.ndarray, lattice: Grid) -> Differences:
    """Return the differences of two maps in the known cells, of which there is one at least."""
    difference = np.where(known, b - a, np.nan)
    values = difference[known]
    row, col = np.unravel_index(np.nanargmax(np.abs(difference)), difference.shape)
    place = lattice.um_from_g(YX(float(row) + 0.5, float(col) + 0.5))
    largest = Largest(
        float(difference[row, col]), float(a[row, col]), float(b[row, col]), place.x, place.y
    )
    return Differences(
        float(values.mean()), float(np.abs(values).mean()), float(values.std()), largest
    )
