"""Several models on one slide: the means of their maps, how far they spread, and who says what.

Models are the folds of a cross-validation, say: trained alike on other patients, for the same
classes. Their maps lie on the same cells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.maps.consistency import mean_consistency
from heatmaps_ome.maps.heatmap_set import (
    HeatmapSet,
    Member,
    channel_names,
    class_keys,
    measurement_names,
    stacked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SPREAD = "sd-"
"""What the name of a map's standard deviation begins with; no class can be called so that another
map's does, as it would with an ending."""
_DEGREES = 1
"""Taken from the number of models: they are a sample of the trainings that might have been."""


def in_class_order(heatmaps: HeatmapSet, classes: tuple[str, ...]) -> HeatmapSet:
    """Return the maps of a single model with its classes in another order."""
    if heatmaps.classes == classes:
        return heatmaps
    order = [heatmaps.classes.index(name) for name in classes]
    shares = heatmaps.contributions
    return replace(
        heatmaps,
        classes=classes,
        scores=heatmaps.scores[order],
        contributions=None if shares is None else shares[order],
        logits=heatmaps.logits[order],
        prediction=heatmaps.prediction[order],
        consistency=heatmaps.consistency and heatmaps.consistency.in_class_order(classes),
    )


def combined(parts: Sequence[HeatmapSet], named: Sequence[tuple[str, str]]) -> HeatmapSet:
    """Return the mean of what several models say of a slide, with its spread; one is left as it is.

    Probabilities, contributions and logits are plain means, so that contributions go on summing to
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
    means, spread = _moments([_channels(part, _additive(parts)) for part in parts])
    n_classes = len(first.classes)
    scores, shares, falls = (means[1 + n * n_classes :][:n_classes] for n in range(3))
    return replace(
        first,
        attention=means[0],
        scores=scores,
        contributions=shares if _additive(parts) else None,
        logits=np.mean([part.logits for part in parts], axis=0),
        prediction=np.mean([part.prediction for part in parts], axis=0),
        consistency=mean_consistency([part.consistency for part in parts]),
        members=tuple(
            Member(name, digest, tuple(part.prediction.tolist()), tuple(part.logits.tolist()))
            for (name, digest), part in zip(named, parts, strict=True)
        ),
        spread=spread,
        mean_falls=falls if _additive(parts) else None,
    )


def relative_attention(heatmaps: HeatmapSet) -> np.ndarray:
    """Return the logarithm of how many times the slide's mean attention weight each cell has.

    A softmax does not see what is added to all logits of a slide, so each model has a zero of its
    own, which training never fixed: logits of two models can be neither averaged nor compared.
    This is the logit less the logarithm of its mean exponential over the slide's tissue, so that
    log(aᵢ n) is left of the attention weight aᵢ among n cells, whatever the model and the
    slide's size.

    Returns
    -------
    (rows, cols) float64
        NaN where no tissue is.
    """
    attention = heatmaps.attention.astype(np.float64)
    logits = attention[heatmaps.tissue]
    logits = logits[logits < np.inf]
    top = logits.max(initial=-np.inf)
    # Without a finite logit there is no mean to speak of; the maps say so by what they are.
    return attention - (top + np.log(np.mean(np.exp(logits - top)))) if top > -np.inf else attention


def _additive(parts: Sequence[HeatmapSet]) -> bool:
    """Return whether all models have contributions."""
    return all(part.contributions is not None for part in parts)


def _channels(part: HeatmapSet, additive: bool) -> list[np.ndarray]:
    """Return what is averaged of a model, channel by channel as `stacked` has them."""
    channels = [relative_attention(part), *part.scores]
    if additive and part.contributions is not None and part.falls is not None:
        channels += [*part.contributions, *part.falls]
    return channels


def _moments(models: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations over models, (channels, rows, cols) float32 each."""
    shape = (len(models[0]), *models[0][0].shape)
    means, spread = np.empty(shape, np.float32), np.empty(shape, np.float32)
    # Infinite logits of different sign have no mean, which NaN says.
    with np.errstate(invalid="ignore"):
        for index, channels in enumerate(zip(*models, strict=True)):
            values = np.stack(channels).astype(np.float64)
            means[index] = values.mean(axis=0)
            spread[index] = values.std(axis=0, ddof=_DEGREES)
    return means, spread


