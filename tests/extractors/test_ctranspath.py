"""CTransPath from a file as it is published, against the formulas of its papers."""

import numpy as np
import pytest
import torch

from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.extractors.dense import IMAGENET_MEAN, IMAGENET_STD
from tests.support import swin_formulas

pytest.importorskip("timm")


@pytest.fixture(scope="module")
def published():
    return swin_formulas.published_state(seed=7)


@pytest.fixture(scope="module")
def encoder(published, tmp_path_factory):
    weights = tmp_path_factory.mktemp("ctranspath") / "ctranspath.pth"
    torch.save({"model": published}, weights)
    return load_extractor("ctranspath", weights, "cpu", "float32")


def test_all_200_tensors_of_the_published_file_are_accounted_for(published, encoder):
    assert len(published) == 200
    computed = [name for name in published if name.endswith(("position_index", "attn_mask"))]
    assert len(published) - len(encoder.network.state_dict()) == len(computed) == 17


def test_features_are_those_of_the_formulas(published, encoder):
    tiles = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    features = encoder.tiles(tiles)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    pixels = (torch.from_numpy(tiles[0]).double() / 255 - mean) / std
    expected = swin_formulas.feature(published, pixels.permute(2, 0, 1)).numpy()
    assert features.shape == (2, 768)
    assert expected.std() > 0.1
    assert np.abs(features[0] - expected).max() < 1e-5
    assert np.abs(features[1] - expected).max() > 1e-2
