"""The forward passes of others' networks in plain NumPy, float64, by the originals' keys.

Written from the formulas, with full matrices, and without any code of the package.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf, softmax

Array = np.ndarray
State = dict[str, Array]


def linear(state: State, name: str, rows: Array) -> Array:
    """Apply a linear layer, with a bias or without."""
    result = rows @ state[f"{name}.weight"].astype("f8").T
    return result + state[f"{name}.bias"] if f"{name}.bias" in state else result


def norm(state: State, name: str, rows: Array) -> Array:
    """Apply a LayerNorm."""
    centred = rows - rows.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def relu(values: Array) -> Array:
    """Apply a ReLU."""
    return np.maximum(values, 0)


def gelu(values: Array) -> Array:
    """Apply the exact GELU."""
    return values * (1 + erf(values / math.sqrt(2))) / 2


def heads(values: Array, n_heads: int) -> Array:
    """Return (heads, n, d) of (n, heads * d)."""
    return values.reshape(len(values), n_heads, -1).transpose(1, 0, 2)


def merged(values: Array) -> Array:
    """Return (n, heads * d) of (heads, n, d)."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)


def attention_weights(queries: Array, keys: Array, allowed: Array | None = None) -> Array:
    """Return the softmax over keys, (heads, n queries, n keys)."""
    similarities = queries @ keys.transpose(0, 2, 1) / math.sqrt(keys.shape[-1])
    if allowed is not None:
        similarities = np.where(allowed, similarities, -np.inf)
    return softmax(similarities, axis=-1)


def packed_attention(
    state: State,
    name: str,
    rows: Array,
    n_heads: int,
    allowed: Array | None = None,
    others: Array | None = None,
) -> Array:
    """Return torch's MultiheadAttention of rows over themselves, or over others."""
    weight, bias = state[f"{name}.in_proj_weight"].astype("f8"), state[f"{name}.in_proj_bias"]
    sources = (rows, rows if others is None else others, rows if others is None else others)
    queries, keys, values = (
        heads(source @ part.T + offset, n_heads)
        for source, part, offset in zip(
            sources, np.split(weight, 3), np.split(bias, 3), strict=True
        )
    )
    return linear(
        state, f"{name}.out_proj", merged(attention_weights(queries, keys, allowed) @ values)
    )


def hidden_class_token(n_tokens: int) -> Array:
    """Return which token may attend to which where tiles may not attend to the class token."""
    allowed = np.ones((n_tokens, n_tokens), bool)
    allowed[1:, 0] = False
    return allowed


def stamp_vit(state: State, features: Array, n_heads: int, *, hides: bool = False) -> Array:
    """Return the logits of STAMP's vit."""
    tokens = _stamp_tokens(state, features)
    allowed = hidden_class_token(len(tokens)) if hides else None
    for layer in range(_n_layers(state)):
        name = f"transformer.layers.{layer}"
        normed = norm(state, f"{name}.0.norm", tokens)
        tokens = tokens + packed_attention(state, f"{name}.0.mhsa", normed, n_heads, allowed)
        tokens = tokens + _stamp_feed_forward(state, f"{name}.1", tokens)
    return linear(state, "mlp_head.0", norm(state, "transformer.norm", tokens)[0])


def stamp_alibi(
    state: State, features: Array, um_places: Array, n_heads: int, *, early: bool = False
) -> Array:
    """Return the logits of STAMP's vit with ALiBi; `early` is before STAMP 2.2."""
    tokens = _stamp_tokens(state, features)
    places = np.concatenate([np.zeros((1, 2)), um_places])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    if early:
        distances[0] = distances[:, 0] = 0
    for layer in range(_n_layers(state)):
        name = f"transformer.layers.{layer}"
        normed = norm(state, f"{name}.0.norm", tokens)
        mixed = [
            _alibi_head(state, f"{name}.0.mhsa", head, normed, distances, early=early)
            for head in range(n_heads)
        ]
        tokens = tokens + linear(state, f"{name}.0.mhsa.fc", np.concatenate(mixed, axis=1))
        tokens = tokens + _stamp_feed_forward(state, f"{name}.1", tokens)
    return linear(state, "mlp_head.0", norm(state, "transformer.norm", tokens)[0])


