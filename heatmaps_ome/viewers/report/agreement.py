"""Compares a cohort's predictions with the ground truth that the table of slides gives.

Only slides that have both count. A label that is no class of the model cannot be predicted, so such
slides are counted apart.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]

_LEFT_OUT = {
    "survival": (
        "a risk is not compared with a label: its concordance needs the time and the event of each "
        "patient, which the table of slides does not have"
    ),
    "multilabel": "the model answers each class by itself, and the table has one label a slide",
    "none": "the maps were given, so there is no prediction",
}
"""Task → why its predictions are not compared with labels."""


def is_right(row: Mapping[str, Any], classes: Sequence[str]) -> bool | None:
    """Return whether a row's prediction is its ground truth; None where one of them is missing."""
    label, predicted = row.get("label"), row.get("predicted")
    return predicted == label if predicted is not None and label in classes else None


def agreement(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, Any] | None:
    """Return how the predictions of a cohort agree with its ground truth, as plain JSON values.

    Parameters
    ----------
    rows : sequence of dict
        Rows of the cohort's table: ``label``, ``prediction``, ``predicted``, ``task``.
    classes : sequence of str
        The model's classes, or its one value or risk.

    Returns
    -------
    dict or None
        None where no slide has a label. ``unpredicted``: slides with a label, but no prediction;
        ``left_out``: reason why nothing is compared, or
        ``values``: n, r and mae of a regression, or
        ``classes``, ``confusion``, ``right`` and ``others`` of classes.
    """
    labelled = [row for row in rows if row.get("label") is not None]
    if not labelled:
        return None
    known = [row for row in labelled if _has_prediction(row)]
    facts = {"unpredicted": len(labelled) - len(known)}
    tasks = {str(row["task"]) for row in known}
    task = tasks.pop() if len(tasks) == 1 else None
    if task is None:
        reason = "no slide with a label has a prediction" if not known else "the tasks differ"
        return {**facts, "left_out": reason}
    if task in _LEFT_OUT:
        return {**facts, "left_out": _LEFT_OUT[task]}
    if task == "regression":
        return {**facts, **_of_values(known, classes[0])}
    return {**facts, **_of_classes(known, classes)}


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float | None:
    """Return the area under the ROC curve: the Mann-Whitney statistic, ties counting one half.

    It is the share of pairs whose positive has the higher probability (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747). None where there is no pair.

    Parameters
    ----------
    positives, negatives : (n,), (m,) float64

    >>> auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1])), auroc(np.array([0.5]), np.array([]))
    (0.875, None)
    """
    if not len(positives) or not len(negatives):
        return None
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    not_above = np.searchsorted(ordered, positives, "right")
    return float((below + not_above).mean() / (2 * len(ordered)))


def _has_prediction(row: Row) -> bool:
    """Return whether a slide has numbers that a model predicted."""
    values = (row.get("prediction") or {}).values()
    return row.get("task") == "none" or (len(values) > 0 and None not in values)


def _of_classes(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, Any]:
    """Return the areas under the curves, and the table of truth against prediction."""
    # A single output answers yes or no: each other label is a no.
    one = len(classes) == 1
    counted = rows if one else [row for row in rows if row["label"] in classes]
    others = Counter(str(row["label"]) for row in rows if row["label"] not in classes)
    named = counted if not one else []
    pairs = Counter((row["label"], row["predicted"]) for row in named)
    return {
        "n": len(counted),
        "others": dict(sorted(others.items())),
        "others_are_negative": one,
        "classes": [_of_class(counted, name) for name in classes],
        "right": None if one else sum(pairs[name, name] for name in classes),
        "confusion": None
        if one
        else [[pairs[truth, predicted] for predicted in classes] for truth in classes],
    }


def _of_class(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Return the area under the curve of a class against all others."""
    values = np.array([row["prediction"][name] for row in rows], np.float64)
    is_class = np.array([row["label"] == name for row in rows], bool)
    return {
        "class": name,
        "positives": int(is_class.sum()),
        "negatives": int((~is_class).sum()),
        "auroc": auroc(values[is_class], values[~is_class]),
    }


def _of_values(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Return the correlation of a value with the labels that are numbers, and its mean error."""
    numbers = [(row, _number(row["label"])) for row in rows]
    pairs = [(row["prediction"][name], value) for row, value in numbers if value is not None]
    others = Counter(str(row["label"]) for row, value in numbers if value is None)
    predicted, truth = np.array(pairs, np.float64).reshape(-1, 2).T
    varied = len(pairs) > 1 and np.ptp(predicted) > 0 and np.ptp(truth) > 0
    return {
        "n": len(pairs),
        "others": dict(sorted(others.items())),
        "values": {
            "r": float(np.corrcoef(predicted, truth)[0, 1]) if varied else None,
            "mae": float(np.abs(predicted - truth).mean()) if pairs else None,
        },
    }


def _number(text: str) -> float | None:
    """Return a label as a finite number, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
