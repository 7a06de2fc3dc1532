"""The models of a run: found by name or pattern, counted once, and checked to be averageable."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError
from heatmaps_ome.models.covariates import covariate_values, describe_covariates, require_known
from heatmaps_ome.models.patient_values import column_of, merged_values
from heatmaps_ome.models.protocol import takes_covariates
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.stored import MARUGOTO
from heatmaps_ome.models.target import classes_target
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from heatmaps_ome.models.covariates import Covariate, CovariateValue
    from heatmaps_ome.models.protocol import MilModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ModelSet:
    """Models that explain a slide together, or a single one.

    Attributes
    ----------
    paths : tuple of Path
        Paths of the models' files.
    models : tuple of MilModel
        All different, with the same target, classes and number of features.
    """

    paths: tuple[Path, ...]
    models: tuple[MilModel, ...]

    @classmethod
    def of(cls, models: Sequence[tuple[Path, MilModel]]) -> ModelSet:
        """Return models with their paths as a set; duplicates count once, with a warning.

        Raises
        ------
        OptionError
            If they cannot be averaged.
        """
        unique: dict[str, tuple[Path, MilModel]] = {}
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
    def first(self) -> MilModel:
        """The first model, whose order of classes all results have."""
        return self.models[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, or the value or risk, in the order of the first model."""
        return self.first.target.outputs

    @property
    def is_additive(self) -> bool:
        """Whether every model has contributions."""
        return all(model.additivity != "none" for model in self.models)

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
    def cache_digests(self) -> list[str]:
        """The models' digests with the covariates of `for_slide`, in the order of `models`."""
        return list(map(cache_digest, self.models))

    @property
    def digest(self) -> str:
        """The digest of a single model, or of the set, independent of the models' order."""
        if len(self.models) == 1:
            return self.first.digest
        return digest_of({"models": sorted(self.digests), "classes": list(self.classes)})

    @property
    def covariates(self) -> tuple[Covariate, ...]:
        """The covariates that any of the models takes, as the first that takes it describes it."""
        by_name: dict[str, Covariate] = {}
        for model in self.models:
            for covariate in _covariates(model):
                by_name.setdefault(covariate.name, covariate)
        return tuple(by_name.values())

    def require_covariates(self, names: Iterable[str]) -> None:
        """Refuse covariates of the command line that no model takes, or that are given twice.

        Raises
        ------
        ModelError
            If there are any.
        """
        known = [covariate.name for covariate in self.covariates]
        given = [column_of(name, known) or name for name in names]
        with naming(self.paths[0]):
            require_known(self.covariates, given)
            if twice := [name for name, count in Counter(given).items() if count > 1]:
                raise Unusable(f"takes the covariate {twice[0]} once; give it in one spelling")

    def require_all_covariates(self, values: Mapping[str, str]) -> None:
        """Refuse a run whose slides all lack a covariate, unless it is given as missing.

        Raises
        ------
        ModelError
            If one is not given, or its value is not allowed.
        """
        lacking = [c for c in self.covariates if column_of(c.name, values) is None]
        if lacking:
            with naming(self.paths[0]):
                raise Unusable(
                    f"needs the covariates {describe_covariates(lacking)}; give them with "
                    "--covariate NAME=VALUE (NAME=nan for a value that is missing) or in the table "
                    "of --slides"
                )
        self.for_slide({}, values)

    def for_slide(
        self, values: Mapping[str, str], common: Mapping[str, str] | None = None
    ) -> ModelSet:
        """Return the models with a slide's covariates; missing ones are imputed as in training.

        Parameters
        ----------
        values : mapping of str to str
            Values of the slide, as a table has them; columns that no model takes are not used.
        common : mapping of str to str, optional
            Values for all slides.

        Raises
        ------
        ModelError
            If a value is missing where training imputed none, or is not allowed; or if the values
            contradict one another.
        """
        merged = merged_values(self.covariates, values, common or {})
        seen = self._categories()
        models = []
        for path, model in zip(self.paths, self.models, strict=True):
            if not takes_covariates(model):
                models.append(model)
                continue
            own = {c.name: merged[c.name] for c in model.covariates if c.name in merged}
            with naming(path):
                models.append(model.with_values(covariate_values(model.covariates, own, seen)))
        return replace(self, models=tuple(models))

    def _categories(self) -> dict[str, set[str]]:
        """Return the categories of each covariate that any of the models saw in its training."""
        seen: dict[str, set[str]] = {}
        for model in self.models:
            for covariate in _covariates(model):
                seen.setdefault(covariate.name, set()).update(covariate.categories or ())
        return seen

    @property
    def covariates_used(self) -> dict[str, dict[str, Any]]:
        """The values of `for_slide`, by name, as plain JSON values; {} for most models.

        Each has a ``value``, a number or a text ("" for none of the categories), or a list of one
        for each model that takes it where these differ, and whether it is ``imputed``.
        """
        by_name: dict[str, list[CovariateValue]] = {}
        for model in self.models:
            for value in _covariate_values(model):
                by_name.setdefault(value.name, []).append(value)
        return {
            name: {
                "value": values[0].value
                if len({value.value for value in values}) == 1
                else [value.value for value in values],
                "imputed": any(value.imputed for value in values),
            }
            for name, values in by_name.items()
        }

    @property
    def imputation(self) -> str:
        """The covariates that were missing, in a sentence; "" if none was."""
        imputed = {
            value.name: value.in_words
            for model in reversed(self.models)
            for value in _covariate_values(model)
            if value.imputed
        }
        names = ", ".join(imputed[c.name] for c in self.covariates if c.name in imputed)
        return names and (
            "covariates are missing and imputed as in training, which can change the prediction "
            f"much: {names}"
        )

    def record(self) -> dict[str, Any]:
        """Return the models' identity, with the covariates of `for_slide`, as plain JSON values."""
        record: dict[str, Any] = {
            "digest": self.digest,
            "classes": list(self.classes),
            "target_label": self.first.target.label,
            "features": self.first.n_features,
        }
        # Records of marugoto's classifiers stay as they always were.
        if self.first.family != MARUGOTO:
            record["family"] = self.first.family
        if not _has_usual_target(self.first):
            record["target"] = self.first.target.record()
        if self.covariates_used:
            record["covariates"] = self.covariates_used
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
        if os.path.lexists(path) or not set("*?[") & set(str(path)):
            files.append(path)
            continue
        try:
            matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        except (OSError, ValueError) as error:
            raise OptionError(f"--model-path: {path} is no pattern ({error})") from error
        if not matches:
            raise OptionError(f"--model-path: no file matches {path}; check the pattern")
        files += matches
    # Unlike resolve(), realpath takes links that lead in circles, which reading then refuses.
    return list({os.path.realpath(path): path for path in files}.values())


