"""Read marugoto's export.pkl without fastai, marugoto, scikit-learn, pandas or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.families import ModelFile
from heatmaps_ome.models.learner import (
    class_names,
    count_bags,
    covariates_of,
    layers_of,
    model_parts,
    require_learner,
    target_label,
)
from heatmaps_ome.models.refusals import Unsafe, Unusable, naming
from heatmaps_ome.models.safe_pickle.inert_values import Node, TensorRef
from heatmaps_ome.models.safe_pickle.known_globals import suspicious_names
from heatmaps_ome.models.safe_pickle.torch_archive import TorchArchive, read_torch_archive
from heatmaps_ome.models.stored import StoredModel

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


_ARCHIVE, _BARE_PICKLE = b"PK\x03\x04", b"\x80"
"""First bytes of a torch archive, which is a zip file, and of a pickle outside one."""


def recognises(path: Path, start: bytes) -> bool:
    """Return whether a file begins as a torch archive or as a pickle; see Family."""
    return start.startswith((_ARCHIVE, _BARE_PICKLE))


def read_file(path: Path) -> ModelFile:
    """Read an export.pkl; nothing in it is run.

    Raises
    ------
    UnsafeModelError
        The pickle needs something that the safe reader refuses.
    ModelError
        The file is no attention-MIL classifier of marugoto, or is damaged.
    """
    with naming(path):
        _require_archive(path)
    with naming(path):
        archive = read_torch_archive(path)
        learner = archive.pickle.root
        if not isinstance(learner, Node):
            raise Unusable("holds no fastai Learner, which an export.pkl is")
        require_learner(learner)
        return ModelFile(
            _stored_model(learner, archive),
            suspicious_names(archive.pickle.names),
            count_bags(learner),
        )


def _require_archive(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(1) == _BARE_PICKLE:
            raise Unsafe(
                "is a bare pickle, or was saved by torch before 1.6, and not a zip archive"
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