def _alibi_head(
    state: State, name: str, head: int, rows: Array, distances: Array, *, early: bool
) -> Array:
    queries, keys, values = (
        linear(state, f"{name}.{part}_encoders.{head}", rows) for part in ("query", "key", "value")
    )
    weights = softmax(queries @ keys.T / math.sqrt(keys.shape[1]), axis=1)
    own = f"{name}.attentions.{head}"
    mean = state[f"{own}.scale_distance.running_mean"].astype("f8")
    weights = weights - distances / mean * state[f"{own}.bias_scale"]
    if not early:
        return weights @ values
    weights = np.where(hidden_class_token(len(rows)), weights, 0)
    return weights.sum(axis=1, keepdims=True) * values.sum(axis=0)


def _stamp_tokens(state: State, features: Array) -> Array:
    tiles = gelu(linear(state, "project_features.0", features.astype("f8")))
    return np.concatenate([state["class_token"][None], tiles])


def _stamp_feed_forward(state: State, name: str, rows: Array) -> Array:
    hidden = gelu(linear(state, f"{name}.1", norm(state, f"{name}.0", rows)))
    return linear(state, f"{name}.4", hidden)


def _n_layers(state: State) -> int:
    return 1 + max(int(key.split(".")[2]) for key in state if key.startswith("transformer.layers."))


def marugoto_vit(state: State, features: Array, n_heads: int = 8) -> Array:
    """Return the logits of marugoto's and STAMP 1.0's ViT."""
    tiles = relu(linear(state, "fc.0", features.astype("f8")))
    tokens = np.concatenate([state["cls_token"][0], tiles])
    for layer in range(_n_layers(state)):
        name = f"transformer.layers.{layer}"
        qkv = linear(state, f"{name}.0.fn.to_qkv", norm(state, f"{name}.0.norm", tokens))
        queries, keys, values = (heads(part, n_heads) for part in np.split(qkv, 3, axis=1))
        mixed = merged(attention_weights(queries, keys) @ values)
        tokens = tokens + linear(state, f"{name}.0.fn.to_out.0", mixed)
        hidden = gelu(linear(state, f"{name}.1.fn.net.0", norm(state, f"{name}.1.norm", tokens)))
        tokens = tokens + linear(state, f"{name}.1.fn.net.3", hidden)
    return linear(state, "mlp_head.1", norm(state, "mlp_head.0", tokens[0]))


def stamp_1_1(state: State, features: Array, n_heads: int = 8) -> Array:
    """Return the logits of STAMP 1.1's ViT."""
    tiles = gelu(linear(state, "fc.0", features.astype("f8")))
    tokens = np.concatenate([state["cls_token"][None], tiles])
    for layer in range(_n_layers(state)):
        name = f"transformer.layers.{layer}"
        normed = norm(state, f"{name}.0.norm", tokens)
        tokens = tokens + packed_attention(state, f"{name}.0.mhsa", normed, n_heads)
        tokens = tokens + _stamp_feed_forward(state, f"{name}.1.mlp", tokens)
    return linear(state, "mlp_head.0", norm(state, "transformer.norm", tokens)[0])


def mil_lab_transformer(state: State, features: Array, n_heads: int = 8) -> tuple[Array, Array]:
    """Return the logits of MIL-Lab's transformer, and the tiles' attention in the first block."""
    tokens = np.concatenate([state["cls_token"][0], _patch_embedded(state, features)])
    weight, bias = (state[f"blocks.0.attention.in_proj_{part}"] for part in ("weight", "bias"))
    qkv = norm(state, "blocks.0.norm", tokens) @ weight.T + bias
    queries, keys, _ = (heads(part, n_heads) for part in np.split(qkv, 3, axis=1))
    attention = attention_weights(queries, keys)[:, 0, 1:].mean(axis=0)
    layer = 0
    while f"blocks.{layer}.norm.weight" in state:
        name = f"blocks.{layer}"
        normed = norm(state, f"{name}.norm", tokens)
        tokens = tokens + packed_attention(state, f"{name}.attention", normed, n_heads)
        if f"{name}.mlp.0.weight" in state:
            hidden = relu(linear(state, f"{name}.mlp.0", norm(state, f"{name}.norm2", tokens)))
            tokens = tokens + relu(linear(state, f"{name}.mlp.3", hidden))
        layer += 1
    return linear(state, "classifier", norm(state, "norm", tokens[0])), attention


