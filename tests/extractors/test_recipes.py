"""The package's recipes hold what their authors publish: architectures, transforms, weights."""

import json
from dataclasses import replace

import extractors_table
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from heatmaps_ome.cli import main as cli
from heatmaps_ome.extractors import find_recipe
from heatmaps_ome.extractors.from_recipe import load
from heatmaps_ome.extractors.networks.building import inner, network_of
from heatmaps_ome.extractors.recipe_files import packaged_names
from heatmaps_ome.extractors.trunks import trunk_of

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BIOPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
LUNIT = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
HALVES = ((0.5,) * 3, (0.5,) * 3)
GATED = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}
VIRCHOW = {"init_values": 1e-5, "mlp_ratio": 5.3375, "dynamic_img_size": True, **GATED}
MINI = {"img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.33334, **GATED}


def cls(tokens, n_prefix):
    return tokens[:, 0]


def cls_and_mean(tokens, n_prefix):
    return torch.cat([tokens[:, 0], tokens[:, n_prefix:].mean(1)], 1)


def published(name, pool, millions, norm, crop=None, interpolation="BICUBIC", **arguments):
    """Return an encoder as its model card builds it: call of timm, pooling, transform, size."""
    steps = [transforms.Resize(256 if crop else 224, InterpolationMode[interpolation])]
    steps += [transforms.CenterCrop(crop)] if crop else []
    steps += [transforms.ToTensor(), transforms.Normalize(*norm)]
    return name, arguments, pool, millions, transforms.Compose(steps)


UNI = published(
    "vit_large_patch16_224", cls, 303, IMAGENET, None, "BILINEAR", init_values=1e-5,
    dynamic_img_size=True,
)  # fmt: skip
OPTIMUS = published(
    "vit_giant_patch14_reg4_dinov2", cls, 1135, BIOPTIMUS, img_size=224, init_values=1e-5
)
CARDS = {
    "uni": UNI,
    "mstar": UNI,
    "uni2-h": published(
        "vit_giant_patch14_224", cls, 681, IMAGENET, None, "BILINEAR", img_size=224, patch_size=14,
        depth=24, num_heads=24, init_values=1e-5, embed_dim=1536, mlp_ratio=2.66667 * 2,
        no_embed_class=True, reg_tokens=8, dynamic_img_size=True, **GATED,
    ),
    "virchow": published("vit_huge_patch14_224", cls_and_mean, 631, IMAGENET, **VIRCHOW),
    "virchow-cls": published("vit_huge_patch14_224", cls, 631, IMAGENET, **VIRCHOW),
    "virchow2": published(
        "vit_huge_patch14_224", cls_and_mean, 631, IMAGENET, reg_tokens=4, **VIRCHOW
    ),
    "virchow2-cls": published("vit_huge_patch14_224", cls, 631, IMAGENET, reg_tokens=4, **VIRCHOW),
    "gigapath": published(
        "vit_giant_patch14_dinov2", cls, 1135, IMAGENET, 224, img_size=224, patch_size=16,
        init_values=1e-5,
    ),
    "h-optimus-0": OPTIMUS,
    "h-optimus-1": OPTIMUS,
    "h0-mini": published("vit_base_patch14_reg4_dinov2", cls_and_mean, 86, BIOPTIMUS, **MINI),
    "h0-mini-cls": published("vit_base_patch14_reg4_dinov2", cls, 86, BIOPTIMUS, **MINI),
    "kaiko-vitl14": published(
        "vit_large_patch14_reg4_dinov2", cls, 304, HALVES, None, "BILINEAR", dynamic_img_size=True
    ),
    **{
        f"kaiko-vit{letter}{patch}": published(
            f"vit_{size}_patch{patch}_224", cls, n, HALVES, None, "BILINEAR"
        )
        for letter, size, n in (("s", "small", 22), ("b", "base", 86))
        for patch in (8, 16)
    },
    **{
        f"lunit-vits{patch}": published(f"vit_small_patch{patch}_224", cls, 22, LUNIT)
        for patch in (8, 16)
    },
}  # fmt: skip
"""Encoder → its model card, in its authors' words."""
SMALL = {"embed_dim": 96, "depth": 2, "num_heads": 6}
"""What makes any of these transformers fast, and leaves its kind as it is."""


VARIANTS = {
    "mstar": "uni", "virchow-cls": "virchow", "virchow2-cls": "virchow2",
    "h-optimus-1": "h-optimus-0", "h0-mini-cls": "h0-mini", "lunit-vits8": "kaiko-vits8",
    "lunit-vits16": "kaiko-vits16",
}  # fmt: skip
"""Encoder → another of the same network."""


@pytest.mark.parametrize("name", sorted({*CARDS} - {*VARIANTS}))
def test_a_recipes_network_has_the_tensors_of_its_model_card(name):
    model, arguments, _, millions, _ = CARDS[name]
    with torch.device("meta"):
        card = timm.create_model(model, num_classes=0, **arguments)
    recipe = find_recipe(name)
    own = inner(network_of(recipe))
    shapes = {key: tuple(value.shape) for key, value in own.state_dict().items()}
    assert shapes == {key: tuple(value.shape) for key, value in card.state_dict().items()}
    parameters = sum(value.numel() for value in own.parameters())
    assert recipe.network.parameters == parameters
    assert round(parameters / 1e6) == millions


@pytest.mark.parametrize(("name", "other"), VARIANTS.items())
def test_variants_have_one_network(name, other):
    networks = [find_recipe(one).network for one in (name, other)]
    assert len({(net.timm, str(net.arguments), net.parameters) for net in networks}) == 1


@pytest.mark.parametrize(
    "name",
    ["uni", "uni2-h", "virchow2", "virchow-cls", "gigapath", "h-optimus-0", "h0-mini",
     "kaiko-vitl14", "kaiko-vits16", "lunit-vits16"],
)  # fmt: skip
def test_features_are_those_of_the_model_card(name, tmp_path):
    model, arguments, pool, _, transform = CARDS[name]
    torch.manual_seed(0)
    card = timm.create_model(model, num_classes=0, **(arguments | SMALL)).eval()
    with torch.no_grad():
        for value in card.parameters():
            # Scales of 1e-5 would hide what the layers do.
            value.add_(0.05 * torch.randn_like(value))
    save_file(card.state_dict(), tmp_path / "model.safetensors")
    tiles = np.random.default_rng(0).integers(0, 256, (2, 250, 250, 3), dtype=np.uint8)
    with torch.inference_mode():
        images = torch.stack([transform(Image.fromarray(tile)) for tile in tiles])
        expected = pool(card.forward_features(images), card.num_prefix_tokens).numpy()
    recipe = find_recipe(name)
    small = replace(
        recipe,
        channels=expected.shape[1],
        network=replace(recipe.network, arguments={**recipe.network.arguments, **SMALL}),
    )
    encoder = load(small, tmp_path / "model.safetensors", "cpu", "float32", download=False)
    np.testing.assert_allclose(encoder.tiles(tiles), expected, rtol=1e-5, atol=1e-5)


def test_dense_recipes_have_the_parameters_of_their_trunks():
    for name in packaged_names():
        recipe = find_recipe(name)
        if recipe.is_dense:
            with torch.device("meta"):
                trunk = trunk_of(recipe).build()
            assert recipe.network.parameters == sum(value.numel() for value in trunk.parameters())
            assert recipe.channels == trunk(torch.empty(1, 3, 64, 64, device="meta")).shape[1]


def test_a_recipe_changes_its_digest_with_all_that_features_depend_on():
    recipe = find_recipe("uni")
    others = [
        replace(recipe, channels=5),
        replace(recipe, network=replace(recipe.network, pooling="mean")),
        replace(recipe, network=replace(recipe.network, arguments={})),
        replace(recipe, transform=replace(recipe.transform, interpolation="bicubic")),
        replace(recipe, transform=replace(recipe.transform, resize_px=256, crop_px=224)),
    ]
    assert len({recipe.digest, *(other.digest for other in others)}) == 6
    assert replace(recipe, licence="", title="x", trained_in="").digest == recipe.digest


def test_all_recipes_are_listed_with_what_they_lack(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--MahmoodLab--UNI" / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc123")
    (snapshot / "pytorch_model.bin").write_bytes(b"weights")
    assert cli.main(["extractors", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {*packaged_names()}
    assert (rows["uni"]["lacks"], rows["uni"]["cached"]) == (
        [],
        str(snapshot / "pytorch_model.bin"),
    )
    assert rows["virchow"]["lacks"] == ["weights (gated)"]
    assert rows["retccl"]["applied"] == "dense"
    monkeypatch.setattr("heatmaps_ome.cli.extractors.find_spec", lambda name: None)
    assert cli.main(["extractors"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "timm, weights (gated)" in lines["gigapath"]
    assert "timm" not in lines["retccl"]
    assert cli.main(["extractors", "uni2-h"]) == 0
    text = capsys.readouterr().out
    assert "--extractor uni2-h --extractor-weights pytorch_model.bin" in text
    assert "https://huggingface.co/MahmoodLab/UNI2-h" in text


def test_the_readme_lists_all_recipes():
    text = extractors_table.README.read_text(encoding="utf-8")
    begin, end = text.index(extractors_table.BEGIN), text.index(extractors_table.END)
    assert text[begin + len(extractors_table.BEGIN) : end].strip() == extractors_table.table(), (
        "run scripts/extractors_table.py --write"
    )