def all_channel_names(heatmaps: HeatmapSet) -> list[str]:
    """Return the names of all channels: of `channel_names`, and of their spread."""
    names = channel_names(heatmaps)
    return names if heatmaps.spread is None else [*names, *(SPREAD + name for name in names)]


def all_channels(heatmaps: HeatmapSet) -> np.ndarray:
    """Return all maps and their spread as one (channels, rows, cols) float32 array."""
    maps = stacked(heatmaps)
    return maps if heatmaps.spread is None else np.concatenate([maps, heatmaps.spread])


def score_spread(heatmaps: HeatmapSet) -> np.ndarray | None:
    """Return the (classes, rows, cols) standard deviation of the scores, or None of one model."""
    return None if heatmaps.spread is None else heatmaps.spread[1 : 1 + len(heatmaps.classes)]


def measurements(heatmaps: HeatmapSet) -> dict[str, str]:
    """Return what people read of the maps in tables, by channel: of the spread the scores' only."""
    names = dict(zip(channel_names(heatmaps), measurement_names(heatmaps), strict=True))
    if heatmaps.spread is not None:
        keys = zip(class_keys(heatmaps.classes), heatmaps.classes, strict=True)
        names |= {f"{SPREAD}score-{key}": f"SD of score: {name}" for key, name in keys}
    return names


def measured(heatmaps: HeatmapSet) -> np.ndarray:
    """Return the channels of `measurements`, in their order: (n, rows, cols) float32."""
    maps, spread = stacked(heatmaps), score_spread(heatmaps)
    return maps if spread is None else np.concatenate([maps, spread])


@dataclass(frozen=True)
class Agreement:
    """How several models' predictions of a slide differ.

    Attributes
    ----------
    class_name : str
        The class whose probability is told.
    probabilities : tuple of float
        What each model gives it.
    votes : mapping of class → int
        How many models say each class, that is, find it the most probable; the most first.
    """

    class_name: str
    probabilities: tuple[float, ...]
    votes: Mapping[str, int]

    def sentence(self) -> str:
        """Return all of it in words."""
        found, n_models = self.probabilities, len(self.probabilities)
        mean, sd = np.mean(found), np.std(found, ddof=_DEGREES)
        (name, count), *others = self.votes.items()
        rest = "".join(f", {n} {other}" for other, n in others)
        return (
            f"{self.class_name} {mean:.2f} ± {sd:.2f} over {n_models} models "
            f"({min(found):.2f} to {max(found):.2f}); {count} of {n_models} say {name}{rest}"
        )


def agreement(members: Sequence[Mapping[str, Any]], class_name: str) -> Agreement | None:
    """Return how models differ in a class, by their `records`; None if there is nothing to tell."""
    predictions = [each["prediction"] for each in members]
    if not predictions or any(None in each.values() for each in predictions):
        return None
    votes = Counter(max(each, key=each.__getitem__) for each in predictions)
    return Agreement(
        class_name, tuple(each[class_name] for each in predictions), dict(votes.most_common())
    )


def records(heatmaps: HeatmapSet) -> list[dict[str, Any]]:
    """Return what each of several models says of a slide, as plain JSON values; None for NaN."""
    return [
        {
            "name": each.name,
            "digest": each.digest,
            "prediction": dict(_numbers(heatmaps.classes, each.prediction)),
            "logits": dict(_numbers(heatmaps.classes, each.logits)),
        }
        for each in heatmaps.members
    ]


def prediction_sd(heatmaps: HeatmapSet) -> dict[str, float]:
    """Return the standard deviation over the models of each class's probability; empty of one."""
    if not heatmaps.members:
        return {}
    found = np.std([each.prediction for each in heatmaps.members], axis=0, ddof=_DEGREES)
    return dict(zip(heatmaps.classes, found.tolist(), strict=True))


def _numbers(classes: Sequence[str], values: Sequence[float]) -> Iterator[tuple[str, float | None]]:
    """Yield each class's number, None for what JSON cannot say."""
    for name, value in zip(classes, values, strict=True):
        yield name, value if np.isfinite(value) else None