def mil_lab_trans_mil(state: State, features: Array) -> tuple[Array, Array]:
    """Return the logits of MIL-Lab's TransMIL, and the tiles' products with the class token."""
    tiles = _patch_embedded(state, features)
    layer, names = 0, []
    while f"blocks.{layer}.norm.weight" in state:
        names.append(f"blocks.{layer}")
        layer += 1
    token, first = _trans_mil(state, tiles, names, "attention")
    products = (first[1:] @ first[0])[: len(features)]
    return linear(state, "classifier", norm(state, "norm", token)), products


def stamp_trans_mil(state: State, features: Array) -> Array:
    """Return the logits of STAMP's trans_mil."""
    tiles = relu(linear(state, "_fc1.0", features.astype("f8")))
    token, _ = _trans_mil(state, tiles, ["layer1", "layer2"], "attn")
    return linear(state, "_fc2", norm(state, "norm", token))


def _patch_embedded(state: State, features: Array) -> Array:
    tiles, index = features.astype("f8"), 0
    while f"patch_embed.{index}.weight" in state:
        tiles = relu(linear(state, f"patch_embed.{index}", tiles))
        index += 3
    return tiles


def _trans_mil(state: State, tiles: Array, names: list[str], attention: str) -> tuple[Array, Array]:
    """Return the class token after all blocks, and all tokens after the first."""
    side = math.ceil(math.sqrt(len(tiles)))
    square = np.concatenate([tiles, tiles[: side**2 - len(tiles)]])
    tokens = np.concatenate([state["cls_token"][0], square])
    first = tokens + _nystrom(state, names[0], attention, tokens)
    tokens = _convolved(state, first, side)
    for name in names[1:]:
        tokens = tokens + _nystrom(state, name, attention, tokens)
    return tokens[0], first


def _nystrom(state: State, name: str, attention: str, tokens: Array) -> Array:
    rows = norm(state, f"{name}.norm", tokens)
    n_marks = rows.shape[1] // 2
    n_heads = len(state[f"{name}.{attention}.res_conv.weight"])
    n_each = math.ceil(len(rows) / n_marks)
    padded = np.concatenate([np.zeros((n_each * n_marks - len(rows), rows.shape[1])), rows])
    qkv = linear(state, f"{name}.{attention}.to_qkv", padded)
    queries, keys, values = (heads(part, n_heads) for part in np.split(qkv, 3, axis=1))
    query_marks, key_marks = (
        part.reshape(n_heads, n_marks, n_each, -1).mean(axis=2) for part in (queries, keys)
    )
    inverse = _pseudo_inverse(attention_weights(query_marks, key_marks))
    mixed = (attention_weights(queries, key_marks) @ inverse) @ (
        attention_weights(query_marks, keys) @ values
    )
    kernels = state[f"{name}.{attention}.res_conv.weight"][:, 0, :, 0]
    margin = kernels.shape[1] // 2
    around = np.pad(values, ((0, 0), (margin, margin), (0, 0)))
    for offset in range(kernels.shape[1]):
        mixed = mixed + kernels[:, offset, None, None] * around[:, offset : offset + len(padded)]
    return linear(state, f"{name}.{attention}.to_out.0", merged(mixed))[-len(tokens) :]


def _pseudo_inverse(matrices: Array) -> Array:
    scale = np.abs(matrices).sum(-1).max() * np.abs(matrices).sum(-2).max()
    inverse = matrices.transpose(0, 2, 1) / scale
    unit = np.eye(matrices.shape[-1])
    for _ in range(6):
        product = matrices @ inverse
        inverse = inverse @ (
            13 * unit - product @ (15 * unit - product @ (7 * unit - product))
        ) / 4  # fmt: skip
    return inverse


def _convolved(state: State, tokens: Array, side: int) -> Array:
    square = tokens[1:].reshape(side, side, -1)
    total = square.copy()
    for name in ("proj", "proj1", "proj2"):
        kernel = state[f"pos_layer.{name}.weight"][:, 0]
        margin = kernel.shape[1] // 2
        around = np.pad(square, ((margin, margin), (margin, margin), (0, 0)))
        for row in range(kernel.shape[1]):
            for col in range(kernel.shape[2]):
                part = around[row : row + side, col : col + side]
                total = total + kernel[:, row, col] * part
        total = total + state[f"pos_layer.{name}.bias"]
    return np.concatenate([tokens[:1], total.reshape(side * side, -1)])
