"""Explanations of models of other systems, against passes of those systems' own code."""

from functools import cache

import h5py
import numpy as np
import pytest

from heatmaps_ome.features.bag import Bag
from heatmaps_ome.maps.explanations.compat import stamp_attention, stamp_gradients
from heatmaps_ome.maps.explanations.explain import explain
from heatmaps_ome.maps.explanations.flipping import beats_random, flippings
from heatmaps_ome.models import read_model
from heatmaps_ome.models.model_facts import ModelFacts

STAMP = "stamp-2.5.0-CMU-1-Small-Region-56um_112px.h5"
CLAM = "clam-CMU-1-Small-Region-224px-step224-features.h5"
ADDITIVE = {
    "clam-demo-s_0_checkpoint.pt": "clam-demo",
    "clam-sb-gated-3class-s_0_checkpoint.pt": "clam-sb-gated-3class-s_0_checkpoint",
    "clam-sb-plain-3class-s_0_checkpoint.pt": "clam-sb-plain-3class-s_0_checkpoint",
    "clam-mb-gated-3class-s_0_checkpoint.pt": "clam-mb-gated-3class-s_0_checkpoint",
    "millab-abmil-3class-pytorch_model.bin": "millab-abmil",
    "torchmil-abmil-binary.pt": "torchmil-abmil",
    "xmil-camelyon-attnmil-best_model.pt": "xmil-camelyon",
    "xmil-nsclc-attnmil-best_model.pt": "xmil-nsclc",
    "slideflow-attention_mil-gate0-T1.0.pth": "slideflow-attention_mil-gate0-T1.0",
    "stamp-2.5.0-linear-2class.ckpt": "stamp-2.5.0-linear-2class",
}
CHOOSING = {
    "dsmil-c16_aggregator.pth": "dsmil-c16",
    "millab-dsmil-3class-pytorch_model.bin": "millab-dsmil",
    "torchmil-dsmil-binary.pt": "torchmil-dsmil",
    "slideflow-attention_mil-gate0.75-T1.0.pth": "slideflow-attention_mil-gate0.75-T1.0",
}
STAMPS = {
    f"stamp-2.5.0-{name}.ckpt": f"stamp-2.5.0-{name}"
    for name in (
        "vit-3class", "vit-alibi-2class", "vit-regression", "vit-survival", "trans_mil-3class",
        "mlp-2class",
    )
}  # fmt: skip
MIXING = STAMPS | {
    "millab-transformer-3class-pytorch_model.bin": "millab-transformer",
    "millab-transmil-3class-pytorch_model.bin": "millab-transmil",
}
FACTS = {
    "slideflow-attention_mil-gate0-T1.0.pth": ModelFacts(gate=0.0, temperature=1.0),
    "slideflow-attention_mil-gate0.75-T1.0.pth": ModelFacts(gate=0.75, temperature=1.0),
    "millab-transformer-3class-pytorch_model.bin": ModelFacts(heads=8),
    "millab-transmil-3class-pytorch_model.bin": ModelFacts(heads=8),
}


@pytest.fixture(scope="module")
def zoo(shared_data):
    """Return (model, bag, oracle) of a file by name."""
    folder = shared_data / "zoo"

    @cache
    def read(file_name):
        name = (ADDITIVE | CHOOSING | MIXING)[file_name]
        oracle = np.load(folder / "oracles" / f"{name}.npz")
        model = read_model(folder / "models" / file_name, FACTS.get(file_name, ModelFacts()))
        return model, bag_of_oracle(folder / "features", name, oracle), oracle

    return read


def bag_of_oracle(folder, name, oracle):
    if "x" in oracle:
        features = oracle["x"]
        um_places = np.stack([np.arange(len(features)), np.zeros(len(features))], axis=1) * 128
    else:
        with h5py.File(folder / (STAMP if name.startswith("stamp") else CLAM)) as file:
            features = file["feats" if "feats" in file else "features"][:]
            um_places = file["coords"][:]
    l0_places = np.concatenate([um_places / 0.5, um_places / 0.5 + 224], axis=1)
    return Bag(
        l0_places=l0_places.astype(np.float64),
        system="test",
        notes=(),
        digest="0" * 64,
        features=features,
        um_places=um_places.astype(np.float32),
    )


