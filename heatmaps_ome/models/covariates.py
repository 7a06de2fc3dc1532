"""Tabular inputs of a multi-input model: their allowed values and their encoded columns."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MAX_LABEL_LENGTH = 200
_LONGEST_LIST = 20
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
MISSING: Final = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip
"""Texts of a table that pandas, with which marugoto reads its tables, takes for missing values."""
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Covariate:
    """One tabular input with the scaling of its training.

    Attributes
    ----------
    name : str
        The column of the clinical table.
    categories : tuple of str or None
        The allowed values; None for a number.
    means, scales : tuple of float
        Means and scales of the standardisation: one per category, or one for a number.
    imputed : float, str or None
        The value that the training put in the place of a missing one: a number, a category, or ""
        for none of the categories. None if training had no such value.
    takes_unseen : bool
        Whether the training took a category that it had not seen for none of the categories.

    Raises
    ------
    Unusable
        Its parts do not fit together.
    """

    name: str
    categories: tuple[str, ...] | None
    means: tuple[float, ...]
    scales: tuple[float, ...]
    imputed: float | str | None = None
    takes_unseen: bool = False

    def __post_init__(self) -> None:
        n_columns = 1 if self.categories is None else len(self.categories)
        if len(self.means) != n_columns or len(self.scales) != n_columns or n_columns == 0:
            raise Unusable("has a covariate whose scaling does not fit its categories")
        if not all(map(is_finite, (*self.means, *self.scales))) or 0.0 in self.scales:
            raise Unusable("has a covariate whose scaling is not made of finite numbers")
        require_labels([self.name], "covariate")
        require_labels(self.categories or (), "covariate category")
        if not self._can_impute():
            raise Unusable("has a covariate whose missing values have an impossible stand-in")

    def _can_impute(self) -> bool:
        if self.imputed is None:
            return True
        if self.categories is None:
            number = self.imputed
            return (
                isinstance(number, int | float)
                and not isinstance(number, bool)
                and is_finite(number)
            )
        return self.imputed in ("", *self.categories)

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.categories is None:
            return "a number"
        values = [value for value in self.categories if value != self.imputed]
        listed = ", ".join(values[:_LONGEST_LIST])
        return listed if len(values) <= _LONGEST_LIST else f"{listed}, …"

    @property
    def if_missing(self) -> str:
        """The meaning of a missing value, in words."""
        if self.imputed is None:
            return "must be given"
        kind = "the category " if isinstance(self.imputed, str) and self.imputed else ""
        return f"if missing, {kind}{_in_words(self.imputed)}, as in training"

    def specification(self) -> dict[str, Any]:
        """Return the covariate as JSON values; it leaves out what models of before lack."""
        entry = asdict(self)
        absent = {"imputed": None, "takes_unseen": False}
        return {name: value for name, value in entry.items()
                if name not in absent or value != absent[name]}  # fmt: skip

    def is_missing(self, value: str) -> bool:
        """Return whether a text stands for a missing value, as in the tables of the training."""
        known = self.categories or ()
        return value.strip() in MISSING and (value not in known or value == self.imputed)

    def value(self, text: str, seen_elsewhere: Collection[str] = ()) -> CovariateValue:
        """Return the value that a text gives.

        Parameters
        ----------
        seen_elsewhere : collection of str
            Categories that other models of an ensemble saw in their training.

        Raises
        ------
        Unusable
            The value is not allowed.
        """
        if self.categories is None:
            return CovariateValue(self.name, self._number(text))
        takes = text in self.categories or (self.takes_unseen and text in seen_elsewhere)
        if not takes:
            raise Unusable(
                f"knows no {text!r} of the covariate {self.name}; give one of: {self.allowed}"
            )
        return CovariateValue(self.name, text)

    def columns(self, value: float | str) -> tuple[float, ...]:
        """Return the model's inputs for a value: a number or a category; others are no category.

        A category is one-hot encoded and standardised, a number is standardised (marugoto's
        ``mil/helpers.py``: OneHotEncoder or nothing, then StandardScaler); the inputs are rounded
        to float32 as in marugoto's ``data.py``.

        Raises
        ------
        Unusable
            The value is too large for the covariate's scaling.
        """
        raw = (
            [float(value)]
            if self.categories is None
            else [float(value == category) for category in self.categories]
        )
        scaled = [
            (x - mean) / scale for x, mean, scale in zip(raw, self.means, self.scales, strict=True)
        ]
        if not all(abs(x) < _MAX_FLOAT32 for x in scaled):
            raise Unusable(f"has no finite input for {value!r} of the covariate {self.name}")
        return tuple(float(np.float32(x)) for x in scaled)

    def _number(self, value: str) -> float:
        number = float(value) if _DECIMAL.fullmatch(value.strip()) else math.nan
        if not abs(number) < _MAX_FLOAT32:
            raise Unusable(f"needs a number for the covariate {self.name}, not {value!r}")
        return number


@dataclass(frozen=True)
class CovariateValue:
    """A covariate's value for a patient.

    Attributes
    ----------
    value : float or str
        A number or a category; "" for none of the categories.
    imputed : bool
        Whether it stands for a missing one.
    """

    name: str
    value: float | str
    imputed: bool = False

    @property
    def in_words(self) -> str:
        """The name and the value for people."""
        return f"{self.name} ({_in_words(self.value)})"


def covariate_values(
    covariates: Sequence[Covariate],
    values: Mapping[str, str],
    seen_elsewhere: Mapping[str, Collection[str]] | None = None,
) -> tuple[CovariateValue, ...]:
    """Return the value of each covariate; missing ones as the training imputed them.

    Parameters
    ----------
    covariates : sequence of Covariate
        The model's covariates, in the order of its inputs.
    values : mapping of str to str
        Covariate name to value.
    seen_elsewhere : mapping of str to collection of str, optional
        Covariate name to the categories that other models of an ensemble saw in their training.

    Raises
    ------
    Unusable
        A value is missing where training imputed none, is not allowed, or belongs to no covariate.
    """
    require_known(covariates, values)
    chosen, missing = [], []
    for covariate in covariates:
        text = values.get(covariate.name)
        if text is not None and not covariate.is_missing(text):
            seen = (seen_elsewhere or {}).get(covariate.name, ())
            chosen.append(covariate.value(text, seen))
        elif covariate.imputed is not None:
            chosen.append(CovariateValue(covariate.name, covariate.imputed, imputed=True))
        else:
            missing.append(covariate)
    if missing:
        raise Unusable(
            f"needs the covariates {describe_covariates(missing)}; give them with --covariate "
            "NAME=VALUE or in the table of --slides, as its training imputed none"
        )
    return tuple(chosen)


def covariate_columns(
    covariates: Sequence[Covariate], values: Sequence[CovariateValue]
) -> tuple[float, ...]:
    """Return the constant columns that follow every cell's features."""
    pairs = zip(covariates, values, strict=True)
    return tuple(x for covariate, value in pairs for x in covariate.columns(value.value))


