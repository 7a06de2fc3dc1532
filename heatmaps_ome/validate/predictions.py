"""Checks of a slide's prediction, which several files have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def prediction_faults(
    prediction: dict[str, float | None], classes: list[str], target: dict[str, Any] | None
) -> Iterator[str]:
    """Yield the faults of a slide's prediction: its classes, and their sum.

    Parameters
    ----------
    target : dict or None
        The record of what is predicted; None: classes of a softmax.
    """
    link = "softmax" if target is None else target["link"]
    if target is not None and target["task"] == "none":
        if prediction:
            yield f"maps were given, and there is a prediction of {', '.join(prediction)}"
        return
    if target is not None and target["outputs"] != classes:
        yield f"the target has {', '.join(target['outputs'])}, the classes are {', '.join(classes)}"
    if link == "softmax" and len(classes) < 2:
        yield f"there are {len(classes)} classes, and one has nothing to be compared with"
    if list(prediction) != classes:
        yield f"the prediction is of {', '.join(prediction)}, the classes are {', '.join(classes)}"
    known = [value for value in prediction.values() if value is not None]
    if known and len(known) != len(prediction):
        yield "some of the predictions are unknown"
    elif known and link == "softmax" and abs(sum(known) - 1) > 1e-3:
        yield f"the predicted probabilities sum to {sum(known):g}, not to 1"
    if link != "identity" and any(not 0 <= value <= 1 + 1e-6 for value in known):
        yield f"the predicted probabilities are {', '.join(f'{value:g}' for value in known)}"
