"""Perturbation curves: how a class's probability falls as a map's hottest cells are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.maps.numbers import probability

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RANDOM_ORDERS = 10
"""Orders that the random baseline is the mean of, at most."""
LITTLE_TO_LOSE: Final = 0.05
"""Below this probability of a class, its fall cannot show whether a map is faithful."""
_LEAST_GAIN = 1e-9
_LEAST_VISIBLE: Final = 0.005
"""Least change of a probability that can be seen in a plot from 0 to 1."""
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
        """Return all of it but the class as plain JSON values, with six significant digits."""
        return {
            "aupc": {name: _six_digits(area) for name, area in self.aupc.items()},
            "removed": self.removed.round(6).tolist(),
            "curves": {
                name: [_six_digits(value) for value in curve.tolist()]
                for name, curve in self.curves.items()
            },
            "random_orders": self.random_orders,
        }

    @classmethod
    def of_record(cls, class_name: str, record: Mapping[str, Any]) -> Faithfulness:
        """Return the Faithfulness of a `record`; KeyError, TypeError or ValueError if none."""
        return cls(
            class_name=str(class_name),
            removed=np.array(record["removed"], np.float64),
            curves={str(k): np.array(curve, np.float64) for k, curve in record["curves"].items()},
            aupc={str(name): float(area) for name, area in record["aupc"].items()},
            # Records of earlier versions lack it.
            random_orders=int(record.get("random_orders", RANDOM_ORDERS)),
        )

    @property
    def beaten_by_chance(self) -> tuple[str, ...]:
        """The maps that do not beat a random order, and so explain nothing of the class."""
        return beaten_by_chance(self.aupc)


def beaten_by_chance(areas: Mapping[str, float]) -> tuple[str, ...]:
    """Return the maps whose area is no less than that of a random order, by {map: AUPC}.

    Without an area of "random" there is nothing to compare with, so the tuple is empty.
    """
    if "random" not in areas:
        return ()
    chance = areas["random"]
    # Equal curves, as of a constant prediction, differ in their last digits.
    bound = chance - _LEAST_GAIN * max(1.0, abs(chance))
    return tuple(name for name, area in areas.items() if name != "random" and area >= bound)


def has_much_to_lose(probabilities: Mapping[str, float], class_name: str) -> bool:
    """Return whether the fall of a class's probability can show whether a map is faithful.

    Parameters
    ----------
    probabilities : mapping of class → probability
        The slide's; empty for values and risks, which may fall from anywhere.
    """
    return probabilities.get(class_name, 1.0) >= LITTLE_TO_LOSE


def nothing_to_measure(curves: Faithfulness, maps: Sequence[str]) -> str:
    """Return why the curves of some maps show nothing, in a sentence; "" if they show something.

    Parameters
    ----------
    curves : Faithfulness
        Of a probability.
    maps : sequence of str
        The maps whose curves are drawn.
    """
    values = np.concatenate([curves.curves[name] for name in maps])
    start = float(curves.curves[maps[0]][0])
    if float(np.ptp(values)) >= _LEAST_VISIBLE:
        return ""
    name, text = curves.class_name, probability(start)
    if start < LITTLE_TO_LOSE:
        return f"nothing to measure: {name} has a probability of {text}, too little to lose"
    return f"nothing to measure: the probability of {name} stays at {text}, whatever is removed"


def random_orders_of(curves: Sequence[Faithfulness]) -> int:
    """Return the number of random orders that the curves of a slide were compared with."""
    return min((own.random_orders for own in curves), default=RANDOM_ORDERS)


def _six_digits(value: float) -> float:
    """Return a number with six significant digits: small probabilities do not become 0."""
    return float(f"{value:.6g}")


def explaining_kind(areas: Mapping[str, float]) -> str:
    """Return the kind of map that explains a prediction: contributions, else leave-one-out."""
    return next(kind for kind in ("contribution", "leave-one-out", *areas) if kind in areas)


def explains(
    areas: Mapping[str, float],
    probabilities: Mapping[str, float],
    class_name: str,
    *,
    can_fall: bool,
) -> bool | None:
    """Return whether the map that explains a prediction beats a random order.

    None if that is not known, or nothing can show it: there is too little to lose.

    Parameters
    ----------
    areas : mapping of map → AUPC
        Empty if they are unknown.
    probabilities : mapping of class → probability
        As in `has_much_to_lose`.
    can_fall : bool
        Whether the prediction can fall at all: see `Target.can_fall`.
    """
    if not areas or not can_fall or not has_much_to_lose(probabilities, class_name):
        return None
    return explaining_kind(areas) not in beaten_by_chance(areas)


def aupc(curve: np.ndarray) -> float:
    """Return the area under a perturbation curve over the share of the cells removed.

    By trapezoids, of all cells but the last: 1 for a probability that stays 1.

    >>> aupc(np.array([1.0, 0.5, 0.0]))
    0.5
    """
    if len(curve) == 1:
        return float(curve[0])
    return float((curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


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
