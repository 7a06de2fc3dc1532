"""CLAM's single-branch and multi-branch models, of any age (mahmoodlab/CLAM, model_clam.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.parts import (
    RELU,
    TANH,
    gate,
    keys_are,
    linear,
    names_of,
    sizes_of,
)
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.dialect import Shapes
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel

CHIEF_WIDTHS = ((384, 256, 256), (768, 512, 256), (1024, 512, 384), (2048, 1024, 512))
"""Features, embedding and attention of CHIEF's models, which have CLAM's keys."""
NETWORK = (
    r"attention_net\.0\.(weight|bias)"
    r"|attention_net\.[23]\.(attention_[ab]\.0|attention_c|module\.[023])\.(weight|bias)"
    r"|classifiers\.(\d+\.)?(weight|bias)"
    r"|instance_classifiers\.\d+\.(weight|bias)|instance_loss_fn\..*"
)
_OLD = "attention_net.module."
"""The prefix that training on several GPUs gave before version 2 of the code."""


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are CLAM's; see DialectModule."""
    shapes = with_new_keys(checkpoint.shapes)
    if not keys_are(shapes, NETWORK, ["attention_net.0.weight"]):
        return False
    has_instances = any(key.startswith("instance_classifiers.") for key in shapes)
    return _has_classifiers(shapes) and (has_instances or widths(shapes) not in CHIEF_WIDTHS)


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel | StoredNetwork:
    """Return a CLAM model; see DialectModule."""
    checkpoint = replace(checkpoint, tensors=with_new_keys(checkpoint.tensors))
    attention = attention_layers(checkpoint)
    branches = names_of(checkpoint.shapes, r"classifiers\.(\d+)")
    if branches:
        return _multi_branch(checkpoint, attention, branches, facts)
    if attention[-1].n_outputs != 1:
        raise Unusable(
            "is a CLAM_MB model with a single classifier, as the code of 6 to 11 April 2024 made "
            "them by mistake; train it again with another version of CLAM"
        )
    encoder, head = linear(checkpoint, "attention_net.0"), linear(checkpoint, "classifiers")
    target = target_for(sizes_of(head)[1], facts)
    return chain((encoder, RELU), attention, (head,), target, "CLAM single-branch")


def with_new_keys(by_key: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors or shapes by the keys of today's code."""
    return {
        key.replace(_OLD, "attention_net.", 1) if key.startswith(_OLD) else key: value
        for key, value in by_key.items()
    }


def widths(shapes: Shapes) -> tuple[int, ...]:
    """Return the numbers of features, of the embedding and of the attention's hidden layer."""
    hidden = (
        s for k, s in shapes.items() if k.endswith((".attention_a.0.weight", ".module.0.weight"))
    )
    embedding = shapes["attention_net.0.weight"]
    return (*embedding[::-1], *next(hidden, (0,))[:1])


def attention_layers(checkpoint: Checkpoint) -> tuple[Layer, ...]:
    """Return the layers of the attention, gated or not, wherever it lies in the sequence."""
    shapes = checkpoint.shapes
    places = [
        place for place in (2, 3) if any(k.startswith(f"attention_net.{place}.") for k in shapes)
    ]
    if len(places) != 1:
        raise Unusable("is damaged: it has no attention, or more than one")
    name = f"attention_net.{places[0]}"
    if f"{name}.attention_a.0.weight" in shapes:
        gated = gate(checkpoint, f"{name}.attention_a.0", f"{name}.attention_b.0")
        return (gated, linear(checkpoint, f"{name}.attention_c"))
    # The last layer is the third, or the fourth behind a dropout.
    names = names_of(shapes, rf"{name}\.module\.(\d+)")
    if len(names) != 2:
        raise Unusable("is damaged: its attention has not two layers")
    return (linear(checkpoint, names[0]), TANH, linear(checkpoint, names[1]))


def _has_classifiers(shapes: Shapes) -> bool:
    return "classifiers.weight" in shapes or "classifiers.0.weight" in shapes


def _multi_branch(
    checkpoint: Checkpoint, attention: tuple[Layer, ...], branches: list[str], facts: ModelFacts
) -> StoredNetwork:
    encoder = linear(checkpoint, "attention_net.0")
    classifiers = [linear(checkpoint, name) for name in branches]
    n_features, n_embedding = sizes_of(encoder)
    if {*map(sizes_of, classifiers)} != {(n_embedding, 1)} or (
        len(classifiers) != sizes_of(attention[-1])[1]
    ):
        raise Unusable("is damaged: it has not one classifier of one output for each attention")
    stacked = {
        part: np.concatenate([layer.tensors[part] for layer in classifiers])
        for part in ("weight", "bias")
    }
    parts = {
        "encoder": encoder.tensors,
        "hidden": attention[0].tensors,
        "attention_head": attention[-1].tensors,
        "classifiers": stacked,
    }
    return StoredNetwork(
        architecture="class-attention",
        arguments={
            "n_features": n_features,
            "n_embedding": n_embedding,
            "n_attention": sizes_of(attention[-1])[0],
            "n_classes": len(branches),
            "gated": attention[0].kind == "TanhGate",
        },
        tensors={f"{part}.{name}": t for part, own in parts.items() for name, t in own.items()},
        target=target_for(len(branches), facts),
        n_features=n_features,
    )
