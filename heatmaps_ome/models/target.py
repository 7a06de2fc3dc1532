"""What a model predicts: classes, a value or a risk; its unit, its middle, and its probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from heatmaps_ome.models.covariates import require_labels
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

Task = Literal["classification", "multilabel", "regression", "survival", "none"]
"""classification: one class of several, or yes and no where there is one output; multilabel: yes
and no for each output; regression: a value; survival: a risk; none: maps were given, and no model
predicted anything."""
TASKS: Final[tuple[Task, ...]] = tuple(task for task in get_args(Task) if task != "none")
"""The tasks of models."""
Link = Literal["softmax", "sigmoid", "identity"]
MOST_OUTPUTS: Final = 1000


@dataclass(frozen=True)
class Target:
    """What the outputs of a model stand for.

    Attributes
    ----------
    task : Task
    outputs : tuple of str
        Name of each output: the classes, or the one value or risk.
    link : "softmax", "sigmoid" or "identity"
        Makes predictions of logits, over all outputs or one by one. Values that were scaled to
        [0, 1] for the training may have the sigmoid, too.
    label : str or None
        The column of the clinical table that the model was trained to predict.
    unit : str
        Of a value or risk; "" where it is not known.
    numbered : bool
        Whether the outputs are called by their numbers, as nobody has named them.
    middle : float or None
        Of values or risks: the median that the training's own slides have; None where it is not
        known.

    Raises
    ------
    Unusable
        If their number, link or middle do not fit the task; names are checked where they are read.
    """

    task: Task
    outputs: tuple[str, ...]
    link: Link
    label: str | None = None
    unit: str = ""
    numbered: bool = False
    middle: float | None = None

    def __post_init__(self) -> None:
        least = 0 if self.task == "none" else 1
        if not least <= len(self.outputs) <= MOST_OUTPUTS:
            raise Unusable(
                f"has {len(self.outputs)} outputs where 1 to {MOST_OUTPUTS} are expected"
            )
        if self.link not in (
            ("softmax", "sigmoid") if self.has_classes else ("identity", "sigmoid")
        ):
            raise Unusable(f"has a {self.task} target with the link {self.link}")
        if self.middle is not None and (self.has_classes or not math.isfinite(self.middle)):
            raise Unusable(f"has a {self.task} target with the middle {self.middle}")

    @classmethod
    def of_task(
        cls, task: Task, names: tuple[str, ...], n_outputs: int, label: str | None = None
    ) -> Target:
        """Return the usual target of a task; without names, outputs are called by their numbers.

        Raises
        ------
        Unusable
            If there are names, but not one for each output, or none that can be shown; or if values
            or risks are several.
        """
        _require_names(names, label)
        if names and len(names) != n_outputs:
            raise Unusable(
                f"has {n_outputs} {'output' if n_outputs == 1 else 'outputs'}, and {len(names)} "
                f"names were given: {', '.join(names)}; "
                "give one for each output with --class-names"
            )
        if task in ("regression", "survival"):
            if n_outputs != 1:
                raise Unusable(
                    f"has {n_outputs} outputs, and a model of {task} has a single one; leave out "
                    "--task"
                )
            usual = label or ("value" if task == "regression" else "risk")
            return cls(task, names or (usual,), "identity", label)
        numbers = tuple(map(str, range(n_outputs)))
        several = n_outputs > 1 and task == "classification"
        return cls(task, names or numbers, "softmax" if several else "sigmoid", label,
                   numbered=not names)  # fmt: skip

    @property
    def has_classes(self) -> bool:
        """Whether the outputs are classes, which have probabilities."""
        return self.task in ("classification", "multilabel")

    @property
    def is_given(self) -> bool:
        """Whether maps were given, and no model predicted anything."""
        return self.task == "none"

    @property
    def can_fall(self) -> bool:
        """Whether a prediction can fall at all: the softmax of one class is always 1."""
        return self.link != "softmax" or len(self.outputs) > 1

    @property
    def quantity(self) -> str:
        """The predicted quantity of an output, with a place for its name."""
        if self.has_classes:
            return "probability of {name}"
        return "risk (log hazard)" if self.task == "survival" else "{name}"

    def predictions(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions of logits, (outputs, …) float64 each; NaN stays NaN.

        Probabilities in [0, 1] for classes; the values or risks themselves otherwise.
        """
        logits = np.asarray(logits, np.float64)
        if self.link == "identity":
            return logits
        if self.link == "sigmoid":
            # Without overflow: each half is computed where it is small.
            small = np.exp(-np.abs(logits))
            return np.where(logits >= 0, 1.0, small) / (1.0 + small)
        powers = np.exp(logits - logits.max(axis=0))
        return powers / powers.sum(axis=0)

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return {
            "task": self.task,
            "outputs": list(self.outputs),
            "link": self.link,
            "label": self.label,
            "unit": self.unit,
            "numbered": self.numbered,
            "middle": self.middle,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Target:
        """Return the target of a `record`; KeyError, TypeError or Unusable if it is none."""
        task, link = record["task"], record["link"]
        middle = record.get("middle")
        is_number = middle is None or type(middle) in (int, float)
        if task not in get_args(Task) or link not in get_args(Link) or not is_number:
            raise Unusable("is damaged: its description of the target is not one")
        outputs = tuple(map(str, record["outputs"]))
        label = None if record.get("label") is None else str(record["label"])
        _require_names(outputs, label)
        return cls(
            task=task,
            outputs=outputs,
            link=link,
            label=label,
            unit=str(record.get("unit", "")),
            numbered=record.get("numbered") is True,
            middle=None if middle is None else float(middle),
        )


def classes_target(classes: tuple[str, ...], label: str | None = None) -> Target:
    """Return the target of a classifier whose classes have names."""
    return Target("classification", classes, "softmax" if len(classes) > 1 else "sigmoid", label)


def _require_names(names: tuple[str, ...], label: str | None) -> None:
    """Refuse names that cannot be shown, or are the same."""
    require_labels(names, "class name")
    if label is not None:
        require_labels([label], "target label")