def cache_digest(model: MilModel) -> str:
    """Return the digest of a model and, if it takes covariates, of their values."""
    return getattr(model, "cache_digest", model.digest)


def _covariates(model: MilModel) -> tuple[Covariate, ...]:
    """Return the covariates of a model; most kinds of models take none."""
    return model.covariates if takes_covariates(model) else ()


def _covariate_values(model: MilModel) -> tuple[CovariateValue, ...]:
    return getattr(model, "covariate_values", ())


def _has_usual_target(model: MilModel) -> bool:
    """Return whether a model's outputs are classes with names, as marugoto's are."""
    target = model.target
    return len(target.outputs) > 1 and target == classes_target(target.outputs, target.label)


def _require_alike(first_path: Path, first: MilModel, path: Path, model: MilModel) -> None:
    """Refuse a model whose outputs mean something else than an earlier model's.

    Raises
    ------
    OptionError
        If they differ; names the difference.
    """
    target, wanted_target = model.target, first.target
    labels = {target.label, wanted_target.label} - {None}
    for what, own, wanted, differs in (
        ("the task", target.task, wanted_target.task, target.task != wanted_target.task),
        ("the target", target.label, wanted_target.label, len(labels) > 1),
        ("the classes", ", ".join(target.outputs), ", ".join(wanted_target.outputs),
         set(target.outputs) != set(wanted_target.outputs)),
        ("predictions by", target.link, wanted_target.link, target.link != wanted_target.link),
        ("features per tile", model.n_features, first.n_features,
         model.n_features != first.n_features),
    ):  # fmt: skip
        if differs:
            raise OptionError(
                f"{path} and {first_path} cannot be averaged: {what} {own} here, {wanted} there; "
                "give models of one cross-validation, or each in a run of its own"
            )
