"""Read marugoto's export.pkl without fastai, marugoto, scikit-learn, pandas or torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.learner import (
    class_names,
    count_bags,
    covariates_of,
    layers_of,
    model_parts,
    require_learner,
    target_label,
)
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.safe_pickle.inert_values import Node, TensorRef
from heatmaps_ome.models.safe_pickle.known_globals import suspicious_names
from heatmaps_ome.models.safe_pickle.torch_archive import TorchArchive, open_torch_archive
from heatmaps_ome.models.stored import StoredModel

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True, eq=False)
class Export:
    """The content of an export.pkl.

    Attributes
    ----------
    model : StoredModel
        The classifier.
    suspicious_globals : tuple of str
        Names in its pickle that no ordinary export asks for.
    n_private_bags : int
        Training and validation bags whose files (and so patients) it names.
    """

    model: StoredModel
    suspicious_globals: tuple[str, ...]
    n_private_bags: int


def read_export(path: Path) -> Export:
    """Read an export.pkl; nothing in it is run.

    Raises
    ------
    UnsafeModelError
        The pickle needs something that the safe reader refuses.
    ModelError
        The file is no attention-MIL classifier of marugoto, or is damaged.
    """
    with naming(path), open_torch_archive(path) as archive:
        learner = archive.pickle.root
        if not isinstance(learner, Node):
            raise Unusable("holds no fastai Learner, which an export.pkl is")
        require_learner(learner)
        return Export(
            _stored_model(learner, archive),
            suspicious_names(archive.pickle.names),
            count_bags(learner),
        )


def _stored_model(learner: Node, archive: TorchArchive) -> StoredModel:
    def to_array(value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        if not isinstance(value, TensorRef):
            raise Unusable("has a layer whose weights are not plain tensors")
        return archive.tensor(value)

    parts = model_parts(learner)
    return StoredModel(
        **{part: layers_of(module, to_array) for part, module in parts.items()},
        classes=class_names(learner),
        target_label=target_label(learner),
        covariates=covariates_of(learner),
    )
