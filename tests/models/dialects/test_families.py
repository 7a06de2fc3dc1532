"""Checkpoints of each family, of many sizes and kinds, against formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoint_files import (
    chief_organ,
    chief_survival,
    clam,
    dsmil,
    histobistro,
    marugoto,
    millab_abmil,
    millab_clam,
    millab_dsmil,
    slideflow,
    tensors,
    torchmil_abmil,
    torchmil_dsmil,
    xmil,
)

from heatmaps_ome.models import describe_model, read_model
from heatmaps_ome.models.conversion import convert_model
from heatmaps_ome.models.model_facts import ModelFacts

SAMPLES = {
    "clam-sb": clam(n_features=30, n_classes=4),
    "clam-sb-no-dropout": clam(n_features=31, n_classes=2, place=2),
    "clam-sb-plain": clam(n_features=30, n_classes=3, gate=False),
    "clam-sb-plain-no-dropout": clam(n_features=30, n_classes=3, gate=False, place=2),
    "clam-sb-old": clam(n_features=30, n_classes=2, old=True),
    "clam-sb-old-plain": clam(n_features=30, n_classes=2, old=True, gate=False),
    "clam-sb-without-instances": clam(n_features=30, n_classes=2, has_instances=False),
    "clam-mb": clam(n_features=30, n_classes=5, multi=True),
    "clam-mb-plain": clam(n_features=30, n_classes=2, multi=True, gate=False, place=2),
    "chief-survival": chief_survival(),
    "chief-organ-0": chief_organ(0),
    "chief-organ-13": chief_organ(13),
    "marugoto-5-classes": marugoto(12, 5, family="marugoto"),
    "marugoto-binary": marugoto(12, 1, family="marugoto", task="classification"),
    "marugoto-survival": marugoto(12, 1, task="survival"),
    "marugoto-regression": marugoto(12, 1, "head.1", task="regression"),
    "marugoto-regression-of-old": marugoto(12, 1, "head.2", task="regression"),
    "slideflow": slideflow(3, 0, 1),
    "slideflow-temperature": slideflow(3, 0, 2.5),
    "slideflow-gate": slideflow(2, 0.5, 1),
    "slideflow-gate-and-temperature": slideflow(4, 0.9, 0.7),
    "slideflow-value": slideflow(1, 0.25, 1, task="regression"),
    "millab-abmil": millab_abmil(18, 6),
    "millab-abmil-deep": millab_abmil(18, 2, depth=3),
    "millab-abmil-plain-hub": millab_abmil(18, 3, gate=False, depth=2, prefix="model."),
    "millab-clam": millab_clam(3),
    "histobistro": histobistro(4),
    "histobistro-binary": histobistro(1, task="classification"),
    "millab-dsmil": millab_dsmil(18, 3, 1),
    "millab-dsmil-deep": millab_dsmil(18, 2, 2),
    "dsmil-binary": dsmil(15, 1),
    "dsmil-3": dsmil(15, 3),
    "dsmil-linear-query": dsmil(15, 2, deep=False, dot=""),
    "dsmil-values": dsmil(15, 2, value=True),
    "dsmil-of-old": dsmil(15, 2, deep=False, value=True, dot=""),
    "torchmil-abmil": torchmil_abmil(11, 1, gate=True, lazy=True),
    "torchmil-abmil-plain": torchmil_abmil(11, 1, gate=False, lazy=False),
    "torchmil-abmil-4": torchmil_abmil(11, 4, gate=True, lazy=False),
    "torchmil-dsmil": torchmil_dsmil(11, deep=False),
    "torchmil-dsmil-deep": torchmil_dsmil(11, deep=True),
    "xmil": xmil(13, 2, 1, "classifier"),
    "xmil-deep": xmil(13, 3, 3, "linear_head"),
    "xmil-bent-head": xmil(13, 2, 1, "linear_head", n_out=2),
}


@pytest.fixture(params=SAMPLES.values(), ids=SAMPLES)
def sample(request):
    return request.param


@pytest.fixture
def path(sample, tmp_path):
    torch.save(tensors(sample.state), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def bag_for(model, n_tiles=57, seed=0):
    rng = np.random.default_rng(seed)
    bag = rng.normal(size=(n_tiles, model.n_features)).astype(np.float32)
    return bag, (torch.from_numpy(bag), torch.zeros(n_tiles, 2))


def assert_near(found, wanted, tolerance=1e-5):
    wanted = np.asarray(wanted, np.float64)
    found = np.asarray(found, np.float64)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


def test_logits_of_bags_and_tiles_follow_the_formula(sample, path):
    model = read_model(path, ModelFacts(**sample.facts))
    bag, tensor_bag = bag_for(model)
    assert_near(model.logits(*tensor_bag), sample.logits(bag.astype("f8")))
    tiles = np.stack([sample.logits(tile[None].astype("f8")) for tile in bag])
    assert_near(model.tile_logits(*tensor_bag), tiles)
    assert model.additivity == sample.additivity
    assert model.knows_single_tiles


def test_logits_without_a_tile_follow_the_formula(sample, path):
    model = read_model(path, ModelFacts(**sample.facts))
    bag, (features, places) = bag_for(model, n_tiles=9)
    for i in range(9):
        rest = [j for j in range(9) if j != i]
        assert_near(
            model.logits(features[rest], places[rest]), sample.logits(bag[rest].astype("f8"))
        )


def test_contributions_sum_to_the_logits(sample, path):
    model = read_model(path, ModelFacts(**sample.facts))
    _bag, tensor_bag = bag_for(model)
    shares = model.contributions(*tensor_bag)
    if sample.additivity == "none":
        assert shares is None
        return
    assert shares.shape == (57, sample.n_outputs)
    assert_near(shares.double().sum(0), model.logits(*tensor_bag))
    assert shares.std() > 0


def test_blocks_of_tiles_change_nothing(sample, path):
    """More tiles than are computed at once."""
    model = read_model(path, ModelFacts(**sample.facts))
    bag, tensor_bag = bag_for(model, n_tiles=8192 + 100)
    assert_near(model.logits(*tensor_bag), sample.logits(bag.astype("f8")), 1e-4)
    assert len(model.tile_logits(*tensor_bag)) == len(model.attention(*tensor_bag)) == len(bag)


def test_logits_have_gradients(sample, path):
    model = read_model(path, ModelFacts(**sample.facts))
    _bag, (features, places) = bag_for(model)
    features.requires_grad_()
    model.logits(features, places)[0].backward()
    assert features.grad is not None
    assert features.grad.abs().max() > 0


def test_a_file_is_described(sample, path):
    facts = ModelFacts(**sample.facts)
    found = describe_model(path, facts)
    assert found.lacking == ""
    assert found.target == read_model(path, facts).target
    assert found.target.task == sample.task
    assert len(found.classes) == found.n_outputs == sample.n_outputs
    if found.target.has_classes:
        assert found.classes == tuple(map(str, range(sample.n_outputs)))
        assert found.target.numbered


def test_a_conversion_is_the_same_model(sample, path, tmp_path):
    facts = ModelFacts(**sample.facts)
    convert_model(path, tmp_path / "converted.safetensors", facts)
    one, other = read_model(path, facts), read_model(tmp_path / "converted.safetensors")
    assert (one.digest, one.target, one.family) == (other.digest, other.target, other.family)
    _bag, tensor_bag = bag_for(one)
    torch.testing.assert_close(one.logits(*tensor_bag), other.logits(*tensor_bag), rtol=0, atol=0)


def test_names_are_part_of_the_model(sample, path, tmp_path):
    if sample.task in ("regression", "survival"):
        pytest.skip("has no classes to name")
    names = tuple(f"class {index}" for index in range(sample.n_outputs))
    plain, named = ModelFacts(**sample.facts), ModelFacts(**sample.facts, class_names=names)
    model = read_model(path, named)
    assert model.target.outputs == names
    assert not model.target.numbered
    assert model.digest != read_model(path, plain).digest
    # A conversion without names can still get them.
    convert_model(path, tmp_path / "converted.safetensors", plain)
    again = read_model(tmp_path / "converted.safetensors", ModelFacts(class_names=names))
    assert again.digest == model.digest
    with pytest.raises(ValueError, match="names were given: a, b"):
        read_model(path, ModelFacts(**sample.facts, class_names=("a", "b", *names)))
