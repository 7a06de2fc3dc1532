"""Weights are found, fetched only when asked for, and loaded strictly, whatever wraps them."""

import argparse
import hashlib
import sys
import types

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import find_recipe, load_extractor
from heatmaps_ome.extractors.layouts import Unfit, fitted
from heatmaps_ome.extractors.recipe import WeightsRecipe
from heatmaps_ome.extractors.weights_file import read_state
from heatmaps_ome.extractors.weights_places import cached_weights, find_weights

RECIPE = """
title = "A small ViT"
channels = 96
[network]
timm = "vit_tiny_patch16_224"
arguments = { depth = 1, embed_dim = 96 }
pooling = "cls"
[weights]
unused = ["head."]
"""


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, depth=1, embed_dim=96
    ).state_dict()


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return str(path)


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


WRAPPED = {
    "plain": lambda state: state,
    "a classifier on top": lambda state: state | {"head.weight": torch.zeros(5, 96)},
    "of a training on several GPUs": lambda state: {"state_dict": under("module.", state)},
    "of a compiled network": lambda state: under("_orig_mod.", state),
    "of a backbone with a head": lambda state: (
        under("backbone.", state) | {"projection.0.weight": torch.zeros(8, 96)}
    ),
    "of DINO": lambda state: {
        "student": under("module.backbone.", {"pos_embed": torch.zeros(1)}),
        "teacher": under("module.backbone.", state) | {"module.head.mlp.0.weight": torch.ones(2)},
        "epoch": 3,
        "args": argparse.Namespace(lr=1e-3, arch="vit"),
    },
    "of a training with settings": lambda state: {
        "state_dict": {},
        "model": {"name": "vit", "depth": 12},
        "net": state,
    },
    "of DINOv2": lambda state: {
        "teacher": under("backbone.", state) | {"dino_head.last.weight": torch.ones(2)}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_weights_are_read_through_their_wrappings(tmp_path, recipe, state, wrapping):
    torch.save(WRAPPED[wrapping](state), tmp_path / "w.pth")
    loaded = load_extractor(recipe, tmp_path / "w.pth", "cpu", "float32").network.network
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, state[key])
    loaded.load_state_dict(state)


def test_the_old_format_of_torch_is_read_too(tmp_path, recipe, state):
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert read_state(tmp_path / "w.pth", "").keys() == state.keys()


def test_halves_are_computed_with_in_float32(tmp_path, recipe, state):
    save_file({key: value.half() for key, value in state.items()}, tmp_path / "w.bin")
    encoder = load_extractor(recipe, tmp_path / "w.bin", "cpu", "float32")
    assert {value.dtype for value in encoder.network.parameters()} == {torch.float32}
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    assert encoder.tiles(pixels).dtype == np.float32
    assert encoder.tiles(pixels[:0]).shape == (0, 96)
    assert encoder.weights_digest == hashlib.sha256((tmp_path / "w.bin").read_bytes()).hexdigest()


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return self.marker.mkdir, ()


@pytest.mark.parametrize("content", [{"a": 1}, [torch.ones(1)], {}, {"state_dict": {"a": 1}}])
def test_what_holds_no_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ExtractorError, match=r"w\.pth holds no state dict of tensors; ask"):
        read_state(tmp_path / "w.pth", "ask")


def test_weights_run_no_code(tmp_path):
    torch.save({"args": argparse.Namespace(x=Trap(tmp_path / "ran"))}, tmp_path / "w.pth")
    with pytest.raises(ExtractorError, match="without running code"):
        read_state(tmp_path / "w.pth", "")
    assert not (tmp_path / "ran").exists()


