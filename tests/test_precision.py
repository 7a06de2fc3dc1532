"""What bfloat16 does to features and maps; GPUs use it, and the CPU's autocast rounds alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from make_test_weights import seeded_resnet50
from measure_precision import mixed
from measure_reading import DEMO_MODEL, MODEL, Network, maps_of
from slide_files import speckled

from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.models import read_model


def both(network, pixels):
    """Return a network's maps in mixed precision and in float32."""
    tissue = np.ones((-(-pixels.shape[0] // 32), -(-pixels.shape[1] // 32)), bool)
    rough = Network(network.name, mixed(network.extractor), network.model)
    return maps_of(rough, pixels, tissue), maps_of(network, pixels, tissue)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_a_trained_network_in_bfloat16_gives_the_same_maps_to_5_percent():
    demo = Network("tiny", load_extractor("tiny", None, "cpu"), read_model(DEMO_MODEL))
    rough, exact = both(demo, speckled(480, 640))
    assert 0 < relative(rough.features, exact.features) < 0.02
    assert relative(rough.attention, exact.attention) < 0.02
    assert np.abs(rough.scores - exact.scores).mean() < 0.005
    assert np.abs(rough.scores - exact.scores).max() < 0.05


@pytest.fixture(scope="module")
def resnet(tmp_path_factory, shared_data):
    path = tmp_path_factory.mktemp("weights") / "seeded.pth"
    torch.save(seeded_resnet50(0), path)
    model = read_model(Path(shared_data) / "models" / MODEL)
    return Network("ResNet-50", load_extractor("retccl", path, "cpu"), model)


def test_a_resnet_50_in_bfloat16_gives_the_same_features_to_6_percent(resnet):
    rough, exact = both(resnet, speckled(192, 256))
    assert 0 < relative(rough.features, exact.features) < 0.06
    assert np.corrcoef(rough.attention, exact.attention)[0, 1] > 0.95


def test_precisions_never_share_a_cache(resnet):
    assert mixed(resnet.extractor).digest != resnet.extractor.digest
