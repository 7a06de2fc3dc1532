"""Of a halo only what the cells asked for depend on is computed, and their features stay."""

from functools import cache

import numpy as np
import pytest
import torch
from fake_extractors import seeded_trunk
from hypothesis import given, settings
from hypothesis import strategies as st
from make_test_weights import seeded_resnet50
from torch import nn

from heatmaps_ome.extractors.dense import ready
from heatmaps_ome.extractors.resnet50 import ResNet50
from heatmaps_ome.extractors.speed.fusing import FusedConvolution, available
from heatmaps_ome.extractors.speed.narrowing import narrowed
from heatmaps_ome.extractors.tiny import tiny_trunk
from heatmaps_ome.geometry import Window


def resnet():
    trunk = ResNet50()
    trunk.load_state_dict(seeded_resnet50(0))
    return trunk.eval()


TRUNKS = {"retccl": cache(resnet), "tiny": cache(tiny_trunk)}


def noise(height, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand((1, 3, height, width), generator=generator).to(dtype)


@st.composite
def windows(draw):
    """Draw the size of an image in px, and a window of its cells."""
    size = draw(st.tuples(st.integers(1, 900), st.integers(1, 400)))
    spans = []
    for px in size:
        cells = -(-px // 32)
        first = draw(st.integers(0, cells - 1))
        spans.append((first, draw(st.integers(1, cells - first))))
    (row, rows), (col, cols) = spans
    return size, Window(row, col, rows, cols)


@settings(max_examples=25, deadline=None)
@given(windows(), st.sampled_from(sorted(TRUNKS)))
def test_cells_are_the_same_alone_as_in_the_whole_map(drawn, name):
    (height, width), keep = drawn
    # In so many digits that a wrong pixel can't be taken for rounding.
    trunk, images = TRUNKS[name]().to(torch.float64), noise(height, width, torch.float64)
    with torch.inference_mode():
        whole, alone = trunk(images), trunk(images, keep)
    torch.testing.assert_close(alone, whole[:, :, *keep.slices], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_made_ready_for_a_cpu_do_the_same(precision):
    trunk = ready(resnet(), "cpu", precision)
    dtype = next(trunk.parameters()).dtype
    if available(dtype):
        fused = [each for each in trunk.modules() if isinstance(each, FusedConvolution)]
        # All of them: sums are written over shortcuts that were narrowed too.
        assert len(fused) == 49
    keep, images = Window(8, 7, 3, 4), noise(20 * 32, 18 * 32)
    images = images.to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        whole, alone = trunk(images)[:, :, *keep.slices].float(), trunk(images, keep).float()
    # Smaller maps may be summed in another order.
    error = torch.linalg.norm(alone - whole) / torch.linalg.norm(whole)
    assert error < {"float32": 1e-5, "bfloat16": 0.02}[precision]


def test_what_no_cell_asked_for_depends_on_is_not_computed():
    sizes = {}
    trunk, keep = resnet(), Window(7, 7, 2, 2)
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: out.shape}))
        for name, module in trunk.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        trunk(noise(16 * 32, 16 * 32), keep)
    for hook in hooks:
        hook.remove()
    # A 3 × 3 convolution sees a pixel beyond each side: the last four together six of stride 16.
    assert sizes["layer1.0.conv1"][2:] == (16 * 8, 16 * 8)
    assert sizes["layer3.5.conv2"][2:] == (8 * 2, 8 * 2)
    assert sizes["layer4.0.conv2"][2:] == (8, 8)
    assert sizes["layer4.2.conv2"][2:] == (4, 4)


def test_extractors_return_the_cells_asked_for():
    pixels = np.random.default_rng(1).integers(0, 255, (300, 200, 3), np.uint8)
    extractor, keep = seeded_trunk(), Window(2, 1, 5, 3)
    alone = extractor(pixels, keep)
    assert alone.shape == (extractor.channels, 5, 3)
    np.testing.assert_allclose(alone, extractor(pixels)[:, *keep.slices], rtol=1e-4, atol=1e-5)


def test_a_halo_that_is_not_there_is_not_cut():
    maps = torch.arange(30.0).reshape(1, 1, 6, 5)
    assert torch.equal(narrowed(maps, None, 1, 0, None), maps)
    assert torch.equal(narrowed(maps, Window(0, 0, 6, 5), 1, 0, None), maps)
    assert torch.equal(narrowed(maps, Window(1, 2, 2, 9), 1, 3, None), maps)
    once = narrowed(maps, Window(3, 2, 1, 1), 1, 2, None)
    assert torch.equal(once, maps[:, :, 1:6, 0:5])
    assert torch.equal(narrowed(once, Window(3, 2, 1, 1), 1, 1, 2), maps[:, :, 2:5, 1:4])
