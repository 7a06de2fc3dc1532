"""Reads one target of STAMP's barspoon, which predicts several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.models.dialects.network_reading import (
    count_of,
    heads_from,
    packed_attention,
    renamed,
    shape_of,
)
from heatmaps_ome.models.dialects.stamp_target import names_in
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Lacking, Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.network_reading import Tensors
    from heatmaps_ome.models.model_facts import ModelFacts

_ENCODER = r"transformer_encoder\.layers\.(\d+)\."
_DECODER = r"transformer_decoder\.layers\.(\d+)\."
_NAMEABLE = re.compile(r"[A-Za-z0-9_]{1,100}")


def barspoon(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return the network for the target that the facts choose.

    Raises
    ------
    Lacking
        If there are several and none is chosen.
    Unusable
        If there is none of that name.
    """
    keys = heads_of(checkpoint)
    key, label = _chosen(_labels(checkpoint, keys), facts.head)
    n_outputs, _ = shape_of(checkpoint, f"heads.{key}.weight", 2)
    sizes = _sizes(checkpoint, facts)
    arguments = {
        **sizes,
        "n_outputs": n_outputs,
        "n_targets": len(keys),
        "target": keys.index(key),
        "uses_places": _uses_places(checkpoint),
    }
    categories = checkpoint.hyper_parameters.get("categories")
    names = names_in(categories.get(label)) if isinstance(categories, dict) else ()
    target = target_for(n_outputs, facts, names=names, label=label)
    tensors = _tensors(checkpoint, keys, key)
    return StoredNetwork("stamp-barspoon", arguments, tensors, target, sizes["n_features"])


def _sizes(checkpoint: Checkpoint, facts: ModelFacts) -> dict[str, int]:
    width, n_features = shape_of(checkpoint, "projector.0.weight", 2)
    n_hidden, _ = shape_of(checkpoint, "transformer_encoder.layers.0.linear1.weight", 2)
    n_encoder, n_decoder = (
        heads_from(facts.heads, checkpoint.hyper_parameters.get(name), width, name)
        for name in ("num_encoder_heads", "num_decoder_heads")
    )
    return {
        "n_features": n_features,
        "width": width,
        "n_hidden": n_hidden,
        "n_layers": count_of(checkpoint, _ENCODER),
        "n_heads": n_encoder,
        "n_decoder_layers": count_of(checkpoint, _DECODER),
        "n_decoder_heads": n_decoder,
    }


def heads_of(checkpoint: Checkpoint) -> list[str]:
    """Return the keys of a model's targets, in the order of the file.

    Raises
    ------
    Unusable
        If there is none, or one has a name that STAMP never writes.
    """
    matches = (re.fullmatch(r"heads\.(.+)\.weight", key) for key in checkpoint.tensors)
    keys = [match[1] for match in matches if match is not None]
    if not keys or not all(map(_NAMEABLE.fullmatch, keys)):
        raise Unusable("is damaged: it has no targets with the names that STAMP gives them")
    return keys


def _labels(checkpoint: Checkpoint, keys: list[str]) -> dict[str, str]:
    """Return the key of each target → its name in the table of the training, else the key."""
    categories = checkpoint.hyper_parameters.get("categories")
    names = categories if isinstance(categories, dict) else {}
    return {key: key for key in keys} | {
        key: name for name in names if (key := re.sub(r"[^A-Za-z0-9_]", "_", name)) in keys
    }


def _chosen(labels: dict[str, str], head: str | None) -> tuple[str, str]:
    """Return the key and the name of the target to explain."""
    if head is None and len(labels) == 1:
        return next(iter(labels.items()))
    for key, label in labels.items():
        if head in (key, label):
            return key, label
    names = ", ".join(labels.values())
    problem = "predicts several targets" if head is None else f"has no target {head}"
    raise Lacking(f"{problem}; choose one of {names} with --head", head=next(iter(labels.values())))


def _uses_places(checkpoint: Checkpoint) -> bool:
    """Return whether places are added to tiles, which no tensor has."""
    uses = checkpoint.hyper_parameters.get("positional_encoding")
    if not isinstance(uses, bool):
        raise Unusable(
            "lacks positional_encoding, on which results depend; give the checkpoint (.ckpt) that "
            "STAMP wrote, which has it"
        )
    return uses


def _tensors(checkpoint: Checkpoint, keys: list[str], chosen: str) -> Tensors:
    tokens = [checkpoint.values(f"class_tokens.{key}") for key in keys]
    if len({token.shape for token in tokens}) > 1:
        raise Unusable("is damaged: its class tokens have different lengths")
    tensors = renamed(checkpoint, {"embedding": "projector.0", "head": f"heads.{chosen}"})
    tensors["class_tokens"] = np.stack(tokens)
    for layer in range(count_of(checkpoint, _ENCODER)):
        ours, theirs = f"encoder.{layer}", f"transformer_encoder.layers.{layer}"
        tensors |= packed_attention(checkpoint, f"{ours}.attention", f"{theirs}.self_attn")
        tensors |= renamed(checkpoint, {f"{ours}.norm": f"{theirs}.norm1"})
        tensors |= _feed_forward(checkpoint, ours, theirs, "norm2")
    for layer in range(count_of(checkpoint, _DECODER)):
        ours, theirs = f"decoder.{layer}", f"transformer_decoder.layers.{layer}"
        tensors |= packed_attention(checkpoint, f"{ours}.among", f"{theirs}.self_attn")
        inner = f"{ours}.to_tiles"
        tensors |= packed_attention(checkpoint, f"{inner}.attention", f"{theirs}.multihead_attn")
        norms = {f"{ours}.norm": f"{theirs}.norm1", f"{inner}.norm": f"{theirs}.norm2"}
        tensors |= renamed(checkpoint, norms)
        tensors |= _feed_forward(checkpoint, inner, theirs, "norm3")
    return tensors


def _feed_forward(checkpoint: Checkpoint, ours: str, theirs: str, norm: str) -> Tensors:
    return renamed(checkpoint, {
        f"{ours}.feed_forward.norm": f"{theirs}.{norm}",
        f"{ours}.feed_forward.first": f"{theirs}.linear1",
        f"{ours}.feed_forward.last": f"{theirs}.linear2",
    })  # fmt: skip
