"""Reads checkpoints of STAMP 2.0 and later: vit with and without ALiBi, trans_mil, mlp, linear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.dialects.network_reading import (
    count_of,
    heads_from,
    joined,
    packed_attention,
    part_with,
    reading_all,
    renamed,
    shape_of,
)
from heatmaps_ome.models.dialects.stamp_barspoon import barspoon
from heatmaps_ome.models.dialects.stamp_target import stamp_target
from heatmaps_ome.models.dialects.trans_mil import trans_mil_arguments, trans_mil_tensors
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.network_reading import Tensors
    from heatmaps_ome.models.model_facts import ModelFacts

    Reader = Callable[[Checkpoint, ModelFacts], StoredNetwork]

_PREFIXES = ("model.", "vision_transformer.", "")
_UNMASKED_SINCE = (2, 2)
_TILES_SINCE = (2, 4)


@dataclass(frozen=True)
class _Kind:
    """A network by its keys: some that it has, a pattern of all, and those that are not read."""

    keys: tuple[str, ...]
    reader: Reader
    all_keys: str = ""
    unread: str = "(?!)"


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has the keys of one of STAMP's networks."""
    return _network_of(checkpoint) is not None


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return the network of a checkpoint.

    Raises
    ------
    Unusable
        If it is of slides or patients rather than tiles, damaged, or lacks a fact that is not
        given.
    """
    network = _network_of(checkpoint)
    if network is None:
        raise Unusable("has not the keys of a STAMP model")
    part, kind = network
    _require_tiles(part)
    with reading_all(part, kind.unread) as tensors:
        return kind.reader(tensors, facts)


def _network_of(checkpoint: Checkpoint) -> tuple[Checkpoint, _Kind] | None:
    for kind in _KINDS:
        part = part_with(checkpoint, _PREFIXES, kind.keys)
        if part is not None and all(re.match(kind.all_keys, key) for key in part.tensors):
            return part, kind
    return None


def _require_tiles(checkpoint: Checkpoint) -> None:
    """Refuse models of slides' or patients' features by name."""
    kind = checkpoint.hyper_parameters.get("supported_features", "tile")
    version = _version(checkpoint)
    if "mlp.0.weight" in checkpoint.tensors and version is not None and version < _TILES_SINCE:
        kind = "patient"  # the only ones that STAMP 2.3 trained an MLP of
    if kind != "tile":
        named = kind if kind in ("slide", "patient") else "other"
        raise Unusable(
            f"is a STAMP model of {named} features, one vector for a whole {named}; maps need "
            "one that was trained on features of tiles"
        )


def _version(checkpoint: Checkpoint) -> tuple[int, ...] | None:
    text = checkpoint.hyper_parameters.get("stamp_version")
    parts = text.split(".") if isinstance(text, str) else []
    numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdecimal()]
    return tuple(numbers) if len(numbers) == 2 else None


def _vit(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    width, n_features = shape_of(checkpoint, "project_features.0.weight", 2)
    n_outputs, _ = shape_of(checkpoint, "mlp_head.0.weight", 2)
    n_layers = count_of(checkpoint, r"transformer\.layers\.(\d+)\.")
    n_hidden, _ = shape_of(checkpoint, "transformer.layers.0.1.1.weight", 2)
    has_distances = _first_attention(checkpoint, "query_encoders.0.weight") is not None
    version = _version(checkpoint)
    sizes: dict[str, int] = {
        "n_features": n_features, "width": width, "n_outputs": n_outputs, "n_layers": n_layers,
        "n_hidden": n_hidden, "n_heads": _heads(checkpoint, facts, width, has_distances),
    }  # fmt: skip
    hides = version is not None and version < _UNMASKED_SINCE
    attention = _distance_attention if has_distances else packed_attention
    tensors = _ends(checkpoint)
    for layer in range(n_layers):
        ours, theirs = f"blocks.{layer}", f"transformer.layers.{layer}"
        tensors |= renamed(checkpoint, {
            f"{ours}.norm": f"{theirs}.0.norm",
            f"{ours}.feed_forward.norm": f"{theirs}.1.0",
            f"{ours}.feed_forward.first": f"{theirs}.1.1",
            f"{ours}.feed_forward.last": f"{theirs}.1.4",
        })  # fmt: skip
        tensors |= attention(checkpoint, f"{ours}.attention", f"{theirs}.0.mhsa")
    return StoredNetwork(
        "stamp-vit-alibi" if has_distances else "stamp-vit",
        {**sizes, "hides_class_token": hides},
        tensors,
        stamp_target(checkpoint.hyper_parameters, facts, n_outputs),
        n_features,
    )


def _ends(checkpoint: Checkpoint) -> Tensors:
    return renamed(checkpoint, {
        "class_token": "class_token",
        "embedding.0": "project_features.0",
        "norm": "transformer.norm",
        "head": "mlp_head.0",
    })  # fmt: skip


def _first_attention(checkpoint: Checkpoint, name: str) -> tuple[int, ...] | None:
    tensor = checkpoint.tensors.get(f"transformer.layers.0.0.mhsa.{name}")
    return None if tensor is None else tensor.shape


def _heads(checkpoint: Checkpoint, facts: ModelFacts, width: int, has_distances: bool) -> int:
    if has_distances:
        return count_of(checkpoint, r"transformer\.layers\.0\.0\.mhsa\.query_encoders\.(\d+)\.")
    stored = checkpoint.hyper_parameters.get("n_heads")
    return heads_from(facts.heads, stored, width, "n_heads")


def _distance_attention(checkpoint: Checkpoint, ours: str, theirs: str) -> Tensors:
    """Return the tensors of all heads one after the other, and each head's multiple of 1 µm."""
    heads = range(count_of(checkpoint, rf"{re.escape(theirs)}\.query_encoders\.(\d+)\."))

    def packed(name: str) -> np.ndarray[Any, Any]:
        return joined([
            checkpoint.values(f"{theirs}.{part}_encoders.{head}.{name}")
            for part in ("query", "key", "value")
            for head in heads
        ])  # fmt: skip

    def one_each(name: str) -> np.ndarray[Any, Any]:
        return joined([checkpoint.values(f"{theirs}.attentions.{head}.{name}") for head in heads])

    means = one_each("scale_distance.running_mean")
    if means.shape != (len(heads),) or not (means > 0).all():
        raise Unusable("is damaged: its mean distance of tiles is not above 0")
    scales = one_each("bias_scale") / means
    return {
        f"{ours}.qkv.weight": packed("weight"),
        f"{ours}.qkv.bias": packed("bias"),
        f"{ours}.per_um": scales,
        **renamed(checkpoint, {f"{ours}.out": f"{theirs}.fc"}),
    }


