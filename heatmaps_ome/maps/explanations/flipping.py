"""How faithful maps of tiles are: the prediction while a slide's hottest tiles are removed.

Exact and complete for models that average their tiles' logits; at some points, by forward passes,
for all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.maps.curves import RANDOM_ORDERS, Faithfulness, of_whole_curves
from heatmaps_ome.maps.explanations.forwards import Forwards, most_passes
from heatmaps_ome.maps.explanations.pooled import Pooled, read_pooled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.maps.explanations.explanation import Explanation
    from heatmaps_ome.models.protocol import MilModel

RANDOM: Final = "random"
MOST_POINTS: Final = 51
"""Points of a curve by forward passes: one for each fiftieth of the tiles."""
LEAST_POINTS: Final = 6
LEAST_ORDERS: Final = 3
"""Random orders that any slide gets."""
_SEED = 0


def flipping(
    model: MilModel,
    bag: Bag,
    output_index: int,
    maps: Mapping[str, np.ndarray],
    explanation: Explanation | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Faithfulness:
    """Return how fast one output's prediction falls as the tiles hottest in each map are removed.

    For the parameters see `flippings`.
    """
    [result] = flippings(model, bag, {output_index: maps}, explanation, progress)
    return result


def flippings(
    model: MilModel,
    bag: Bag,
    maps: Mapping[int, Mapping[str, np.ndarray]],
    explanation: Explanation | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Faithfulness, ...]:
    """Return how faithful the maps of some outputs are; the random orders are the same for all.

    Parameters
    ----------
    maps : mapping of output's index → mapping of name → (n,) float
        Tiles are removed from the highest value to the lowest; among equal ones the first goes
        first, and tiles that are NaN go last.
    explanation : Explanation, optional
        The bag's own, whose tile logits and attention a model that pools needs.

    Returns
    -------
    tuple of Faithfulness
        For each output, with a curve for each of its maps and one called random: of probabilities
        for classes, else of the value or risk in its unit. Areas are means over the share of tiles
        removed, in the same unit; those of values compare with random alone.
    """
    forwards = Forwards(model, bag)
    orders = {
        index: {name: hottest_first(values) for name, values in by_name.items()}
        for index, by_name in maps.items()
    }
    if model.additivity == "pooled":
        return _exact(_pooled_tiles(forwards, explanation), forwards, orders)
    return _by_forwards(forwards, orders, progress)


def beats_random(result: Faithfulness) -> dict[str, bool]:
    """Return for each map whether the prediction falls faster than in random order."""
    beaten = result.beaten_by_chance
    return {name: name not in beaten for name in result.aupc if name != RANDOM}


def hottest_first(values: np.ndarray) -> np.ndarray:
    """Return the (n,) indices of tiles by falling value; NaN last.

    >>> hottest_first(np.array([1.0, np.nan, 3.0, 3.0])).tolist()
    [2, 3, 0, 1]
    """
    return np.argsort(-values.astype(np.float64), kind="stable")


def _random_orders(n_tiles: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(_SEED)
    return [rng.permutation(n_tiles) for _ in range(count)]


def _pooled_tiles(forwards: Forwards, explanation: Explanation | None) -> Pooled:
    """Return the tiles of a model that pools, from its explanation if that has them."""
    if explanation is not None and explanation.tile_logits is not None:
        return Pooled.of(explanation.attention, explanation.tile_logits)
    return Pooled.of(*read_pooled(forwards, lambda *_: None))


def _exact(
    tiles: Pooled, forwards: Forwards, orders: Mapping[int, Mapping[str, np.ndarray]]
) -> tuple[Faithfulness, ...]:
    """Return complete curves, in closed form."""
    target = forwards.model.target
    chance = np.zeros(tiles.logits.shape)
    for order in _random_orders(forwards.n_tiles, RANDOM_ORDERS):
        chance += target.predictions(tiles.curves(order)) / RANDOM_ORDERS
    results = []
    for index, by_name in orders.items():
        curves = {
            name: target.predictions(tiles.curves(order))[index] for name, order in by_name.items()
        }
        curves[RANDOM] = chance[index]
        results.append(of_whole_curves(target.outputs[index], curves))
    return tuple(results)


def _by_forwards(
    forwards: Forwards,
    orders: Mapping[int, Mapping[str, np.ndarray]],
    progress: Callable[[int, int], None],
) -> tuple[Faithfulness, ...]:
    """Return curves at some points, each by a forward pass without the tiles removed."""
    target, n_tiles = forwards.model.target, forwards.n_tiles
    # A map that several outputs share, as attention, has one curve.
    distinct = {order.tobytes(): order for own in orders.values() for order in own.values()}
    n_orders, n_points = _affordable(n_tiles, len(distinct))
    by_chance = _random_orders(n_tiles, n_orders)
    points = np.unique(np.rint(np.linspace(0, n_tiles - 1, n_points)).astype(int))
    curves = _curves(forwards, [*distinct.values(), *by_chance], points, progress)
    of_order = dict(zip(distinct, curves[: len(distinct)], strict=True))
    chance = np.mean(curves[len(distinct) :], axis=0)
    removed = points / max(1, n_tiles - 1)
    results = []
    for index, by_name in orders.items():
        own = {name: of_order[order.tobytes()][index] for name, order in by_name.items()}
        own[RANDOM] = chance[index]
        results.append(
            Faithfulness(
                class_name=target.outputs[index],
                removed=removed,
                curves=own,
                aupc={name: _area(curve, removed) for name, curve in own.items()},
                random_orders=n_orders,
            )
        )
    return tuple(results)


def _affordable(n_tiles: int, n_maps: int) -> tuple[int, int]:
    """Return how many random orders and points the bound on tiles allows.

    Half of the tiles are there on average. Orders are saved first, then points.
    """
    passes = most_passes(max(1, n_tiles // 2))
    n_orders = max(LEAST_ORDERS, min(RANDOM_ORDERS, passes // MOST_POINTS - n_maps))
    n_points = max(LEAST_POINTS, min(MOST_POINTS, passes // (n_maps + n_orders)))
    return n_orders, n_points


def _curves(
    forwards: Forwards,
    orders: Sequence[np.ndarray],
    points: np.ndarray,
    progress: Callable[[int, int], None],
) -> list[np.ndarray]:
    """Return the (C, points) predictions of each order, without that many of its first tiles."""
    logits = np.empty((len(points), len(forwards.model.target.outputs), len(orders)))
    logits[0] = forwards.logits()[:, None]
    for done, removed in enumerate(points[1:], start=1):
        # The model sees the remaining tiles in the order of the bag.
        logits[done] = forwards.logits_of([np.sort(order[removed:]) for order in orders])
        progress(done, len(points) - 1)
    by_order = forwards.model.target.predictions(logits.transpose(1, 2, 0))
    return [by_order[:, number] for number in range(len(orders))]


def _area(curve: np.ndarray, removed: np.ndarray) -> float:
    """Return the area under a curve over the share of tiles removed, by trapezoids."""
    from scipy.integrate import trapezoid

    return float(curve[0] if len(curve) == 1 else trapezoid(curve, removed))
