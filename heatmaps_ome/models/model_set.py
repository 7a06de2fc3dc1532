"""The models of a run: found by name or pattern, counted once, and checked to be averageable."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.models.attention_mil import AttentionMIL

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ModelSet:
    """Models that explain a slide together, or a single one.

    Attributes
    ----------
    paths : tuple of Path
        Paths of the models' files.
    models : tuple of AttentionMIL
        All different, with the same target, classes and number of features.
    """

    paths: tuple[Path, ...]
    models: tuple[AttentionMIL, ...]

    @classmethod
    def of(cls, models: Sequence[tuple[Path, AttentionMIL]]) -> ModelSet:
        """Return models with their paths as a set; duplicates count once, with a warning.

        Raises
        ------
        OptionError
            If they cannot be averaged.
        """
        unique: dict[str, tuple[Path, AttentionMIL]] = {}
        for path, model in models:
            if model.digest in unique:
                logger.warning(
                    "%s is the same model as %s and counts once", path, unique[model.digest][0]
                )
            else:
                for other in unique.values():
                    _require_alike(*other, path, model)
                unique[model.digest] = (path, model)
        return cls(*zip(*unique.values(), strict=True))

    @property
    def first(self) -> AttentionMIL:
        """The first model, whose order of classes all results have."""
        return self.models[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the first model."""
        return self.first.classes

    @property
    def is_additive(self) -> bool:
        """Whether every model has contributions."""
        return all(model.is_additive for model in self.models)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The name of each model, its file name without the folder, and its digest."""
        digests = (model.digest for model in self.models)
        return tuple(zip((path.name for path in self.paths), digests, strict=True))

    @property
    def digests(self) -> list[str]:
        """The models' digests in the order of `models`, in which results list them."""
        return [model.digest for model in self.models]

    @property
    def digest(self) -> str:
        """The digest of a single model, or of the set, independent of the models' order."""
        if len(self.models) == 1:
            return self.first.digest
        return digest_of({"models": sorted(self.digests), "classes": list(self.classes)})

    def record(self) -> dict[str, Any]:
        """Return the models' identity, as plain JSON values."""
        record: dict[str, Any] = {
            "digest": self.digest,
            "classes": list(self.classes),
            "target_label": self.first.target_label,
            "features": self.first.n_features,
        }
        if len(self.models) > 1:
            record["members"] = [{"name": name, "digest": digest} for name, digest in self.named]
        return record


def model_files(given: Sequence[Path]) -> list[Path]:
    """Return the files of models without duplicates; a pattern is replaced by its matches.

    A path that names an existing file is never taken for a pattern.

    Raises
    ------
    OptionError
        If a pattern has no match.
    """
    files: list[Path] = []
    for path in given:
        if path.exists() or not set("*?[") & set(str(path)):
            files.append(path)
            continue
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise OptionError(f"--model-path: no file matches {path}; check the pattern")
        files += matches
    return list({path.resolve(): path for path in files}.values())


def _require_alike(first_path: Path, first: AttentionMIL, path: Path, model: AttentionMIL) -> None:
    """Refuse a model whose outputs mean something else than an earlier model's.

    Raises
    ------
    OptionError
        If they differ; names the difference.
    """
    targets = {first.target_label, model.target_label} - {None}
    for what, own, wanted, differs in (
        ("the target", model.target_label, first.target_label, len(targets) > 1),
        ("the classes", ", ".join(model.classes), ", ".join(first.classes),
         set(model.classes) != set(first.classes)),
        ("features per tile", model.n_features, first.n_features,
         model.n_features != first.n_features),
    ):  # fmt: skip
        if differs:
            raise OptionError(
                f"{path} and {first_path} cannot be averaged: {what} {own} here, {wanted} there; "
                "give models of one cross-validation, or each in a run of its own"
            )
