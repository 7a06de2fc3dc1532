"""The slides of a report, and the facts that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.viewers.report.agreement import is_right

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.viewers.report.part_file import PartFacts


@dataclass(frozen=True)
class ReportedSlide:
    """A slide of a run and its outcome.

    Attributes
    ----------
    slide : str
        The name of its file.
    status : str
        "done" or "failed".
    message : str
        Reason of a failure.
    folder : str or None
        Name of the results' folder in the run's folder.
    label : str or None
        Ground truth, if the user gave it.
    facts : PartFacts or None
        What its part has for the table; None: it is read from the part.
    stamp : tuple of int
        By which a change of its results shows.
    """

    slide: str
    status: str
    message: str = ""
    folder: str | None = None
    label: str | None = None
    facts: PartFacts | None = None
    stamp: tuple[int, ...] = ()

    def row(self, index: int, run: RunFacts) -> dict[str, Any]:
        """Return its row of the table."""
        facts = self.facts
        row = {
            "id": index, "slide": self.slide, "status": self.status, "message": self.message,
            "folder": self.folder, "label": self.label, **({} if facts is None else facts.row),
        }  # fmt: skip
        if facts is not None and facts.damaged:
            row["damaged"] = facts.damaged
        return {**row, "right": is_right(row, run.classes)}


@dataclass(frozen=True)
class RunFacts:
    """Facts that all slides of a run share.

    Attributes
    ----------
    created : str
        Date and time in UTC.
    version : str
        Version of heatmaps-ome.
    true_class : str
        The class drawn hot.
    classes : tuple of str
    class_colours : mapping of class → colour
    model_digest, extractor_digest, extractor : str
    model_files : tuple of str
        Names of the models' files; empty where they are not known.
    """

    created: str
    version: str
    true_class: str
    classes: tuple[str, ...]
    class_colours: Mapping[str, str]
    model_digest: str
    extractor_digest: str
    extractor: str
    model_files: tuple[str, ...] = ()
