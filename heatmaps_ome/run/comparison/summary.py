"""All slides of a comparison together: what A and B are, and the numbers over slides."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from heatmaps_ome.run.comparison.pairing import Pair, Side

RULES: Final = {
    "difference": "B − A in every cell of tissue that both results have",
    "attention": "attention logits of two models have no common scale, so attention is compared by "
    "the logarithm of its weight over the slide's mean weight (0: the mean), and by its percentile "
    "among the common cells",
    "contribution": "contributions and evidence are compared as they are drawn: times the slide's "
    "tissue cells, as the slide's logit if all cells were like the one; raw values are compared "
    "too where both results have the same cells",
    "cells": "where the cells differ, a cell of the finer lattice has the value of that cell of "
    "the other in which its middle lies; correlations and differences are over common tissue",
    "regions": "regions of the class drawn hot, each run's own share of the evidence; agreement is "
    "by area",
    "tiles": "a top tile of A is one of B too if they share at least half of the smaller one",
    "scale": "colours of A and B, and of B − A, are the same on all slides; differences reach to "
    "their 0.95 quantile",
}
"""How the numbers are defined, for people."""


def side_record(side: Side, names: Sequence[str]) -> dict[str, Any]:
    """Return what a folder is, by the provenance of its compared slides, as plain JSON values."""
    record = next((side.records[name] for name in names if side.records[name]), {})
    return {
        "name": side.name,
        "slides": len(side.results),
        "created": record.get("created"),
        "true_class": record.get("true_class"),
        "facts": dict(_facts(record)),
    }


def _facts(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the facts that decide a result, by their names for people."""
    model, extractor = (_mapping(record.get(key)) for key in ("model", "extractor"))
    digest = model.get("digest")
    yield "model", None if digest is None else str(digest)[:12]
    if model.get("members"):
        yield "models", len(model["members"])
    yield "extractor", extractor.get("name") or None
    yield "pooling", _plain(record.get("pooling"))
    yield "heatmaps-ome", _mapping(record.get("versions")).get("heatmaps-ome")
    for name, value in _mapping(record.get("options")).items():
        yield f"--{name.replace('_', '-')}", _plain(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> Any:
    """Return a value as one number or text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the facts of two `side_record` that are not the same."""
    first, second = a["facts"], b["facts"]
    names = [*first, *(name for name in second if name not in first)]
    return [
        {"fact": name, "a": first.get(name), "b": second.get(name)}
        for name in names
        if first.get(name) != second.get(name)
    ]


def over_slides(slides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers over all compared slides, as plain JSON values."""
    done = [slide for slide in slides if slide["status"] == "done"]
    names = dict.fromkeys(entry["map"] for slide in done for entry in slide["maps"])
    return {
        "compared": len(done),
        "failed": len(slides) - len(done),
        **_predictions(done),
        "maps": [_map_summary(name, done) for name in names],
        "categories": _medians_by(done, "categories", "map", "agree"),
        "regions": {
            kind: _median(
                slide["regions"][kind]["dice"] for slide in done if kind in slide["regions"]
            )
            for kind in ("hot", "cold")
        },
        "tissue": _median(slide["tissue"]["dice"] for slide in done),
    }


def _predictions(done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many predictions flip, and how many are right."""
    own = [slide["predictions"] for slide in done]
    flips = [one["flips"] for one in own if one["flips"] is not None]
    right = [
        (one["right_a"], one["right_b"])
        for one in own
        if one["right_a"] is not None and one["right_b"] is not None
    ]
    return {
        "predicted": len(flips),
        "flips": sum(flips),
        "labelled": len(right),
        "right_a": sum(a for a, _ in right),
        "right_b": sum(b for _, b in right),
        "to_right": sum(b and not a for a, b in right),
        "to_wrong": sum(a and not b for a, b in right),
    }


def _map_summary(name: str, done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a map's numbers over the slides that have it."""
    entries = [entry for slide in done for entry in slide["maps"] if entry["map"] == name]
    differences = [entry["differences"] for entry in entries if entry["differences"] is not None]
    return {
        "map": name,
        "unit": entries[0]["unit"],
        "slides": len(entries),
        "correlated": sum(entry["pearson"] is not None for entry in entries),
        "pearson": _median(entry["pearson"] for entry in entries),
        "spearman": _median(entry["spearman"] for entry in entries),
        "mean": _median(one["mean"] for one in differences),
        "mean_absolute": _median(one["mean_absolute"] for one in differences),
        "largest": max((abs(one["largest"]["difference"]) for one in differences), default=None),
    }


def _medians_by(
    done: Sequence[Mapping[str, Any]], part: str, key: str, value: str
) -> dict[str, float | None]:
    """Return the median of a value in a part of each slide, by a key of its entries."""
    entries = [entry for slide in done for entry in slide[part]]
    names = dict.fromkeys(entry[key] for entry in entries)
    return {
        name: _median(entry[value] for entry in entries if entry[key] == name) for name in names
    }


def _median(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def names_in(pairs: Sequence[Pair], side: int) -> list[str]:
    """Return the names of the paired slides in A (0) or B (1)."""
    return [pair.a if side == 0 else pair.b for pair in pairs]
