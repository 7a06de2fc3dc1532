"""Writes ``compare.csv``: a row for each slide and map, to be sorted and plotted elsewhere."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.exporters.cells import plain_field
from heatmaps_ome.maps.numbers import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SLIDE: Final = (
    "slide", "slide in B", "ground truth", "predicted in A", "predicted in B", "flips",
    "tissue in common (Dice)", "hot regions (Dice)", "cold regions (Dice)", "top tiles of A",
    "top tiles in common",
)  # fmt: skip
_MAP: Final = (
    "map", "unit", "cells", "Pearson", "Spearman", "mean difference", "mean absolute difference",
    "SD of difference", "largest difference", "its x µm", "its y µm", "note",
)  # fmt: skip


def write_table(slides: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the table, in UTF-8 and RFC 4180's quoting; differences are B − A, of drawn values."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_SLIDE, *_MAP])
        for slide in slides:
            for row in _rows(slide):
                writer.writerow([_field(value) for value in row])


def _rows(slide: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the rows of a slide; one with its failure if it failed."""
    if slide["status"] != "done":
        empty = [""] * (len(_SLIDE) + len(_MAP) - 2)
        yield [slide["name"], *empty, slide["message"]]
        return
    predictions, regions = slide["predictions"], slide["regions"]
    flips = predictions["flips"]
    own = [
        slide["name"],
        slide["name_b"],
        predictions["label"],
        *(_joined(predictions[key]) for key in ("predicted_a", "predicted_b")),
        None if flips is None else ("yes" if flips else "no"),
        slide["tissue"]["dice"],
        *(regions[kind]["dice"] if kind in regions else None for kind in ("hot", "cold")),
        slide["tiles"].get("tiles_a"),
        slide["tiles"].get("common"),
    ]
    for entry in slide["maps"]:
        yield [*own, *_map_fields(entry)]
    for entry in slide["categories"]:
        note = "" if entry["agree"] is None else f"the same in {percent(entry['agree'])}"
        yield [*own, entry["map"], "", entry["cells"], *[None] * 8, note]
    for entry in slide["left_out"]:
        yield [*own, entry["map"], *[None] * 10, entry["reason"]]


def _map_fields(entry: Mapping[str, Any]) -> list[Any]:
    """Return the fields of a map."""
    differences = entry["differences"]
    numbers: list[Any] = [None] * 6
    if differences is not None:
        largest = differences["largest"]
        numbers = [
            differences["mean"], differences["mean_absolute"], differences["sd"],
            largest["difference"], largest["x_um"], largest["y_um"],
        ]  # fmt: skip
    return [
        entry["map"], entry["unit"], entry["cells"], entry["pearson"], entry["spearman"],
        *numbers, entry["undefined"],
    ]  # fmt: skip


def _joined(names: list[str] | None) -> str | None:
    return None if names is None else ", ".join(names) or "none"


def _field(value: Any) -> str:
    """Return a value as a field; nothing for what is unknown."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else plain_field(str(value))
