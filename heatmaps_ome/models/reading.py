"""Picks the family that reads a model file, and describes a file without torch."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from heatmaps_ome.errors import ModelError, UnsafeModelError
from heatmaps_ome.models.covariates import covariate_values, require_known
from heatmaps_ome.models.families import family_of
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.refusals import Lacking, naming
from heatmaps_ome.models.stored import PARTS, StoredModel
from heatmaps_ome.models.taken_facts import require_taken
from heatmaps_ome.models.target import classes_target
from heatmaps_ome.storage.digests import file_digest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.models.covariates import Covariate
    from heatmaps_ome.models.families import ModelFile
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.protocol import MilModel
    from heatmaps_ome.models.stored_network import StoredNetwork
    from heatmaps_ome.models.target import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelDescription:
    """The facts about a model file that are known without running anything.

    Attributes
    ----------
    kind : str
        The family: ``marugoto export.pkl``, ``heatmaps-ome safetensors``, or the dialect of a
        checkpoint.
    target : Target or None
        The meaning of the outputs; None where a fact is lacking.
    n_outputs : int
    n_features : int
        Features per cell, without the covariates' columns.
    encoder, attention, head : tuple of str
        Layers with their sizes, such as ``Linear(2048, 256)``; () for a network that is no such
        chain.
    architecture : str
        Such a network, with its arguments; "" for a chain.
    covariates : tuple of Covariate
        Inputs to give with --covariate; each has a `name`, an `allowed` and an `if_missing`.
    suspicious_globals : tuple of str
        Names in the pickle that no ordinary export asks for. They were not looked up here, but
        would be by other programs.
    n_private_bags : int
        Training and validation bags, or patients, that the file names.
    sha256 : str
        Digest of the file, in hex.
    lacking : str
        The option that a run would ask for, in a sentence without its subject; "" for none.
    notes : tuple of str
        Sentences on all that was taken for granted.
    """

    kind: str
    target: Target | None
    n_outputs: int
    n_features: int
    encoder: tuple[str, ...]
    attention: tuple[str, ...]
    head: tuple[str, ...]
    architecture: str
    covariates: tuple[Covariate, ...]
    suspicious_globals: tuple[str, ...]
    n_private_bags: int
    sha256: str
    lacking: str = ""
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The outputs, in their order."""
        return () if self.target is None else self.target.outputs

    @property
    def target_label(self) -> str | None:
        """The column of the clinical table that the outputs come from."""
        return None if self.target is None else self.target.label


def read_model(
    path: str | os.PathLike[str],
    facts: ModelFacts = NO_FACTS,
    *,
    allow_pickle: bool = False,
    covariates: Mapping[str, str] | None = None,
) -> MilModel:
    """Read a trained model of bags of tiles, by default without running anything in its file.

    Parameters
    ----------
    path : str or os.PathLike
        marugoto's export.pkl, a checkpoint of another system (README.md lists them), or a file of
        convert-model.
    facts : ModelFacts
        All that results depend on and that the file lacks; facts that it needs not are refused
        where they contradict it.
    allow_pickle : bool
        Let fastai load a file that the safe reader refuses, which runs the code in it.
    covariates : mapping of str to str, optional
        Values of a multi-input model's tabular inputs, by name; those that are missing are imputed
        if the training did so. Without any mapping, give them later by
        `AttentionMIL.with_covariates`.

    Returns
    -------
    AttentionMIL or NetworkModel
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file, and `allow_pickle` is not given.
    ModelError
        The file is no such model, lacks a fact, or needs other covariates.
    """
    path = Path(path)
    model = _read(path, facts, allow_pickle=allow_pickle)
    if covariates is None:
        return model
    from heatmaps_ome.models.attention_mil import AttentionMIL

    with naming(path):
        if not isinstance(model, AttentionMIL):
            require_known((), covariates)
            return model
        return model.with_values(covariate_values(model.covariates, covariates))


