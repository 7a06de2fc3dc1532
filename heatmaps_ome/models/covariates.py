"""Tabular inputs of a multi-input model: their allowed values and their encoded columns."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LABEL_LENGTH = 200
_LONGEST_LIST = 20
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

    Raises
    ------
    Unusable
        Its parts do not fit together.
    """

    name: str
    categories: tuple[str, ...] | None
    means: tuple[float, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        n_columns = 1 if self.categories is None else len(self.categories)
        if len(self.means) != n_columns or len(self.scales) != n_columns or n_columns == 0:
            raise Unusable("has a covariate whose scaling does not fit its categories")
        if not all(map(math.isfinite, (*self.means, *self.scales))) or 0.0 in self.scales:
            raise Unusable("has a covariate whose scaling is not made of finite numbers")
        require_labels([self.name], "covariate")
        require_labels(self.categories or (), "covariate category")

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.categories is None:
            return "a number"
        listed = ", ".join(self.categories[:_LONGEST_LIST])
        return listed if len(self.categories) <= _LONGEST_LIST else f"{listed}, …"

    def columns(self, value: str) -> tuple[float, ...]:
        """Return the model's inputs for a value.

        A category is one-hot encoded and standardised, a number is standardised (marugoto's
        ``mil/helpers.py``: OneHotEncoder or nothing, then StandardScaler); the inputs are rounded
        to float32 as in marugoto's ``data.py``.

        Raises
        ------
        Unusable
            The value is not allowed.
        """
        if self.categories is None:
            raw = [self._number(value)]
        elif value in self.categories:
            raw = [float(value == category) for category in self.categories]
        else:
            raise Unusable(
                f"knows no {value!r} of the covariate {self.name}; give one of: {self.allowed}"
            )
        scaled = zip(raw, self.means, self.scales, strict=True)
        return tuple(float(np.float32((x - mean) / scale)) for x, mean, scale in scaled)

    def _number(self, value: str) -> float:
        number = float(value) if _DECIMAL.fullmatch(value.strip()) else math.nan
        if not abs(number) < np.finfo(np.float32).max:
            raise Unusable(f"needs a number for the covariate {self.name}, not {value!r}")
        return number


def covariate_columns(
    covariates: Sequence[Covariate], values: Mapping[str, str] | None
) -> tuple[float, ...]:
    """Return the constant columns that follow every cell's features.

    Parameters
    ----------
    covariates : sequence of Covariate
        The model's covariates, in the order of its inputs.
    values : mapping of str to str, optional
        Covariate name to value.

    Raises
    ------
    Unusable
        A value is missing, is not allowed, or belongs to no covariate.
    """
    values = values or {}
    known = {covariate.name for covariate in covariates}
    if unknown := sorted(set(values) - known):
        takes = f"only {describe_covariates(covariates)}" if covariates else "none"
        raise Unusable(f"has no covariate {' or '.join(unknown)}; it takes {takes}")
    if missing := [covariate for covariate in covariates if covariate.name not in values]:
        raise Unusable(
            f"needs the covariates {describe_covariates(missing)}; "
            "give them with --covariate NAME=VALUE"
        )
    return tuple(x for covariate in covariates for x in covariate.columns(values[covariate.name]))


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
