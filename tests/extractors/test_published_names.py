"""Networks from published names give the features that the publishers' programs give."""

import re

import pytest
import torch
import torch.nn.functional as F

from heatmaps_ome.extractors import published_names
from tests.support import published_cases

pytest.importorskip("timm")

from heatmaps_ome.extractors.networks.conch import pooled_transformer
from heatmaps_ome.extractors.networks.musk import two_scales
from heatmaps_ome.extractors.networks.vits import vision_transformer

CASES = published_cases.cases()
SMALL = {
    "img_size": published_cases.SIDE, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4,
}  # fmt: skip
GATED = {"swiglu": True, "mlp_ratio": 5.5, "init_values": 1.0}
"""Hugging Face rounds a gated MLP's width, 85.3, up to a multiple of 8: 88."""
HUGGING_FACE = published_names.TRANSFORMERS
WITH_REGISTERS = published_names.TRANSFORMERS_REGISTERS


def vit(**arguments):
    return vision_transformer(**SMALL, **arguments)


NETWORKS = {
    "vit": (HUGGING_FACE, lambda: vit(mlp_ratio=2, norm_eps=1e-12)),
    "vit, version 5": (HUGGING_FACE, lambda: vit(mlp_ratio=2, norm_eps=1e-12)),
    "dinov2": (HUGGING_FACE, lambda: vit(init_values=1.0)),
    "dinov2, swiglu": (HUGGING_FACE, lambda: vit(**GATED)),
    "dinov2, swiglu, version 5": (HUGGING_FACE, lambda: vit(**GATED)),
    "dinov2, registers": (
        WITH_REGISTERS,
        lambda: vit(**GATED, reg_tokens=4, no_embed_class=True),
    ),
    "beit3": (
        published_names.BEIT3,
        lambda: vit(mlp_ratio=2, norm_eps=1e-5, scale_attn_norm=True, scale_mlp_norm=True),
    ),
    "conch": (
        published_names.CONCH,
        lambda: pooled_transformer(channels=16, pool_bias=True, **SMALL),
    ),
}


def shapes_of(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def loaded(case):
    """Return a network with a case's weights, from the published names."""
    layout, build = NETWORKS[case]
    network = build()
    state = layout(published_cases.weights(CASES[case]["shapes"]), shapes_of(network))
    network.load_state_dict(state, strict=True)
    return network


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_the_other_program(case):
    expected = torch.tensor(CASES[case]["features"])
    with torch.inference_mode():
        features = loaded(case)(published_cases.images())
    assert expected.std() > 0.1
    assert (expected[0] - expected[1]).abs().max() > 1e-2
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


LAST_LAYER = re.compile(
    r".*\b1\.(output\.dense|mlp\.fc2|mlp\.weights_out|mlp\.down_proj|ffn\.A\.fc2)\.weight"
)
"""The last linear layer of the second block."""


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_more_or_less_is_seen(case):
    layout, build = NETWORKS[case]
    network = build()
    published = published_cases.weights(CASES[case]["shapes"])
    network_names = network.state_dict().keys()
    assert layout(published, shapes_of(network)).keys() == network_names
    [name] = filter(LAST_LAYER.fullmatch, published)
    more = published | {name.replace("1", "2", 1): published[name]}
    assert layout(more, shapes_of(network)).keys() - network_names
    del published[name]
    assert network_names - layout(published, shapes_of(network)).keys()


@pytest.mark.parametrize("case", CASES)
def test_layouts_are_told_apart(case):
    published = published_cases.weights(CASES[case]["shapes"])
    layouts = [
        name
        for name in ("SWIN", "DINOV2", "DINOV2_REGISTERS", "CONCH", "CONCH_V1_5", "BEIT3")
        if getattr(published_names, name)(published, {}) is not None
    ]
    assert layouts == [case.upper()] * (case in ("beit3", "conch"))
    assert (HUGGING_FACE(published, {}) is not None) == ("v" in case)


def conch_v1_5_state(trunk, random):
    """Return tensors as CONCHv1.5's file has them: positions of 2 × 2, keys and values as one."""
    state = {
        f"trunk.{name}": torch.randn(shape, generator=random) * 0.2 for name, shape in trunk.items()
    }
    state["trunk.pos_embed"] = torch.randn(1, 5, 32, generator=random)
    pool = {
        "query": (1, 16), "to_q.weight": (16, 16), "to_kv.weight": (32, 32),
        "to_out.weight": (16, 16), "ln_q.weight": (16,), "ln_q.bias": (16,),
        "ln_k.weight": (32,), "ln_k.bias": (32,),
    }  # fmt: skip
    for name, shape in pool.items():
        state[f"attn_pool_contrast.{name}"] = torch.randn(shape, generator=random) * 0.3
    state["ln_contrast.weight"] = torch.randn(16, generator=random)
    state["ln_contrast.bias"] = torch.randn(16, generator=random)
    return state


def attended(state, tokens):
    """Return CONCHv1.5's pooling by its formula, in float64, head by head."""
    pool = {
        name.removeprefix("attn_pool_contrast."): tensor.double()
        for name, tensor in state.items()
        if name.startswith("attn_pool_contrast.")
    }
    tokens = F.layer_norm(tokens.double(), (32,), pool["ln_k.weight"], pool["ln_k.bias"])
    query = F.layer_norm(pool["query"], (16,), pool["ln_q.weight"], pool["ln_q.bias"])
    query = query @ pool["to_q.weight"].T
    key, value = (tokens @ pool["to_kv.weight"].T).chunk(2, -1)
    heads = []
    for head in range(8):
        part = slice(2 * head, 2 * head + 2)
        weight = (key[:, :, part] @ query[0, part] * 2**-0.5).softmax(-1)
        heads.append(torch.einsum("nt,ntc->nc", weight, value[:, :, part]))
    answer = torch.cat(heads, -1) @ pool["to_out.weight"].T
    weight, bias = state["ln_contrast.weight"].double(), state["ln_contrast.bias"].double()
    return F.layer_norm(answer, (16,), weight, bias)


def test_conch_v1_5_pools_and_resamples_by_its_formulas():
    random = torch.Generator().manual_seed(2)
    network = pooled_transformer(channels=16, pool_bias=False, init_values=1e-6, **SMALL)
    state = conch_v1_5_state(shapes_of(network.trunk), random)
    network.load_state_dict(published_names.CONCH_V1_5(state, shapes_of(network)), strict=True)
    with torch.inference_mode():
        tokens = network.trunk.forward_features(published_cases.images())
        features = network(published_cases.images())
    torch.testing.assert_close(features.double(), attended(state, tokens), atol=1e-5, rtol=1e-5)
    table = network.trunk.pos_embed
    torch.testing.assert_close(table[:, 0], state["trunk.pos_embed"][:, 0], atol=0, rtol=0)
    grid = state["trunk.pos_embed"][0, 1:].reshape(2, 2, 32).permute(2, 0, 1)[None]
    scale = (4 + 0.1) / 2
    expected = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")[0]
    torch.testing.assert_close(table[0, 1:].T.reshape(32, 4, 4), expected, atol=0, rtol=0)


def test_musk_at_two_scales_is_the_image_and_the_mean_of_its_enlarged_quarters():
    published = published_cases.weights(CASES["beit3"]["shapes"])
    arguments = {"mlp_ratio": 2, "norm_eps": 1e-5, "scale_attn_norm": True, "scale_mlp_norm": True}
    network = two_scales(**SMALL, **arguments)
    state = published_names.BEIT3_TWO_SCALES(published, shapes_of(network))
    network.load_state_dict(state, strict=True)
    images = published_cases.images()
    size = (2 * published_cases.SIDE,) * 2
    large = F.interpolate(images, size=size, mode="bicubic")
    halves = (slice(0, published_cases.SIDE), slice(published_cases.SIDE, None))
    quarters = [large[:, :, rows, cols] for rows in halves for cols in halves]
    with torch.inference_mode():
        one = loaded("beit3")
        expected = torch.cat([one(images), sum(one(part) for part in quarters) / 4], dim=1)
        features = network(images)
    assert features.shape == (2, 64)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        features[:, :32], torch.tensor(CASES["beit3"]["features"]), atol=1e-5, rtol=1e-5
    )


