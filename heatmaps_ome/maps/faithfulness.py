"""How faithful maps are: how fast a class's probability falls as their hottest cells are removed.

Exact, and without a network: see `formulas`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps.curves import (
    RANDOM_ORDERS,
    Faithfulness,
    of_whole_curves,
    random_orders_of,
)
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.formulas import Cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

_SEED = 0


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
    attention, scores, contributions = _pooled_maps(heatmaps)
    if undefined_reason(heatmaps) or attention is None or scores is None or contributions is None:
        return ()
    models = [_cells(part) for part in parts or (heatmaps,)]
    indices = [heatmaps.classes.index(name) for name in class_names]
    rng, n_cells = np.random.default_rng(_SEED), heatmaps.tissue_cells
    by_attention = _mean_curves(models, [_hottest_first(attention, heatmaps)], indices)
    by_chance = [rng.permutation(n_cells) for _ in range(RANDOM_ORDERS)]
    random = _mean_curves(models, by_chance, indices)
    results = []
    for place, index in enumerate(indices):
        own = [
            _mean_curves(models, [_hottest_first(map_, heatmaps)], [index])[0]
            for map_ in (contributions[index], scores[index])
        ]
        curves = {
            "contribution": own[0],
            "attention": by_attention[place],
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
                random_orders=random_orders_of(own),
            )
        )
    return tuple(results)


def _cells(heatmaps: HeatmapSet) -> Cells:
    """Return the cells of a slide whose predictions without some of them are defined.

    Raises
    ------
    ValueError
        If the maps are means of several models, which do not determine the prediction of any of
        those without some cells.
    """
    attention, scores, contributions = _pooled_maps(heatmaps)
    if heatmaps.members or attention is None or scores is None or contributions is None:
        raise ValueError(f"{heatmaps.slide_name}: these maps are not those of an affine model")
    return Cells.of(heatmaps.tissue, attention, scores, contributions)


def _pooled_maps(heatmaps: HeatmapSet) -> tuple[np.ndarray | None, ...]:
    """Return attention, scores and contributions."""
    return heatmaps.attention, heatmaps.scores, heatmaps.contributions


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
