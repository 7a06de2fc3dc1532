"""Reads MIL-Lab's transformer and TransMIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.millab_abmil import class_names
from heatmaps_ome.models.dialects.network_reading import (
    count_of,
    heads_from,
    packed_attention,
    part_with,
    reading_all,
    renamed,
    shape_of,
)
from heatmaps_ome.models.dialects.sidecars import read_sidecar
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.dialects.trans_mil import trans_mil_arguments, trans_mil_tensors
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.network_reading import Tensors
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Target

_PREFIXES = ("", "model.")
_HEADS = 8
"""In the only configuration that MIL-Lab has of its transformer."""
_NOTE = (
    f"the file lacks the number of attention heads: {_HEADS} are taken, as in MIL-Lab's only "
    "configuration of its transformer; give another with --heads"
)
_COMMON = ("patch_embed.0.weight", "cls_token", "blocks.0.norm.weight", "classifier.weight")
_TRANSFORMER = (*_COMMON, "blocks.0.attention.in_proj_weight")
_TRANSMIL = (*_COMMON, "blocks.0.attention.to_qkv.weight", "pos_layer.proj.weight")


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has the keys of one of these networks."""
    return any(part_with(checkpoint, _PREFIXES, keys) for keys in (_TRANSFORMER, _TRANSMIL))


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return the network of a checkpoint.

    Raises
    ------
    Unusable
        If it is damaged, or lacks a fact that is not given.
    """
    for keys, reader in ((_TRANSFORMER, _transformer), (_TRANSMIL, _trans_mil)):
        part = part_with(checkpoint, _PREFIXES, keys)
        if part is not None:
            with reading_all(part) as tensors:
                return reader(tensors, facts)
    raise Unusable("has not the keys of MIL-Lab's transformer or TransMIL")


def _transformer(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    names = _ends(checkpoint)
    width, n_features = shape_of(checkpoint, "patch_embed.0.weight", 2)
    n_outputs, _ = shape_of(checkpoint, "classifier.weight", 2)
    n_layers = count_of(checkpoint, r"blocks\.(\d+)\.")
    has_hidden = "blocks.0.mlp.0.weight" in checkpoint.tensors
    n_hidden = shape_of(checkpoint, "blocks.0.mlp.0.weight", 2)[0] if has_hidden else 0
    stored_heads = read_sidecar(checkpoint.path, "config.json").get("num_heads")
    is_unknown = stored_heads is None and facts.heads is None
    arguments = {
        "n_features": n_features, "width": width, "n_outputs": n_outputs, "n_layers": n_layers,
        "n_hidden": n_hidden, "n_embeddings": sum(name.startswith("embedding.") for name in names),
        "n_heads": heads_from(
            _HEADS if is_unknown else facts.heads, stored_heads, width, "num_heads"
        ),
    }  # fmt: skip
    tensors = renamed(checkpoint, names)
    tensors["class_token"] = tensors["class_token"].reshape(-1)
    for layer in range(n_layers):
        tensors |= _block(checkpoint, f"blocks.{layer}", has_hidden=has_hidden)
    target = _target(checkpoint, facts, n_outputs)
    notes = (_NOTE,) if is_unknown else ()
    return StoredNetwork("millab-transformer", arguments, tensors, target, n_features, notes)


def _block(checkpoint: Checkpoint, name: str, *, has_hidden: bool) -> Tensors:
    names = {f"{name}.norm": f"{name}.norm"}
    if has_hidden:
        names |= {
            f"{name}.feed_forward.norm": f"{name}.norm2",
            f"{name}.feed_forward.first": f"{name}.mlp.0",
            f"{name}.feed_forward.last": f"{name}.mlp.3",
        }
    return {
        **renamed(checkpoint, names),
        **packed_attention(checkpoint, f"{name}.attention", f"{name}.attention"),
    }


def _trans_mil(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    layers = range(count_of(checkpoint, r"blocks\.(\d+)\."))
    names = _ends(checkpoint) | {f"blocks.{layer}": f"blocks.{layer}" for layer in layers}
    arguments = trans_mil_arguments(checkpoint, names, attention="attention")
    return StoredNetwork(
        "millab-transmil",
        arguments,
        trans_mil_tensors(checkpoint, names, attention="attention"),
        _target(checkpoint, facts, arguments["n_outputs"]),
        arguments["n_features"],
    )


def _target(checkpoint: Checkpoint, facts: ModelFacts, n_outputs: int) -> Target:
    return target_for(n_outputs, facts, usual=None, names=class_names(checkpoint, n_outputs))


def _ends(checkpoint: Checkpoint) -> dict[str, str]:
    """Return our names of what lies before and behind the blocks → the file's."""
    names = {"class_token": "cls_token", "norm": "norm", "head": "classifier"}
    index = 0
    # A ReLU and a dropout follow each layer.
    while f"patch_embed.{3 * index}.weight" in checkpoint.tensors:
        names[f"embedding.{index}"] = f"patch_embed.{3 * index}"
        index += 1
    return names
