"""The original DSMIL (binli123/dsmil-wsi, dsmil.py)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.parts import keys_are, linear, names_of, sizes_of
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Target

_KEYS = (
    r"i_classifier\.fc(\.0)?\.(weight|bias)"
    r"|b_classifier\.(q(\.[02])?|v\.1|fcc)\.(weight|bias)"
)


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are DSMIL's; see DialectModule."""
    shapes = checkpoint.shapes
    kernel = shapes.get("b_classifier.fcc.weight", ())
    return len(kernel) == 3 and keys_are(shapes, _KEYS, ["b_classifier.fcc.weight"])


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return a DSMIL model, which is trained to say yes or no for each output."""
    shapes = checkpoint.shapes
    n_outputs = shapes["b_classifier.fcc.weight"][0]
    query = query_layers(checkpoint, "b_classifier.q")
    name = "i_classifier.fc.0" if "i_classifier.fc.0.weight" in shapes else "i_classifier.fc"
    return dsmil_network(
        "dsmil",
        {
            **query,
            **value_layer(checkpoint, "b_classifier.v.1"),
            "instance": linear(checkpoint, name),
        },
        bag_of(checkpoint, "b_classifier.fcc"),
        target_for(n_outputs, facts, usual="classification" if n_outputs == 1 else "multilabel"),
        # The code that had a query of one layer had values without a ReLU.
        value="rectified" if "query.1" in query else "linear",
    )


def query_layers(checkpoint: Checkpoint, name: str) -> dict[str, Layer]:
    """Return the query's layer, or its two layers."""
    names = names_of(checkpoint.shapes, rf"{re.escape(name)}\.(\d+)") or [name]
    if len(names) > 2:
        raise Unusable("has a query of more than two layers, which is not supported")
    return {f"query.{index}": linear(checkpoint, own) for index, own in enumerate(names)}


def value_layer(checkpoint: Checkpoint, name: str) -> dict[str, Layer]:
    """Return the value's layer, if there is one."""
    has_layer = f"{name}.weight" in checkpoint.tensors
    return {"value": linear(checkpoint, name)} if has_layer else {}


def bag_of(checkpoint: Checkpoint, name: str) -> dict[str, np.ndarray]:
    """Return the bag's convolution; a linear layer of one output is one, too."""
    weight, bias = checkpoint.values(f"{name}.weight"), checkpoint.values(f"{name}.bias")
    if weight.ndim == 2 and len(weight) == 1:
        weight = weight[None]
    n_outputs = len(weight)
    if weight.ndim != 3 or weight.shape[1] != n_outputs or bias.shape != (n_outputs,):
        raise Unusable("is damaged: its classifier of bags is none of DSMIL's")
    return {"bag.weight": weight, "bag.bias": bias}


def dsmil_network(
    architecture: str,
    layers: dict[str, Layer],
    bag: dict[str, np.ndarray],
    target: Target,
    *,
    value: str = "rectified",
) -> StoredNetwork:
    """Return a network of DSMIL's kind from its layers by name; `value`: its value layer's kind."""
    encoder = [name for name in layers if name.startswith("encoder.")]
    n_embedding, n_classes = sizes_of(layers["instance"])
    n_features = sizes_of(layers[encoder[0]])[0] if encoder else n_embedding
    tensors = {
        f"{part}.{name}": values
        for part, layer in layers.items()
        for name, values in layer.tensors.items()
    }
    if len(bag["bag.weight"]) != n_classes:
        raise Unusable("is damaged: its two classifiers have different numbers of outputs")
    return StoredNetwork(
        architecture=architecture,
        arguments={
            "n_features": n_features,
            "n_layers": len(encoder),
            "n_embedding": n_embedding,
            "n_query": sizes_of(layers["query.0"])[1],
            "n_classes": n_classes,
            "deep_query": "query.1" in layers,
            "value": value if "value" in layers else "none",
        },
        tensors=tensors | bag,
        target=target,
        n_features=n_features,
    )
