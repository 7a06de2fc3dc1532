"""Models of other systems against what the original classes gave for the same features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from heatmaps_ome.models import read_model
from heatmaps_ome.models.conversion import convert_model
from heatmaps_ome.models.model_facts import ModelFacts

ZOO = Path(__file__).parents[4] / "shared" / "data" / "zoo"
FEATURES = "clam-CMU-1-Small-Region-224px-step224-features.h5"
TOLERANCE = 1e-5
PLAIN = ModelFacts()
pytestmark = pytest.mark.skipif(not ZOO.is_dir(), reason=f"needs the models in {ZOO}")


@dataclasses.dataclass(frozen=True)
class Case:
    """A model file with the numbers of its original code; names of the arrays where they differ."""

    file: str
    oracle: str
    additivity: str
    facts: ModelFacts = PLAIN
    attention: str = "attention"
    weights: bool = False
    logits: str = "logits"
    tiles: str = "tile_logits"
    without_one: str = "drop_one_logits"


def clam(name: str, oracle: str = "") -> Case:
    file = f"clam-{name}-s_0_checkpoint"
    return Case(f"{file}.pt", oracle or file, "pooled", attention="attention_raw")


def slideflow(gate: float, additivity: str) -> Case:
    name = f"slideflow-attention_mil-gate{gate:g}-T1.0"
    facts = ModelFacts(gate=gate, temperature=1.0)
    return Case(f"{name}.pth", name, additivity, facts, weights=True)


CASES = [
    clam("demo", "clam-demo"),
    clam("sb-gated-3class"),
    clam("sb-plain-3class"),
    clam("mb-gated-3class"),
    *(
        Case(f"xmil-{data}-attnmil-best_model.pt", f"xmil-{data}", "pooled",
             attention="attention_raw")
        for data in ("camelyon", "nsclc")
    ),
    Case("millab-abmil-3class-pytorch_model.bin", "millab-abmil", "pooled"),
    Case("millab-dsmil-3class-pytorch_model.bin", "millab-dsmil", "given a choice", weights=True),
    Case("torchmil-abmil-binary.pt", "torchmil-abmil", "pooled"),
    Case("torchmil-dsmil-binary.pt", "torchmil-dsmil", "given a choice", weights=True),
    slideflow(0, "pooled"),
    slideflow(0.75, "given a choice"),
    Case("dsmil-c16_aggregator.pth", "dsmil-c16", "given a choice", weights=True,
         logits="mean_logits", tiles="tile_mean_logits", without_one="drop_one_mean_logits"),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: case.oracle)
def case(request):
    return request.param


@pytest.fixture
def numbers(case):
    with np.load(ZOO / "oracles" / f"{case.oracle}.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def bag(numbers):
    if "x" in numbers:
        return torch.from_numpy(numbers["x"].astype(np.float32))
    import h5py

    with h5py.File(ZOO / "features" / FEATURES) as file:
        return torch.from_numpy(np.asarray(file["features"], np.float32))


def places(bag):
    return torch.zeros(len(bag), 2)


def assert_near(found, wanted):
    wanted = np.asarray(wanted, np.float64)
    found = np.asarray(found, np.float64).reshape(wanted.shape)
    assert np.abs(found - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())


def by_tile(array, n_tiles):
    """Return attention with the tiles first, and without axes of length 1."""
    array = np.squeeze(array)
    return array if len(array) == n_tiles else array.T


def attention_of(model, bag):
    attention = model.attention(bag, places(bag))
    assert attention is not None
    return attention


def test_logits_and_tiles_are_the_originals(case, numbers, bag):
    model = read_model(ZOO / "models" / case.file, case.facts)
    assert model.additivity == case.additivity
    assert_near(model.logits(bag, places(bag)), numbers[case.logits])
    assert_near(model.tile_logits(bag, places(bag)), numbers[case.tiles])


def test_attention_is_the_originals(case, numbers, bag):
    model = read_model(ZOO / "models" / case.file, case.facts)
    found = attention_of(model, bag)
    if case.weights and model.additivity == "pooled":
        found = found.softmax(dim=0)
    wanted = by_tile(numbers[case.attention], len(bag))
    assert_near(found, wanted)
    assert np.ptp(wanted) > 1e-3 or case.weights


def test_predictions_without_a_tile_are_the_originals(case, numbers, bag):
    """By forward calls, and by the closed form where the model is pooled."""
    model = read_model(ZOO / "models" / case.file, case.facts)
    wanted = numbers[case.without_one].reshape(-1, len(model.target.outputs))
    rest = [torch.cat([bag[:i], bag[i + 1 :]]) for i in range(len(wanted))]
    assert_near(torch.stack([model.logits(tiles, places(tiles)) for tiles in rest]), wanted)
    if model.additivity == "pooled":
        attention = attention_of(model, bag).double()
        weights = attention.softmax(dim=0).reshape(len(bag), -1)
        shares = weights * model.tile_logits(bag, places(bag))
        closed = (shares.sum(dim=0) - shares) / (1 - weights)
        assert_near(closed[: len(wanted)], wanted)


def test_contributions_sum_to_the_originals_logits(case, numbers, bag):
    model = read_model(ZOO / "models" / case.file, case.facts)
    shares = model.contributions(bag, places(bag))
    assert shares is not None
    assert shares.shape == (len(bag), len(model.target.outputs))
    assert_near(shares.double().sum(dim=0), numbers[case.logits])


def test_conversions_are_the_same_models(case, bag, tmp_path):
    source, target = ZOO / "models" / case.file, tmp_path / "model.safetensors"
    convert_model(source, target, case.facts)
    one, other = read_model(source, case.facts), read_model(target)
    assert (one.digest, one.target, one.family) == (other.digest, other.target, other.family)
    torch.testing.assert_close(
        one.logits(bag, places(bag)), other.logits(bag, places(bag)), rtol=0, atol=0
    )
