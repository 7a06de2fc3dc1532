"""slideflow's attention MIL: marugoto's network, with a gate and a temperature (att_mil.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.marugoto import attention_layers, has_norm
from heatmaps_ome.models.dialects.parts import FLATTEN, RELU, batch_norm, linear, sizes_of
from heatmaps_ome.models.dialects.sidecars import read_sidecar
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Lacking, Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel
    from heatmaps_ome.models.target import Target, Task

PARAMS = "mil_params.json"
_USUAL = {"attention_gate": 0.0, "temperature": 1.0}
"""The defaults of the constructor: those of a file of parameters that has no others."""
_TRIAL = {"gate": 0.0, "temperature": 1.0}
_LOSSES: dict[str, Task] = {
    "cross_entropy": "classification",
    "mse": "regression",
    "mae": "regression",
    "huber": "regression",
}


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are slideflow's, which are marugoto's; see DialectModule."""
    return has_norm(checkpoint.shapes)


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel | StoredNetwork:
    """Return an attention MIL model; see DialectModule."""
    params = _params(checkpoint)
    gate = _setting("attention_gate", "--attention-gate", params, facts.gate)
    temperature = _setting("temperature", "--temperature", params, facts.temperature)
    if not 0 <= gate < 1 or not 0 < temperature < float("inf"):
        raise Unusable(
            f"cannot have an attention gate of {gate:g} and a temperature of {temperature:g}; a "
            "gate is at least 0 and below 1, a temperature above 0"
        )
    head = linear(checkpoint, "head.3")
    target = _target(sizes_of(head)[1], params, facts)
    if gate > 0:
        return _gated(checkpoint, target, gate, temperature)
    return chain(
        (linear(checkpoint, "encoder.0"), RELU),
        attention_layers(checkpoint, temperature),
        (FLATTEN, batch_norm(checkpoint, "head.1"), head),
        target,
        "slideflow attention MIL",
    )


def _params(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the parameters beside a model, or one folder up; {} without any."""
    content = read_sidecar(checkpoint.path, PARAMS)
    params = content.get("params") or {}
    if not isinstance(params, dict):
        raise Unusable(f"has a {PARAMS} beside it without parameters")
    model = params.get("model", "attention_mil")
    if content and model != "attention_mil":
        raise Unusable(f"has a {PARAMS} beside it of another model than attention_mil")
    return content


def _setting(name: str, option: str, content: dict[str, Any], given: float | None) -> float:
    """Return a setting of the network from the file of parameters, or as the user gives it."""
    if not content:
        if given is None:
            raise Lacking(
                f"does not hold slideflow's {name}; give --attention-gate and --temperature, or "
                f"put its {PARAMS} beside it",
                **_TRIAL,
            )
        return given
    params = content.get("params") or {}
    places = (params.get("model_kwargs"), params, content)
    values = [place[name] for place in places if isinstance(place, dict) and name in place]
    value = values[0] if values and values[0] is not None else _USUAL[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"has a {PARAMS} beside it whose {name} is no number")
    if given not in (None, value):
        raise Unusable(f"has a {PARAMS} beside it with {name} {value:g}; leave out {option}")
    return float(value)


def _target(n_outputs: int, content: dict[str, Any], facts: ModelFacts) -> Target:
    """Return the target, whose classes the file of parameters names by their numbers."""
    labels = content.get("outcome_labels")
    names = ()
    if isinstance(labels, dict):
        names = tuple(str(labels.get(str(number), number)) for number in range(n_outputs))
    loss = (content.get("params") or {}).get("loss")
    usual = _LOSSES.get(loss) if isinstance(loss, str) else None
    return target_for(n_outputs, facts, usual=usual, names=names)


def _gated(
    checkpoint: Checkpoint, target: Target, gate: float, temperature: float
) -> StoredNetwork:
    layers: dict[str, Layer] = {
        "encoder": linear(checkpoint, "encoder.0"),
        "hidden": linear(checkpoint, "attention.0"),
        "attention_head": linear(checkpoint, "attention.2"),
        "norm": batch_norm(checkpoint, "head.1"),
        "head": linear(checkpoint, "head.3"),
    }
    n_features, n_embedding = sizes_of(layers["encoder"])
    return StoredNetwork(
        architecture="quantile-gate",
        arguments={
            "n_features": n_features,
            "n_embedding": n_embedding,
            "n_attention": sizes_of(layers["hidden"])[1],
            "n_outputs": sizes_of(layers["head"])[1],
            "gate": gate,
            "temperature": temperature,
        },
        tensors={
            f"{part}.{name}": values
            for part, layer in layers.items()
            for name, values in layer.tensors.items()
        },
        target=target,
        n_features=n_features,
    )
