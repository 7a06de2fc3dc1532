"""Checks whose errors are collected, so that all of them are reported at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.errors import HeatmapsError

if TYPE_CHECKING:
    from collections.abc import Callable

CheckedT = TypeVar("CheckedT")


class PreflightError(HeatmapsError):
    """All problems of a run, one sentence per line.

    Attributes
    ----------
    problems : list of HeatmapsError
    """

    def __init__(self, problems: list[HeatmapsError]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    def __reduce__(self) -> tuple[type[PreflightError], tuple[list[HeatmapsError]]]:
        """Come whole out of another process."""
        return type(self), (self.problems,)


class Attempts:
    """Runs checks and collects their errors, so that all of them are reported at once."""

    def __init__(self) -> None:
        self.problems: list[HeatmapsError] = []

    def __call__(self, check: Callable[[], CheckedT]) -> CheckedT | None:
        """Return the value of a check, or None if it fails."""
        try:
            return check()
        except HeatmapsError as error:
            self.problems.append(error)
            return None
