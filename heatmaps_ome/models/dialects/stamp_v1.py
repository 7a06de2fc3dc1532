"""Reads the ViT of marugoto's transformer branches and of STAMP 1.0 and 1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.models.dialects.network_reading import (
    count_of,
    heads_from,
    packed_attention,
    part_with,
    reading_all,
    renamed,
    shape_of,
)
from heatmaps_ome.models.dialects.stamp_target import stamp_target
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.network_reading import Tensors
    from heatmaps_ome.models.model_facts import ModelFacts

_PREFIXES = ("", "model.")
_HEADS = 8
"""Fixed in the code of both programs: no option of a training changes them."""
_KEYS_1_0 = ("fc.0.weight", "cls_token", "transformer.layers.0.0.fn.to_qkv.weight")
_KEYS_1_1 = ("fc.0.weight", "cls_token", "transformer.layers.0.0.mhsa.in_proj_weight")


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has the keys of one of these networks."""
    return any(part_with(checkpoint, _PREFIXES, keys) for keys in (_KEYS_1_0, _KEYS_1_1))


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return the network of a checkpoint, or of an export.pkl read as one.

    Raises
    ------
    Unusable
        If it is damaged, or lacks a fact that is not given.
    """
    for keys, is_1_0 in ((_KEYS_1_0, True), (_KEYS_1_1, False)):
        part = part_with(checkpoint, _PREFIXES, keys)
        if part is not None:
            with reading_all(part) as tensors:
                return _network(tensors, facts, is_1_0=is_1_0)
    raise Unusable("has not the keys of a ViT of marugoto or STAMP 1")


def _network(checkpoint: Checkpoint, facts: ModelFacts, *, is_1_0: bool) -> StoredNetwork:
    width, n_features = shape_of(checkpoint, "fc.0.weight", 2)
    n_outputs, _ = shape_of(checkpoint, f"mlp_head.{int(is_1_0)}.weight", 2)
    n_layers = count_of(checkpoint, r"transformer\.layers\.(\d+)\.")
    first = "transformer.layers.0.1.fn.net.0" if is_1_0 else "transformer.layers.0.1.mlp.1"
    n_hidden, _ = shape_of(checkpoint, f"{first}.weight", 2)
    inner = width
    if is_1_0:
        inner = shape_of(checkpoint, "transformer.layers.0.0.fn.to_qkv.weight", 2)[0] // 3
    n_heads = heads_from(facts.heads or _HEADS, None, inner, "heads")
    arguments = {
        "n_features": n_features, "width": width, "n_outputs": n_outputs, "n_layers": n_layers,
        "n_heads": n_heads, "n_hidden": n_hidden, "head_width": inner // n_heads,
        "activation": "relu" if is_1_0 else "gelu",
    }  # fmt: skip
    ends = ("mlp_head.0", "mlp_head.1") if is_1_0 else ("transformer.norm", "mlp_head.0")
    tensors = renamed(checkpoint, {
        "class_token": "cls_token", "embedding.0": "fc.0", "norm": ends[0], "head": ends[1],
    })  # fmt: skip
    tensors["class_token"] = tensors["class_token"].reshape(-1)
    for layer in range(n_layers):
        ours, theirs = f"blocks.{layer}", f"transformer.layers.{layer}"
        read_block = _block_1_0 if is_1_0 else _block_1_1
        tensors |= read_block(checkpoint, ours, theirs)
    target = stamp_target(checkpoint.hyper_parameters, facts, n_outputs)
    return StoredNetwork("marugoto-vit", arguments, tensors, target, n_features)


def _block_1_0(checkpoint: Checkpoint, ours: str, theirs: str) -> Tensors:
    qkv = checkpoint.values(f"{theirs}.0.fn.to_qkv.weight")
    return {
        f"{ours}.attention.qkv.weight": qkv,
        f"{ours}.attention.qkv.bias": np.zeros(len(qkv), np.float32),  # it has none
        **renamed(checkpoint, {
            f"{ours}.norm": f"{theirs}.0.norm",
            f"{ours}.attention.out": f"{theirs}.0.fn.to_out.0",
            f"{ours}.feed_forward.norm": f"{theirs}.1.norm",
            f"{ours}.feed_forward.first": f"{theirs}.1.fn.net.0",
            f"{ours}.feed_forward.last": f"{theirs}.1.fn.net.3",
        }),
    }  # fmt: skip


def _block_1_1(checkpoint: Checkpoint, ours: str, theirs: str) -> Tensors:
    return {
        **packed_attention(checkpoint, f"{ours}.attention", f"{theirs}.0.mhsa"),
        **renamed(checkpoint, {
            f"{ours}.norm": f"{theirs}.0.norm",
            f"{ours}.feed_forward.norm": f"{theirs}.1.mlp.0",
            f"{ours}.feed_forward.first": f"{theirs}.1.mlp.1",
            f"{ours}.feed_forward.last": f"{theirs}.1.mlp.4",
        }),
    }  # fmt: skip
