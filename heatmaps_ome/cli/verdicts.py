"""The verdicts of ``validate`` as lines for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.cli.remote import named
from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.storage.remote.urls import url_of

if TYPE_CHECKING:
    from heatmaps_ome.validate.result import Verdict


def verdict_lines(verdict: Verdict) -> str:
    """Return a line for each problem, or that the result is valid, and for parts not checked."""
    lines = [one_line(f"{place_text(p.path)}: {p.message} [{p.rule}]") for p in verdict.problems]
    if not lines:
        facts = f"({verdict.n_files} files, {verdict.n_rules} rules)"
        lines = [f"{one_line(place_text(verdict.path))}: valid {facts}"]
    unchecked = [f"  not checked: {one_line(sentence)}" for sentence in verdict.unchecked]
    return "".join(f"{line}\n" for line in [*lines, *unchecked])


def place_text(path: Path) -> str:
    """Return a path, or the URL that it is."""
    return url_of(path) or str(path)


def named_verdict(verdict: Verdict, path: Path, place: Path) -> Verdict:
    """Return a verdict with URLs instead of the place that its result was fetched to."""
    if path == place:
        return verdict
    problems = tuple(
        replace(
            problem, path=Path(named(str(problem.path), path, place)),
            message=named(problem.message, path, place),
        ) for problem in verdict.problems
    )  # fmt: skip
    return replace(verdict, path=path, problems=problems)
