"""xMIL's attention MIL (bifold-pathomics/xMIL, attention_mil.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.parts import (
    TANH,
    keys_are,
    linear,
    names_of,
    rectified,
    sizes_of,
)
from heatmaps_ome.models.dialects.sidecars import read_sidecar
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel

_KEYS = (
    r"(linear_layers\.\d+\.0|out_layers\.\d+\.0|attention\.[02]|classifier|linear_head)"
    r"\.(weight|bias)"
)
_TRUNK = ("linear_layers.0.0.weight", "attention.0.weight", "attention.2.weight")
_HEADS = ("classifier", "linear_head")


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are xMIL's; see DialectModule."""
    shapes = checkpoint.shapes
    return keys_are(shapes, _KEYS, _TRUNK) and any(f"{h}.weight" in shapes for h in _HEADS)


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return an attention MIL model; see DialectModule."""
    objective = read_sidecar(checkpoint.path, "args.json").get("objective")
    if isinstance(objective, str) and "surv" in objective.lower():
        raise Unusable(
            "is a survival model of xMIL, which predicts hazards of intervals; only its "
            "classifiers are supported"
        )
    shapes = checkpoint.shapes
    head = linear(checkpoint, next(name for name in _HEADS if f"{name}.weight" in shapes))
    return chain(
        rectified(checkpoint, names_of(shapes, r"linear_layers\.(\d+)\.0")),
        (linear(checkpoint, "attention.0"), TANH, linear(checkpoint, "attention.2")),
        (*rectified(checkpoint, names_of(shapes, r"out_layers\.(\d+)\.0")), head),
        target_for(sizes_of(head)[1], facts, usual=None),
        "xMIL attention MIL",
    )
