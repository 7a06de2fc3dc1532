"""Two predictions of a slide side by side: differences, classes that flip, and the ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.target import Target

_HALF = 0.5
"""Probability of an output of its own from which it is a yes."""


@dataclass(frozen=True)
class Predictions:
    """The predictions of A and B.

    Attributes
    ----------
    a, b : mapping of output → float
        Probabilities, values or risks; empty where maps were given.
    classes : tuple of two (tuple of str, or None)
        The classes that A and B predict: one of several, or every output with a yes; None where
        values or risks are predicted, or nothing.
    label : str or None
        Ground truth.
    """

    a: Mapping[str, float]
    b: Mapping[str, float]
    classes: tuple[tuple[str, ...] | None, tuple[str, ...] | None]
    label: str | None

    @property
    def flips(self) -> bool | None:
        """Whether A and B predict other classes; None where either predicts none."""
        first, second = self.classes
        return None if first is None or second is None else set(first) != set(second)

    @property
    def right(self) -> tuple[bool | None, bool | None]:
        """Whether A's, and B's, prediction is the ground truth; None where that is unknown."""
        return self._is_right(0, self.a), self._is_right(1, self.b)

    def _is_right(self, side: int, prediction: Mapping[str, float]) -> bool | None:
        """Return whether a side's prediction is the ground truth."""
        classes = self.classes[side]
        if self.label not in prediction or classes is None or len(prediction) < 2:
            return None
        return classes == (self.label,)

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        outputs = [*self.a, *(name for name in self.b if name not in self.a)]
        return {
            "outputs": [
                {
                    "output": name,
                    "a": _number(self.a.get(name)),
                    "b": _number(self.b.get(name)),
                    "difference": _difference(self.a.get(name), self.b.get(name)),
                }
                for name in outputs
            ],
            "predicted_a": None if self.classes[0] is None else list(self.classes[0]),
            "predicted_b": None if self.classes[1] is None else list(self.classes[1]),
            "probabilities": any(classes is not None for classes in self.classes),
            "flips": self.flips,
            "label": self.label,
            "right_a": self.right[0],
            "right_b": self.right[1],
        }


def predicted_classes(prediction: Mapping[str, float], target: Target) -> tuple[str, ...] | None:
    """Return the classes that a prediction decides for; None if it is of no classes, or unknown."""
    known = {name: value for name, value in prediction.items() if math.isfinite(value)}
    if not known or not target.has_classes:
        return None
    if target.link == "softmax":
        return (max(known, key=lambda name: known[name]),)
    return tuple(name for name, value in known.items() if value >= _HALF)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _difference(a: float | None, b: float | None) -> float | None:
    """Return B − A, or None if either is unknown."""
    first, second = _number(a), _number(b)
    return None if first is None or second is None else second - first
