"""TransMIL against plain NumPy, at sizes that no original has."""

from __future__ import annotations

import network_files as files
import network_forwards as forwards
import numpy as np
import pytest
import torch

from heatmaps_ome.models.dialects import millab_transformers, stamp
from heatmaps_ome.models.networks import network, trans_mil

RTOL = 2e-5


def _stamp(tmp_path):
    state = files.stamp_trans_mil()
    path = files.write_lightning(tmp_path / "a.ckpt", state, categories=["no", "yes"])
    return files.model_of(path, stamp)


def _mil_lab(tmp_path, **sizes):
    path = files.write_plain(tmp_path / "a.bin", files.mil_lab_trans_mil(**sizes))
    return files.model_of(path, millab_transformers)


# One tile, squares that are full or not, and more tokens than landmarks.
@pytest.mark.parametrize("n_tiles", [1, 2, 5, 16, 50])
def test_stamps_trans_mil_follows_the_formulas(tmp_path, n_tiles):
    features, um_places = files.bag(n_tiles)
    expected = forwards.stamp_trans_mil(files.stamp_trans_mil(), features.numpy())
    logits = _stamp(tmp_path).logits(features, um_places)
    np.testing.assert_allclose(logits, expected, rtol=RTOL, atol=1e-5)


@pytest.mark.parametrize(
    "sizes", [{}, {"n_layers": 1, "n_fc": 1}, {"n_layers": 2, "n_heads": 4, "width": 18}]
)
@pytest.mark.parametrize("n_tiles", [2, 16, 50])
def test_mil_labs_transmil_and_its_attention(tmp_path, sizes, n_tiles):
    features, um_places = files.bag(n_tiles)
    state = files.mil_lab_trans_mil(**sizes)
    expected, products = forwards.mil_lab_trans_mil(state, features.numpy())
    model = _mil_lab(tmp_path, **sizes)
    np.testing.assert_allclose(model.logits(features, um_places), expected, rtol=RTOL, atol=1e-5)
    attention = model.attention(features, um_places)
    assert attention.shape == (n_tiles,)
    np.testing.assert_allclose(attention, products, rtol=RTOL, atol=1e-4)


def test_single_tiles_are_bags_of_one_though_unlike_those_of_the_training(tmp_path):
    model = _stamp(tmp_path)
    assert not model.knows_single_tiles
    features, um_places = files.bag(6)
    alone = torch.stack([model.logits(features[i : i + 1], um_places[:1]) for i in range(6)])
    np.testing.assert_allclose(model.tile_logits(features, um_places), alone, rtol=RTOL, atol=1e-5)
    model.network.bags_at_once = 4
    np.testing.assert_allclose(model.tile_logits(features, um_places), alone, rtol=RTOL, atol=1e-5)


def test_sizes_of_blocks_change_neither_logits_nor_gradients(tmp_path, monkeypatch):
    model = _mil_lab(tmp_path)
    features, um_places = files.bag(70)

    def logits_and_gradient():
        inputs = features.clone().requires_grad_(True)
        logits = model.logits(inputs, um_places)
        logits[1].backward()
        return logits.detach(), inputs.grad

    whole, whole_gradient = logits_and_gradient()
    monkeypatch.setattr(network, "_ROWS_AT_ONCE", 9)
    monkeypatch.setattr(trans_mil, "_CHANNELS_AT_ONCE", 5)
    parts, part_gradient = logits_and_gradient()
    assert float(whole_gradient.abs().sum()) > 0
    np.testing.assert_allclose(parts, whole, rtol=RTOL, atol=1e-5)
    np.testing.assert_allclose(part_gradient, whole_gradient, rtol=1e-3, atol=1e-5)
