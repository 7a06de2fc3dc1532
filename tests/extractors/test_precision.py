"""What bfloat16 does to features and maps, and when it is chosen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from make_test_weights import seeded_resnet50
from measure_reading import DEMO_MODEL, MODEL, Network, maps_of
from slide_files import speckled

from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.extractors.precision import resolved
from heatmaps_ome.models import read_model
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.provenance import effective_options


def both(name, weights, model, pixels):
    """Return a network's maps in bfloat16 and in float32."""
    tissue = np.ones((-(-pixels.shape[0] // 32), -(-pixels.shape[1] // 32)), bool)
    return [
        maps_of(Network(name, load_extractor(name, weights, "cpu", each), model), pixels, tissue)
        for each in ("bfloat16", "float32")
    ]


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_a_trained_network_in_bfloat16_gives_the_same_maps_to_5_percent():
    rough, exact = both("tiny", None, read_model(DEMO_MODEL), speckled(480, 640))
    assert 0 < relative(rough.features, exact.features) < 0.02
    assert relative(rough.attention, exact.attention) < 0.02
    assert np.abs(rough.scores - exact.scores).mean() < 0.005
    assert np.abs(rough.scores - exact.scores).max() < 0.05


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "seeded.pth"
    torch.save(seeded_resnet50(0), path)
    return path


def test_a_resnet_50_in_bfloat16_gives_the_same_features_to_6_percent(weights, shared_data):
    model = read_model(Path(shared_data) / "models" / MODEL)
    rough, exact = both("retccl", weights, model, speckled(192, 256))
    assert 0 < relative(rough.features, exact.features) < 0.06
    assert np.corrcoef(rough.attention, exact.attention)[0, 1] > 0.95


def test_precisions_never_share_a_cache(weights):
    for name, file in (("tiny", None), ("retccl", weights)):
        rough, exact, chosen = (
            load_extractor(name, file, "cpu", each) for each in ("bfloat16", "float32", "auto")
        )
        assert (rough.precision, exact.precision) == ("bfloat16", "float32")
        assert rough.digest != exact.digest
        # What was chosen counts, not how: a cache serves the run that names it too.
        assert chosen.digest == {"bfloat16": rough, "float32": exact}[chosen.precision].digest


def test_a_precision_says_nothing_of_a_result_but_through_the_extractors_digest():
    first, second = (
        effective_options(
            CreateOptions(
                model_path=Path("m"), output_path=Path("o"), true_class="a", precision=each
            )
        )
        for each in ("auto", "bfloat16")
    )
    assert first == second


@pytest.mark.parametrize("device", ["cpu", "cuda:1", "mps"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_named_precision_is_taken_whatever_the_device(precision, device):
    assert resolved(precision, device) == precision


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "chosen"),
    [
        (True, True, "bfloat16"),
        (False, True, "bfloat16"),
        (True, None, "bfloat16"),
        (False, False, "float32"),
        (None, None, "float32"),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(
    monkeypatch, amx, avx512_bf16, chosen
):
    for name, said in (("_is_amx_tile_supported", amx), ("_is_avx512_bf16_supported", avx512_bf16)):
        if said is None:  # as in versions of torch that cannot tell
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda said=said: said, raising=False)
    assert resolved("auto", "cpu") == chosen


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_computes_in_bfloat16_where_its_tensor_cores_do(monkeypatch, capability, chosen):
    asked = []
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability
    )
    assert resolved("auto", "cuda:1") == chosen
    assert asked == [torch.device("cuda:1")]


def test_other_devices_compute_in_float32():
    assert resolved("auto", "mps") == "float32"
