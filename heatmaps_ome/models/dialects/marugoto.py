"""marugoto's attention MIL (mil/model.py) as a plain state dict, which names no classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.parts import (
    FLATTEN,
    RELU,
    TANH,
    batch_norm,
    keys_are,
    linear,
    sizes_of,
)
from heatmaps_ome.models.dialects.targets import target_for

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.dialect import Shapes
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel
    from heatmaps_ome.models.target import Target

_TRUNK = ("encoder.0.weight", "attention.0.weight", "attention.2.weight")
_KEYS = r"(encoder\.0|attention\.[02]|{head})\.(weight|bias)"
_NORM = r"|head\.1\.(running_mean|running_var|num_batches_tracked)"
_HINT = (
    " (a head with batch normalisation is usually survival's, one without regression's; a "
    "regression model was trained on values scaled to 0 to 1)"
)


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of one of marugoto's heads; see DialectModule."""
    shapes = checkpoint.shapes
    return has_norm(shapes) or _plain_head(shapes) is not None


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return a marugoto model; see DialectModule."""
    normed = has_norm(checkpoint.shapes)
    last = linear(checkpoint, "head.3" if normed else _plain_head(checkpoint.shapes) or "")
    norms = (batch_norm(checkpoint, "head.1"),) if normed else ()
    n_outputs = sizes_of(last)[1]
    target = target_for(n_outputs, facts) if n_outputs > 1 else target_of_output(facts)
    if target.task == "regression" and not normed:
        target = regression_target(target)
    return chain(
        (linear(checkpoint, "encoder.0"), RELU),
        attention_layers(checkpoint),
        (FLATTEN, *norms, last),
        target,
        "marugoto attention MIL",
    )


def target_of_output(facts: ModelFacts, label: str | None = None) -> Target:
    """Return the target of a single output; Lacking or Unusable as `target_for`."""
    return target_for(1, facts, usual=None, hint=_HINT, label=label)


def regression_target(target: Target) -> Target:
    """Return the target of branch attmil-regression: the sigmoid, for min-max-scaled values."""
    return replace(target, link="sigmoid")


def has_norm(shapes: Shapes) -> bool:
    """Return whether keys are those of the head with batch normalisation."""
    keys = _KEYS.format(head=r"head\.[13]") + _NORM
    return keys_are(shapes, keys, [*_TRUNK, "head.1.running_mean", "head.3.weight"])


def attention_layers(checkpoint: Checkpoint, temperature: float = 1.0) -> tuple[Layer, ...]:
    """Return the layers of the attention, divided by a temperature."""
    last = linear(checkpoint, "attention.2", 1 / temperature)
    return (linear(checkpoint, "attention.0"), TANH, last)


def _plain_head(shapes: Shapes) -> str | None:
    """Return the name of the only layer of a head without batch normalisation."""
    for name in ("head.1", "head.2"):
        keys = _KEYS.format(head=name.replace(".", r"\."))
        if (
            keys_are(shapes, keys, [*_TRUNK, f"{name}.weight"])
            and len(shapes[f"{name}.weight"]) == 2
        ):
            return name
    return None
