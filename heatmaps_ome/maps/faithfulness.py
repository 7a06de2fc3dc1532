"""What a slide's prediction would be without some of its cells: exact, and with no network.

The slide's logits are Σᵢ aᵢ sᵢ, with a the softmax of the attention over the tissue and sᵢ the
class logits of cell i alone (design.md section 7). Without some cells the attention of the others
sums to 1 again, so that every such prediction follows from attention and contributions aᵢ sᵢ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

RANDOM_ORDERS = 10
"""Orders that the random baseline is the mean of."""
_SEED = 0
_KEPT_POINTS = 101
"""Of a curve that is stored and drawn: one per hundredth of the cells."""
_LEAST_SHARE = 1e-30
"""Attention share below which a contribution, a float32, has lost digits."""
_REACH = 256.0
"""Logits over which exp neither overflows nor vanishes in float64."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How fast a class's probability falls as the cells that a map shows as hottest are removed.

    Patch flipping: Samek et al. 2017, doi:10.1109/TNNLS.2016.2599820; for multiple instance
    learning, Hense et al. 2024 (xMIL), arXiv:2406.04280. A map is the more faithful the faster
    the probability of its class falls, so the lower its AUPC; a random order is what it must beat.

    Attributes
    ----------
    class_name : str
        The class whose probability is followed.
    removed : (m,) float64, in [0, 1]
        Shares of the cells that may be removed, all but one; m is at most 101.
    curves : mapping of map → (m,) float64, in [0, 1]
        Probability of the class at these shares; the maps are contribution, attention, score and
        random, the mean of ``RANDOM_ORDERS`` orders.
    aupc : mapping of map → float, in [0, 1]
        Area under each map's curve, of all its points.
    """

    class_name: str
    removed: np.ndarray
    curves: Mapping[str, np.ndarray]
    aupc: Mapping[str, float]

    def record(self) -> dict[str, Any]:
        """Return all of it but the class as plain JSON values, with six digits."""
        return {
            "aupc": {name: round(area, 6) for name, area in self.aupc.items()},
            "removed": self.removed.round(6).tolist(),
            "curves": {name: curve.round(6).tolist() for name, curve in self.curves.items()},
        }


def unexplained(heatmaps: HeatmapSet) -> str:
    """Return why nothing can be said of a slide without some of its cells; empty if it can."""
    if heatmaps.contributions is None:
        return "the model's head is not affine"
    tissue = heatmaps.tissue
    if not tissue.any():
        return "the slide has no tissue"
    numbers = (heatmaps.attention[tissue], heatmaps.contributions[:, tissue])
    if not all(np.isfinite(each).all() for each in numbers):
        return "some cells have no finite attention or contribution"
    return ""


def evidence(heatmaps: HeatmapSet, class_name: str) -> np.ndarray | None:
    """Return how much each cell speaks for a class: its contribution, centred over the classes.

    The softmax does not see a number that all classes share, so only aᵢ (sᵢ of the class less the
    mean of sᵢ over all classes) moves the class's probability. Of a model of one class it is the
    plain contribution.

    Returns
    -------
    (rows, cols) float32, logits; or None
        Above zero where a cell speaks for the class, below zero where against it; NaN where no
        tissue is; None where the model's head is not affine.
    """
    if heatmaps.contributions is None:
        return None
    own = heatmaps.contributions[heatmaps.classes.index(class_name)]
    if len(heatmaps.classes) == 1:
        return own
    return own - heatmaps.contributions.mean(axis=0, dtype=np.float64).astype(np.float32)


def leave_one_out(heatmaps: HeatmapSet) -> np.ndarray | None:
    """Return by how much each class's probability falls if a cell is taken from the slide.

    With L the slide's logits, those without cell i are (L − aᵢ sᵢ) / (1 − aᵢ). The fall is
    softmax(L) − softmax(those): above zero where the cell speaks for the class.

    Returns
    -------
    (classes, rows, cols) float32, in [-1, 1]; or None
        NaN where no tissue is and of a slide's only cell, without which nothing is left; None
        where the model's head is not affine.
    """
    if heatmaps.contributions is None:
        return None
    fall = np.full(heatmaps.contributions.shape, np.nan, np.float32)
    if unexplained(heatmaps) or heatmaps.tissue_cells == 1:
        return fall
    cells = _Cells.of(heatmaps)
    shared = cells.contributions.sum(axis=1, keepdims=True)
    # One cell at most has more than half of the attention. Of it the differences would be of
    # nearly equal numbers, so what is left is summed anew.
    most = cells.shares > 0.5
    without = (shared - cells.contributions) / np.where(most, 1.0, 1.0 - cells.shares)
    if most.any():
        left = _running_means(cells.attention[~most], cells.logits[:, ~most])[:, -1:]
        without[:, most] = left
    fall[:, heatmaps.tissue] = _softmax(shared) - _softmax(without)
    return fall


def flipping_curve(
    order: np.ndarray,
    heatmaps: HeatmapSet,
    class_name: str,
    parts: Sequence[HeatmapSet] = (),
) -> np.ndarray:
    """Return a class's probability while cells are removed, the hottest of a map first.

    Parameters
    ----------
    order : (rows, cols) float
        The map; of equal cells the first in reading order goes first.
    parts : sequence of HeatmapSet
        If ``heatmaps`` is the mean of several models: what each of them says, with the classes in
        the same order. The curve is then the mean of theirs.

    Returns
    -------
    (n,) float64, in [0, 1]
        Without the k hottest of n cells, k = 0 .. n − 1.

    Raises
    ------
    ValueError
        If nothing can be said of the slide; see `unexplained`.
    """
    reason = unexplained(heatmaps)
    if reason:
        raise ValueError(f"{heatmaps.slide_name}: {reason}")
    models = [_Cells.of(each) for each in parts or (heatmaps,)]
    index = heatmaps.classes.index(class_name)
    return _mean_curves(models, [_hottest_first(order, heatmaps)], [index])[0]


def aupc(curve: np.ndarray) -> float:
    """Return the area under a perturbation curve over the share of the cells removed.

    By trapezoids, of all cells but the last: 1 for a probability that stays 1.

    >>> aupc(np.array([1.0, 0.5, 0.0]))
    0.5
    """
    if len(curve) == 1:
        return float(curve[0])
    return float((curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


def faithfulness(heatmaps: HeatmapSet, class_name: str) -> Faithfulness | None:
    """Return how faithful the maps of a class are, or None where nothing can be said.

    The random orders are the same for every class and every call.
    """
    return next(iter(faithfulness_of(heatmaps, [class_name])), None)


def faithfulness_of(
    heatmaps: HeatmapSet, class_names: Sequence[str], parts: Sequence[HeatmapSet] = ()
) -> tuple[Faithfulness, ...]:
    """Return how faithful the maps of some classes are; empty where nothing can be said.

    Parameters
    ----------
    parts : sequence of HeatmapSet
        If ``heatmaps`` is the mean of several models: what each of them says, with the classes in
        the same order. Cells are removed in the order of the means, and each curve is the mean of
        the models' own, which is exact.
    """
    contributions = heatmaps.contributions
    if unexplained(heatmaps) or contributions is None:
        return ()
    models = [_Cells.of(each) for each in parts or (heatmaps,)]
    indices = [heatmaps.classes.index(name) for name in class_names]
    rng, n_cells = np.random.default_rng(_SEED), heatmaps.tissue_cells
    attention = _mean_curves(models, [_hottest_first(heatmaps.attention, heatmaps)], indices)
    by_chance = [rng.permutation(n_cells) for _ in range(RANDOM_ORDERS)]
    random = _mean_curves(models, by_chance, indices)
    found = []
    for place, index in enumerate(indices):
        own = [
            _mean_curves(models, [_hottest_first(each, heatmaps)], [index])[0]
            for each in (contributions[index], heatmaps.scores[index])
        ]
        curves = {
            "contribution": own[0],
            "attention": attention[place],
            "score": own[1],
            "random": random[place],
        }
        found.append(_faithfulness(class_names[place], curves))
    return tuple(found)


def _faithfulness(class_name: str, curves: Mapping[str, np.ndarray]) -> Faithfulness:
    """Return what is kept of the (n,) curves of a class."""
    n_cells = len(curves["random"])
    points = np.unique(np.rint(np.linspace(0, n_cells - 1, _KEPT_POINTS)).astype(int))
    return Faithfulness(
        class_name=class_name,
        removed=points / max(1, n_cells - 1),
        curves={name: curve[points] for name, curve in curves.items()},
        aupc={name: aupc(curve) for name, curve in curves.items()},
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """The tissue cells of a slide, in float64.

    Attributes
    ----------
    attention, shares : (n,) float64
        Logits, and their softmax.
    contributions, logits : (classes, n) float64
        Shares of the slide's logits, and the logits of the cells alone; of a cell, the latter may
        be off by a number that all classes have in common.
    """

    attention: np.ndarray
    shares: np.ndarray
    contributions: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, heatmaps: HeatmapSet) -> _Cells:
        """Return the cells of a slide of which something can be said.

        Raises
        ------
        ValueError
            If the maps are means of several models, which do not say what each of those gives
            without some cells.
        """
        contributions, tissue = heatmaps.contributions, heatmaps.tissue
        if heatmaps.members or contributions is None:
            raise ValueError(f"{heatmaps.slide_name}: these maps are not those of an affine model")
        attention = heatmaps.attention[tissue].astype(np.float64)
        contributions = contributions[:, tissue].astype(np.float64)
        shares = _softmax(attention)
        # What is too small for a contribution is told by the scores: they are the softmax of the
        # logits, and a number that all classes share changes no probability of the slide.
        told = shares > _LEAST_SHARE
        least = float(np.finfo(np.float32).tiny)
        scores = np.maximum(heatmaps.scores[:, tissue].astype(np.float64), least)
        logits = np.where(told, contributions / np.where(told, shares, 1.0), np.log(scores))
        return cls(attention, shares, contributions, logits)

    def curves(self, order: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Return some classes' (len(indices), n) probabilities while cells are removed in order."""
        last_first = order[::-1]
        means = _running_means(self.attention[last_first], self.logits[:, last_first])
        return _softmax(means)[indices, ::-1]


