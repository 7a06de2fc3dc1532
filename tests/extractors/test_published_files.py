"""Files as they are published: names and true shapes fit the networks of the recipes."""

import re
from functools import cache, partial

import pytest
import torch

from heatmaps_ome.extractors import find_recipe
from heatmaps_ome.extractors.layouts import Unfit, fitted
from tests.support import published_cases, swin_formulas

pytest.importorskip("timm")

from heatmaps_ome.extractors.networks.building import inner, network_of


def conch_shapes():
    """Return CONCH's names and shapes by its published configuration, and some of its texts'."""
    width, channels = 768, 512
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, 785, width),
        "patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    for block in range(12):
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in block_shapes(width).items()}
    state = {f"visual.trunk.{name}": shape for name, shape in shapes.items()}
    for pool, out, queries in (("contrast", channels, 1), ("caption", width, 256)):
        attention = {
            "query": (queries, out), "attn.in_proj_bias": (3 * out,),
            "attn.out_proj.weight": (out, out), "attn.out_proj.bias": (out,),
            "ln_q.weight": (out,), "ln_q.bias": (out,),
            "ln_k.weight": (width,), "ln_k.bias": (width,),
        }  # fmt: skip
        # Keys as wide as queries are stored as one tensor.
        attention |= (
            {"attn.in_proj_weight": (3 * out, out)}
            if out == width
            else {
                "attn.q_proj_weight": (out, out),
                "attn.k_proj_weight": (out, width),
                "attn.v_proj_weight": (out, width),
            }
        )
        state |= {f"visual.attn_pool_{pool}.{name}": shape for name, shape in attention.items()}
        state |= {f"visual.ln_{pool}.{part}": (out,) for part in ("weight", "bias")}
    return state | {
        "visual.proj_contrast": (channels, channels), "logit_scale": (),
        "text.token_embedding.weight": (32007, width), "text.cls_emb": (width,),
        "text_decoder.text_projection": (width, 32007),
    }  # fmt: skip


def block_shapes(width):
    """Return names and shapes of a transformer's block, as timm has them."""
    names = {"norm1": (width,), "norm2": (width,), "attn.proj": (width, width)}
    names |= {"attn.qkv": (3 * width, width), "mlp.fc1": (4 * width, width)}
    names |= {"mlp.fc2": (width, 4 * width)}
    shapes = {f"{name}.weight": shape for name, shape in names.items()}
    return shapes | {f"{name}.bias": shape[:1] for name, shape in names.items()}


def conch_v1_5_shapes():
    """Return CONCHv1.5's names and shapes, whose positions are those of 224 px."""
    width, channels = 1024, 768
    state = {
        "trunk.cls_token": (1, 1, width), "trunk.pos_embed": (1, 197, width),
        "trunk.patch_embed.proj.weight": (width, 3, 16, 16),
        "trunk.patch_embed.proj.bias": (width,),
        "trunk.norm.weight": (width,), "trunk.norm.bias": (width,),
        "attn_pool_contrast.query": (1, channels),
        "attn_pool_contrast.to_q.weight": (channels, channels),
        "attn_pool_contrast.to_kv.weight": (2 * channels, width),
        "attn_pool_contrast.to_out.weight": (channels, channels),
    }  # fmt: skip
    for block in range(24):
        shapes = block_shapes(width) | {"ls1.gamma": (width,), "ls2.gamma": (width,)}
        state |= {f"trunk.blocks.{block}.{name}": shape for name, shape in shapes.items()}
    for name, size in (
        ("attn_pool_contrast.ln_q", channels),
        ("attn_pool_contrast.ln_k", width),
        ("ln_contrast", channels),
    ):
        state |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return state


def dinov2_shapes(width, depth, side, *, registers=0, chunk=""):
    """Return names and shapes of DINOv2's own files, for images of a side."""
    tokens = (side // 14) ** 2 + 1
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, tokens, width), "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    if registers:
        shapes["register_tokens"] = (1, registers, width)
    for block in range(depth):
        inner = block_shapes(width) | {"ls1.gamma": (width,), "ls2.gamma": (width,)}
        shapes |= {f"blocks.{chunk}{block}.{name}": shape for name, shape in inner.items()}
    return shapes


def gpfm_shapes():
    """Return GPFM's names and shapes in its first file: blocks in chunks, beside a head."""
    width = 1024
    trunk = dinov2_shapes(width, 24, 224, chunk="0.")
    shapes = {f"backbone.{name}": shape for name, shape in trunk.items()}
    return shapes | {"dino_head.mlp.0.weight": (2048, width), "dino_head.mlp.0.bias": (2048,)}


@cache
def swin_state():
    """Return CTransPath's tensors, which are small enough to have numbers."""
    return swin_formulas.published_state(seed=1)


def published(name):
    """Return a file's tensors without numbers."""
    if name.endswith("ctranspath"):
        return swin_state()
    made = {
        "conch": conch_shapes, "conch-v1.5": conch_v1_5_shapes, "gpfm": gpfm_shapes,
        "kaiko-vitl14": partial(dinov2_shapes, 1024, 24, 518, registers=4),
        "timm:vit_small_patch14_dinov2": partial(dinov2_shapes, 384, 12, 518),
        "timm:vit_small_patch14_reg4_dinov2": partial(dinov2_shapes, 384, 12, 518, registers=4),
    }  # fmt: skip
    if name in made:
        return {key: torch.empty(shape, device="meta") for key, shape in made[name]().items()}
    same = {"midnight-cls": "midnight", "musk-2-scales": "musk"}
    return published_cases.true_state(same.get(name, name))


NAMES = (
    "chief-ctranspath", "conch", "conch-v1.5", "ctranspath", "gpfm", "hibou-b", "hibou-l",
    "kaiko-vitl14", "midnight", "midnight-cls", "musk", "musk-2-scales", "phikon", "phikon-v2",
    "timm:vit_small_patch14_dinov2", "timm:vit_small_patch14_reg4_dinov2",
)  # fmt: skip
"""Recipes whose files have names of their own."""

LAST_LAYER = re.compile(r"(?<!\.B)\.(fc2|(?<!attention\.)output\.dense|weights_out)\.weight$")
"""The last linear layers of blocks; MUSK's ways B are those of texts."""


@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_fits_the_network_of_its_recipe(name):
    recipe = find_recipe(name)
    network = network_of(recipe)
    shapes = {key: tuple(tensor.shape) for key, tensor in inner(network).state_dict().items()}
    state = published(name)
    fit = fitted(dict(state), shapes, recipe.weights)
    assert {key: tuple(tensor.shape) for key, tensor in fit.items()} == shapes
    if recipe.network.parameters:
        assert sum(p.numel() for p in network.parameters()) == recipe.network.parameters
    side = recipe.transform.network_px
    features = network(torch.empty(1, 3, side, side, device="meta"))
    assert features.shape == (1, recipe.channels)
    least = max(key for key in state if LAST_LAYER.search(key))
    with pytest.raises(Unfit, match="lacks"):
        fitted({key: value for key, value in state.items() if key != least}, shapes, recipe.weights)