def as_dinov2(state):
    """Return a state dict with the names of DINOv2's training, in chunks of blocks."""
    renamed = {"mask_token": torch.zeros(1, 32)}
    for name, tensor in state.items():
        name = name.replace("mlp.fc1.", "mlp.w12.").replace("mlp.fc2.", "mlp.w3.")
        name = re.sub(r"^blocks\.(\d)\.", r"blocks.\1.\1.", name)
        renamed[name.replace("reg_token", "register_tokens")] = tensor
    return renamed


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2s_own_names_give_the_same_network(registers):
    network = vit(**GATED, reg_tokens=registers, no_embed_class=registers > 0)
    shapes = {name: list(shape) for name, shape in shapes_of(network).items()}
    weights = published_cases.weights(shapes)
    network.load_state_dict(weights)
    published = as_dinov2(weights)
    layout = published_names.DINOV2_REGISTERS if registers else published_names.DINOV2
    if registers:  # DINOv2 adds a position to the class token, and none to registers
        published["cls_token"] = weights["cls_token"] - 0.5
        published["pos_embed"] = torch.cat(
            [torch.full((1, 1, 32), 0.5), weights["pos_embed"]], dim=1
        )
    twin = vit(**GATED, reg_tokens=registers, no_embed_class=registers > 0)
    twin.load_state_dict(layout(published, shapes_of(twin)), strict=True)
    with torch.inference_mode():
        expected = network(published_cases.images())
        torch.testing.assert_close(twin(published_cases.images()), expected, atol=1e-5, rtol=0)


ODD_SHAPES = ((), (0,), (3,), (1, 300, 32), (2, 17, 32), (1, 17, 31), (1, 0, 32), (1, 1, 32))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("odd", ODD_SHAPES)
def test_tensors_of_odd_shapes_are_left_to_strict_loading(case, odd):
    layout, build = NETWORKS[case]
    shapes = shapes_of(build())
    published = published_cases.weights(CASES[case]["shapes"])
    changed = re.compile(r".*(position|pos_embed|cls_token|(key|k_proj)\.bias|in_proj_bias).*")
    for name in filter(changed.fullmatch, published):
        state = layout(published | {name: torch.zeros(odd)}, shapes)
        assert {key: tuple(tensor.shape) for key, tensor in state.items()} != shapes or (
            list(odd) == CASES[case]["shapes"][name] or ".B." in name or "caption" in name
        )


def test_half_precision_stays_half():
    network = vit(init_values=1.0)
    weights = published_cases.weights(CASES["dinov2"]["shapes"])
    halves = {name: tensor.half() for name, tensor in weights.items()}
    state = HUGGING_FACE(halves, shapes_of(network))
    assert state["pos_embed"].shape == network.pos_embed.shape
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
