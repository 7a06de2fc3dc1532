"""Networks on the mean feature against plain NumPy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from heatmaps_ome.models.network_model import from_stored_network
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork
from heatmaps_ome.models.target import classes_target

UM = torch.zeros(7, 2)


def _linear(n_outputs: int = 2) -> StoredNetwork:
    rng = np.random.default_rng(0)
    tensors = {
        "fc.weight": rng.normal(size=(n_outputs, 5)).astype("f4"),
        "fc.bias": rng.normal(size=n_outputs).astype("f4"),
    }
    arguments = {"n_features": 5, "n_outputs": n_outputs}
    target = classes_target(("a", "b"))
    return StoredNetwork("stamp-linear", arguments, tensors, target, 5)


def _mlp(n_layers: int) -> StoredNetwork:
    rng = np.random.default_rng(1)
    widths = [5, *[6] * (n_layers - 1), 2]
    tensors = {}
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        tensors[f"layers.{index}.weight"] = rng.normal(size=(after, before)).astype("f4")
        tensors[f"layers.{index}.bias"] = rng.normal(size=after).astype("f4")
    arguments = {"n_features": 5, "n_hidden": 6, "n_outputs": 2, "n_layers": n_layers}
    return StoredNetwork("stamp-mlp", arguments, tensors, classes_target(("a", "b")), 5)


def _features(n_tiles: int = 7) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(size=(n_tiles, 5)).astype("f4"))


def test_linear_contributions_sum_to_the_logits_of_the_mean_feature():
    stored = _linear()
    model = from_stored_network(stored)
    features = _features()
    mean = features.numpy().astype("f8").mean(axis=0)
    expected = stored.tensors["fc.weight"] @ mean + stored.tensors["fc.bias"]
    np.testing.assert_allclose(model.logits(features, UM), expected, rtol=1e-5)
    shares = model.contributions(features, UM)
    assert shares is not None
    np.testing.assert_allclose(shares.sum(dim=0), expected, rtol=1e-5)
    assert model.additivity == "pooled"
    assert model.attention(features, UM) is None


@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_mlp_is_that_of_its_layers(n_layers):
    stored = _mlp(n_layers)
    model = from_stored_network(stored)
    hidden = _features().numpy().astype("f8").mean(axis=0)
    for index in range(n_layers):
        hidden = stored.tensors[f"layers.{index}.weight"] @ hidden
        hidden = hidden + stored.tensors[f"layers.{index}.bias"]
        hidden = np.maximum(hidden, 0) if index < n_layers - 1 else hidden
    np.testing.assert_allclose(model.logits(_features(), UM), hidden, rtol=1e-5)
    assert (model.additivity == "pooled") == (n_layers == 1)
    assert (model.contributions(_features(), UM) is None) == (n_layers > 1)


def test_single_tiles_are_bags_of_one():
    model = from_stored_network(_mlp(3))
    features = _features()
    alone = [model.logits(features[i : i + 1], UM[:1]) for i in range(7)]
    np.testing.assert_allclose(model.tile_logits(features, UM), torch.stack(alone), rtol=1e-6)


def test_logits_have_gradients_of_features_but_not_of_weights():
    model = from_stored_network(_mlp(3))
    features = _features().requires_grad_(True)
    model.logits(features, UM)[0].backward()
    assert features.grad is not None
    assert float(features.grad.abs().sum()) > 0
    assert not any(weight.requires_grad for weight in model.network.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 10**9}, "number of layers"),
        ({"n_features": 10**12}, "number of layers, heads or features"),
        ({"n_hidden": 7}, "its tensors are not those of a STAMP mlp model"),
        ({"n_layers": "2"}, "number of layers"),
        ({"depth": 2}, "its description of a STAMP mlp is not one"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    stored = _mlp(2)
    wrong = StoredNetwork(
        stored.architecture, {**stored.arguments, **change}, stored.tensors, stored.target, 5
    )
    with pytest.raises(Unusable, match=message):
        from_stored_network(wrong)


@pytest.mark.parametrize("change", [{"n_features": 4}, {"target": classes_target(("a", "b", "c"))}])
def test_features_and_outputs_other_than_described_are_refused(change):
    with pytest.raises(Unusable, match="is damaged: its STAMP mlp"):
        from_stored_network(replace(_mlp(2), **change))


def test_an_architecture_of_a_later_version_is_refused():
    stored = _mlp(2)
    later = StoredNetwork("stamp-3", stored.arguments, stored.tensors, stored.target, 5)
    with pytest.raises(Unusable, match="does not know; upgrade"):
        from_stored_network(later)
