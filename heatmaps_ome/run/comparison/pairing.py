"""Pairs the slides of two folders of results: by the slide's fingerprint, else by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from heatmaps_ome.errors import ResultError
from heatmaps_ome.storage.result_folder import record_of
from heatmaps_ome.viewers.notebook.opening import open as open_results

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.viewers.notebook.results import Results

MatchedBy = Literal["fingerprint", "name"]
_ALIKE = 1e-6
"""Largest relative difference of two pixel sizes that are the same."""
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two folders, A or B.

    Attributes
    ----------
    name : str
        The folder's, for people.
    results : Results
    records : mapping of slide name → dict
        The slides' provenances; {} where one is damaged.
    """

    name: str
    results: Results
    records: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Pair:
    """The results of one slide in both folders.

    Attributes
    ----------
    a, b : str
        The slide's names in A and in B.
    matched_by : "fingerprint" or "name"
    """

    a: str
    b: str
    matched_by: MatchedBy


@dataclass(frozen=True)
class Pairing:
    """How the slides of two folders belong together.

    Attributes
    ----------
    pairs : tuple of Pair
        In the order of A.
    only_a, only_b : mapping of slide name → reason
        Slides that are compared with nothing. The reason is empty where the other folder has
        nothing of such a name.
    """

    pairs: tuple[Pair, ...]
    only_a: Mapping[str, str]
    only_b: Mapping[str, str]


def opened(path: Path) -> Side:
    """Open a folder of results, of a run or of one slide.

    Raises
    ------
    ResultError
        If there are none, or they are damaged.
    """
    results = open_results(path)
    records = {name: record_of(results[name].path) or {} for name in results}
    return Side(path.resolve().name, results, records)


def paired(a: Side, b: Side) -> Pairing:
    """Return which slides of two folders are the same.

    Raises
    ------
    ResultError
        If none are.
    """
    pairs = _by_fingerprint(a, b)
    free_a, free_b = _free(a, {pair.a for pair in pairs}), _free(b, {pair.b for pair in pairs})
    others = {}
    for name in free_a:
        if name in free_b:
            others[name] = _misfit(a.records[name], b.records[name])
            if not others[name]:
                pairs.append(Pair(name, name, "name"))
    if not pairs:
        raise ResultError(_nothing_in_common(a, b, others))
    places = {name: place for place, name in enumerate(a.results)}
    return Pairing(
        tuple(sorted(pairs, key=lambda pair: places[pair.a])),
        _reasons(_free(a, {pair.a for pair in pairs}), others, b),
        _reasons(_free(b, {pair.b for pair in pairs}), others, a),
    )


def _free(side: Side, taken: set[str]) -> list[str]:
    """Return the names of a side's slides that are in no pair yet."""
    return [name for name in side.results if name not in taken]


def _by_fingerprint(a: Side, b: Side) -> list[Pair]:
    """Return the pairs of slides of the same content; of several alike, those of the same name."""
    there: dict[str, list[str]] = {}
    for name in b.results:
        print_of = _fact(b.records[name], "fingerprint")
        if print_of:
            there.setdefault(str(print_of), []).append(name)
    pairs = []
    for name in a.results:
        alike = there.get(str(_fact(a.records[name], "fingerprint")), [])
        if alike:
            other = name if name in alike else alike[0]
            alike.remove(other)
            pairs.append(Pair(name, other, "fingerprint"))
    return pairs


def _misfit(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Return why slides of one name are not the same, by their provenances; "" if they may be."""
    shape_a, shape_b = _numbers(a, "shape"), _numbers(b, "shape")
    mpp_a, mpp_b = _numbers(a, "mpp"), _numbers(b, "mpp")
    if shape_a and shape_b and shape_a != shape_b:
        sizes = [f"{shape[1]:g} × {shape[0]:g} pixels" for shape in (shape_a, shape_b)]
        return f"they are other slides of one name: {sizes[0]} in A, {sizes[1]} in B"
    alike = zip(mpp_a, mpp_b, strict=False)
    if not all(math.isclose(one, other, rel_tol=_ALIKE) for one, other in alike):
        sizes = [f"{mpp[1]:.4g} µm per pixel" for mpp in (mpp_a, mpp_b)]
        return f"they are other slides of one name: {sizes[0]} in A, {sizes[1]} in B"
    return ""


def _fact(record: Mapping[str, Any], name: str) -> Any:
    """Return a fact of a slide in its provenance, or None."""
    slide = record.get("slide")
    return slide.get(name) if isinstance(slide, Mapping) else None


def _numbers(record: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """Return a (y, x) pair of a slide in its provenance; () if there is none."""
    pair = _fact(record, name)
    numbers = tuple(pair) if isinstance(pair, list) else ()
    fit = len(numbers) == 2 and all(isinstance(number, int | float) for number in numbers)
    return numbers if fit else ()


def _reasons(names: list[str], others: Mapping[str, str], beside: Side) -> dict[str, str]:
    """Return why slides are compared with nothing: another of the name, or one that failed."""
    failed = {file.rpartition(".")[0]: reason for file, reason in beside.results.failed.items()}
    return {name: others.get(name) or failed.get(name, "") for name in names}


def _nothing_in_common(a: Side, b: Side, others: Mapping[str, str]) -> str:
    """Return a sentence about folders without a slide in common."""
    if others:
        name, reason = next(iter(others.items()))
        return f"{a.name} and {b.name} have no slide in common: {name}: {reason}"
    listed = [", ".join([*side.results][:_MOST_NAMED]) or "no slide" for side in (a, b)]
    return (
        f"{a.name} and {b.name} have no slide in common: A has {listed[0]}, B has {listed[1]}; "
        "compare runs on the same slides"
    )
