"""CTransPath against the formulas of its papers, from files as they are published."""

import pytest
import torch

from heatmaps_ome.extractors.published_names import SWIN
from tests.support import swin_formulas

pytest.importorskip("timm")

from heatmaps_ome.extractors.networks.ctranspath import ctranspath


@pytest.fixture(scope="module")
def published():
    return swin_formulas.published_state(seed=7)


@pytest.fixture(scope="module")
def network(published):
    network = ctranspath()
    network.load_state_dict(SWIN(published, {}), strict=True)
    return network


def test_all_200_tensors_of_the_published_file_are_accounted_for(published, network):
    assert len(published) == 200
    renamed = SWIN(published, {})
    assert renamed.keys() == network.state_dict().keys()
    computed = [name for name in published if name.endswith(("position_index", "attn_mask"))]
    assert len(published) - len(renamed) == len(computed) == 17


def test_features_are_those_of_the_formulas(network, published):
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = network(images)
    expected = swin_formulas.feature(published, images[0])
    assert features.shape == (2, 768)
    assert expected.std() > 0.1
    assert (features[0] - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    assert (features[1] - expected).abs().max() > 1e-2
