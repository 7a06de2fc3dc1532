"""The sizes and tensors of TransMIL, which STAMP and MIL-Lab name differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.network_reading import renamed, shape_of
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.network_reading import Tensors


def trans_mil_arguments(
    checkpoint: Checkpoint, names: Mapping[str, str], attention: str
) -> dict[str, int]:
    """Return the arguments of TransMil by the tensors' shapes.

    Parameters
    ----------
    names : mapping of str → str
        Our names of layers and blocks → the file's.
    attention : str
        The file's name of a block's attention.

    Raises
    ------
    Unusable
        If a tensor is missing.
    """
    embeddings = [name for name in names if name.startswith("embedding.")]
    width, n_features = shape_of(checkpoint, f"{names['embedding.0']}.weight", 2)
    n_outputs, _ = shape_of(checkpoint, f"{names['head']}.weight", 2)
    n_heads, *_ = shape_of(checkpoint, f"{names['blocks.0']}.{attention}.res_conv.weight", 4)
    if n_heads > width:
        raise Unusable("is damaged: it has more attention heads than numbers in a token")
    return {
        "n_features": n_features,
        "width": width,
        "n_outputs": n_outputs,
        "n_layers": sum(name.startswith("blocks.") for name in names),
        "n_heads": n_heads,
        "n_embeddings": len(embeddings),
    }


def trans_mil_tensors(checkpoint: Checkpoint, names: Mapping[str, str], attention: str) -> Tensors:
    """Return the tensors of TransMil; see `trans_mil_arguments`."""
    layers = {ours: theirs for ours, theirs in names.items() if not ours.startswith("blocks.")}
    for ours, theirs in names.items():
        if ours.startswith("blocks."):
            layers |= {
                f"{ours}.norm": f"{theirs}.norm",
                f"{ours}.qkv": f"{theirs}.{attention}.to_qkv",
                f"{ours}.out": f"{theirs}.{attention}.to_out.0",
                f"{ours}.residual": f"{theirs}.{attention}.res_conv",
            }
    for side, name in ((7, "proj"), (5, "proj1"), (3, "proj2")):
        layers[f"positions.side_{side}"] = f"pos_layer.{name}"
    tensors = renamed(checkpoint, layers)
    tensors["class_token"] = tensors["class_token"].reshape(-1)
    return tensors
