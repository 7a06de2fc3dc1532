"""MIL-Lab's DSMIL, which embeds features and normalises (mahmoodlab/MIL-Lab, dsmil.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.dsmil import bag_of, dsmil_network, query_layers, value_layer
from heatmaps_ome.models.dialects.millab_abmil import PATCH_EMBED, PREFIX, class_names
from heatmaps_ome.models.dialects.parts import keys_are, linear, names_of, without_prefix
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.layers import make_layer

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored_network import StoredNetwork

_KEYS = (
    PATCH_EMBED + r"|i_classifier\.inst_classifier\.(weight|bias)"
    r"|b_classifier\.(q|v\.1|norm|fcc)\.(weight|bias)|classifier\.(weight|bias)"
)


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of MIL-Lab's DSMIL; see DialectModule."""
    required = ["patch_embed.0.weight", "i_classifier.inst_classifier.weight", "classifier.weight"]
    return keys_are(without_prefix(checkpoint.shapes, PREFIX), _KEYS, required)


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return a DSMIL model; its b_classifier.fcc has no part in the prediction."""
    if "patch_embed.0.weight" not in checkpoint.tensors:
        checkpoint = checkpoint.under(PREFIX)
    names = names_of(checkpoint.shapes, r"patch_embed\.(\d+)")
    bag = bag_of(checkpoint, "classifier")
    norm = {name: checkpoint.values(f"b_classifier.norm.{name}") for name in ("weight", "bias")}
    n_outputs = len(bag["bag.bias"])
    return dsmil_network(
        "millab-dsmil",
        {
            **{f"encoder.{i}": linear(checkpoint, name) for i, name in enumerate(names)},
            **query_layers(checkpoint, "b_classifier.q"),
            **value_layer(checkpoint, "b_classifier.v.1"),
            "norm": make_layer("LayerNorm", {}, norm),
            "instance": linear(checkpoint, "i_classifier.inst_classifier"),
        },
        bag,
        target_for(n_outputs, facts, names=class_names(checkpoint, n_outputs)),
        value="linear",
    )
