"""Read the model files of other programs: marugoto's exports, and checkpoints of all dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.checkpoint import (
    ARCHIVE_START,
    checkpoint_of,
    read_checkpoint,
    read_torch_file,
)
from heatmaps_ome.models.dialects import REGISTRY
from heatmaps_ome.models.dialects.choice import (
    dialect_of,
    fitting_dialects,
    require_no_others_facts,
)
from heatmaps_ome.models.families import ModelFile
from heatmaps_ome.models.learner import is_attention_mil, is_learner
from heatmaps_ome.models.marugoto import export_in
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.safe_pickle.inert_values import Node
from heatmaps_ome.models.safetensors_file import is_safetensors
from heatmaps_ome.models.stored import StoredModel

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.models.checkpoint import Checkpoint, TorchFile
    from heatmaps_ome.models.model_facts import ModelFacts

_TITLES = {"class-attention": "CLAM multi-branch", "millab-transmil": "MIL-Lab TransMIL"}
"""Architecture → its name for people, where a dialect has several."""
_PICKLE_START = b"\x80"
"""First byte of a pickle, and so of a file of torch before 1.6."""


def recognises(path: Path, start: bytes) -> bool:
    """Return whether a file begins as a torch archive, a pickle or safetensors; see Family."""
    del path
    return start.startswith((ARCHIVE_START, _PICKLE_START)) or is_safetensors(start)


def read_file(path: Path, facts: ModelFacts) -> ModelFile:
    """Read a model; nothing in the file is run.

    Raises
    ------
    UnsafeModelError
        The pickle needs something that the safe reader refuses.
    ModelError
        The file holds no model of a known family, or is damaged.
    """
    with naming(path), path.open("rb") as file:
        start = file.read(16)
    if is_safetensors(start):
        checkpoint = read_checkpoint(path)
        with naming(path):
            return _in_checkpoint(checkpoint, facts)
    with naming(path):
        return _in_torch_file(read_torch_file(path), facts, path)


def _in_torch_file(file: TorchFile, facts: ModelFacts, path: Path) -> ModelFile:
    learner = file.pickle.root
    if isinstance(learner, Node) and is_learner(learner):
        checkpoint = None if is_attention_mil(learner) else checkpoint_of(file, path)
        if checkpoint is None or not fitting_dialects(checkpoint):
            if facts.family not in (None, "marugoto"):
                raise Unusable(f"is an export of marugoto, not of --family {facts.family}")
            return export_in(file, learner, facts)
    return _in_checkpoint(checkpoint_of(file, path), facts)


def _in_checkpoint(checkpoint: Checkpoint, facts: ModelFacts) -> ModelFile:
    dialect = REGISTRY[dialect_of(checkpoint, facts)]
    require_no_others_facts(dialect, facts)
    model = dialect.functions.read(checkpoint, facts)
    if isinstance(model, StoredModel):
        kind = model.family
    else:
        kind = _TITLES.get(model.architecture, dialect.title)
    return ModelFile(model, checkpoint.suspicious_globals, checkpoint.n_private, kind=kind)
