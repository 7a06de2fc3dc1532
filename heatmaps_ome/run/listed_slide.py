"""A slide in the lists of an output folder: one with results, or one whose last run failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from heatmaps_ome.run.run_record import entry_text
from heatmaps_ome.viewers.report.reported import ReportedSlide

if TYPE_CHECKING:
    from heatmaps_ome.run.slide_index import IndexedSlide


@dataclass
class ListedSlide:
    """A slide in the lists of an output folder.

    Attributes
    ----------
    name : str
        The name of its results.
    slide : str
        The name of its file.
    results : IndexedSlide or None
        None: it has no results.
    message : str
        Why its last run failed; empty if it did not.
    failure : dict
        Its entry in the record of the run that failed, if it has no results.
    """

    name: str
    slide: str
    results: IndexedSlide | None
    message: str = ""
    failure: dict[str, Any] = field(default_factory=dict)

    def entry_text(self) -> str:
        """Return its entry of run.json as JSON."""
        if self.results is None:
            return entry_text(self.failure)
        if self.message:
            return entry_text({**self.results.entry(), "message": self.message})
        return self.results.entry_text()

    def reported(self) -> ReportedSlide:
        """Return the slide of the report."""
        results = self.results
        if results is None:
            label = self.failure.get("label")
            return ReportedSlide(self.slide, "failed", self.message, None, label)
        return ReportedSlide(
            self.slide, "done", self.message, self.name, results.label, results.part, results.stamp
        )
