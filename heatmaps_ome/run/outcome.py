"""What became of a slide in a run: its state, and the findings that are told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from heatmaps_ome.storage.digests import finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.maps.consistency import Consistency


@dataclass
class Outcome:
    """What became of a slide.

    Attributes
    ----------
    status : str
        "done", "unchanged" (the very results were there already) or "failed".
    message : str
        Why it failed.
    prediction : dict of class → probability
    consistency : Consistency or None
        How plain tiles compare with the dense grid.
    faithfulness : dict of class → dict of map → area under its perturbation curve
    faithfulness_left_out : str
        Why nothing is said of it; empty if something is.
    members : list of dict
        What each of several models says, as `ensemble.records` tells it; empty for a single one.
    regions : dict
        What `Regions.record` says of the slide; empty where nothing is known.
    artefacts : dict
        "cells": kind → share of the tissue on such artefacts, "evidence": class → kind → share of
        the evidence for it; empty where they are not known.
    stages : dict of stage → what it took
    """

    slide: str
    status: Literal["done", "unchanged", "failed"]
    message: str = ""
    folder: Path | None = None
    prediction: dict[str, float] = field(default_factory=dict)
    consistency: Consistency | None = None
    faithfulness: dict[str, dict[str, float]] = field(default_factory=dict)
    faithfulness_left_out: str = ""
    members: list[dict[str, Any]] = field(default_factory=list)
    regions: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def note(self, record: Mapping[str, Any]) -> None:
        """Take from a provenance what was found, of which the first versions did not say all."""
        said = record.get("faithfulness", {})
        self.faithfulness_left_out = said.get("left_out", "")
        self.faithfulness = {name: each["aupc"] for name, each in said.get("classes", {}).items()}
        self.regions = record.get("regions") or {}
        artefacts = record.get("artefacts") or {}
        self.artefacts = {key: artefacts[key] for key in ("cells", "evidence") if key in artefacts}

    def record(self, places: Iterable[str]) -> dict[str, Any]:
        """Return what became of a slide as plain JSON values, without the folders of files."""
        said = {
            **asdict(self),
            "message": without_places(self.message, places),
            "folder": None if self.folder is None else self.folder.name,
            "prediction": {k: finite(v) for k, v in self.prediction.items()},
            "consistency": self.consistency and self.consistency.record(),
        }
        if not self.members:
            del said["members"]
        return said


def without_places(message: str, places: Iterable[str]) -> str:
    """Return a message without the folders of slides and outputs: they may name a patient."""
    for place in sorted(places, key=len, reverse=True):
        message = message.replace(f"{place}/", "")
    return message
