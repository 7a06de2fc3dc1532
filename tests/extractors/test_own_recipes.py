"""Recipes of the user's own, and timm's models by name."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import find_recipe, load_extractor

GOOD = """
title = "Ours"
channels = 192
[network]
timm = "vit_tiny_patch16_224"
"""
BAD = {
    "": "it has no table [network]",
    "title = ": "is no recipe of an encoder: Invalid value",
    GOOD.replace("channels", "chanels"): "chanels is no field; did you mean channels?",
    GOOD.replace("channels = 192", ""): "channels is missing",
    GOOD.replace("192", "'192'"): "channels is '192', not a whole number",
    GOOD.replace("192", "true"): "channels is True, not a whole number",
    GOOD.replace("192", "0"): "channels is 0, not 1 to 65536",
    GOOD.replace("timm", "own"): "names code, which a recipe's file cannot; use timm",
    GOOD + "dense = 'resnet50'": "[network] needs one of timm, own and dense",
    GOOD + "pooling = 'max'": "[network] pooling is 'max', not one of cls, mean, cls+mean, own",
    GOOD + "[transform]\nresize_px = 0": "[transform] resize_px is 0, not 1 to 4096",
    GOOD + "[transform]\ncrop_px = 300": "[transform] crop_px is 300, not 0 to resize_px, 224",
    GOOD + "[transform]\nmean = [1, 2]": "[transform] mean is [1, 2], not a list",
    GOOD + "[transform]\nstd = [0, 0.5, 0.5]": "[transform] mean and std are between 0 and 1",
    GOOD + "[transform]\ninterpolation = 'nearest'": "not one of bilinear, bicubic, lanczos",
    GOOD + "[weights]\nsha256 = ['x']": "[weights] sha256 has 'x', no hexadecimal digest",
    "network = 3\n" + GOOD[:28]: "[network] is no table",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_recipe_is_answered_with_its_fault(tmp_path, text):
    (tmp_path / "ours.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ExtractorError) as refusal:
        find_recipe(str(tmp_path / "ours.toml"))
    assert BAD[text] in str(refusal.value)
    assert str(refusal.value).startswith(f"--extractor: {tmp_path / 'ours.toml'} is no recipe")


def test_a_recipe_is_a_file(tmp_path):
    with pytest.raises(ExtractorError, match=r"none\.toml cannot be read as a recipe \(No such"):
        find_recipe(str(tmp_path / "none.toml"))


UNBUILDABLE = {
    "timm = 'no_such_vit'": "names 'no_such_vit', which timm",
    "timm = 'hf-hub:a/b'": "names 'hf-hub:a/b', which timm",
    "timm = 'vit_tiny_patch16_224'\narguments = { pretrained = true }": "gives pretrained, which",
    "timm = 'vit_tiny_patch16_224'\narguments = { checkpoint_path = 'x' }": "gives checkpoint_path",
    "timm = 'vit_tiny_patch16_224'\narguments = { depth = 1000 }": "depth is 1000, not 0 to 256",
    "timm = 'vit_tiny_patch16_224'\narguments = { mlp_layer = 'os' }": "mlp_layer is 'os', none of",
    "timm = 'resnet18'\narguments = { depth = 3 }": "gives arguments that resnet18 cannot take",
    "timm = 'resnet18'\npooling = 'cls'": "pools tokens, which its network has not",
    "timm = 'resnet18'": "gives an array of 512 for a tile, not the 192 features",
    "dense = 'resnet5'": "names the dense network 'resnet5'; there are resnet50, resnet50-trunc",
}


@pytest.mark.parametrize("network", UNBUILDABLE)
def test_a_network_that_cannot_be_is_answered_with_the_reason(tmp_path, network):
    text = f"title = 'Ours'\nchannels = 192\n[network]\n{network}\n"
    (tmp_path / "ours.toml").write_text(text, encoding="utf-8")
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(ExtractorError) as refusal:
        load_extractor(str(tmp_path / "ours.toml"), tmp_path / "w.pth", "cpu", "float32").prepare()
    assert UNBUILDABLE[network] in str(refusal.value)


@pytest.mark.parametrize("model", ["resnet18.tv_in1k", "swin_tiny_patch4_window7_224"])
def test_any_model_of_timm_has_its_own_transform(tmp_path, model):
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=7).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    network.reset_classifier(0)
    transform = create_transform(**resolve_data_config({}, model=network))
    tiles = np.random.default_rng(0).integers(0, 256, (2, 300, 300, 3), dtype=np.uint8)
    with torch.inference_mode():
        images = torch.stack([transform(Image.fromarray(tile)) for tile in tiles])
        expected = network(images).numpy()
    encoder = load_extractor(f"timm:{model}", tmp_path / "w.pth", "cpu", "float32")
    assert (encoder.name, encoder.channels) == (f"timm:{model}", expected.shape[1])
    np.testing.assert_allclose(encoder.tiles(tiles), expected, rtol=1e-5, atol=1e-5)


def test_a_mistyped_model_of_timm_is_answered_with_the_nearest():
    with pytest.raises(
        ExtractorError, match=r"no model 'vit_tiny_patch16_22'; did you mean timm:v"
    ):
        find_recipe("timm:vit_tiny_patch16_22")
    with pytest.raises(ExtractorError, match="has no model 'hf-hub:MahmoodLab/UNI'"):
        find_recipe("timm:hf-hub:MahmoodLab/UNI")


def test_without_timm_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ExtractorError, match=r"needs timm: pip install 'heatmaps-ome\[encoders\]'"):
        find_recipe("timm:resnet18")
