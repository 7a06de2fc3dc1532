"""MIL-Lab's ABMIL and CLAM, with FEATHER's files (mahmoodlab/MIL-Lab, abmil.py and layers.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.parts import (
    TANH,
    gate,
    keys_are,
    linear,
    names_of,
    rectified,
    sizes_of,
    without_prefix,
)
from heatmaps_ome.models.dialects.sidecars import read_sidecar
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel

PREFIX = "model."
"""The prefix of all keys in files of the Hugging Face hub."""
PATCH_EMBED = r"patch_embed\.\d+\.(weight|bias)"
_KEYS = (
    PATCH_EMBED + r"|global_attn\.(attention_[ab]\.0|attention_c|module\.[03])\.(weight|bias)"
    r"|classifier\.(weight|bias)|instance_classifiers\.\d+\.(weight|bias)|instance_loss_fn\..*"
)


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of MIL-Lab's ABMIL; see DialectModule."""
    shapes = without_prefix(checkpoint.shapes, PREFIX)
    has_attention = any(key.startswith("global_attn.") for key in shapes)
    return has_attention and keys_are(shapes, _KEYS, ["patch_embed.0.weight"])


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return an ABMIL; see DialectModule."""
    if "patch_embed.0.weight" not in checkpoint.tensors:
        checkpoint = checkpoint.under(PREFIX)
    shapes = checkpoint.shapes
    if "classifier.weight" not in shapes:
        raise Unusable(
            "is a MIL-Lab ABMIL that embeds slides and has no class head; give one that was "
            "trained to predict"
        )
    if "global_attn.attention_a.0.weight" in shapes:
        gated = gate(checkpoint, "global_attn.attention_a.0", "global_attn.attention_b.0")
        attention = (gated, linear(checkpoint, "global_attn.attention_c"))
    else:
        first, last = (linear(checkpoint, f"global_attn.module.{index}") for index in (0, 3))
        attention = (first, TANH, last)
    head = linear(checkpoint, "classifier")
    n_outputs = sizes_of(head)[1]
    return chain(
        rectified(checkpoint, names_of(shapes, r"patch_embed\.(\d+)")),
        attention,
        (head,),
        target_for(n_outputs, facts, names=class_names(checkpoint, n_outputs)),
        "MIL-Lab ABMIL",
    )


def class_names(checkpoint: Checkpoint, n_outputs: int) -> tuple[str, ...]:
    """Return the classes' names in the hub's ``config.json`` beside a file; () without any."""
    labels = read_sidecar(checkpoint.path, "config.json").get("id2label")
    if not isinstance(labels, dict) or len(labels) != n_outputs:
        return ()
    names = tuple(str(labels.get(str(number))) for number in range(n_outputs))
    # LABEL_0, LABEL_1, … stand there where nobody named them.
    return () if any(name == "None" or name.startswith("LABEL_") for name in names) else names
