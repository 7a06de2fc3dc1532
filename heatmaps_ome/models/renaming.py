"""Names for the outputs of a converted model that are still called by their numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.models.dialects.targets import own_target
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored import StoredModel
from heatmaps_ome.models.stored_network import StoredNetwork
from heatmaps_ome.models.target import Target

if TYPE_CHECKING:
    from heatmaps_ome.models.model_facts import ModelFacts


def with_facts(
    stored: StoredModel | StoredNetwork, facts: ModelFacts
) -> StoredModel | StoredNetwork:
    """Return a converted model with the user's class names, if it has none of its own.

    Raises
    ------
    Unusable
        If the facts contradict the file.
    """
    target, names = stored.target, facts.class_names
    own = stored.classes if isinstance(stored, StoredModel) else stored.target.outputs
    task = "classification" if target is None else target.task
    if facts.task not in (None, task):
        raise Unusable(f"is a model of {task}; leave out --task")
    if names in ((), own):
        return stored
    if target is None or not target.numbered:
        raise Unusable("names its outputs itself; leave out --class-names")
    named = Target.of_task(target.task, names, len(own), target.label)
    if isinstance(stored, StoredNetwork):
        return replace(stored, target=named)
    return replace(stored, classes=names, target=own_target(named))
