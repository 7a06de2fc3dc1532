"""The stage ``draw``: from a slide's raw maps and the scaling to its finished folder."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from heatmaps_ome.exporters import VALUES
from heatmaps_ome.exporters.earlier import PreviousResults
from heatmaps_ome.maps.ensemble import combined
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.maps.tile_maps import rasterised
from heatmaps_ome.run.cautions import logged_cautions
from heatmaps_ome.run.delivery import complete, slide_record, slide_result, write_formats
from heatmaps_ome.run.making import opened
from heatmaps_ome.run.planning import Drawn, Replaced, shared_facts
from heatmaps_ome.run.progress import Leading
from heatmaps_ome.run.provenance import versions
from heatmaps_ome.run.slide_row import SlideRow
from heatmaps_ome.run.staged import stage_ahead, staged
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.private import remove
from heatmaps_ome.storage.remote.outputs import keep
from heatmaps_ome.storage.remote.urls import url_of
from heatmaps_ome.storage.result_folder import ResultFolder, record_of
from heatmaps_ome.viewers.slide_places import note_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.maker import Reading
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import Look, RunSettings

logger = logging.getLogger(__name__)


class Drawing:
    """Draws the slides of a run, one after the other; neither model nor network is needed.

    Parameters
    ----------
    settings : RunSettings
    look : Look
        How maps are drawn, with the classes to draw.
    exporters : sequence of Exporter
        In the order of the settings' formats.
    reading : Reading
        How slides are read.
    replaced : Replaced
        Earlier results that may be replaced.

    Attributes
    ----------
    progress : Progress
    output : Path
        The folder that is written to.
    """

    def __init__(
        self,
        settings: RunSettings,
        look: Look,
        exporters: Sequence[Exporter],
        reading: Reading,
        replaced: Replaced,
        progress: Progress,
    ) -> None:
        self._settings, self._look, self._reading = settings, look, reading
        self._exporters = dict(zip(settings.output.formats, exporters, strict=True))
        self._replaced, self.progress = replaced, progress
        self.output = settings.output.folder
        self._behind: dict[str, MadeMaps] = {}
        self._is_told = False

    def expect(self, slides: Sequence[MadeMaps]) -> None:
        """Take note of the slides to come in their order, so that they are downloaded ahead."""
        self._behind = {made.name: behind for made, behind in pairwise(slides)}

    def draw(self, made: MadeMaps, scaling: CohortScaling, outcome: Outcome) -> None:
        """Write a slide's files with a scaling, unless they are there.

        Raises
        ------
        Exception
            Whatever is wrong with the slide.
        """
        output, drawn = self.output, self._drawn(made)
        # Another run may have finished the slide meanwhile.
        earlier = drawn.earlier(scaling, self._replaced)
        # QuPath opens files on disks alone.
        if url_of(made.path) is None:
            note_place(output, made.name, made.path)
        if earlier is None or not drawn.is_done(earlier, scaling):
            row = SlideRow(made.path)
            with staged(row, self._settings.resources.scratch) as file:
                self._stage_ahead(made)
                self._draw(made, file, drawn, scaling, earlier, outcome)
        else:
            outcome.keep(drawn.folder.path, earlier)
        for caution in logged_cautions(outcome):
            logger.warning("%s: %s", outcome.slide, caution)

    def _stage_ahead(self, made: MadeMaps) -> None:
        """Begin to download the next slide at a URL that does not seem to be drawn."""
        behind = self._behind.get(made.name)
        while behind is not None and (
            url_of(behind.path) is None
            or (record_of(self.output / behind.name) or {}).get("maps") == behind.request
        ):
            behind = self._behind.get(behind.name)
        if behind is not None:
            stage_ahead(SlideRow(behind.path), self._settings.resources.scratch)

    def is_drawn(self, made: MadeMaps, scaling: CohortScaling | None) -> bool:
        """Return whether a slide's files are there; None: their scaling is not known yet.

        Raises
        ------
        ResultError
            If other files are there, which must not be replaced.
        """
        drawn = self._drawn(made)
        earlier = drawn.earlier(scaling, self._replaced)
        return earlier is not None and scaling is not None and drawn.is_done(earlier, scaling)

    def _drawn(self, made: MadeMaps) -> Drawn:
        """Return what a slide's results follow from."""
        shared = shared_facts(self._settings.records.effective, made.extractor_digest)
        place = ResultFolder(self.output, made.name)
        return Drawn(place, made.fingerprint, made.mpp, made.basis(shared))

    def _draw(
        self,
        made: MadeMaps,
        file: Path,
        drawn: Drawn,
        scaling: CohortScaling,
        earlier: dict[str, Any] | None,
        outcome: Outcome,
    ) -> None:
        """Write a slide's files and put its folder in place."""
        slide = opened(self._reading, file, made.given_mpp, made.fingerprint, made.name)
        folder: Path | None = None
        try:
            stages = self._stages(made, outcome)
            parts = made.parts()
            folder = drawn.folder.start()
            request = drawn.request(scaling)
            heatmaps = self._stored(made, parts, request, folder)
            self._tell_lacking(scaling, heatmaps)
            if slide.bad_tiles.policy == "blank":
                # Maps may be older than the copy, which knows the tiles left blank.
                slide.fill()
            with stages("maps"):
                result = slide_result(
                    slide, heatmaps, scaling, self._look,
                    # Predictions without some cells do not follow from the mean of several models.
                    parts if heatmaps.members else (),
                    self._earlier(made, drawn, earlier or {}), made.label,
                )  # fmt: skip
            write_formats(result, self._exporters, folder, stages)
            origin = self._origin(made, drawn, request, outcome)
            record = slide_record(result, scaling, made.fingerprint, origin)
            complete(folder, record)
            self._finish(drawn, folder, earlier, outcome)
            made.forget_parts()
        finally:
            slide.close()
            if folder is not None:
                remove(folder)
        if self._settings.resources.keep_pixels != "always":
            slide.discard()
        outcome.folder = drawn.folder.path
        outcome.note(record)

    def _stages(self, made: MadeMaps, outcome: Outcome) -> Stages:
        """Return a slide's stages, which are counted in its outcome after those of its maps."""
        outcome.stages = {name: dict(spent) for name, spent in made.stages.items()}
        return Stages(
            outcome.stages,
            lambda stage, done, total: self.progress(made.name, stage, done, total),
            is_alone=not (isinstance(self.progress, Leading) and self.progress.is_shared),
        )

    def _finish(
        self, drawn: Drawn, folder: Path, earlier: dict[str, Any] | None, outcome: Outcome
    ) -> None:
        """Put a slide's folder in its place, unless another run has finished the same."""
        if drawn.folder.finish(folder, (earlier or {}).get("request")):
            keep(self.output, drawn.folder.path)
        else:
            outcome.status = "unchanged"

    def _tell_lacking(self, scaling: CohortScaling, heatmaps: HeatmapSet) -> None:
        """Warn once of kinds of maps that a scaling of an earlier version cannot draw."""
        lacking = [KINDS[key].title.lower() for key in scaling.lacking(heatmaps)]
        if lacking and not self._is_told:
            self._is_told = True
            instead = "" if self._settings.drawing.scaling is None else " instead of --scaling"
            logger.warning(
                "no maps of %s are drawn: the scaling is of an earlier version and has no range "
                "for them; fit a new one with --refit%s",
                " and ".join(lacking),
                instead,
            )

    def _stored(
        self, made: MadeMaps, parts: Sequence[HeatmapSet], request: str, folder: Path
    ) -> HeatmapSet:
        """Write the raw values of a slide, and return them as they were written."""
        heatmaps = rasterised(combined(parts, made.models))
        write_values(heatmaps, folder, {"request": request}, self._settings.output.files.ngff)
        return read_values(folder / f"{made.name}{VALUES.ending}")

    def _earlier(self, made: MadeMaps, drawn: Drawn, record: dict[str, Any]) -> PreviousResults:
        """Return the results that a slide's new results replace."""
        basis = {
            "versions": versions(),
            "options": self._settings.records.undrawn,
            "slide": made.fingerprint,
            "mpp": list(made.mpp),
            "label": made.label,
            "models": list(made.digests),
            "extractor": made.extractor_digest,
        }
        return PreviousResults(
            drawn.folder.path, record.get("files", {}), record.get("parts", {}), digest_of(basis)
        )

    def _origin(
        self, made: MadeMaps, drawn: Drawn, request: str, outcome: Outcome
    ) -> dict[str, Any]:
        """Return the origin of a slide's maps for its provenance."""
        return {
            "name": made.name,
            "request": request,
            "basis": drawn.basis,
            "maps": made.request,
            "label": made.label,
            **made.origin,
            "options": self._settings.records.effective,
            "stages": outcome.stages,
        }
