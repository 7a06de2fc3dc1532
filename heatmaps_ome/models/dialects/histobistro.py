"""HistoBistro's AttentionMIL, a Lightning checkpoint (peng-lab/HistoBistro, attentionmil.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.marugoto import attention_layers
from heatmaps_ome.models.dialects.parts import FLATTEN, RELU, keys_are, linear, sizes_of
from heatmaps_ome.models.dialects.targets import target_for

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel

_PREFIX = "model."
_KEYS = r"model\.(encoder\.0|attention\.[02]|head\.2)\.(weight|bias)|criterion\.(weight|pos_weight)"


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of HistoBistro; see DialectModule."""
    required = ("encoder.0.weight", "attention.0.weight", "attention.2.weight", "head.2.weight")
    return keys_are(checkpoint.shapes, _KEYS, [f"{_PREFIX}{key}" for key in required])


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return an AttentionMIL; see DialectModule."""
    checkpoint = checkpoint.under(_PREFIX)
    head = linear(checkpoint, "head.2")
    return chain(
        (linear(checkpoint, "encoder.0"), RELU),
        attention_layers(checkpoint),
        (FLATTEN, head),
        target_for(sizes_of(head)[1], facts, usual=None),
        "HistoBistro AttentionMIL",
    )
