"""Transformers with a class token against plain NumPy, at sizes that no original has."""

from __future__ import annotations

from dataclasses import replace

import network_files as files
import network_forwards as forwards
import numpy as np
import pytest
import torch

from heatmaps_ome.models.checkpoint import read_checkpoint
from heatmaps_ome.models.dialects import millab_transformers, stamp, stamp_v1
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.network_model import from_stored_network
from heatmaps_ome.models.networks import distances, network
from heatmaps_ome.models.refusals import Unusable

RTOL = 1e-5


def _vit(tmp_path, version="2.5.0"):
    path = files.write_lightning(tmp_path / "a.ckpt", files.stamp_vit(), stamp_version=version)
    return files.model_of(path, stamp)


def _alibi(tmp_path, version="2.5.0"):
    state = files.stamp_alibi()
    path = files.write_lightning(
        tmp_path / "a.ckpt", state, stamp_version=version, categories=["no", "yes"]
    )
    return files.model_of(path, stamp)


@pytest.mark.parametrize("n_tiles", [1, 2, 40])
@pytest.mark.parametrize(
    ("version", "hides"), [("2.0.0", True), ("2.1.0", True), ("2.2.0", False), ("2.5.0", False)]
)
def test_stamps_vit_is_that_of_its_version(tmp_path, n_tiles, version, hides):
    features, um_places = files.bag(n_tiles)
    logits = _vit(tmp_path, version).logits(features, um_places)
    expected = forwards.stamp_vit(files.stamp_vit(), features.numpy(), 3, hides=hides)
    np.testing.assert_allclose(logits, expected, rtol=RTOL, atol=1e-6)


def test_the_mask_of_stamp_before_2_2_changes_the_prediction():
    features, _ = files.bag(40)
    logits = [
        forwards.stamp_vit(files.stamp_vit(), features.numpy(), 3, hides=hides)
        for hides in (False, True)
    ]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


@pytest.mark.parametrize("n_tiles", [1, 2, 40])
@pytest.mark.parametrize(("version", "early"), [("2.1.0", True), ("2.3.0", False)])
def test_stamps_alibi_depends_on_places_as_in_its_version(tmp_path, n_tiles, version, early):
    features, um_places = files.bag(n_tiles)
    logits = _alibi(tmp_path, version).logits(features, um_places)
    expected = forwards.stamp_alibi(
        files.stamp_alibi(), features.numpy(), um_places.numpy(), 3, early=early
    )
    np.testing.assert_allclose(logits, expected, rtol=RTOL, atol=1e-6)


def test_alibi_answers_to_absolute_places(tmp_path):
    features, um_places = files.bag(12)
    model = _alibi(tmp_path)
    moved = model.logits(features, um_places + 5000)
    assert float((model.logits(features, um_places) - moved).abs().max()) > 1e-3


@pytest.mark.parametrize("n_heads", [8, 4])
def test_marugotos_vit_has_heads_of_any_width(tmp_path, n_heads):
    path = files.write_plain(tmp_path / "a.pth", files.marugoto_vit())
    facts = NO_FACTS if n_heads == 8 else replace(NO_FACTS, heads=n_heads)
    features, um_places = files.bag(20)
    logits = files.model_of(path, stamp_v1, facts).logits(features, um_places)
    expected = forwards.marugoto_vit(files.marugoto_vit(), features.numpy(), n_heads)
    np.testing.assert_allclose(logits, expected, rtol=RTOL, atol=1e-6)


def test_stamp_1_1s_transmil_is_a_vit_with_gelu(tmp_path):
    path = files.write_plain(tmp_path / "a.pth", files.stamp_1_1(), prefix="model.")
    features, um_places = files.bag(20)
    logits = files.model_of(path, stamp_v1).logits(features, um_places)
    expected = forwards.stamp_1_1(files.stamp_1_1(), features.numpy())
    np.testing.assert_allclose(logits, expected, rtol=RTOL, atol=1e-6)


