"""The model in marugoto's export.pkl, without fastai, marugoto, scikit-learn, pandas or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.dialects.marugoto import regression_target, target_of_output
from heatmaps_ome.models.families import ModelFile
from heatmaps_ome.models.layers import chain_width
from heatmaps_ome.models.learner import (
    class_names,
    count_bags,
    covariates_of,
    has_class_names,
    layers_of,
    model_parts,
    target_label,
)
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.safe_pickle.inert_values import Node, TensorRef
from heatmaps_ome.models.safe_pickle.known_globals import suspicious_names
from heatmaps_ome.models.stored import StoredModel

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.models.checkpoint import TorchFile
    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Target

KIND = "marugoto export.pkl"


def export_in(file: TorchFile, learner: Node, facts: ModelFacts) -> ModelFile:
    """Return the attention-MIL model in a Learner of marugoto.

    Raises
    ------
    Lacking
        If it has a single output, of an unknown task.
    Unsafe
        If a layer is not supported.
    Unusable
        If it is no attention-MIL model, or facts contradict the file.
    """

    def to_array(value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        if not isinstance(value, TensorRef):
            raise Unusable("has a layer whose weights are not plain tensors")
        return file.tensor(value)

    parts = {part: layers_of(module, to_array) for part, module in model_parts(learner).items()}
    target = None if has_class_names(learner) else _target(parts["head"], learner, facts)
    model = StoredModel(
        encoder=parts["encoder"],
        attention=parts["attention"],
        head=parts["head"],
        classes=_classes(learner, facts) if target is None else target.outputs,
        target_label=target_label(learner),
        covariates=covariates_of(learner),
        target=target,
    )
    return ModelFile(model, suspicious_names(file.pickle.names), count_bags(learner), kind=KIND)


def _classes(learner: Node, facts: ModelFacts) -> tuple[str, ...]:
    if not has_class_names(learner) and facts.class_names:
        return facts.class_names
    names = class_names(learner)
    if facts.class_names not in ((), names):
        raise Unusable("names its classes itself; leave out --class-names")
    if facts.task not in (None, "classification"):
        raise Unusable(f"is a classifier, not one of {facts.task}; leave out --task")
    return names


def _target(head: tuple[Layer, ...], learner: Node, facts: ModelFacts) -> Target | None:
    """Return the target of a model whose training data has no classes."""
    if chain_width(head) != 1:
        return None
    label = target_label(learner)
    target = target_of_output(facts, label)
    is_normed = any(layer.kind == "BatchNorm1d" for layer in head)
    return regression_target(target) if target.task == "regression" and not is_normed else target