def _read(path: Path, facts: ModelFacts, *, allow_pickle: bool) -> MilModel:
    """Return a model, whose covariates have no values yet."""
    if facts.code is not None:
        from heatmaps_ome.models.user_code import read_user_model

        return read_user_model(path, facts)
    try:
        stored = read_stored(path, facts)
    except UnsafeModelError:
        if not allow_pickle:
            raise
        return _read_trusting(path)
    for note in stored.notes:
        logger.warning("%s: %s", path, note)
    if isinstance(stored, StoredModel):
        from heatmaps_ome.models.attention_mil import from_stored

        return from_stored(stored)
    from heatmaps_ome.models.network_model import from_stored_network

    with naming(path):
        return from_stored_network(stored)


def read_stored(
    path: str | os.PathLike[str], facts: ModelFacts = NO_FACTS
) -> StoredModel | StoredNetwork:
    """Read a model safely without giving values to its covariates, as for converting it.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file.
    ModelError
        The file is no such model.
    """
    return _read_file(Path(path), facts).model


def describe_model(path: str | os.PathLike[str], facts: ModelFacts = NO_FACTS) -> ModelDescription:
    """Describe a model file, without torch and without running anything.

    Where a fact is lacking, the description names the option for it.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file.
    ModelError
        The file is no such model.
    """
    path = Path(path)
    file, lacking = _read_with_trials(path, facts)
    model = file.model
    parts = {
        part: tuple(map(str, getattr(model, part))) if isinstance(model, StoredModel) else ()
        for part in PARTS
    }
    return ModelDescription(
        kind=file.kind,
        target=None if lacking else target_of(model),
        n_outputs=len(target_of(model).outputs),
        n_features=model.n_features,
        **parts,
        architecture="" if isinstance(model, StoredModel) else _architecture(model),
        covariates=model.covariates if isinstance(model, StoredModel) else (),
        suspicious_globals=file.suspicious_globals,
        n_private_bags=file.n_private_bags,
        sha256=_sha256(path),
        lacking=lacking,
        notes=model.notes,
    )


def _read_with_trials(path: Path, facts: ModelFacts) -> tuple[ModelFile, str]:
    """Return a file's content, and the fact that is lacking, for which trial values stand."""
    lacking, kind = "", ""
    while True:
        try:
            file = _read_file(path, facts)
        except ModelError as error:
            reason = error.__cause__
            trial = reason.trial if isinstance(reason, Lacking) else {}
            if not trial or {name: getattr(facts, name) for name in trial} == trial:
                raise
            lacking = lacking or str(reason)
            kind = kind or ("checkpoint of more than one family" if "family" in trial else "")
            facts = replace(facts, **trial)
        else:
            return replace(file, kind=kind or file.kind), lacking


def target_of(model: StoredModel | StoredNetwork) -> Target:
    """Return the target of stored values."""
    if isinstance(model, StoredModel) and model.target is None:
        return classes_target(model.classes, model.target_label)
    return cast("Target", model.target)


def _architecture(model: StoredNetwork) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in model.arguments.items())
    return f"{model.architecture} ({arguments})"


def _sha256(path: Path) -> str:
    with naming(path):
        return file_digest(path)


def _read_file(path: Path, facts: ModelFacts) -> ModelFile:
    """Return the content of a file, with the name of its family."""
    with naming(path):
        family = family_of(path)
    if family is None:
        raise ModelError(
            f"{path} is no model: neither a file of torch.save, as marugoto's export.pkl and most "
            "checkpoints are, nor one of safetensors, as convert-model makes them"
        )
    name, module = family
    file = module.read_file(path, facts)
    file = file if file.kind else replace(file, kind=name)
    with naming(path):
        require_taken(file, facts)
    return file


def _read_trusting(path: Path) -> AttentionMIL:
    from heatmaps_ome.models.fastai_export import read_with_fastai

    logger.warning(
        "%s is refused by the safe reader and is loaded with fastai, as --allow-pickle says: "
        "code in the file runs with your rights",
        path,
    )
    return read_with_fastai(path)
