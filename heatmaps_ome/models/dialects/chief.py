"""CHIEF's models (hms-dbmi/CHIEF): CLAM's network, with an organ's embedding or for survival."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.clam import (
    CHIEF_WIDTHS,
    NETWORK,
    attention_layers,
    widths,
    with_new_keys,
)
from heatmaps_ome.models.dialects.parts import RELU, keys_are, linear, sizes_of
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.layers import Layer, make_layer
from heatmaps_ome.models.refusals import Lacking, Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel
    from heatmaps_ome.models.target import Target

_ORGANS = "organ_embedding"
_EXTRAS = rf"|{_ORGANS}|(att_head\.fc[12]|text_to_vision\.0)\.(weight|bias)"


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are CHIEF's; see DialectModule."""
    shapes = with_new_keys(checkpoint.shapes)
    required = ["attention_net.0.weight", "classifiers.weight"]
    if _ORGANS in shapes:
        return keys_are(shapes, NETWORK + _EXTRAS, [*required, "text_to_vision.0.weight"])
    has_instances = any(key.startswith("instance_classifiers.") for key in shapes)
    return (
        keys_are(shapes, NETWORK, required) and not has_instances and widths(shapes) in CHIEF_WIDTHS
    )


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return a CHIEF model; see DialectModule.

    The pretrained model adds the embedding of an organ to the pooled one, and so a constant to
    its logits: W ReLU(T o + t). The survival model's risk is the second of its outputs
    (Downstream/Survival/eval_utils.py).
    """
    checkpoint = replace(checkpoint, tensors=with_new_keys(checkpoint.tensors))
    encoder = linear(checkpoint, "attention_net.0")
    head = linear(checkpoint, "classifiers")
    if _ORGANS in checkpoint.tensors:
        head = _with_organ(checkpoint, head, facts.head)
        target, family = target_for(sizes_of(head)[1], facts), "CHIEF"
    else:
        head, target = _survival(head, facts)
        family = "CHIEF survival"
    return chain((encoder, RELU), attention_layers(checkpoint), (head,), target, family)


def _survival(head: Layer, facts: ModelFacts) -> tuple[Layer, Target]:
    n_outputs = sizes_of(head)[1]
    if facts.task in ("classification", "multilabel"):
        return head, target_for(n_outputs, facts)
    if n_outputs != 2:
        raise Unusable(f"has {n_outputs} outputs, and a survival model of CHIEF has 2")
    risk = make_layer("Linear", {}, {name: values[1:] for name, values in head.tensors.items()})
    return risk, target_for(1, facts, usual="survival")


def _with_organ(checkpoint: Checkpoint, head: Layer, organ: str | None) -> Layer:
    """Return the head with the constant of an organ in its bias."""
    embeddings = checkpoint.values(_ORGANS)
    numbers = [str(number) for number in range(len(embeddings))]
    if organ is None:
        raise Lacking(
            "predicts with the embedding of an organ, which is not in the file; give its number, "
            f"{numbers[0]} to {numbers[-1]}, with --head",
            head=numbers[0],
        )
    if organ not in numbers or embeddings.ndim != 2:
        raise Unusable(f"has no organ {organ}; --head takes {numbers[0]} to {numbers[-1]}")
    text = linear(checkpoint, "text_to_vision.0")
    if sizes_of(text) != (embeddings.shape[1], sizes_of(head)[0]):
        raise Unusable("is damaged: its embedding of organs does not fit its classifiers")
    weight = text.tensors["weight"].astype("f8")
    vision = np.maximum(weight @ embeddings[int(organ)] + text.tensors["bias"], 0)
    bias = head.tensors["bias"] + head.tensors["weight"].astype("f8") @ vision
    return make_layer("Linear", {}, {**head.tensors, "bias": bias.astype("f4")})
