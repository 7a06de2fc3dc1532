"""Convolutions that add and take ReLUs on the way: the same features, in fewer passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from trunks import TRUNKS

from heatmaps_ome.extractors.dense import ready
from heatmaps_ome.extractors.precision import DTYPES
from heatmaps_ome.extractors.speed import fusing
from heatmaps_ome.extractors.speed.folding import folded
from heatmaps_ome.extractors.speed.fusing import FusedConvolution, PooledInStrips, available, fused
from heatmaps_ome.extractors.tiny import tiny_trunk

CHANNELS = 4
HERE = pytest.mark.skipif(
    not available(torch.float32), reason="this torch has no fused convolutions for this CPU"
)


def images(*shape, dtype=torch.float32):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return values.to(memory_format=torch.channels_last)


def count(module, kind):
    return sum(isinstance(each, kind) for each in module.modules())


@HERE
@pytest.mark.parametrize(("name", "convolutions"), [("retccl", 49), ("tiny", 7)])
@pytest.mark.parametrize("shape", [(1, 3, 225, 130), (3, 3, 64, 64), (1, 3, 1, 1), (1, 3, 33, 2)])
@pytest.mark.parametrize("precision", DTYPES)
def test_fused_trunks_are_as_near_to_the_network_as_others(name, convolutions, shape, precision):
    dtype, trunk = DTYPES[precision], TRUNKS[name]().eval()
    if not available(dtype):
        pytest.skip(f"this torch has no fused convolutions in {precision} for this CPU")
    found = ready(trunk, "cpu", precision)
    assert count(found, FusedConvolution) == convolutions
    assert count(found, nn.ReLU) == 0
    other = folded(trunk).to(dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = trunk.double()(images(*shape).double())
        errors = [
            float(torch.linalg.norm(each(images(*shape, dtype=dtype)) - expected))
            for each in (found, other)
        ]
    assert errors[0] <= 1.2 * errors[1] + 1e-6 * float(torch.linalg.norm(expected))


class Program(nn.Module):
    """Steps that each take earlier steps' outputs: any tangle of convolutions, sums and ReLUs."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        torch.manual_seed(len(steps))
        self.convs = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(3))
        self.norm = nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, images):
        outputs = [images]
        for kind, first, second in self.steps:
            one, other = outputs[first % len(outputs)], outputs[second % len(outputs)]
            outputs.append(
                {
                    "conv": lambda a, _, i=second: self.convs[i % 3](a),
                    "add": lambda a, b: a + b,
                    "relu": lambda a, _: self.relu(a),
                    "identity": lambda a, _: self.norm(a),
                }[kind](one, other)
            )
        # All but the last few are seen by nothing but what follows them.
        return torch.cat(outputs[-3:])


STEPS = st.tuples(
    st.sampled_from(["conv", "conv", "add", "relu", "relu", "identity"]),
    # Mostly what came just before, so that chains are made that can be fused.
    st.one_of(st.just(-1), st.just(-1), st.integers(-4, 10)),
    st.integers(-4, 10),
)


@HERE
@given(st.lists(STEPS, min_size=1, max_size=14))
def test_whatever_is_added_to_whatever_the_outputs_stay(steps):
    trunk = Program(steps).eval().to(memory_format=torch.channels_last)
    given_, kept = images(1, CHANNELS, 9, 8), images(1, CHANNELS, 9, 8)
    with torch.inference_mode():
        expected = trunk(kept)
        found = fused(trunk)(given_)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(given_, kept)


@HERE
def test_a_sum_is_fused_only_where_nobody_needs_what_is_written_over():
    residual = [("conv", -1, 0), ("conv", -1, 1), ("add", -1, 1), ("relu", -1, 0)]
    spent = fused(Program([*residual, ("conv", -1, 2), ("conv", -1, 2), ("conv", -1, 2)]))
    needed = fused(Program([*residual, ("add", -1, 1)]))
    assert [count(each, FusedConvolution) for each in (spent, needed)] == [1, 0]


@HERE
def test_convolutions_that_pad_otherwise_stay_as_they_are():
    for how in ({"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}):
        trunk = nn.Sequential(nn.Conv2d(3, 3, 3, **how), nn.ReLU()).eval()
        assert count(fused(trunk), FusedConvolution) == 0
        assert torch.equal(fused(trunk)(images(1, 3, 9, 9)), trunk(images(1, 3, 9, 9)))


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, images, summand=None: torch.ops.mkldnn.no_such_function(images),
        lambda self, images, summand=None: self.conv(images),
    ],
    ids=["missing", "without ReLU"],
)
def test_without_the_functions_or_with_other_ones_the_trunk_stays(monkeypatch, forward):
    monkeypatch.setattr(FusedConvolution, "forward", forward)
    monkeypatch.setattr(fusing, "available", available.__wrapped__)
    trunk = tiny_trunk()
    assert fused(trunk) is trunk
    assert not isinstance(ready(trunk, "cpu", "float32"), fx.GraphModule)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 140), st.integers(1, 20), st.sampled_from([torch.float32, torch.bfloat16]))
def test_maxima_of_strips_are_those_of_the_whole(height, width, dtype):
    maps = torch.randn(2, 8, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
    expected = nn.functional.max_pool2d(maps, 3, 2, 1)
    assert torch.equal(PooledInStrips()(maps), expected)


def test_only_the_very_pooling_is_taken_in_strips():
    assert PooledInStrips.stands_for(nn.MaxPool2d(3, 2, 1))
    for other in (
        nn.MaxPool2d(2, 2), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 1, 1),
        nn.MaxPool2d(3, 2, 1, dilation=2), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d(3, 2, 1, return_indices=True),
    ):  # fmt: skip
        assert not PooledInStrips.stands_for(other)
