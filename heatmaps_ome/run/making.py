"""The stage ``maps``: raw maps of slides, put into the output folder with all that draws them."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heatmaps_ome import __version__
from heatmaps_ome.display.sketch_file import write_sketch
from heatmaps_ome.errors import HeatmapsError, ResultError
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.ensemble import combined, in_class_order
from heatmaps_ome.maps.tile_maps import rasterised
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.made_maps import SKETCH, MadeMaps, made_of, maps_folder, write_made
from heatmaps_ome.run.maker import DenseMaker
from heatmaps_ome.run.planning import Drawn, planned_slide, require_own_name
from heatmaps_ome.run.progress import Leading
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.reader import require_unchanged
from heatmaps_ome.slides.stamps import stamp_of
from heatmaps_ome.slides.waiting import waits_of_this_thread
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage.digests import digest_of, finite, write_json
from heatmaps_ome.storage.private import remove
from heatmaps_ome.storage.result_folder import PROVENANCE, ResultFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        recipe = plan.maker.recipe if isinstance(plan.maker, DenseMaker) else None
        self._lanes = None if recipe is None else recipe.lanes
        self.at_once = (1 + _AHEAD) * len(recipe.lanes) if recipe and recipe.overlaps else 1
        self.progress = Leading(progress, is_shared=self.at_once > 1)
        self.output = plan.settings.output.folder
        self._is_published = self._is_stopped = False
        self._open: set[WorkingCopy] = set()
        self._lock, self._publishing = threading.Lock(), threading.Lock()

    def stop(self) -> None:
        """Have the slides at work end with KeyboardInterrupt."""
        self.progress.stop()
        with self._lock:
            self._is_stopped = True
            for slide in self._open:
                slide.interrupt()
        if self._lanes is not None:
            self._lanes.stop()

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
        planned = planned_slide(row, name, self._plan.maker)
        drawn = self._drawn(planned)
        earlier = drawn.earlier(scaling, self._plan.replaced)
        request = self._request(planned)
        if there is not None and there.request == request and there.are_there():
            outcome.status = "unchanged"
            return self._stamped(there, planned)
        if earlier is not None and scaling is not None and drawn.is_done(earlier, scaling):
            outcome.keep(drawn.folder.path, earlier)
            return None
        self._require_same_place(there, planned)
        replaces = None if there is None else there.request
        return self._made(planned, request, outcome, replaces, is_drawn_next=scaling is not None)

    def _is_same(self, there: MadeMaps, row: SlideRow) -> bool:
        """Return whether maps are those of a slide, as far as shows without opening the slide."""
        asked = self._asked(row)
        return (
            not self._plan.settings.output.verify
            and asked != ""
            and there.asked == asked
            and there.stamp is not None
            and there.stamp == stamp_of(row.path, there.files)
            and there.are_there()
        )

    def _asked(self, row: SlideRow) -> str:
        """Return the digest of everything that the user gave for a slide's maps."""
        tiles = self._plan.settings.tiles
        if tiles.scores is not None and tiles.scores.in_memory is not None:
            return ""
        return digest_of({
            "version": __version__,
            "values": self._plan.job.values_digest,
            "path": str(row.path.parent.resolve() / row.path.name),
            "mpp": row.mpp,
            "label": row.label,
            "covariates": {**self._plan.settings.models.covariates, **row.covariates},
            "facts": repr(tiles.facts),
            "files": [str(row.features or tiles.features), str(row.scores)],
        })  # fmt: skip

    def _drawn(self, planned: PlannedSlide) -> Drawn:
        """Return what the slide's results will follow from."""
        return Drawn(
            ResultFolder(self.output, planned.name), planned.fingerprint, planned.mpp,
            planned.basis(self._plan.shared),
        )  # fmt: skip

    def _request(self, planned: PlannedSlide) -> str:
        """Return the digest of everything that determines a slide's maps, and of its place."""
        row = planned.row
        return digest_of({
            "version": __version__,
            "values": self._plan.job.values_digest,
            "digests": planned.source.digests,
            "slide": planned.fingerprint,
            "mpp": list(planned.mpp),
            "label": row.label,
            "path": str(row.path.parent.resolve() / row.path.name),
        })  # fmt: skip

    def _require_same_place(self, there: MadeMaps | None, planned: PlannedSlide) -> None:
        """Refuse to replace the maps of another slide that is not drawn yet."""
        if there is None or there.fingerprint == planned.fingerprint or there.path == planned.path:
            return
        if there.path.exists() and not self._plan.replaced.any:
            raise ResultError(
                f"{there.folder} holds the maps of another slide of the name {there.name}, "
                f"{there.path}; rename one, or choose another --output-path"
            )

    def _stamped(self, there: MadeMaps, planned: PlannedSlide) -> MadeMaps:
        """Return maps with the present stamp, by which the next run recognises them."""
        files = planned.source.files
        made = replace(
            there, asked=self._asked(planned.row), stamp=stamp_of(planned.path, files), files=files
        )
        with suppress(OSError):
            write_json(there.folder / PROVENANCE, made.record())
        return made

    def _made(
        self,
        planned: PlannedSlide,
        request: str,
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
            with waits_of_this_thread() as waits, self._opened(planned) as slide:
                parts = planned.source.parts(slide, planned.fingerprint, stages)
            if waits.device:
                outcome.stages["network"] = {
                    measure: round(seconds, 3) for measure, seconds in waits.device.items()
                }
            parts = [in_class_order(part, parts[0].classes) for part in parts]
            self._publish()
            folder = place.start()
            made = self._write(planned, request, parts, outcome, folder)
            place.finish(folder, replaces)
        finally:
            if folder is not None:
                remove(folder)
        if self._plan.settings.resources.keep_pixels == "never" and not is_drawn_next:
            slide.discard()
        return made

    @contextmanager
    def _opened(self, planned: PlannedSlide) -> Iterator[WorkingCopy]:
        """Enter a slide, which `stop` interrupts."""
        slide = opened(self._plan.maker.reading, planned.row, planned.fingerprint, planned.name)
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
        self,
        planned: PlannedSlide,
        request: str,
        parts: list[HeatmapSet],
        outcome: Outcome,
        folder: Path,
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
            models=source.named,
            digests=tuple(source.digests),
            origin=source.record(),
            values=self._plan.job.values_digest,
            asked=self._asked(planned.row),
            stamp=stamp_of(planned.path, source.files),
            files=source.files,
            request=request,
            stages=outcome.stages,
            prediction={name: finite(value) for name, value in heatmaps.predicted.items()},
            tissue_cells=heatmaps.tissue_cells,
        )
        write_sketch(heatmaps, folder / SKETCH)
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
                self._is_published = True


def opened(reading: Reading, row: SlideRow, fingerprint: str, name: str) -> WorkingCopy:
    """Return a slide with its copy at the network's resolution, created by the first read.

    Parameters
    ----------
    name : str
        Name of the slide's results.

    Raises
    ------
    SlideError
        If it cannot be opened, or has changed.
    """
    slide = open_slide(row.path, row.mpp, reading.read_from, reading.bad_tiles)
    try:
        require_unchanged(slide, fingerprint)
    except HeatmapsError:
        slide.close()
        raise
    # Results have the name of their folder.
    slide.name = name
    lattice = network_pixels(slide.shape, slide.mpp, reading.target_mpp)
    return WorkingCopy(slide, fingerprint, lattice, reading.cache, reading.threads)
