"""Normalisation folded into convolutions: the same function as the network that was trained."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_extractors import seeded_trunk
from torch import nn
from trunks import TRUNKS

from heatmaps_ome.extractors.dense import ready
from heatmaps_ome.extractors.speed.folding import folded
from heatmaps_ome.extractors.tiny import tiny_trunk


def normalisations(module):
    return sum(isinstance(each, nn.BatchNorm2d) for each in module.modules())


def images(dtype):
    return torch.rand(1, 3, 49, 66, dtype=dtype, generator=torch.Generator().manual_seed(0))


def features(trunk, dtype):
    with torch.inference_mode():
        return trunk(images(dtype)).numpy()


@pytest.mark.parametrize("name", TRUNKS)
def test_a_folded_trunk_is_the_same_function(name):
    trunk = TRUNKS[name]().eval().double()
    found = folded(trunk)
    assert normalisations(found) == 0
    expected = features(trunk, torch.float64)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(features(found, torch.float64), expected, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", TRUNKS)
def test_folding_changes_float32_features_by_rounding_alone(name):
    trunk = TRUNKS[name]().eval()
    expected = features(trunk, torch.float32)
    found = features(ready(trunk, "cpu", "float32"), torch.float32)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_trunk_that_is_given_stays_as_it_was(precision):
    trunk = tiny_trunk()
    count, state = normalisations(trunk), {k: v.clone() for k, v in trunk.state_dict().items()}
    ready(trunk, "cpu", precision)
    assert normalisations(trunk) == count
    assert all(torch.equal(value, state[key]) for key, value in trunk.state_dict().items())


class Twisted(nn.Module):
    """Pairs that lie one after another in the list of modules and not in the computation."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.shared = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.chained, self.last = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images):
        once = self.first(images)
        branched = self.norm(once) + once
        twice = self.shared(self.second(branched)) + self.shared(branched)
        return self.last(self.chained(twice))


def test_only_normalisations_fed_by_one_convolution_alone_are_folded():
    torch.manual_seed(0)
    trunk = Twisted().double()
    trunk(torch.rand(4, 3, 20, 20, dtype=torch.float64))
    trunk.eval()
    found = folded(trunk)
    assert normalisations(found) == 2
    assert isinstance(found.last, nn.Identity)
    expected = features(trunk, torch.float64)
    np.testing.assert_allclose(features(found, torch.float64), expected, rtol=0, atol=1e-12)


def test_the_network_that_was_made_ready_leaves_no_memory_behind():
    before = []

    def build():
        trunk = tiny_trunk()
        before.append(weakref.ref(trunk))
        return trunk

    extractor = replace(seeded_trunk(), build=build)
    gc.disable()
    try:
        extractor.prepare()
    finally:
        gc.enable()
    assert before[0]() is None
