"""TRIDENT's ABMIL, which embeds slides: recognised, so that it is refused by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys are those of TRIDENT's ABMIL; see DialectModule."""
    return all(
        any(part in f".{key}" for key in checkpoint.shapes)
        for part in (".pre_attention_layers.", ".image_pooler.")
    )


def read(checkpoint: Checkpoint, facts: ModelFacts) -> NoReturn:
    """Refuse the model; see DialectModule."""
    del checkpoint, facts
    raise Unusable(
        "is a TRIDENT ABMIL, which embeds slides and has no class head of a known kind; give a "
        "model that predicts, or the network with --model-code"
    )
