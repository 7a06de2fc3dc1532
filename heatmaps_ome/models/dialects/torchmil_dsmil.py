"""torchmil's DSMIL, which predicts by the bag alone (Franblueee/torchmil, models/dsmil.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.dsmil import bag_of, dsmil_network, query_layers, value_layer
from heatmaps_ome.models.dialects.parts import keys_are, linear
from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.dialects.torchmil_abmil import require_no_extractor

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored_network import StoredNetwork

_KEYS = r"(q_nn(\.[02])?|v_nn\.1|inst_classifier|bag_classifier)\.(weight|bias)|feat_ext\..*"


def recognises(checkpoint: Checkpoint) -> bool:
    """Return whether keys and shapes are those of torchmil's DSMIL; see DialectModule."""
    return keys_are(checkpoint.shapes, _KEYS, ["inst_classifier.weight", "bag_classifier.weight"])


def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredNetwork:
    """Return a DSMIL model of one output, yes or no."""
    require_no_extractor(checkpoint.shapes)
    return dsmil_network(
        "torchmil-dsmil",
        {
            **query_layers(checkpoint, "q_nn"),
            **value_layer(checkpoint, "v_nn.1"),
            "instance": linear(checkpoint, "inst_classifier"),
        },
        bag_of(checkpoint, "bag_classifier"),
        target_for(1, facts),
    )
