"""A kind of map that no reader knows, put into finished results: it must appear by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KIND, KIND_TITLE, UNIT = "pull", "Pull", "nat"
ALIKE = ("MSI-H / high", "MSI-H high", "MSI-H_high")
"""Classes whose maps' names, in which no file may have a slash, tell nothing of them."""


def of_new_kind(maps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the contributions as maps of a new kind, with names that tell nothing."""
    return [
        {
            **each,
            "name": f"map {index}",
            "kind": KIND,
            "kind_title": KIND_TITLE,
            "title": f"Pull of {each['class']}",
            "quantity": f"pull of {each['class']}",
            "unit": UNIT,
            "measurement": None,
            "overlay": None,
            "flat": None,
        }
        for index, each in enumerate(each for each in maps if each["kind"] == "contribution")
    ]


def add_new_kind(path: Path) -> None:
    """Add the maps of the new kind to a maps.json, or to a slide's part of the report."""
    said = json.loads(path.read_text(encoding="utf-8"))
    said["maps"] += of_new_kind(said["maps"])
    path.write_text(json.dumps(said), encoding="utf-8")
