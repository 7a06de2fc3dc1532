"""The numbers that STAMP's and CLAM's own pictures of a slide show, to compare ours with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps.explanations.forwards import Forwards
from heatmaps_ome.maps.explanations.gradients import gradients

if TYPE_CHECKING:
    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.models.protocol import MilModel


def stamp_gradients(model: MilModel, bag: Bag) -> np.ndarray:
    """Return |mean over features of x · ∂logit/∂x|, (C, n) float32: STAMP's raw attention.

    Of values and risks STAMP draws these, stretched from the slide's smallest to its largest.
    """
    forwards = Forwards(model, bag)
    features, um_places = forwards.tensors()
    rows = [
        (gradient * features).mean(dim=1).abs()
        for gradient in gradients(forwards, features, um_places)
    ]
    return np.stack([row.numpy() for row in rows]).astype(np.float32)


def stamp_attention(model: MilModel, bag: Bag) -> np.ndarray:
    """Return STAMP's attention of the tiles, (C, n) float32, as from version 2.4 on.

    For classes it is the softmax over the tiles of `stamp_gradients`. These are so small (about
    1e-5) that all values are nearly 1/n. For values and risks they are stretched to [0, 1].
    """
    raw = stamp_gradients(model, bag).astype(np.float64)
    if model.target.has_classes:
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    lowest = raw.min(axis=1, keepdims=True)
    width = raw.max(axis=1, keepdims=True) - lowest
    return ((raw - lowest) / np.where(width > 0, width, 1.0)).astype(np.float32)


def stamp_map(model: MilModel, bag: Bag, tile_logits: np.ndarray) -> np.ndarray:
    """Return the values of STAMP's picture, (C, n) float32, in [-1, 1].

    For classes: support · attention / largest attention. A tile's support is its probability of
    the class alone less that of the strongest other class; its attention is that for the class
    where the class is the tile's first, else the largest for the others. For values and risks it
    is the attention.

    Parameters
    ----------
    tile_logits : (C, n) float
        Logits of each tile as a bag of its own.
    """
    attention = stamp_attention(model, bag)
    if len(attention) == 1:
        return attention
    probabilities = model.target.predictions(tile_logits)
    strongest_other, other_attention = _largest_other(probabilities), _largest_other(attention)
    first = probabilities > strongest_other
    weights = np.where(first, attention, other_attention)
    support = probabilities - strongest_other
    return (support * weights / weights.max(axis=1, keepdims=True)).astype(np.float32)


def _largest_other(values: np.ndarray) -> np.ndarray:
    """Return the largest value of the other rows, for each row of (C, n)."""
    rows = range(len(values))
    return np.stack([np.delete(values, row, axis=0).max(axis=0) for row in rows])


def clam_percentiles(attention: np.ndarray) -> np.ndarray:
    """Return the percentiles of attention that CLAM draws, (n,) or (C, n) float32, in (0, 100].

    Equal tiles share the mean of their ranks. If each class has its own attention, CLAM draws that
    of the predicted one.

    Parameters
    ----------
    attention : (n,) or (C, n) float
        Before or after the softmax, which keeps their order.
    """
    # It takes a second to import, and hardly any run needs it.
    from scipy.stats import rankdata

    ranks = rankdata(attention, method="average", axis=-1)
    return (100.0 * ranks / attention.shape[-1]).astype(np.float32)