def _mean_curves(
    models: Sequence[_Cells], orders: Sequence[np.ndarray], indices: Sequence[int]
) -> np.ndarray:
    """Return some classes' (len(indices), n) probabilities, the mean over models and orders."""
    mean = np.zeros((len(indices), len(orders[0])))
    for order in orders:
        of_models = sum(model.curves(order, indices) for model in models)
        mean += of_models / len(models) / len(orders)
    return mean


def _hottest_first(order: np.ndarray, heatmaps: HeatmapSet) -> np.ndarray:
    """Return the (n,) indices of the tissue cells, those with the highest values first."""
    return np.argsort(-order[heatmaps.tissue].astype(np.float64), kind="stable")


def _running_means(attention: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the attention-weighted means of the first 1, 2 .. n cells' logits: (classes, n).

    Cells are added, never taken away, so that nothing is lost where most of the attention is gone;
    weights are relative to the largest attention so far, to within ``_REACH``, so that none of
    those that count vanishes whatever comes later.
    """
    level = np.floor(np.maximum.accumulate(attention) / _REACH)
    starts = np.flatnonzero(np.diff(level, prepend=np.nan) != 0)
    sums = np.empty((len(logits) + 1, len(attention)))
    carried, before = np.zeros((len(sums), 1)), level[0]
    for start, stop in pairwise([*starts.tolist(), len(attention)]):
        weights = np.exp(attention[start:stop] - level[start] * _REACH)
        part = sums[:, start:stop]
        part[0] = weights
        part[1:] = weights * logits[:, start:stop]
        np.cumsum(part, axis=1, out=part)
        part += carried * np.exp((before - level[start]) * _REACH)
        carried, before = part[:, -1:].copy(), level[start]
    return sums[1:] / sums[0]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)
