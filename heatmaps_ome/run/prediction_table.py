"""Writes ``predictions.csv``: prediction, ground truth and trust of each slide, for statistics."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.exporters.cells import plain_field
from heatmaps_ome.maps.numbers import is_probability
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.result_folder import PREDICTIONS
from heatmaps_ome.storage.texts import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.listed_slide import ListedSlide

_BEFORE: Final = ("slide", "folder", "status", "label", "predicted")
_AFTER: Final = (
    "drawn_hot", "trust", "tile_difference", "explains", "warnings", "message", "tissue_cells",
    "created", "model",
)  # fmt: skip
"""Columns before and after those of the model's outputs."""
_OUTPUT: Final = "prediction: "
"""Begins the names of the outputs' columns, which no other column can have then."""
_LEAST_PROBABLE: Final = 0.5
"""Outputs that are independent of one another are predicted from this probability on."""
_DIGEST_DIGITS: Final = 12
_WORDS: Final = {True: "yes", False: "no", None: ""}


def write_predictions(output: Path, slides: Sequence[ListedSlide]) -> None:
    """Write the table of an output folder's slides; one row is in memory at a time.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    done = [slide.results for slide in slides if slide.results is not None]
    outputs = list(dict.fromkeys(name for slide in done for name in slide.prediction))
    heads = (*_BEFORE, *(f"{_OUTPUT}{name}" for name in outputs), *_AFTER)
    with (
        replacing(output / PREDICTIONS) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(map(_text, heads))
        for slide in slides:
            row = _row(slide)
            values = row.pop("prediction", {})
            row |= {f"{_OUTPUT}{name}": value for name, value in values.items()}
            writer.writerow(_text(row.get(head)) for head in heads)


def _row(slide: ListedSlide) -> dict[str, Any]:
    """Return the cells of a slide by their columns, its predictions together."""
    if slide.results is None:
        label = slide.failure.get("label")
        return {
            "slide": slide.slide, "status": "failed", "label": label, "message": slide.message
        }  # fmt: skip
    results, findings = slide.results, slide.results.findings
    return {
        "slide": slide.slide,
        "folder": slide.name,
        "status": "done",
        "label": results.label,
        "predicted": _predicted(results.prediction, findings["target"]),
        "prediction": results.prediction,
        "drawn_hot": results.true_class,
        "trust": findings["trust"],
        "tile_difference": findings["gap"],
        "explains": _WORDS[findings["explains"]],
        "warnings": "; ".join(findings["cautions"]),
        "message": slide.message,
        "tissue_cells": findings["tissue_cells"],
        "created": results.created,
        "model": str(results.model)[:_DIGEST_DIGITS],
    }


def _predicted(
    prediction: Mapping[str, float | None], target: Mapping[str, Any]
) -> str | float | None:
    """Return the class that a model predicts, several if they are independent, or its value."""
    known = {name: value for name, value in prediction.items() if value is not None}
    if not known or len(known) < len(prediction):
        return None
    first = max(known, key=known.__getitem__)
    if not is_probability(target):
        return known[first] if len(known) == 1 else None
    if target.get("link") != "sigmoid":
        return first
    return ", ".join(name for name, value in known.items() if value >= _LEAST_PROBABLE)


def _text(value: str | float | None) -> str:
    """Return a cell as text: numbers to the last digit, and no text as a formula."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return encodable(plain_field(value)) if isinstance(value, str) else repr(value)
