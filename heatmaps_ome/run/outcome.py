"""The outcome of a slide in a run: its status and its main findings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.storage.digests import finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass
class Outcome:
    """The outcome of a slide.

    Attributes
    ----------
    slide : str
        Name of the slide's file.
    status : str
        "done", "unchanged" (the same results existed already) or "failed".
    message : str
        Reason of a failure.
    name : str
        Name of its results.
    label : str or None
        Ground truth, if the user gave it.
    prediction : dict of output → probability, value or risk
    true_class : str
        The class, or other output, that is drawn hot.
    target : dict
        The `Target.record` of what is predicted; empty if unknown.
    tiles : dict
        System, number and notes of tiles that were made elsewhere; empty for a dense grid.
    explanation : dict
        How maps of tiles were made; empty for a dense grid.
    consistency : Consistency or None
        Tile-by-tile prediction compared with the map's.
    faithfulness : dict of class → dict of map → area under its perturbation curve
    faithfulness_left_out : str
        Reason why faithfulness is left out; empty if it is not.
    members : list of dict
        Each model's `ensemble.records` entry; empty for a single model.
    regions : dict
        The slide's `Regions.record`; empty if unknown.
    artefacts : dict
        "cells": kind → share of the tissue on artefacts of the kind, "evidence": class → kind →
        share of the evidence for the class on them, "attention": class → kind → share of the cells
        hottest in attention, "excluded": kind → number of cells left out,
        "brightness": median of the tissue cells; empty if unknown.
    bad_tiles : dict
        The slide's `BadTiles.record`; empty where damaged tiles are errors.
    stages : dict of stage → dict of measure → float
        Time and bytes, as counted by `Stopwatch`.
    """

    slide: str
    status: Literal["done", "unchanged", "failed"]
    message: str = ""
    folder: Path | None = None
    name: str = ""
    label: str | None = None
    prediction: dict[str, float] = field(default_factory=dict)
    true_class: str = ""
    target: dict[str, Any] = field(default_factory=dict)
    tiles: dict[str, Any] = field(default_factory=dict)
    explanation: dict[str, Any] = field(default_factory=dict)
    consistency: Consistency | None = None
    faithfulness: dict[str, dict[str, float]] = field(default_factory=dict)
    faithfulness_left_out: str = ""
    members: list[dict[str, Any]] = field(default_factory=list)
    regions: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, Any] = field(default_factory=dict)
    bad_tiles: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Note that the slide failed, and why."""
        self.status, self.message, self.folder = "failed", reason, None

    def keep(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Note that a slide's results were there, with their provenance."""
        self.status, self.folder = "unchanged", folder
        self.note(record)

    def note(self, record: Mapping[str, Any]) -> None:
        """Take the findings from a provenance; those of early versions lack some."""
        self.label = record.get("label")
        self.true_class = str(record.get("true_class", ""))
        self.target = record.get("target") or {}
        self.tiles = record.get("tiles") or {}
        self.explanation = record.get("explanation") or {}
        self.prediction = {
            name: math.nan if value is None else value
            for name, value in record.get("prediction", {}).items()
        }
        compared = record.get("consistency")
        self.consistency = None if compared is None else Consistency.of_record(compared)
        self.members = list(record.get("members", ()))
        self.stages = record.get("stages", self.stages)
        curves = record.get("faithfulness", {})
        self.faithfulness_left_out = curves.get("left_out", "")
        self.faithfulness = {
            name: entry["aupc"] for name, entry in curves.get("classes", {}).items()
        }
        self.regions = record.get("regions") or {}
        artefacts = record.get("artefacts") or {}
        parts = ("cells", "evidence", "attention", "excluded", "brightness")
        self.artefacts = {key: artefacts[key] for key in parts if key in artefacts}
        self.bad_tiles = record.get("bad_tiles") or {}

    def record(self, places: Iterable[str]) -> dict[str, Any]:
        """Return the outcome as plain JSON values, without the folders of files."""
        facts = {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "message": without_places(self.message, places),
            "folder": None if self.folder is None else self.folder.name,
            "prediction": {k: finite(v) for k, v in self.prediction.items()},
            "consistency": self.consistency and self.consistency.record(),
        }
        if not self.members:
            del facts["members"]
        return facts


def without_places(message: str, places: Iterable[str]) -> str:
    """Return a message without the folders of slides and outputs, which may name a patient."""
    for place in sorted(places, key=len, reverse=True):
        message = message.replace(f"{place}/", "")
    return message
