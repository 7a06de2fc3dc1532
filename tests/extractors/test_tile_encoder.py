"""Encoders of tiles by recipes: equal to timm's own, on tiles that torchvision transforms."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.extractors.dense import IMAGENET_MEAN, IMAGENET_STD
from heatmaps_ome.extractors.protocol import is_dense

RECIPE = """
title = "A small ViT"
channels = {channels}

[network]
timm = "vit_tiny_patch16_224"
arguments = {{ depth = 2, embed_dim = 96, init_values = 1e-5, reg_tokens = 4 }}
pooling = "{pooling}"

[transform]
resize_px = 256
crop_px = 224
interpolation = "bicubic"
"""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return perturbed(
        timm.create_model(
            "vit_tiny_patch16_224", num_classes=0, depth=2, embed_dim=96, init_values=1e-5,
            reg_tokens=4,
        )
    )  # fmt: skip


def perturbed(network):
    """Return a network whose scales of layers, 1e-5 at first, hide none of its parts."""
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return network.eval()


@pytest.fixture(scope="module")
def tiles():
    return np.random.default_rng(0).integers(0, 256, (3, 240, 240, 3), dtype=np.uint8)


def by_hand(network, tiles):
    """Return the tokens of tiles, as torchvision and timm give them."""
    transform = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    images = torch.stack([transform(Image.fromarray(tile)) for tile in tiles])
    with torch.inference_mode():
        return network.forward_features(images)


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("cls", lambda tokens: tokens[:, 0]),
        ("mean", lambda tokens: tokens[:, 5:].mean(1)),
        ("cls+mean", lambda tokens: torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1)),
    ],
)
def test_features_are_those_of_timm(tmp_path, network, tiles, pooling, pooled):
    expected = pooled(by_hand(network, tiles)).numpy()
    text = RECIPE.format(channels=expected.shape[1], pooling=pooling)
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    encoder = load_extractor(
        str(tmp_path / "small.toml"), tmp_path / "w.safetensors", "cpu", "float32"
    )
    assert not is_dense(encoder)
    assert (encoder.name, encoder.channels) == ("small", expected.shape[1])
    np.testing.assert_allclose(encoder.tiles(tiles), expected, rtol=1e-5, atol=1e-5)
    rough = load_extractor(
        str(tmp_path / "small.toml"), tmp_path / "w.safetensors", "cpu", "bfloat16"
    )
    assert rough.digest != encoder.digest
    off = np.linalg.norm(rough.tiles(tiles) - expected) / np.linalg.norm(expected)
    assert 0 < off < 0.01


def test_clams_truncated_resnet_is_dense_and_timms_third_stage(tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model("resnet50.tv_in1k")
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    state = {key: v for key, v in whole.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "resnet50-19c8e357.pth")
    stages = timm.create_model("resnet50.tv_in1k", features_only=True, out_indices=(3,))
    stages.load_state_dict(whole.state_dict(), strict=False)
    tiles = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    to_images = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )
    with torch.inference_mode():
        [maps] = stages.eval()(torch.stack([to_images(tile) for tile in tiles]))
    expected = maps.mean((2, 3)).numpy()
    encoder = load_extractor("resnet50-trunc", tmp_path / "resnet50-19c8e357.pth", "cpu", "float32")
    assert is_dense(encoder)
    np.testing.assert_allclose(encoder.tiles(tiles), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder(tiles[0]).mean((1, 2)), expected[0], rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_answered_with_their_first_differences(tmp_path, network):
    text = RECIPE.format(channels=96, pooling="cls").replace("depth = 2", "depth = 3")
    (tmp_path / "deeper.toml").write_text(text, encoding="utf-8")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    encoder = load_extractor(
        str(tmp_path / "deeper.toml"), tmp_path / "w.safetensors", "cpu", "float32"
    )
    with pytest.raises(ExtractorError, match=r"weights of A small ViT: it lacks blocks\.2\."):
        encoder.prepare()