def require_known(covariates: Sequence[Covariate], names: Iterable[str]) -> None:
    """Refuse names that belong to no covariate.

    Raises
    ------
    Unusable
        There is one.
    """
    if unknown := sorted(set(names) - {covariate.name for covariate in covariates}):
        takes = f"only {describe_covariates(covariates)}" if covariates else "none"
        raise Unusable(f"has no covariate {' or '.join(unknown)}; it takes {takes}")


def is_finite(number: float) -> bool:
    """Return whether a number of a file, which may be a whole one of any length, is finite."""
    return abs(number) <= sys.float_info.max


def _in_words(value: float | str) -> str:
    if isinstance(value, str):
        return value or "none of its values"
    return f"{value:.4g}"


def describe_covariates(covariates: Sequence[Covariate]) -> str:
    """Return names with allowed values: ``AGE (a number), SEX (female, male)``."""
    return ", ".join(f"{covariate.name} ({covariate.allowed})" for covariate in covariates)


def require_labels(labels: Sequence[object], what: str) -> None:
    """Check that texts of a file are printable, not overlong, and distinct.

    Raises
    ------
    Unusable
        They are not.
    """
    for label in labels:
        if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL_LENGTH:
            raise Unusable(f"has a {what} that is not a text of 1 to {MAX_LABEL_LENGTH} characters")
        if not label.isprintable():
            raise Unusable(f"has a {what} with unprintable characters")
    if len(set(labels)) != len(labels):
        raise Unusable(f"has the same {what} twice")
