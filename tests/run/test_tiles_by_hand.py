"""`create` with published encoders' networks: features are those of timm, run by hand."""

import json
from pathlib import Path

import numpy as np
import openslide
import pytest
import timm
import torch
import zarr
from checkpoint_files import clam, tensors
from PIL import Image
from safetensors.torch import save_file
from slide_files import speckled, write_slide
from torchvision import transforms

from heatmaps_ome.cli import main as cli

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAST = ("--formats", "cells", "--device", "cpu", "--precision", "float32")
RECIPE = """
title = "A small ViT"
channels = 96

[network]
timm = "vit_tiny_patch16_224"
arguments = { depth = 2, embed_dim = 96 }
pooling = "cls"

[transform]
resize_px = 224
interpolation = "bicubic"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_slide(tmp_path / "a.svs", speckled(400, 440))
    torch.manual_seed(0)
    return tmp_path


def write_clam(n_features):
    """Write a model of CLAM and return what it predicts from features, by numpy."""
    sample = clam(n_features=n_features, n_classes=2)
    torch.save(tensors(sample.state), "clam.pt")
    return sample.logits


def features_of_run():
    """Return places (row, col) in the lattice and features of a run's cache, by zarr alone."""
    [folder] = Path("out/.cache/features").iterdir()
    features = np.asarray(zarr.open_array(folder, mode="r")[...])
    steps = np.argwhere(~np.isnan(features[..., 0]))
    return steps, features[tuple(steps.T)]


def tile(row, col, side):
    """Return a tile of level 0 as OpenSlide reads it, white beyond the slide."""
    with openslide.OpenSlide("a.svs") as slide:
        pixels = slide.read_region((col, row), 0, (side, side))
    white = Image.new("RGBA", pixels.size, "white")
    return Image.alpha_composite(white, pixels).convert("RGB")


def predicted_of_run():
    text = Path("out/a/provenance.json").read_text(encoding="utf-8")
    return list(json.loads(text)["prediction"].values())


def assert_predicts(logits):
    powers = np.exp(logits - logits.max())
    assert predicted_of_run() == pytest.approx(powers / powers.sum(), abs=1e-4)


def test_clam_takes_the_truncated_resnet_of_timm(here):
    whole = timm.create_model("resnet50.tv_in1k")
    torch.save(whole.state_dict(), "resnet50.pth")
    by_numpy = write_clam(1024)
    words = ["--extractor", "resnet50-trunc", "--extractor-weights", "resnet50.pth"]
    given = ["create", "a.svs", "-m", "clam.pt", "-t", "0", "-o", "out", *FAST, *words]
    assert cli.main([*given, "--target-mpp", "0.5"]) == 0
    steps, features = features_of_run()
    stages = timm.create_model("resnet50.tv_in1k", features_only=True, out_indices=(3,))
    stages.load_state_dict(whole.state_dict(), strict=False)
    to_image = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    with torch.inference_mode():
        images = torch.stack([to_image(tile(row * 224, col * 224, 224)) for row, col in steps])
        [maps] = stages.eval()(images)
    expected = maps.mean((2, 3)).numpy()
    assert len(steps) >= 2
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    assert_predicts(by_numpy(expected.astype(np.float64)))


def test_a_vit_takes_tiles_of_the_side_and_scale_of_its_training(here):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2, embed_dim=96)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.randn_like(value))
    (here / "small.toml").write_text(RECIPE, encoding="utf-8")
    save_file(network.eval().state_dict(), here / "w.safetensors")
    by_numpy = write_clam(96)
    words = ["--extractor", "small.toml", "--extractor-weights", "w.safetensors"]
    given = ["create", "a.svs", "-m", "clam.pt", "-t", "0", "-o", "out", *FAST, *words]
    assert cli.main([*given, "--tile-um", "128", "--tile-px", "256", "--overlap", "64"]) == 0
    steps, features = features_of_run()
    transform = transforms.Compose(
        [
            transforms.Resize(224, transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    images = torch.stack([transform(tile(row * 192, col * 192, 256)) for row, col in steps])
    with torch.inference_mode():
        expected = network.forward_features(images)[:, 0].numpy()
    assert len(steps) >= 2
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    assert_predicts(by_numpy(expected.astype(np.float64)))
