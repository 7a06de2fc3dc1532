"""The models of a run: found by name or pattern, each counted once, and such as can be averaged."""

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
        Of the models' files.
    models : tuple of AttentionMIL
        All different; of the same target, classes and number of features.
    """

    paths: tuple[Path, ...]
    models: tuple[AttentionMIL, ...]

    @classmethod
    def of(cls, found: Sequence[tuple[Path, AttentionMIL]]) -> ModelSet:
        """Return models as a set. One that is given twice counts once, with a warning.

        Raises
        ------
        OptionError
            If they cannot be averaged.
        """
        kept: dict[str, tuple[Path, AttentionMIL]] = {}
        for path, model in found:
            if model.digest in kept:
                logger.warning(
                    "%s is the same model as %s and counts once", path, kept[model.digest][0]
                )
            else:
                for other in kept.values():
                    _require_alike(*other, path, model)
                kept[model.digest] = (path, model)
        paths, models = zip(*kept.values(), strict=True)
        return cls(paths, models)

    @property
    def first(self) -> AttentionMIL:
        """The model whose order of classes all results have."""
        return self.models[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the first model."""
        return self.first.classes

    @property
    def is_additive(self) -> bool:
        """Whether contributions exist of every model."""
        return all(model.is_additive for model in self.models)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Each model's name, which is its file's without the folder, and digest."""
        digests = (model.digest for model in self.models)
        return tuple(zip((path.name for path in self.paths), digests, strict=True))

    @property
    def digests(self) -> list[str]:
        """The models' digests in the order given, in which results list the models."""
        return [model.digest for model in self.models]

    @property
    def digest(self) -> str:
        """The model's digest; of several, that of the set, in whatever order they are given."""
        if len(self.models) == 1:
            return self.first.digest
        return digest_of({"models": sorted(self.digests), "classes": list(self.classes)})

    def record(self) -> dict[str, Any]:
        """Return what identifies the models, as plain JSON values."""
        said: dict[str, Any] = {
            "digest": self.digest,
            "classes": list(self.classes),
            "target_label": self.first.target_label,
            "features": self.first.n_features,
        }
        if len(self.models) > 1:
            said["members"] = [{"name": name, "digest": digest} for name, digest in self.named]
        return said


def model_files(given: Sequence[Path]) -> list[Path]:
    """Return the files of models, each once; a pattern that names no file stands for its matches.

    Raises
    ------
    OptionError
        If a pattern has none.
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
    """Refuse a model whose answers mean something else than an earlier one's.

    Raises
    ------
    OptionError
        Saying what differs.
    """
    targets = {each.target_label for each in (first, model)} - {None}
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
