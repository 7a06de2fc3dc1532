"""The content of a model file, checked as a whole and without torch: parts, classes, covariates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.covariates import Covariate, require_labels
from heatmaps_ome.models.layers import MAX_LAYERS, Layer, chain_width, input_width
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.models.target import Target

PARTS = ("encoder", "attention", "head")
MAX_CLASSES = 1000
MARUGOTO = "marugoto attention MIL"
"""The family of models of which a file names no other."""


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A trained attention-MIL classifier as plain values.

    Attributes
    ----------
    encoder, attention, head : tuple of Layer
        Applied one after the other.
    classes : tuple of str
        In the order of the head's outputs.
    target_label : str or None
        The column of the clinical table that the classes come from.
    covariates : tuple of Covariate
        Inputs that follow the features, in order.
    target : Target or None
        The meaning of the outputs, if they are no classes with names; None: a probability for
        each class.
    family : str
        For people; results do not depend on it.
    notes : tuple of str
        Sentences on all that was taken for granted.

    Raises
    ------
    Unusable
        The parts do not fit together.
    """

    encoder: tuple[Layer, ...]
    attention: tuple[Layer, ...]
    head: tuple[Layer, ...]
    classes: tuple[str, ...]
    target_label: str | None = None
    covariates: tuple[Covariate, ...] = field(default=())
    target: Target | None = None
    family: str = MARUGOTO
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if max(len(getattr(self, part)) for part in PARTS) > MAX_LAYERS:
            raise Unusable(f"has over {MAX_LAYERS} layers in a part, too many for attention MIL")
        if self.target is None:
            require_classes(self.classes)
        elif (self.target.outputs, self.target.label) != (self.classes, self.target_label):
            raise Unusable("is damaged: it names its outputs in two ways")
        if self.target_label is not None:
            require_labels([self.target_label], "target label")
        require_labels([covariate.name for covariate in self.covariates], "covariate")
        n_embedding = chain_width(self.encoder) or input_width(self.attention)
        if chain_width(self.attention, n_embedding) != 1:
            raise Unusable("has an attention that does not give one value per cell")
        n_outputs = chain_width(self.head, n_embedding)
        if self.target is None or n_outputs != 1:
            require_outputs(n_outputs, self.classes)
        elif len(self.classes) != 1:
            raise Unusable(f"names {len(self.classes)} outputs and has one")
        require_features(self.n_features)

    @cached_property
    def n_features(self) -> int:
        """The number of features of a cell, without the columns of covariates."""
        n_inputs = input_width((*self.encoder, *self.attention)) or 0
        return n_inputs - sum(len(covariate.means) for covariate in self.covariates)

    @cached_property
    def digest(self) -> str:
        """The sha256, in hex, of all that results depend on except the covariates' values."""
        layers = {part: getattr(self, part) for part in PARTS}
        return digest_of(layer_specs(layers), tensors_by_name(layers), self.labels())

    def labels(self) -> dict[str, Any]:
        """Return classes, target label and covariates, and any other target, as JSON values."""
        target = {} if self.target is None else {"target": self.target.record()}
        return {
            **target,
            "classes": list(self.classes),
            "target_label": self.target_label,
            "covariates": [covariate.specification() for covariate in self.covariates],
        }


def require_classes(classes: Sequence[str]) -> None:
    """Check that a model has class names to distinguish its scores by.

    Raises
    ------
    Unusable
        Fewer than two, too many, or names that cannot be shown.
    """
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise Unusable(f"names {len(classes)} classes where 2 to {MAX_CLASSES} are expected")
    require_labels(classes, "class name")


def require_outputs(n_outputs: int | None, classes: Sequence[str]) -> None:
    """Check that the head has one output for each class.

    Raises
    ------
    Unusable
        The numbers differ.
    """
    if n_outputs == 1:
        raise Unusable(
            f"names {len(classes)} classes, but has a single output, as classifiers of marugoto "
            "have not"
        )
    if n_outputs != len(classes):
        raise Unusable(f"names {len(classes)} classes, but its head has {n_outputs} outputs")


def require_features(n_features: int) -> None:
    """Check that a cell has features beside the covariates.

    Raises
    ------
    Unusable
        There is no feature.
    """
    if n_features < 1:
        raise Unusable("has no inputs for features")


def layer_specs(parts: dict[str, Sequence[Layer]]) -> dict[str, list[dict[str, Any]]]:
    """Return each part's layers as JSON values, without their tensors."""
    return {
        part: [{"layer": layer.kind, **layer.options} for layer in layers]
        for part, layers in parts.items()
    }


def tensors_by_name(parts: dict[str, Sequence[Layer]]) -> dict[str, np.ndarray[Any, Any]]:
    """Return all tensors under names like ``encoder.0.weight``."""
    return dict(_named_tensors(parts))


def digest_of(specs: Any, tensors: dict[str, np.ndarray[Any, Any]], labels: Any) -> str:
    """Return the sha256, in hex, of a model's structure, float32 tensors and labels."""
    digest = hashlib.sha256(_canonical([specs, labels]))
    for name in sorted(tensors):
        digest.update(_canonical([name, list(tensors[name].shape)]))
        digest.update(np.ascontiguousarray(tensors[name], "<f4").tobytes())
    return digest.hexdigest()


def with_columns(digest: str, columns: Sequence[float]) -> str:
    """Return the digest of a model together with its covariates' columns, if it has any."""
    if not columns:
        return digest
    return hashlib.sha256(_canonical([digest, list(columns)])).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _named_tensors(
    parts: dict[str, Sequence[Layer]],
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for part, layers in parts.items():
        for index, layer in enumerate(layers):
            for name, tensor in layer.tensors.items():
                yield f"{part}.{index}.{name}", tensor
