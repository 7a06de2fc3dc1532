"""The model of an encoder, an attention and a head, as most dialects have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.targets import own_target
from heatmaps_ome.models.stored import StoredModel

if TYPE_CHECKING:
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.target import Target

    Layers = tuple[Layer, ...]


def chain(
    encoder: Layers, attention: Layers, head: Layers, target: Target, family: str
) -> StoredModel:
    """Return a model; Unusable if its parts or its target do not fit together."""
    return StoredModel(
        encoder=encoder,
        attention=attention,
        head=head,
        classes=target.outputs,
        target_label=target.label,
        target=own_target(target),
        family=family,
    )
