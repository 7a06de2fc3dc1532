"""Picks the family that reads a model file, and describes a file without torch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.errors import ModelError, UnsafeModelError
from heatmaps_ome.models.covariates import covariate_values
from heatmaps_ome.models.families import family_of
from heatmaps_ome.models.refusals import naming
from heatmaps_ome.storage.digests import file_digest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.models.covariates import Covariate
    from heatmaps_ome.models.families import ModelFile
    from heatmaps_ome.models.stored import StoredModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelDescription:
    """The facts about a model file that are known without running anything.

    Attributes
    ----------
    kind : str
        The family: ``marugoto export.pkl`` or ``heatmaps-ome safetensors``.
    classes : tuple of str
        In the order of the head's outputs.
    target_label : str or None
        The column of the clinical table that the classes come from.
    n_features : int
        Features per cell, without the covariates' columns.
    encoder, attention, head : tuple of str
        Layers with their sizes, such as ``Linear(2048, 256)``.
    covariates : tuple of Covariate
        Inputs to give with --covariate; each has a `name`, an `allowed` and an `if_missing`.
    suspicious_globals : tuple of str
        Names in the pickle that no ordinary export asks for. They were not looked up here, but
        would be by other programs.
    n_private_bags : int
        Training and validation bags whose private file names the file carries.
    sha256 : str
        Digest of the file, in hex.
    """

    kind: str
    classes: tuple[str, ...]
    target_label: str | None
    n_features: int
    encoder: tuple[str, ...]
    attention: tuple[str, ...]
    head: tuple[str, ...]
    covariates: tuple[Covariate, ...]
    suspicious_globals: tuple[str, ...]
    n_private_bags: int
    sha256: str


def read_model(
    path: str | os.PathLike[str],
    *,
    allow_pickle: bool = False,
    covariates: Mapping[str, str] | None = None,
) -> AttentionMIL:
    """Read a trained attention-MIL classifier, by default without running anything in its file.

    Parameters
    ----------
    path : str or os.PathLike
        marugoto's export.pkl, or a file of convert-model.
    allow_pickle : bool
        Let fastai load a file that the safe reader refuses, which runs the code in it.
    covariates : mapping of str to str, optional
        Values of a multi-input model's tabular inputs, by name; those that are missing are imputed
        if the training did so. Without any mapping, give them later by
        `AttentionMIL.with_covariates`.

    Returns
    -------
    AttentionMIL
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file, and `allow_pickle` is not given.
    ModelError
        The file is no such model, or needs other covariates.
    """
    path = Path(path)
    model = _read(path, allow_pickle=allow_pickle)
    if covariates is None:
        return model
    with naming(path):
        return model.with_values(covariate_values(model.covariates, covariates))


def _read(path: Path, *, allow_pickle: bool) -> AttentionMIL:
    """Return a model, whose covariates have no values yet."""
    try:
        stored = read_stored(path)
    except UnsafeModelError:
        if not allow_pickle:
            raise
        return _read_trusting(path)
    from heatmaps_ome.models.attention_mil import from_stored

    return from_stored(stored)


def read_stored(path: str | os.PathLike[str]) -> StoredModel:
    """Read a model safely without giving values to its covariates, as for converting it.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file.
    ModelError
        The file is no such model.
    """
    _, file = _read_file(Path(path))
    return file.model


def describe_model(path: str | os.PathLike[str]) -> ModelDescription:
    """Describe a model file, without torch and without running anything.

    Raises
    ------
    UnsafeModelError
        The safe reader refuses the file.
    ModelError
        The file is no such model.
    """
    path = Path(path)
    kind, file = _read_file(path)
    model = file.model
    with naming(path):
        sha256 = file_digest(path)
    return ModelDescription(
        kind=kind,
        classes=model.classes,
        target_label=model.target_label,
        n_features=model.n_features,
        encoder=tuple(map(str, model.encoder)),
        attention=tuple(map(str, model.attention)),
        head=tuple(map(str, model.head)),
        covariates=model.covariates,
        suspicious_globals=file.suspicious_globals,
        n_private_bags=file.n_private_bags,
        sha256=sha256,
    )


def _read_file(path: Path) -> tuple[str, ModelFile]:
    """Return the family's name and what the file holds."""
    with naming(path):
        family = family_of(path)
    if family is None:
        raise ModelError(
            f"{path} is neither an export.pkl of marugoto nor a safetensors file made by "
            "convert-model"
        )
    name, module = family
    return name, module.read_file(path)


def _read_trusting(path: Path) -> AttentionMIL:
    from heatmaps_ome.models.fastai_export import read_with_fastai

    logger.warning(
        "%s is refused by the safe reader and is loaded with fastai, as --allow-pickle says: "
        "code in the file runs with your rights",
        path,
    )
    return read_with_fastai(path)
