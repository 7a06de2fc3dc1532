"""How faithful maps are: how fast a class's probability falls as their hottest cells are removed.

Exact, and without a network: see `formulas`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.formulas import Cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

RANDOM_ORDERS = 10
"""Orders that the random baseline is the mean of."""
_SEED = 0
_LEAST_GAIN = 1e-9
_STORED_POINTS = 101
"""Points of a curve that are stored and drawn: one per hundredth of the cells."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How fast a class's probability falls as the cells that a map shows as hottest are removed.

    Patch flipping: Samek et al. 2017, doi:10.1109/TNNLS.2016.2599820; for multiple instance
    learning, Hense et al. 2024 (xMIL), arXiv:2406.04280. A map is the more faithful the faster
    the probability of its class falls, so the lower its AUPC; it must beat a random order.

    Attributes
    ----------
    class_name : str
        The class whose probability is followed, or the value or risk that is.
    removed : (m,) float64, in [0, 1]
        Shares of the cells that may be removed, all but one; m is at most 101.
    curves : mapping of map → (m,) float64
        Probability of the class at these shares, in [0, 1], or the value or risk in its unit; the
        maps are contribution, attention, score, …, and random, the mean of some random orders.
    aupc : mapping of map → float
        Area under each map's curve, of all its points.
    random_orders : int
        The number of random orders.
    """

    class_name: str
    removed: np.ndarray
    curves: Mapping[str, np.ndarray]
    aupc: Mapping[str, float]
    random_orders: int = RANDOM_ORDERS

    def record(self) -> dict[str, Any]:
        """Return all of it but the class as plain JSON values, with six digits."""
        return {
            "aupc": {name: round(area, 6) for name, area in self.aupc.items()},
            "removed": self.removed.round(6).tolist(),
            "curves": {name: curve.round(6).tolist() for name, curve in self.curves.items()},
        }

    @classmethod
    def of_record(cls, class_name: str, record: Mapping[str, Any]) -> Faithfulness:
        """Return the Faithfulness of a `record`; KeyError, TypeError or ValueError if none."""
        return cls(
            class_name=str(class_name),
            removed=np.array(record["removed"], np.float64),
            curves={str(k): np.array(curve, np.float64) for k, curve in record["curves"].items()},
            aupc={str(name): float(area) for name, area in record["aupc"].items()},
        )

    @property
    def beaten_by_chance(self) -> tuple[str, ...]:
        """The maps that do not beat a random order, and so explain nothing of the class."""
        chance = self.aupc["random"]
        # Equal curves, as of a constant prediction, differ in their last digits.
        bound = chance - _LEAST_GAIN * max(1.0, abs(chance))
        return tuple(name for name, area in self.aupc.items() if name != "random" and area >= bound)


def explaining_kind(curves: Faithfulness) -> str:
    """Return the kind of map that explains a prediction: contributions, else leave-one-out."""
    return next(
        kind for kind in ("contribution", "leave-one-out", *curves.aupc) if kind in curves.aupc
    )


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
        The map; among equal cells the first in reading order goes first.
    parts : sequence of HeatmapSet
        If ``heatmaps`` is the mean of several models: the maps of each of them, with the classes
        in the same order. The curve is then the mean of theirs.

    Returns
    -------
    (n,) float64, in [0, 1]
        Without the k hottest of n cells, k = 0 .. n − 1.

    Raises
    ------
    ValueError
        If no such curve is defined for the slide; see `undefined_reason`.
    """
    reason = undefined_reason(heatmaps)
    if reason:
        raise ValueError(f"{heatmaps.slide_name}: {reason}")
    models = [_cells(part) for part in parts or (heatmaps,)]
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
    """Return how faithful the maps of a class are, or None where that is undefined.

    The random orders are the same for every class and every call.
    """
    return next(iter(faithfulness_of(heatmaps, [class_name])), None)


def faithfulness_of(
    heatmaps: HeatmapSet, class_names: Sequence[str], parts: Sequence[HeatmapSet] = ()
) -> tuple[Faithfulness, ...]:
    """Return how faithful the maps of some classes are; empty where that is undefined.

    Parameters
    ----------
    parts : sequence of HeatmapSet
        If ``heatmaps`` is the mean of several models: the maps of each of them, with the classes
        in the same order. Cells are removed in the order of the means, and each curve is the mean
        of the models' own, which is exact.
    """
    if heatmaps.aim is not None:
        return _computed_curves(parts or (heatmaps,), class_names)
    contributions = heatmaps.contributions
    if undefined_reason(heatmaps) or contributions is None:
        return ()
    models = [_cells(part) for part in parts or (heatmaps,)]
    indices = [heatmaps.classes.index(name) for name in class_names]
    rng, n_cells = np.random.default_rng(_SEED), heatmaps.tissue_cells
    attention = _mean_curves(models, [_hottest_first(heatmaps.attention, heatmaps)], indices)
    by_chance = [rng.permutation(n_cells) for _ in range(RANDOM_ORDERS)]
    random = _mean_curves(models, by_chance, indices)
    results = []
    for place, index in enumerate(indices):
        own = [
            _mean_curves(models, [_hottest_first(map_, heatmaps)], [index])[0]
            for map_ in (contributions[index], heatmaps.scores[index])
        ]
        curves = {
            "contribution": own[0],
            "attention": attention[place],
            "score": own[1],
            "random": random[place],
        }
        results.append(of_whole_curves(class_names[place], curves))
    return tuple(results)


def _computed_curves(
    parts: Sequence[HeatmapSet], class_names: Sequence[str]
) -> tuple[Faithfulness, ...]:
    """Return the curves that were computed with the models, the means over several of them."""
    results = []
    for name in class_names:
        own = [curves for part in parts for curves in part.curves if curves.class_name == name]
        if not own or len(own) < len(parts):
            continue
        maps = set.intersection(*(set(curves.aupc) for curves in own))
        in_order = [kind for kind in own[0].aupc if kind in maps]
        results.append(
            Faithfulness(
                class_name=name,
                removed=own[0].removed,
                curves={k: np.mean([c.curves[k] for c in own], axis=0) for k in in_order},
                aupc={k: float(np.mean([c.aupc[k] for c in own])) for k in in_order},
            )
        )
    return tuple(results)


def of_whole_curves(class_name: str, curves: Mapping[str, np.ndarray]) -> Faithfulness:
    """Return the faithfulness of maps whose (n,) curves have all cells, and keep few points."""
    n_cells = len(curves["random"])
    points = np.unique(np.rint(np.linspace(0, n_cells - 1, _STORED_POINTS)).astype(int))
    return Faithfulness(
        class_name=class_name,
        removed=points / max(1, n_cells - 1),
        curves={name: curve[points] for name, curve in curves.items()},
        aupc={name: aupc(curve) for name, curve in curves.items()},
    )


def _cells(heatmaps: HeatmapSet) -> Cells:
    """Return the cells of a slide whose predictions without some of them are defined.

    Raises
    ------
    ValueError
        If the maps are means of several models, which do not determine the prediction of any of
        those without some cells.
    """
    contributions = heatmaps.contributions
    if heatmaps.members or contributions is None:
        raise ValueError(f"{heatmaps.slide_name}: these maps are not those of an affine model")
    return Cells.of(heatmaps.tissue, heatmaps.attention, heatmaps.scores, contributions)


def _mean_curves(
    models: Sequence[Cells], orders: Sequence[np.ndarray], indices: Sequence[int]
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
