"""The tiny extractor: its geometry by experiment, and its packaged weights."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.tiny import WEIGHTS_NAME, TinyTrunk, tiny_trunk


@pytest.fixture(scope="module")
def trunk() -> TinyTrunk:
    return tiny_trunk()


@pytest.mark.parametrize(("height", "width"), [(224, 224), (1, 33), (97, 64), (65, 31)])
def test_the_map_has_a_cell_per_begun_stride(trunk, height, width):
    with torch.inference_mode():
        cells = trunk(torch.zeros(2, 3, height, width))
    assert cells.shape == (2, trunk.channels, math.ceil(height / 32), math.ceil(width / 32))


def test_a_cell_sees_a_square_centred_on_its_strides_first_pixel():
    torch.manual_seed(0)
    trunk = TinyTrunk().eval().double()
    with torch.no_grad():
        # All positive, so that no path of the receptive field is cut by a ReLU.
        for parameter in trunk.parameters():
            parameter.abs_().add_(1e-3)
    pixels = torch.ones(1, 3, 320, 384, dtype=torch.double, requires_grad=True)
    row, col = 5, 6
    trunk(pixels)[0, :, row, col].sum().backward()
    assert pixels.grad is not None
    seen = np.argwhere(pixels.grad[0].abs().sum(0).numpy() > 0)
    reach = (trunk.receptive_field_px - 1) // 2
    assert seen.min(axis=0).tolist() == [32 * row - reach, 32 * col - reach]
    assert seen.max(axis=0).tolist() == [32 * row + reach, 32 * col + reach]


def test_the_weight_of_evidence_lies_at_the_centre(trunk):
    torch.manual_seed(1)
    pixels = torch.randn(1, 3, 320, 320, requires_grad=True)
    trunk(pixels)[0, :, 5, 5].sum().backward()
    assert pixels.grad is not None
    weight = pixels.grad[0].abs().sum(0)
    place = torch.arange(320.0)
    assert abs((weight.sum(1) * place).sum() / weight.sum() - 160) < 8
    assert abs((weight.sum(0) * place).sum() / weight.sum() - 160) < 8


def test_a_block_with_its_halo_equals_the_whole_image(trunk):
    torch.manual_seed(2)
    halo = trunk.halo_px
    assert halo % 32 == 0
    assert halo >= (trunk.receptive_field_px - 1) // 2
    pixels = torch.randn(1, 3, 640, 704)
    with torch.inference_mode():
        whole = trunk(pixels)
        block = trunk(pixels[..., 192 - halo : 416 + halo, 256 - halo : 480 + halo])
    first, cells = halo // 32, 224 // 32
    inner = block[..., first : first + cells, first : first + cells]
    assert torch.allclose(inner, whole[..., 6:13, 8:15], atol=1e-4)


def test_the_packaged_weights_fit_and_are_small(trunk):
    packaged = files("heatmaps_ome") / "demo" / "data" / WEIGHTS_NAME
    assert len(packaged.read_bytes()) < 1_000_000
    assert not trunk.training
    assert all(torch.isfinite(tensor).all() for tensor in trunk.state_dict().values())
    assert sum(parameter.numel() for parameter in trunk.parameters()) < 150_000


def test_other_weights_are_refused_by_name(tmp_path, trunk):
    path = tmp_path / "other.safetensors"
    tensors = dict(trunk.state_dict())
    tensors.pop(next(iter(tensors)))
    save_file(tensors, path)
    assert len(load_file(path)) == len(tensors)
    with pytest.raises(ExtractorError, match=r"other\.safetensors holds other tensors"):
        tiny_trunk(path)


def test_a_broken_or_missing_file_is_refused_by_name(tmp_path):
    path = tmp_path / "broken.safetensors"
    with pytest.raises(ExtractorError, match=r"broken\.safetensors cannot be read"):
        tiny_trunk(path)
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(ExtractorError, match=r"broken\.safetensors cannot be read"):
        tiny_trunk(path)
