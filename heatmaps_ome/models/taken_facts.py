"""Refuse facts that a model does not take: what the user states is never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from heatmaps_ome.models.families import ModelFile
    from heatmaps_ome.models.model_facts import ModelFacts

_ORGANS: Final = "CHIEF"
"""The kind of models whose --head is an organ's number."""
_GATED: Final = "slideflow"


def require_taken(file: ModelFile, facts: ModelFacts) -> None:
    """Refuse facts that had no part in reading a model.

    Raises
    ------
    Unusable
        If there is one; it names the option to leave out.
    """
    _require_heads_taken(file, facts)
    label = None if file.model.target is None else file.model.target.label
    if facts.head is not None and facts.head != label and file.kind != _ORGANS:
        raise Unusable(f"has no target {facts.head} to choose; leave out --head")
    for option, value in (("attention-gate", facts.gate), ("temperature", facts.temperature)):
        if value is not None and not file.kind.startswith(_GATED):
            raise Unusable(f"is a model whose {option} cannot be set; leave out --{option}")


def _require_heads_taken(file: ModelFile, facts: ModelFacts) -> None:
    """Refuse a number of attention heads that is not the network's."""
    if facts.heads is None:
        return
    if not isinstance(file.model, StoredNetwork) or "n_heads" not in file.model.arguments:
        raise Unusable("is no transformer, which --heads is for; leave it out")
    n_heads = file.model.arguments["n_heads"]
    if n_heads != facts.heads:
        raise Unusable(f"has {n_heads} attention heads, and --heads is {facts.heads}; leave it out")
