"""Layers and shapes of a checkpoint, as the dialects of attention MIL put them together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.layers import Layer, make_layer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.dialect import Shapes

RELU, TANH, FLATTEN = (make_layer(kind, {}, {}) for kind in ("ReLU", "Tanh", "Flatten"))
_NORM_TENSORS = ("running_mean", "running_var", "weight", "bias")


def keys_are(shapes: Shapes, pattern: str, required: Iterable[str]) -> bool:
    """Return whether all keys match a pattern, and the required ones are there."""
    allowed = re.compile(pattern)
    return all(map(allowed.fullmatch, shapes)) and all(key in shapes for key in required)


def without_prefix(shapes: Shapes, prefix: str) -> Shapes:
    """Return shapes by keys without a prefix, if all have it."""
    if not all(key.startswith(prefix) for key in shapes):
        return shapes
    return {key.removeprefix(prefix): shape for key, shape in shapes.items()}


def linear(checkpoint: Checkpoint, name: str, scale: float = 1.0) -> Layer:
    """Return a linear layer, multiplied by a number; its bias may be absent."""
    tensors = {
        part: checkpoint.values(f"{name}.{part}")
        for part in ("weight", "bias")
        if part == "weight" or f"{name}.bias" in checkpoint.tensors
    }
    if scale != 1:
        tensors = {part: (values * scale).astype("f4") for part, values in tensors.items()}
    return make_layer("Linear", {}, tensors)


def sizes_of(layer: Layer) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a linear layer."""
    n_outputs, n_inputs = layer.tensors["weight"].shape
    return n_inputs, n_outputs


def batch_norm(checkpoint: Checkpoint, name: str) -> Layer:
    """Return a BatchNorm1d."""
    return make_layer(
        "BatchNorm1d", {}, {part: checkpoint.values(f"{name}.{part}") for part in _NORM_TENSORS}
    )


def gate(checkpoint: Checkpoint, tanh: str, sigmoid: str) -> Layer:
    """Return the gate of gated attention from its two linear layers."""
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for own, name in (("tanh", tanh), ("gate", sigmoid)):
        tensors[f"{own}_weight"] = checkpoint.values(f"{name}.weight")
        if f"{name}.bias" in checkpoint.tensors:
            tensors[f"{own}_bias"] = checkpoint.values(f"{name}.bias")
    return make_layer("TanhGate", {}, tensors)


def rectified(checkpoint: Checkpoint, names: Iterable[str]) -> tuple[Layer, ...]:
    """Return linear layers with a ReLU after each."""
    return tuple(layer for name in names for layer in (linear(checkpoint, name), RELU))


def names_of(shapes: Shapes, pattern: str) -> list[str]:
    """Return the layers with a weight whose name matches a pattern with a number, in order.

    Parameters
    ----------
    pattern : str
        With one group, the number.
    """
    layer = re.compile(rf"({pattern})\.weight")
    matches = filter(None, map(layer.fullmatch, shapes))
    return [match[1] for match in sorted(matches, key=lambda match: int(match[2]))]
