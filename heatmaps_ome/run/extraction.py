"""Features of slides in files for others: each slide's tiles through the network, one file a slide.

A file is complete or absent. One of the same request is left as it is, so a run that was stopped
goes on with the slides that lack; whatever a slide raises ends only this slide.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from heatmaps_ome.errors import ResultError, SlideError
from heatmaps_ome.features.block_size import tiles_at_once
from heatmaps_ome.features.tile_features import require_side, tile_features
from heatmaps_ome.features.tile_lattice import TileLattice, TileSize
from heatmaps_ome.features.trident_file import ENDING, FORMAT, TileTable, writing, written_tiles
from heatmaps_ome.memory import give_back
from heatmaps_ome.run.attempts import Attempts, PreflightError
from heatmaps_ome.run.devices import are_beside, devices_of, extractors_of
from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.run.inputs import SlideList
from heatmaps_ome.run.planning import result_names
from heatmaps_ome.run.progress import begin_slide
from heatmaps_ome.run.settings import Encoder
from heatmaps_ome.run.slide_list import slide_rows
from heatmaps_ome.run.staged import (
    ScratchPlace,
    following,
    scratch_in_use,
    stage_ahead,
    staged,
)
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.reader import require_unchanged, source_of
from heatmaps_ome.slides.reading import reading_threads
from heatmaps_ome.slides.tissue import tissue_cells
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.result_folder import remove_leftovers, require_writable

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.options import ExtractOptions
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.slides.opened_slide import OpenedSlide

logger = logging.getLogger(__name__)


@dataclass
class Extracted:
    """The outcome of a slide.

    Attributes
    ----------
    slide : str
        Name of the slide's file.
    name : str
        Name of its features.
    status : str
        "done", "unchanged" (the same features existed already) or "failed".
    message : str
        Reason of a failure.
    file : Path or None
        Its features; None if it failed.
    n_tiles : int
    n_beyond : int
        Tiles that reach beyond the slide and are padded with white.
    """

    slide: str
    name: str
    status: Literal["done", "unchanged", "failed"] = "failed"
    message: str = ""
    file: Path | None = None
    n_tiles: int = 0
    n_beyond: int = 0

    def take(self, status: Literal["done", "unchanged"], file: Path) -> None:
        """Note that the slide's features are in a file."""
        self.status, self.file = status, file
        facts = written_tiles(file)
        if facts is not None:
            _, self.n_tiles, self.n_beyond = facts


@dataclass(frozen=True, eq=False)
class _Job:
    """All that the slides of a run share.

    Attributes
    ----------
    rows : list of SlideRow
        All slides, in the order given.
    at_once : int
        Tiles that go through the network at once.
    threads : int
        Readers at work at once.
    """

    options: ExtractOptions
    rows: list[SlideRow]
    extractor: TileEncoder
    size: TileSize
    at_once: int
    threads: int

    @cached_property
    def behind(self) -> dict[Path, SlideRow]:
        """The row behind each slide's, by its path."""
        return following(self.rows)

    def opened(self, row: SlideRow, file: Path, name: str) -> OpenedSlide:
        """Return a slide, by the name of its features."""
        options = self.options
        mpp = options.mpp if row.mpp is None else row.mpp
        slide = open_slide(
            file, mpp, options.read_from, options.bad_tiles, options.reader, options.icc
        )
        slide.name = name
        return slide

    def request(self, slide: OpenedSlide) -> str:
        """Return the digest of everything that determines a slide's file."""
        return digest_of({
            "format": FORMAT,
            "source": source_of(slide).identity(),
            "extractor": self.extractor.digest,
            "tiles": [self.size.side_px, self.size.stride_px, self.size.target_mpp],
            "mask_threshold": self.options.mask_threshold,
            "feature_type": self.options.feature_type,
        })  # fmt: skip


@scratch_in_use()
def extract(options: ExtractOptions, progress: Progress) -> list[Extracted]:
    """Write the features of all slides and return their outcomes, in the order given.

    Raises
    ------
    PreflightError
        If the run as a whole cannot be done; nothing is written then.
    """
    job = _prepared(options)
    names = result_names(job.rows)
    # On many disks, names that differ only by case are the same file.
    taken = Counter(name.casefold() for name in names.values())
    outcomes = []
    for place, row in enumerate(job.rows, 1):
        name = names[row.path]
        begin_slide(progress, name, "features", place, len(job.rows))
        outcome = Extracted(row.path.name, name)
        outcomes.append(outcome)
        try:
            _require_own_name(row, name, taken[name.casefold()])
            _extract(job, row, outcome, progress)
        except Exception as error:
            outcome.message = reason_of(error, row.path, options.output_path, row.origin)
            logger.error("%s", outcome.message)
            logger.debug("the error in full", exc_info=error)
        give_back()
    return outcomes


