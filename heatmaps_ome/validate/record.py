"""Rules for ``provenance.json``: whole, of the right form, and of one mind with the raw values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.validate.form import faults_of
from heatmaps_ome.validate.forms import Record
from heatmaps_ome.validate.predictions import prediction_faults
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.validate.raw_values import Values

_OWN_DIGEST = "sha256"


@dataclass(frozen=True, eq=False)
class Recorded:
    """A result's provenance, and the raw values beside it.

    Attributes
    ----------
    record : dict
    values : Values or None
    """

    record: dict[str, Any]
    values: Values | None


def record_digest(record: dict[str, Any]) -> str:
    """Return the sha256 of a provenance without the field that has it."""
    rest = {key: value for key, value in record.items() if key != _OWN_DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _whole(recorded: Recorded) -> Iterator[str]:
    """Demand the digest of all other fields."""
    stated = recorded.record.get(_OWN_DIGEST)
    if stated is not None and stated != record_digest(recorded.record):
        yield "it has changed since it was written"


def _form(recorded: Recorded) -> Iterator[str]:
    """Demand every field, of its type and in its range."""
    yield from faults_of(recorded.record, Record)


def _agrees(recorded: Recorded) -> Iterator[str]:
    """Demand classes, prediction, grid and slide that agree with one another and the values."""
    record = recorded.record
    if any(True for _ in faults_of(record, Record)):
        return  # Another rule reports that.
    classes = record["model"]["classes"]
    target = record.get("target")
    yield from prediction_faults(record["prediction"], classes, target)
    is_given = target is not None and target["task"] == "none"
    if record["true_class"] not in classes and not is_given:
        yield f"the class drawn hot, {record['true_class']!r}, is none of {', '.join(classes)}"
    yield from _scaling(record, classes)
    strange = set(record["faithfulness"]["classes"]) - set(classes)
    if strange:
        yield f"faithfulness is of {', '.join(sorted(strange))}, which the model lacks"
    if record["grid"]["mpp"] != record["slide"]["mpp"]:
        yield f"the grid has {record['grid']['mpp']} µm per pixel, not {record['slide']['mpp']}"
    if recorded.values is not None:
        yield from _beside(record, recorded.values)


def _scaling(record: dict[str, Any], classes: list[str]) -> Iterator[str]:
    """Yield how the scaling differs from the model and the extractor."""
    scaling = record["scaling"]
    for name in ("model", "extractor"):
        if scaling[f"{name}_digest"] != record[name]["digest"]:
            yield f"the scaling is of another {name}"
    if scaling["classes"] != classes:
        yield f"the scaling is of the classes {', '.join(scaling['classes'])}"
    for kind, ranges in scaling["ranges"].items():
        names = scaling.get("names", {}).get(kind, classes)
        if len(ranges) not in (1, len(names)):
            yield f"the scaling has {len(ranges)} ranges of {kind} for {len(names)} classes"


def _beside(record: dict[str, Any], values: Values) -> Iterator[str]:
    """Yield how the provenance differs from the facts of the raw values."""
    facts, grid = values.facts, record["grid"]
    if record["model"]["classes"] != facts["classes"]:
        yield f"the classes are {facts['classes']} in the raw values"
    for what, here, there in (
        ("tissue cells", record["tissue_cells"], facts["tissue_cells"]),
        ("cells down and across", grid["shape"], list(values.pyramid.shapes[0])),
        ("slide's pixels", record["slide"]["shape"], [*facts["slide_shape"].values()]),
    ):
        if here != there:
            yield f"the {what} are {here} here and {there} in the raw values"
    for what, here, there in (
        ("pixel's µm", record["slide"]["mpp"], YX(**facts["mpp"])),
        ("cell", grid["l0_cell"], YX(**facts["l0_cell"])),
        ("first corner", grid["l0_origin"], YX(**facts["l0_origin"])),
        ("prediction", *_predictions(record, facts)),
    ):
        if not np.allclose(here, there, rtol=1e-6, atol=1e-9, equal_nan=True):
            yield f"the {what} is {list(here)} here and {list(there)} in the raw values"


def _predictions(record: dict[str, Any], facts: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Return the prediction of the provenance and that of the raw values; none for given maps."""
    if facts.get("target", {}).get("task") == "none":
        return [], []
    return _numbers(record["prediction"].values()), _numbers(facts["prediction"])


def _numbers(values: Any) -> list[float]:
    """Return numbers with NaN for None."""
    return [np.nan if value is None else float(value) for value in values]


RECORD: tuple[Rule[Recorded], ...] = (
    Rule("record-whole", "provenance.json has the sha256 that it states", _whole),
    Rule("record-form", "provenance.json has all fields, in their types and ranges", _form),
    Rule("record-agrees", "provenance.json agrees with itself and the raw values", _agrees),
)
"""Rules for ``provenance.json``."""
