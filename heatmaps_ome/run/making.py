"""The stage ``maps``: raw maps of slides, put into the output folder with all that draws them."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.display.sketch_file import write_sketch
from heatmaps_ome.errors import HeatmapsError, ResultError
from heatmaps_ome.features.lanes import time_of
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.ensemble import combined, in_class_order
from heatmaps_ome.maps.tile_maps import rasterised, without_finer
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.made_maps import SKETCH, MadeMaps, made_of, maps_folder, write_made
from heatmaps_ome.run.maps_requests import asked_of, request_of
from heatmaps_ome.run.planning import Drawn, planned_slide, require_own_name
from heatmaps_ome.run.progress import Leading
from heatmaps_ome.run.staged import following, stage_ahead, staged, stamp_at
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.reader import require_unchanged
from heatmaps_ome.slides.waiting import waits_of_this_thread
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage.digests import finite, write_json
from heatmaps_ome.storage.private import remove
from heatmaps_ome.storage.remote.outputs import keep, keep_file
from heatmaps_ome.storage.remote.urls import url_of
from heatmaps_ome.storage.result_folder import JOB, MAPS, PROVENANCE, ResultFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.run.maker import Reading
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.planning import PlannedSlide
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.slide_row import SlideRow

_AHEAD: Final = 1
"""Slides that are read while the network of a device is at another; each takes memory and disk."""


class Making:
    """Makes the raw maps of a run's slides; several threads may do so at once.

    Parameters
    ----------
    plan : Plan

    Attributes
    ----------
    progress : Leading
    output : Path
        The folder that is written to.
    at_once : int
        Slides that are best made at once: on a device of its own the network computes one while
        the next is read.
    """

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        maker = plan.maker
        self._lanes = maker.lanes
        self.at_once = (1 + _AHEAD) * len(maker.lanes) if maker.lanes and maker.overlaps else 1
        self.progress = Leading(progress, is_shared=self.at_once > 1)
        self.output = plan.settings.output.folder
        self._scratch = plan.settings.resources.scratch
        self._behind: dict[Path, SlideRow] = {}
        self._is_published = self._is_stopped = False
        self._open: set[WorkingCopy] = set()
        self._lock, self._publishing = threading.Lock(), threading.Lock()

    def record(self) -> dict[str, Any]:
        """Return the facts of a run's record: those of all slides, and the time of its devices."""
        devices = None if self._lanes is None else self._lanes.record()
        return {**self._plan.maker.record(), **({"devices": devices} if devices else {})}

    def stop(self) -> None:
        """Have the slides at work end with KeyboardInterrupt."""
        self.progress.stop()
        with self._lock:
            self._is_stopped = True
            for slide in self._open:
                slide.interrupt()
        if self._lanes is not None:
            self._lanes.stop()

    def expect(self, rows: Sequence[SlideRow]) -> None:
        """Take note of the slides to come in their order, so that they are downloaded ahead."""
        self._behind = following(rows)

    def make(
        self, row: SlideRow, outcome: Outcome, scaling: CohortScaling | None = None
    ) -> MadeMaps | None:
        """Return a slide's raw maps, which are in the output folder then.

        Parameters
        ----------
        outcome : Outcome
            Takes the time of the stages; its status becomes "unchanged" if the maps were there.
        scaling : CohortScaling or None
            The scaling of the results, if it is known.

        Returns
        -------
        MadeMaps or None
            None if the slide's results are there already, which no maps are needed for.

        Raises
        ------
        PreflightError
            If no slide's maps can be made.
        Exception
            Whatever is wrong with the slide.
        """
        name = self._plan.names[row.path]
        require_own_name(row, name, self._plan.taken)
        there = made_of(self.output, name)
        if there is not None and self._is_same(there, row):
            outcome.status = "unchanged"
            return there
        with staged(row, self._scratch) as file:
            self._stage_ahead(row)
            return self._make(row, name, file, there, outcome, scaling)

    def _make(
        self,
        row: SlideRow,
        name: str,
        file: Path,
        there: MadeMaps | None,
        outcome: Outcome,
        scaling: CohortScaling | None,
    ) -> MadeMaps | None:
        """Return a slide's raw maps, as `make`, now that its file is on a disk."""
        planned = planned_slide(row, name, self._plan.maker, file)
        made, results = self._standing(planned, there, scaling)
        if made is not None:
            outcome.status = "unchanged"
            return self._stamped(made, planned)
        if results is not None:
            outcome.keep(self.output / name, results)
            return None
        if there is not None and not there.are_there():
            # They went with the slide's results; the rest would count as the same maps.
            remove(there.folder)
            there = None
        replaces = None if there is None else there.request
        drawn_next = scaling is not None
        return self._made(planned, file, outcome, replaces, is_drawn_next=drawn_next)

    def _standing(
        self, planned: PlannedSlide, there: MadeMaps | None, scaling: CohortScaling | None
    ) -> tuple[MadeMaps | None, dict[str, Any] | None]:
        """Return the maps of a slide that is opened, or else the provenance of its results.

        None where they are not there; ResultError if what is there must not be replaced.
        """
        request = request_of(self._plan, planned)
        drawn = self._drawn(planned)
        earlier = drawn.earlier(scaling, self._plan.replaced)
        if there is not None and there.request == request and there.are_there():
            return there, None
        if earlier is not None and scaling is not None and drawn.is_done(earlier, scaling):
            return None, earlier
        self._require_same_place(there, planned)
        return None, None

    def _stage_ahead(self, row: SlideRow) -> None:
        """Begin to download the next slide at a URL whose maps do not seem to be there."""
        behind = self._behind.get(row.path)
        while behind is not None and (not behind.url or self._seems_made(behind)):
            behind = self._behind.get(behind.path)
        if behind is not None:
            stage_ahead(behind, self._scratch)

    def _seems_made(self, row: SlideRow) -> bool:
        """Return whether maps of a slide are there, as it was when they were made."""
        there = made_of(self.output, self._plan.names[row.path])
        return there is not None and there.asked == asked_of(self._plan, row) and there.are_there()

    def look(
        self, row: SlideRow, scaling: CohortScaling | None
    ) -> tuple[MadeMaps | None, PlannedSlide | None, bool]:
        """Return how far a slide is, as `make` goes by it, without making or writing anything.

        Returns
        -------
        MadeMaps or None
            Its raw maps; None: they are to be made.
        PlannedSlide or None
            None if the slide need not be opened, or would have to be downloaded for that.
        bool
            Whether its results are there, so that it needs no maps.

        Raises
        ------
        Exception
            Whatever is wrong with the slide.
        """
        name = self._plan.names[row.path]
        require_own_name(row, name, self._plan.taken)
        there = made_of(self.output, name)
        if there is not None and self._is_same(there, row):
            return there, None, False
        if row.url:
            return None, None, False
        planned = planned_slide(row, name, self._plan.maker, row.path)
        made, results = self._standing(planned, there, scaling)
        return made, planned, results is not None

    def _is_same(self, there: MadeMaps, row: SlideRow) -> bool:
        """Return whether maps are those of a slide, as far as shows without opening the slide."""
        asked = asked_of(self._plan, row)
        return (
            not self._plan.settings.output.verify
            and asked != ""
            and there.asked == asked
            and there.stamp is not None
            and there.stamp == stamp_at(row, self._scratch, there.files)
            and there.are_there()
        )

    def _drawn(self, planned: PlannedSlide) -> Drawn:
        """Return what the slide's results will follow from."""
        return Drawn(
            ResultFolder(self.output, planned.name), planned.fingerprint, planned.mpp,
            planned.basis(self._plan.shared),
        )  # fmt: skip

    def _require_same_place(self, there: MadeMaps | None, planned: PlannedSlide) -> None:
        """Refuse to replace the maps of another slide that is not drawn yet."""
        if there is None or there.fingerprint == planned.fingerprint or there.path == planned.path:
            return
        if (url_of(there.path) or there.path.exists()) and not self._plan.replaced.any:
            raise ResultError(
                f"{there.folder} holds the maps of another slide of the name {there.name}, "
                f"{there.path}; rename one, or choose another --output-path"
            )

    def _stamped(self, there: MadeMaps, planned: PlannedSlide) -> MadeMaps:
        """Return maps with the present stamp, by which the next run recognises them."""
        files = planned.source.files
        stamp = stamp_at(planned.row, self._scratch, files)
        made = replace(there, asked=asked_of(self._plan, planned.row), stamp=stamp, files=files)
        with suppress(OSError):
            write_json(there.folder / PROVENANCE, made.record())
            keep_file(self.output, there.folder / PROVENANCE)
        return made

    def _made(
        self,
        planned: PlannedSlide,
        file: Path,
        outcome: Outcome,
        replaces: str | None,
        *,
        is_drawn_next: bool,
    ) -> MadeMaps:
        """Make a slide's maps and put them into the output folder."""
        self._prepare(planned)
        place, name = maps_folder(self.output, planned.name), planned.name
        stages = Stages(
            outcome.stages, lambda stage, done, total: self.progress(name, stage, done, total),
            is_alone=not self.progress.is_shared,
        )  # fmt: skip
        folder: Path | None = None
        try:
            with waits_of_this_thread() as waits, self._opened(planned, file) as slide:
                parts = planned.source.parts(slide, planned.fingerprint, stages)
            if waits.device:
                outcome.stages["network"] = time_of(waits.device)
            parts = [in_class_order(part, parts[0].classes) for part in parts]
            self._publish()
            folder = place.start()
            made = self._write(planned, parts, outcome, folder)
            if place.finish(folder, replaces):
                keep(self.output, place.path)
        finally:
            if folder is not None:
                remove(folder)
        pixels = self._plan.settings.resources.keep_pixels
        if pixels == "never" and not is_drawn_next:
            slide.discard()
        elif pixels != "always":
            # Another process may draw the slide.
            slide.release()
        return made

    @contextmanager
    def _opened(self, planned: PlannedSlide, file: Path) -> Iterator[WorkingCopy]:
        """Enter a slide, which `stop` interrupts."""
        mpp, fingerprint = planned.row.mpp, planned.fingerprint
        slide = opened(self._plan.maker.reading, file, mpp, fingerprint, planned.name)
        try:
            with self._lock:
                self._open.add(slide)
                if self._is_stopped:
                    raise KeyboardInterrupt
            yield slide
        finally:
            with self._lock:
                self._open.discard(slide)
            slide.close()

    def _write(
        self, planned: PlannedSlide, parts: list[HeatmapSet], outcome: Outcome, folder: Path
    ) -> MadeMaps:
        """Write a slide's maps and their record into a folder."""
        source = planned.source
        heatmaps = rasterised(combined(parts, source.named))
        made = MadeMaps(
            output=self.output,
            name=planned.name,
            path=planned.path,
            given_mpp=planned.row.mpp,
            label=planned.row.label,
            fingerprint=planned.fingerprint,
            mpp=planned.mpp,
            shape=planned.shape,
            models=source.named,
            digests=tuple(source.digests),
            origin=source.record(),
            values=self._plan.job.values_digest,
            asked=asked_of(self._plan, planned.row),
            stamp=stamp_at(planned.row, self._scratch, source.files),
            files=source.files,
            request=request_of(self._plan, planned),
            stages=outcome.stages,
            prediction={name: finite(value) for name, value in heatmaps.predicted.items()},
            tissue_cells=heatmaps.tissue_cells,
        )
        write_sketch(without_finer(heatmaps), folder / SKETCH)
        write_made(made, parts, folder)
        return made

    def _prepare(self, planned: PlannedSlide) -> None:
        """Build the network, unless the cache has the maps: its errors are those of all slides.

        Raises
        ------
        PreflightError
            If its weights do not fit.
        """
        if not planned.source.is_made(planned.fingerprint):
            try:
                self._plan.maker.prepare()
            except HeatmapsError as error:
                raise PreflightError([error]) from error

    def _publish(self) -> None:
        """Write what the maps were asked for, before the first of them is in its place."""
        with self._publishing:
            if not self._is_published:
                self._plan.job.publish(self.output, overwrite=self._plan.replaced.any)
                keep_file(self.output, self.output / MAPS / JOB)
                self._is_published = True


def opened(
    reading: Reading, file: Path, mpp: float | None, fingerprint: str, name: str
) -> WorkingCopy:
    """Return a slide with its copy at the network's resolution, created by the first read.

    Parameters
    ----------
    mpp : float or None
        µm per level-0 pixel that the user gave for the slide.
    name : str
        Name of the slide's results.

    Raises
    ------
    SlideError
        If it cannot be opened, or has changed.
    """
    slide = reading.opened(file, mpp)
    try:
        require_unchanged(slide, fingerprint)
    except HeatmapsError:
        slide.close()
        raise
    # Results have the name of their folder.
    slide.name = name
    lattice = network_pixels(slide.shape, slide.mpp, reading.target_mpp)
    return WorkingCopy(slide, fingerprint, lattice, reading.cache, reading.threads)