def _trans_mil(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    names = {
        "class_token": "cls_token", "embedding.0": "_fc1.0", "norm": "norm", "head": "_fc2",
        "blocks.0": "layer1", "blocks.1": "layer2",
    }  # fmt: skip
    arguments = trans_mil_arguments(checkpoint, names, attention="attn")
    return StoredNetwork(
        "stamp-trans_mil",
        arguments,
        trans_mil_tensors(checkpoint, names, attention="attn"),
        stamp_target(checkpoint.hyper_parameters, facts, arguments["n_outputs"]),
        arguments["n_features"],
    )


def _mlp(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    # A dropout and an activation follow each layer but the last.
    n_layers = 1
    while f"mlp.{3 * n_layers}.weight" in checkpoint.tensors:
        n_layers += 1
    n_hidden, n_features = shape_of(checkpoint, "mlp.0.weight", 2)
    n_outputs, _ = shape_of(checkpoint, f"mlp.{3 * (n_layers - 1)}.weight", 2)
    arguments = {
        "n_features": n_features, "n_hidden": n_hidden, "n_outputs": n_outputs,
        "n_layers": n_layers,
    }  # fmt: skip
    names = {f"layers.{layer}": f"mlp.{3 * layer}" for layer in range(n_layers)}
    target = stamp_target(checkpoint.hyper_parameters, facts, n_outputs)
    return StoredNetwork("stamp-mlp", arguments, renamed(checkpoint, names), target, n_features)


def _linear(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    n_outputs, n_features = shape_of(checkpoint, "fc.weight", 2)
    arguments = {"n_features": n_features, "n_outputs": n_outputs}
    target = stamp_target(checkpoint.hyper_parameters, facts, n_outputs)
    return StoredNetwork(
        "stamp-linear", arguments, renamed(checkpoint, {"fc": "fc"}), target, n_features
    )


_KINDS = (
    _Kind(
        keys=("project_features.0.weight", "class_token", "mlp_head.0.weight"),
        reader=_vit,
        unread=r".*\.scale_distance\.items_so_far$",
    ),
    _Kind(keys=("_fc1.0.weight", "pos_layer.proj.weight", "_fc2.weight"), reader=_trans_mil),
    _Kind(
        keys=("projector.0.weight", "transformer_encoder.layers.0.linear1.weight"),
        reader=barspoon,
        unread=r"heads\.",
    ),
    # So few names are others' too, unless there is nothing else.
    _Kind(keys=("mlp.0.weight",), reader=_mlp, all_keys=r"mlp\.\d+\.(weight|bias)$"),
    _Kind(keys=("fc.weight",), reader=_linear, all_keys=r"fc\.(weight|bias)$"),
)
