"""Chooses the values of covariates among the columns of a table and those of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from heatmaps_ome.models.covariates import Covariate


def merged_values(
    covariates: Sequence[Covariate], own: Mapping[str, str], common: Mapping[str, str]
) -> dict[str, str]:
    """Return the text that is given for each covariate, by the covariate's name.

    Parameters
    ----------
    own : mapping of str to str
        Column to value, of one slide.
    common : mapping of str to str
        Name to value, of all slides; they stand in where a slide has none.

    Raises
    ------
    ModelError
        If both give a covariate other values, or two columns could be a covariate.
    """
    values: dict[str, str] = {}
    for covariate in covariates:
        here, there = (_given(covariate, source) for source in (own, common))
        if here is not None and there is not None and not _alike(covariate, here, there):
            raise ModelError(
                f"the covariate {covariate.name} is {here!r} in the table of --slides and "
                f"{there!r} in --covariate; give one of them"
            )
        text = there if here is None else here
        if text is not None:
            values[covariate.name] = text
    return values


def column_of(name: str, columns: Iterable[str]) -> str | None:
    """Return the column of a covariate: of that very name, else the only one but for its case.

    Raises
    ------
    ModelError
        If several columns could be meant.
    """
    names = list(columns)
    if name in names:
        return name
    alike = [column for column in names if column.casefold() == name.casefold()]
    if len(alike) > 1:
        raise ModelError(
            f"the columns {' and '.join(alike)} could both be the covariate {name}; rename one to "
            f"{name}"
        )
    return alike[0] if alike else None


def _given(covariate: Covariate, source: Mapping[str, str]) -> str | None:
    """Return a covariate's text in a source; None where its value is missing."""
    column = column_of(covariate.name, source)
    return None if column is None or covariate.is_missing(source[column]) else source[column]


def _alike(covariate: Covariate, one: str, other: str) -> bool:
    """Return whether two texts are the same value: 63 and 63.0 are."""
    try:
        return one == other or covariate.value(one) == covariate.value(other)
    except Unusable:
        return False
