"""Several models on one slide: the means of their maps, their spread, and their predictions.

The models may be the folds of a cross-validation: trained alike on other patients, for the same
classes. Their maps lie on the same cells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.maps.consistency import mean_consistency
from heatmaps_ome.maps.faithfulness import faithfulness_of
from heatmaps_ome.maps.heatmap_set import HeatmapSet, Member
from heatmaps_ome.maps.kinds import ATTENTION, CLASS_ATTENTION, stored_kinds
from heatmaps_ome.maps.numbers import probability

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_DEGREES = 1
"""Taken from the number of models: they are a sample of the trainings that might have been."""


def in_class_order(heatmaps: HeatmapSet, classes: tuple[str, ...]) -> HeatmapSet:
    """Return the maps of a single model with its classes in another order."""
    if heatmaps.classes == classes:
        return heatmaps
    order = [heatmaps.classes.index(name) for name in classes]
    return replace(
        heatmaps,
        classes=classes,
        maps={
            kind: values[order] if values.ndim > heatmaps.tissue.ndim else values
            for kind, values in heatmaps.maps.items()
        },
        logits=heatmaps.logits[order],
        prediction=heatmaps.prediction[order],
        consistency=heatmaps.consistency and heatmaps.consistency.in_class_order(classes),
        aim=heatmaps.aim and replace(heatmaps.aim, outputs=classes),
    )


def combined(parts: Sequence[HeatmapSet], named: Sequence[tuple[str, str]]) -> HeatmapSet:
    """Return the mean of several models' maps of a slide, with its spread; a single set as it is.

    Probabilities, contributions and logits are plain means, so that contributions still sum to
    the logits, but the softmax of these is not the prediction. Attention is the mean of
    `relative_attention`. Leave-one-out is the mean of the models' own falls.

    Parameters
    ----------
    parts : sequence of HeatmapSet
        One per model, of the same cells, with the classes in the same order.
    named : sequence of (name, digest)
        The models.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    means, spread = _moments(parts)
    return replace(
        first,
        maps=means,
        logits=np.mean([part.logits for part in parts], axis=0),
        prediction=np.mean([part.prediction for part in parts], axis=0),
        consistency=mean_consistency([part.consistency for part in parts]),
        members=tuple(
            Member(name, digest, tuple(part.prediction.tolist()), tuple(part.logits.tolist()))
            for (name, digest), part in zip(named, parts, strict=True)
        ),
        spread=spread,
        curves=faithfulness_of(first, first.classes, parts) if first.aim else (),
    )


def relative_attention(attention: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Return the logarithm of how many times the slide's mean attention weight each cell has.

    A softmax does not see what is added to all logits of a slide, so each model has a zero of its
    own, which training never fixed: logits of two models can be neither averaged nor compared.
    This is the logit less the logarithm of its mean exponential over the slide's tissue, so that
    an attention weight aᵢ among n cells becomes log(aᵢ n), whatever the model and the slide's
    size.

    Parameters
    ----------
    attention : (rows, cols) float32, logits
    tissue : (rows, cols) bool

    Returns
    -------
    (rows, cols) float64
        NaN where no tissue is.
    """
    attention = attention.astype(np.float64)
    logits = attention[tissue]
    logits = logits[logits < np.inf]
    top = logits.max(initial=-np.inf)
    # Without a finite logit there is no mean; the maps then stay as they are.
    return attention - (top + np.log(np.mean(np.exp(logits - top)))) if top > -np.inf else attention


def _moments(
    parts: Sequence[HeatmapSet],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return means and standard deviations over models of each kind that all of them have."""
    means, spread = {}, {}
    for kind in stored_kinds():
        of_models = [_averaged(part, kind.key) for part in parts]
        known = [values for values in of_models if values is not None]
        if len(known) == len(parts):
            means[kind.key], spread[kind.key] = _moments_of(known)
    return means, spread


def _averaged(part: HeatmapSet, kind: str) -> np.ndarray | None:
    """Return the maps of a kind as they can be averaged over models."""
    values = part.values(kind)
    if values is None or kind not in (ATTENTION, CLASS_ATTENTION):
        return values
    planes = values.reshape(-1, *part.tissue.shape)
    relative = np.stack([relative_attention(plane, part.tissue) for plane in planes])
    return relative.reshape(values.shape)


def _moments_of(models: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of arrays of one shape, float32 each."""
    shape = models[0].shape
    # Map by map: all of them in float64 at once would be as much memory as the network's pass.
    planes = [values.reshape(-1, *shape[-2:]) for values in models]
    mean, spread = np.empty_like(planes[0], np.float32), np.empty_like(planes[0], np.float32)
    # Infinite logits of different sign have no mean; they give NaN.
    with np.errstate(invalid="ignore"):
        for index, plane in enumerate(zip(*planes, strict=True)):
            values = np.stack(plane).astype(np.float64)
            mean[index] = values.mean(axis=0)
            spread[index] = values.std(axis=0, ddof=_DEGREES)
    return mean.reshape(shape), spread.reshape(shape)


@dataclass(frozen=True)
class Agreement:
    """How several models' predictions of a slide differ.

    Attributes
    ----------
    class_name : str
        The class whose probability is given.
    probabilities : tuple of float
        Each model's probability of it.
    votes : mapping of class → int
        Number of models that find each class the most probable; the largest first.
    """

    class_name: str
    probabilities: tuple[float, ...]
    votes: Mapping[str, int]

    def sentence(self) -> str:
        """Return all of it in words."""
        p, n_models = self.probabilities, len(self.probabilities)
        mean, sd = float(np.mean(p)), float(np.std(p, ddof=_DEGREES))
        (name, count), *others = self.votes.items()
        rest = "".join(f", {n} {other}" for other, n in others)
        return (
            f"{self.class_name} {probability(mean)} ± {probability(sd)} over {n_models} models "
            f"({probability(min(p))} to {probability(max(p))}); {count} of {n_models} predict "
            f"{name}{rest}"
        )


def agreement(members: Sequence[Mapping[str, Any]], class_name: str) -> Agreement | None:
    """Return how models differ in a class, by their `records`; None without predictions."""
    predictions = [member["prediction"] for member in members]
    if not predictions or any(None in prediction.values() for prediction in predictions):
        return None
    votes = Counter(max(prediction, key=prediction.__getitem__) for prediction in predictions)
    probabilities = tuple(prediction[class_name] for prediction in predictions)
    return Agreement(class_name, probabilities, dict(votes.most_common()))


def records(heatmaps: HeatmapSet) -> list[dict[str, Any]]:
    """Return each of several models' answers for a slide as plain JSON values; None for NaN."""
    return [
        {
            "name": member.name,
            "digest": member.digest,
            "prediction": dict(_numbers(heatmaps.classes, member.prediction)),
            "logits": dict(_numbers(heatmaps.classes, member.logits)),
        }
        for member in heatmaps.members
    ]


def prediction_sd(heatmaps: HeatmapSet) -> dict[str, float]:
    """Return the standard deviation over the models of each class's probability; empty for one."""
    if not heatmaps.members:
        return {}
    sd = np.std([member.prediction for member in heatmaps.members], axis=0, ddof=_DEGREES)
    return dict(zip(heatmaps.classes, sd.tolist(), strict=True))


def _numbers(classes: Sequence[str], values: Sequence[float]) -> Iterator[tuple[str, float | None]]:
    """Yield each class's number, None for numbers that JSON lacks."""
    for name, value in zip(classes, values, strict=True):
        yield name, value if np.isfinite(value) else None