@pytest.mark.parametrize(("n_hidden", "n_fc", "n_heads"), [(0, 1, 8), (7, 3, 2)])
def test_mil_labs_transformer_and_its_attention(tmp_path, n_hidden, n_fc, n_heads):
    state = files.mil_lab_transformer(n_hidden=n_hidden, n_fc=n_fc)
    path = files.write_plain(tmp_path / "a.bin", state, prefix="model.")
    facts = replace(NO_FACTS, heads=n_heads)
    model = files.model_of(path, millab_transformers, facts)
    features, um_places = files.bag(20)
    expected, attention = forwards.mil_lab_transformer(state, features.numpy(), n_heads)
    np.testing.assert_allclose(model.logits(features, um_places), expected, rtol=RTOL, atol=1e-6)
    np.testing.assert_allclose(model.attention(features, um_places), attention, rtol=RTOL)


@pytest.mark.parametrize("kind", [_vit, _alibi])
def test_single_tiles_are_bags_of_one(tmp_path, kind):
    model = kind(tmp_path)
    features, um_places = files.bag(7)
    alone = [model.logits(features[i : i + 1], um_places[i : i + 1]) for i in range(7)]
    together = model.tile_logits(features, um_places)
    np.testing.assert_allclose(together, torch.stack(alone), rtol=RTOL, atol=1e-6)
    model.network.bags_at_once = 2
    np.testing.assert_allclose(model.tile_logits(features, um_places), together, rtol=RTOL)


@pytest.mark.parametrize("version", ["2.1.0", "2.5.0"])
@pytest.mark.parametrize("kind", [_vit, _alibi])
def test_sizes_of_blocks_change_neither_logits_nor_gradients(tmp_path, kind, version, monkeypatch):
    model = kind(tmp_path, version)
    features, um_places = files.bag(23)

    def logits_and_gradient():
        inputs = features.clone().requires_grad_(True)
        logits = model.logits(inputs, um_places)
        logits[1].backward()
        return logits.detach(), inputs.grad

    whole, whole_gradient = logits_and_gradient()
    monkeypatch.setattr(network, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(distances, "FLOATS_AT_ONCE", 60)
    parts, part_gradient = logits_and_gradient()
    np.testing.assert_allclose(parts, whole, rtol=RTOL, atol=1e-6)
    np.testing.assert_allclose(part_gradient, whole_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("version", ["2.1.0", "2.5.0"])
@pytest.mark.parametrize("kind", [_vit, _alibi])
def test_gradients_are_those_of_small_changes(tmp_path, kind, version):
    model = kind(tmp_path, version)
    features, um_places = files.bag(5)
    network_64 = model.network.double()
    inputs = features.double().requires_grad_(True)
    network_64(inputs[None], um_places.double()[None])[0, 0].backward()
    changed = features.double().clone()
    changed[3, 2] += 1e-6
    with torch.no_grad():
        before, after = (
            network_64(x[None], um_places.double()[None])[0, 0]
            for x in (features.double(), changed)
        )
    assert inputs.grad is not None
    assert float(inputs.grad[3, 2]) == pytest.approx(float(after - before) / 1e-6, rel=1e-4)


def test_a_model_on_another_device_is_a_copy(tmp_path):
    model = _vit(tmp_path)
    copy = model.to("cpu")
    assert copy.digest == model.digest
    assert copy.network is not model.network


def test_mil_labs_heads_come_from_its_configuration_or_are_noted(tmp_path):
    path = files.write_plain(tmp_path / "a.bin", files.mil_lab_transformer())
    stored = millab_transformers.read(read_checkpoint(path), NO_FACTS)
    assert stored.arguments["n_heads"] == 8
    assert "8 are taken" in stored.notes[0]
    (tmp_path / "config.json").write_text('{"num_heads": 4}')
    stored = millab_transformers.read(read_checkpoint(path), NO_FACTS)
    assert stored.arguments["n_heads"] == 4
    assert not stored.notes


@pytest.mark.parametrize(
    "change",
    [{"activation": "tanh"}, {"n_heads": 10**6}, {"head_width": 0}, {"n_layers": 0}, {"depth": 1}],
)
def test_arguments_of_a_damaged_file_are_refused(tmp_path, change):
    path = files.write_plain(tmp_path / "a.pth", files.marugoto_vit())
    stored = stamp_v1.read(read_checkpoint(path), NO_FACTS)
    with pytest.raises(Unusable):
        from_stored_network(replace(stored, arguments={**stored.arguments, **change}))