def without_by_their_code(oracle):
    """Return (C, k) logits without each of the first k tiles, by forward calls of the original."""
    [name] = [name for name in oracle if name.startswith("drop_one")]
    return oracle[name].reshape(len(oracle[name]), -1).T


@pytest.mark.parametrize("file_name", ADDITIVE)
def test_closed_form_leave_one_out_is_the_originals_drop_one(zoo, file_name):
    model, bag, oracle = zoo(file_name)
    found, expected = explain(model, bag), without_by_their_code(oracle)
    assert found.method == "exact contributions and leave-one-out"
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(found.without[:, : expected.shape[1]] - expected).max() <= 1e-5 * scale
    assert np.abs(found.logits - oracle["logits"].ravel()).max() <= 1e-5 * scale
    np.testing.assert_allclose(found.contributions.sum(1), found.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("file_name", CHOOSING)
def test_drop_one_follows_a_choice_that_changes(zoo, file_name):
    model, bag, oracle = zoo(file_name)
    found, expected = explain(model, bag), without_by_their_code(oracle)
    assert found.method.startswith("exact contributions; drop-one by")
    assert found.forwards <= 1 + len(found.logits)
    assert np.abs(found.without[:, : expected.shape[1]] - expected).max() <= 1e-5
    np.testing.assert_allclose(found.contributions.sum(1), found.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("file_name", MIXING)
def test_drop_one_is_the_originals(zoo, file_name):
    model, bag, oracle = zoo(file_name)
    found, expected = explain(model, bag, "drop-one"), without_by_their_code(oracle)
    assert found.contributions is None
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(found.without[:, : expected.shape[1]] - expected).max() <= 1e-5 * scale
    assert np.abs(found.logits - oracle["logits"].ravel()).max() <= 1e-5 * scale


@pytest.mark.parametrize(
    "file_name",
    [*MIXING, "stamp-2.5.0-linear-2class.ckpt", "millab-abmil-3class-pytorch_model.bin",
     "millab-dsmil-3class-pytorch_model.bin"],
)  # fmt: skip
def test_integrated_gradients_miss_less_than_one_per_cent(zoo, file_name):
    model, bag, _ = zoo(file_name)
    found = explain(model, bag, "ig")
    assert found.residual <= 0.01
    missing = np.abs(found.contributions.sum(1, dtype=np.float64) - found.logits).max()
    assert missing <= 0.01 * np.abs(found.logits).max()
    assert found.contributions.std() > 0


def test_a_gate_that_leaps_along_the_path_is_noted(zoo):
    model, bag, _ = zoo("slideflow-attention_mil-gate0.75-T1.0.pth")
    found = explain(model, bag, "ig")
    assert found.residual > 0.01
    assert "--explain contributions" in found.notes[1]


@pytest.mark.parametrize("file_name", STAMPS)
def test_drop_one_beats_random_and_stamps_own_map(zoo, file_name):
    model, bag, _ = zoo(file_name)
    explanation = explain(model, bag, "drop-one")
    index = int(explanation.prediction.argmax())
    maps = {"drop-one": explanation.fall[index], "STAMP": stamp_attention(model, bag)[index]}
    [found] = flippings(model, bag, {index: maps}, explanation)
    assert beats_random(found)["drop-one"]
    assert found.aupc["drop-one"] < found.aupc["STAMP"]


@pytest.mark.parametrize("file_name", STAMPS)
def test_stamps_own_attention_is_that_of_its_code(zoo, file_name):
    model, bag, oracle = zoo(file_name)
    raw = stamp_gradients(model, bag)
    if "stamp_gradcam" in oracle:
        np.testing.assert_allclose(raw[0], oracle["stamp_gradcam"], atol=1e-5 * raw.max())
    else:
        expected = oracle["stamp_gradcam_softmaxed"].T
        np.testing.assert_allclose(stamp_attention(model, bag), expected, rtol=1e-5)
        # The softmax hides almost all of it, so the raw values are held against the sums too.
        sums = np.abs(oracle["grad_x_input"].T) / bag.features.shape[1]
        np.testing.assert_allclose(raw, sums, atol=1e-5 * raw.max())