def of_shapes(shapes):
    """Return a state dict of any size that takes no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def test_every_tensor_is_accounted_for():
    shapes = {"a.weight": (3, 2), "n.running_mean": (2,), "n.num_batches_tracked": ()}
    state = of_shapes(shapes)
    weights = WeightsRecipe(unused=("fc.",))
    assert fitted(state | {"fc.bias": torch.ones(1)}, shapes, weights).keys() == state.keys()
    del state["n.num_batches_tracked"]
    assert fitted(state, shapes, weights)["n.num_batches_tracked"] == 0
    for change, sentence in (
        ({"b.weight": torch.ones(1)}, r"it has b\.weight, which the network has not"),
        ({"a.weight": torch.zeros(2, 3)}, r"its a\.weight is 2 × 3, not 3 × 2"),
    ):
        with pytest.raises(Unfit, match=sentence):
            fitted(state | change, shapes, weights)
    with pytest.raises(Unfit, match=r"it lacks n\.running_mean"):
        fitted({"a.weight": state["a.weight"]}, shapes, weights)


def test_weights_of_another_encoder_are_recognised_by_their_size(tmp_path, recipe):
    with torch.device("meta"):
        vit = timm.create_model("vit_small_patch16_224", num_classes=0)
    shapes = {key: tuple(value.shape) for key, value in vit.state_dict().items()}
    torch.save({"state_dict": of_shapes(shapes)}, tmp_path / "w.pth")
    encoder = load_extractor(recipe, tmp_path / "w.pth", "cpu", "float32")
    with pytest.raises(ExtractorError, match=r"as large as the weights of kaiko-vits16 or lunit"):
        encoder.prepare()


def test_a_known_file_is_told_from_others(tmp_path, caplog):
    (tmp_path / "resnet50-19c8e357.pth").write_bytes(b"other")
    load_extractor("resnet50-trunc", tmp_path / "resnet50-19c8e357.pth", "cpu", "float32")
    assert "is not the published ResNet50-trunc file (sha256 " in caplog.text


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_weights_are_found_where_hubs_keep_them(tmp_path):
    hub, torchs = find_recipe("virchow2"), find_recipe("resnet50-trunc")
    for variables, folder in (
        ({"HF_HUB_CACHE": str(tmp_path / "a")}, tmp_path / "a"),
        ({"HUGGINGFACE_HUB_CACHE": str(tmp_path / "b")}, tmp_path / "b"),
        ({"HF_HOME": str(tmp_path / "c")}, tmp_path / "c" / "hub"),
        ({"XDG_CACHE_HOME": str(tmp_path / "d")}, tmp_path / "d" / "huggingface" / "hub"),
    ):
        assert cached_weights(hub, variables) is None
        repository = folder / "models--paige-ai--Virchow2"
        second = put(repository / "snapshots" / "c0ffee" / "model.safetensors")
        assert cached_weights(hub, variables) == second
        other = put(repository / "snapshots" / "facade" / "model.safetensors")
        assert cached_weights(hub, variables) is None
        put(repository / "refs" / "main").write_text("c0ffee\n")
        assert cached_weights(hub, variables) == second
        first = put(repository / "snapshots" / "c0ffee" / "pytorch_model.bin")
        assert cached_weights(hub, variables) == first
        (repository / "refs" / "main").write_text("../../..")
        assert cached_weights(hub, variables) is None
        (repository / "refs" / "main").write_text("facade")
        assert cached_weights(hub, variables) == other
    place = put(tmp_path / "t" / "hub" / "checkpoints" / "resnet50-19c8e357.pth")
    variables = {"TORCH_HOME": str(tmp_path / "t"), "HF_HUB_CACHE": str(tmp_path)}
    assert cached_weights(torchs, variables) == place


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_nothing_is_fetched_unasked(no_cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExtractorError) as refusal:
        find_weights(find_recipe("uni"), download=False)
    assert str(refusal.value) == (
        "the extractor uni needs its weights: ask for access at "
        "https://huggingface.co/MahmoodLab/UNI, download pytorch_model.bin there and give it with "
        "--extractor-weights, or let --download fetch it"
    )
    with pytest.raises(ExtractorError, match=r"--download needs huggingface_hub: pip install 'he"):
        find_weights(find_recipe("uni"), download=True)
    with pytest.raises(ExtractorError, match="the weights of retccl are in no hub; download best"):
        find_weights(find_recipe("retccl"), download=True)


class Entry(Exception):
    pass


class Gated(Exception):
    pass


class Http(Exception):
    pass


def test_asked_for_weights_are_fetched_from_their_hub(no_cache, monkeypatch, tmp_path):
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        if name == "pytorch_model.bin":
            raise Entry(name)
        if repository == "MahmoodLab/UNI2-h":
            raise Gated
        if repository == "1aurent/vit_small_patch8_224.lunit_dino":
            raise Http("503\nbusy")
        return str(tmp_path / name)

    errors = types.SimpleNamespace(
        EntryNotFoundError=Entry, GatedRepoError=Gated, HfHubHTTPError=Http
    )
    client = types.SimpleNamespace(hf_hub_download=download, errors=errors)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    path = find_weights(find_recipe("virchow"), download=True)
    assert path == tmp_path / "model.safetensors"
    assert asked == [
        ("paige-ai/Virchow", "pytorch_model.bin"),
        ("paige-ai/Virchow", "model.safetensors"),
    ]
    with pytest.raises(ExtractorError, match=r"UNI2-h is gated: ask for access at https.* HF_TOK"):
        find_weights(find_recipe("uni2-h"), download=True)
    with pytest.raises(ExtractorError, match=r"cannot be fetched \(503 busy\); download model"):
        find_weights(find_recipe("lunit-vits8"), download=True)
