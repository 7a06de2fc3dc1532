"""The numbers of STAMP's and CLAM's own pictures, against sums of their definitions."""

import numpy as np
import torch
from small_mil_models import THREE, VALUE, Interacting, random_bag

from heatmaps_ome.maps.explanations.compat import (
    clam_percentiles,
    stamp_attention,
    stamp_gradients,
    stamp_map,
)


def by_differences(model, bag):
    """Return |mean over features of x · ∂logit/∂x| by central differences in float64."""
    model.head, model.query, model.mix = (
        part.double() for part in (model.head, model.query, model.mix)
    )
    features = torch.from_numpy(bag.features).double()
    um_places = torch.from_numpy(bag.um_places).double()
    raw = np.zeros((len(model.target.outputs), len(features)))
    for tile in range(len(features)):
        # Along x itself: the derivative is the sum over features of x · ∂logit/∂x.
        step = torch.zeros_like(features)
        step[tile] = features[tile] * 1e-5
        change = model.logits(features + step, um_places) - model.logits(features - step, um_places)
        raw[:, tile] = change.numpy() / 2e-5 / features.shape[1]
    return np.abs(raw)


def test_stamps_gradients_are_derivatives_along_the_features():
    bag = random_bag(12)
    expected = by_differences(Interacting(), bag)
    np.testing.assert_allclose(stamp_gradients(Interacting(), bag), expected, atol=1e-6)


def test_stamps_attention_is_a_softmax_for_classes_and_stretched_for_values():
    bag = random_bag(12)
    raw = stamp_gradients(Interacting(), bag)
    attention = stamp_attention(Interacting(), bag)
    np.testing.assert_allclose(
        attention, np.exp(raw) / np.exp(raw).sum(1, keepdims=True), rtol=1e-5
    )
    value = stamp_attention(Interacting(target=VALUE), bag)
    assert value.min() == 0
    assert value.max() == 1
    raw = stamp_gradients(Interacting(target=VALUE), bag)
    np.testing.assert_array_equal(np.argsort(value[0]), np.argsort(raw[0]))


def test_stamps_picture_is_support_weighted_by_attention():
    model, bag = Interacting(), random_bag(12)
    logits = np.random.default_rng(0).normal(size=(3, 12))
    attention, p = stamp_attention(model, bag), THREE.predictions(logits)
    found = stamp_map(model, bag, logits)
    for name in range(3):
        others = [other for other in range(3) if other != name]
        support = p[name] - p[others].max(0)
        first = p.argmax(0) == name
        weight = np.where(first, attention[name], attention[others].max(0))
        np.testing.assert_allclose(found[name], support * weight / weight.max(), rtol=1e-5)


def test_clams_percentiles_are_shares_of_tiles_below():
    found = clam_percentiles(np.array([0.1, 5.0, 0.1, -2.0]))
    np.testing.assert_allclose(found, [62.5, 100, 62.5, 25])
    rows = clam_percentiles(np.array([[1.0, 2.0], [4.0, 3.0]]))
    np.testing.assert_allclose(rows, [[50, 100], [100, 50]])
