"""torchmil's ABMIL (Franblueee/torchmil, models/abmil.py): attention on the features themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.chain import chain
from heatmaps_ome.models.dialects.parts import TANH, gate, keys_are, linear, sizes_of
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.layers import make_layer
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.dialect import Shapes
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel

_KEYS = r"(pool\.(fc1|fc2|fc_gated)|classifier)(\.module)?\.(weight|bias)|feat_ext\..*"


_NOTE = "its attention is taken to have a tanh, torchmil's default, as the file has no word on it"


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of torchmil's ABMIL; see DialectModule."""
    return keys_are(checkpoint.shapes, _KEYS, ["pool.fc2.weight"])


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel:
    """Return an ABMIL with the usual tanh; one output is yes or no, as its training has it."""
    require_no_extractor(checkpoint.shapes)
    first = _name(checkpoint, "pool.fc1")
    last = linear(checkpoint, "pool.fc2")
    if f"{(gated := _name(checkpoint, 'pool.fc_gated'))}.weight" in checkpoint.tensors:
        attention = (gate(checkpoint, first, gated), last)
    else:
        attention = (linear(checkpoint, first), TANH, last)
    head = linear(checkpoint, _name(checkpoint, "classifier"))
    target = target_for(sizes_of(head)[1], facts)
    encoder = (make_layer("Identity", {}, {}),)
    stored = chain(encoder, attention, (head,), target, "torchmil ABMIL")
    return replace(stored, notes=(_NOTE,))


def require_no_extractor(shapes: Shapes) -> None:
    """Refuse a model with layers before the attention.

    Raises
    ------
    Unusable
        If there are any: a state dict does not describe what stands between them.
    """
    if any(key.startswith("feat_ext.") for key in shapes):
        raise Unusable(
            "has an extractor of features of its own (feat_ext), whose activations a state dict "
            "does not describe; give the network with --model-code"
        )


def _name(checkpoint: Checkpoint, name: str) -> str:
    """Return the name of a layer, which lies inside another where its size was found later."""
    return f"{name}.module" if f"{name}.module.weight" in checkpoint.tensors else name