def _prepared(options: ExtractOptions) -> _Job:
    """Return what the slides share, with the network built.

    Raises
    ------
    PreflightError
        With all problems of the run as a whole.
    """
    tried = Attempts()
    slides = SlideList(options.slides, options.from_file, options.table)
    rows = tried(lambda: slide_rows(slides))
    tried(lambda: require_writable(options.output_path))
    encoder = Encoder(
        options.extractor, options.extractor_weights, (options.device,), options.precision,
        options.download,
    )  # fmt: skip
    devices = tried(lambda: devices_of(encoder))
    extractor = tried(lambda: extractors_of(encoder, devices)[0]) if devices else None
    asked, at_once = options.asked_tiles, None
    if extractor is not None and devices:
        tried(lambda: require_side(extractor, asked.side_px))
        tried(extractor.prepare)
        at_once = tried(
            lambda: tiles_at_once(extractor, asked.side_px, devices[0], options.max_memory)
        )
    if tried.problems or not (rows is not None and devices and extractor and at_once):
        raise PreflightError(tried.problems)
    options.output_path.mkdir(parents=True, exist_ok=True)
    remove_leftovers(options.output_path)
    size = TileSize(asked.side_px, asked.stride_px, asked.network_mpp)
    threads = reading_threads(options.threads, cpu_computes=not are_beside(devices))
    return _Job(options, rows, extractor, size, at_once, threads)


def _require_own_name(row: SlideRow, name: str, n_alike: int) -> None:
    """Refuse a slide that cannot be read by its row, or whose file would be another slide's too."""
    if row.problem:
        raise SlideError(row.problem)
    if n_alike > 1:
        raise SlideError(
            f"{row.path}: another slide of this run is called {name} too, and files are named "
            "after their slide; rename one, or name them in a table (--slides)"
        )


def _extract(job: _Job, row: SlideRow, outcome: Extracted, progress: Progress) -> None:
    """Write a slide's file, unless it is there."""
    path = job.options.output_path / f"{outcome.name}{ENDING}"
    scratch = ScratchPlace.of(job.options.scratch, job.options.scratch_size)
    with staged(row, scratch) as file, closing(job.opened(row, file, outcome.name)) as slide:
        behind = job.behind.get(row.path)
        if behind is not None:
            stage_ahead(behind, scratch)
        request = job.request(slide)
        if _is_there(path, request, overwrite=job.options.overwrite):
            outcome.take("unchanged", path)
            return
        _warn_of_scale(slide, job.size)
        _write(job, slide, path, request, progress)
        blank = bad_tiles_sentence(slide.bad_tiles.record())
        if blank:
            logger.warning("%s: %s", outcome.slide, blank)
    outcome.take("done", path)


def _is_there(path: Path, request: str, *, overwrite: bool) -> bool:
    """Return whether a slide's file is there already.

    Raises
    ------
    ResultError
        If there is a file that must not be replaced.
    """
    if not os.path.lexists(path):
        return False
    facts = written_tiles(path)
    if facts is None:
        raise ResultError(
            f"{path} exists, but is no file of heatmaps-ome extract; move it away, or choose "
            "another --output-path"
        )
    if facts[0] != request and not overwrite:
        raise ResultError(
            f"{path} holds features of another slide, of other options or of an earlier version; "
            "add --overwrite to replace it, or choose another --output-path"
        )
    return facts[0] == request


def _write(job: _Job, slide: OpenedSlide, path: Path, request: str, progress: Progress) -> None:
    """Compute a slide's features and write its file."""
    fingerprint = slide.fingerprint()
    lattice = TileLattice(slide, job.size)
    progress(slide.name, "tissue", 0, 1)
    chosen = lattice.on(tissue_cells(slide, lattice.cells, job.options.mask_threshold))
    slide.forget()
    progress(slide.name, "tissue", 1, 1)
    if not chosen.count:
        logger.warning("%s: no tissue is there, so its file has no tiles", slide.path.name)
    table = TileTable(slide.name, slide.shape, lattice, chosen.count, chosen.n_beyond, request)
    dtype = np.dtype(job.options.feature_type)
    progress(slide.name, "features", 0, chosen.count)
    with writing(path, table, job.extractor, dtype) as file:
        for batch in tile_features(slide, job.extractor, lattice, chosen, job.at_once, job.threads):
            done = file.add(batch.tiles, batch.features)
            progress(slide.name, "features", done, chosen.count)
        require_unchanged(slide, fingerprint)


def _warn_of_scale(slide: OpenedSlide, size: TileSize) -> None:
    """Warn of pixel sizes that make features mean less than they seem to."""
    for warning in slide.warnings:
        logger.warning("%s", warning)
    if max(slide.mpp) > 2 * size.target_mpp:
        logger.warning(
            "%s is enlarged: it has %.3g µm per pixel, and tiles have %.3g", slide.path.name,
            max(slide.mpp), size.target_mpp,
        )  # fmt: skip
