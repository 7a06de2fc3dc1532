"""Checks that find every foreseeable error of a run before the first block is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.errors import HeatmapsError, OptionError
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.maps.kinds import LEAVE_ONE_OUT
from heatmaps_ome.run.applied_scaling import require_all_slides, scaling_to_apply
from heatmaps_ome.run.attempts import Attempts, PreflightError
from heatmaps_ome.run.devices import usable_device
from heatmaps_ome.run.idle_options import (
    warn_of_idle_colours,
    warn_of_idle_encoder_options,
    warn_of_idle_options,
)
from heatmaps_ome.run.maker import DenseMaker
from heatmaps_ome.run.makers import maker_of
from heatmaps_ome.run.planning import (
    PlannedSlide,
    Replaced,
    planned_slide,
    planned_slides,
    result_names,
    shared_facts,
)
from heatmaps_ome.run.slide_list import slide_rows
from heatmaps_ome.storage.result_folder import remove_leftovers, require_writable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.settings import Drawing, Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.storage.result_folder import ResultFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a run.

    Attributes
    ----------
    maker : Maker
        Makes the raw maps of all slides.
    look : Look
        How maps are drawn, with the classes to draw.
    scaling : CohortScaling or None
        The scaling to apply; None: one is fitted to the slides.
    replaced : Replaced
        Earlier results that may be replaced.
    rows : tuple of SlideRow
        All slides, in the order given; the list is read once, as it may come from a pipe.
    names : dict of slide path → name
        Names of the slides' results.
    slides : tuple of PlannedSlide
        The slides that can be opened.
    refused : dict of slide path → reason
        Slides that cannot be done; the run does all others.
    """

    maker: Maker
    look: Look
    exporters: tuple[Exporter, ...]
    scaling: CohortScaling | None
    replaced: Replaced
    rows: tuple[SlideRow, ...]
    names: dict[Path, str]
    slides: tuple[PlannedSlide, ...]
    refused: dict[Path, str]


def prepare(settings: RunSettings) -> Plan:
    """Return the plan of a run.

    Raises
    ------
    PreflightError
        With all problems of the run as a whole; slides that cannot be opened do not count, unless
        no slide remains.
    """
    tried = Attempts()
    output, drawing = settings.output, settings.drawing
    rows = tried(lambda: slide_rows(settings.slides))
    tried(lambda: require_writable(output.folder))
    if not settings.resources.cache.is_relative_to(output.folder):
        tried(lambda: require_writable(settings.resources.cache, "--cache-dir"))
    style = drawing.look.style
    for colour_map in (
        style.attention_map, style.score_map, style.contribution_map, style.spread_map,
    ):  # fmt: skip
        tried(lambda name=colour_map: require_colour_map(name))
    exporters = tried(lambda: load_exporters(output.formats, output.files))
    maker, look = maker_of(settings, rows or [], tried)
    scaling = None
    if maker is not None:
        scaling = tried(
            lambda: scaling_to_apply(drawing, output, maker.model_digest, maker.extractor_digest)
        )
        tried(lambda: _require_leave_one_out(drawing, maker, scaling))
    if not (rows and maker and look and exporters) or tried.problems:
        raise PreflightError(tried.problems)
    if isinstance(maker, DenseMaker):
        warn_of_idle_options(settings, maker.models, usable_device(settings.encoder.device))
    elif settings.tiles.scores is None:
        warn_of_idle_encoder_options(settings)
    return _plan(settings, rows, maker, look, exporters, scaling)


def _plan(
    settings: RunSettings,
    rows: list[SlideRow],
    maker: Maker,
    look: Look,
    exporters: tuple[Exporter, ...],
    scaling: CohortScaling | None,
) -> Plan:
    """Return the plan of a run that can be done; this opens each of its slides."""
    output, drawing = settings.output, settings.drawing
    remove_leftovers(output.folder)
    names = result_names(rows)
    if output.overwrite or drawing.refit or drawing.scaling is not None:
        try:
            require_all_slides(output.folder, set(names.values()), scaling)
        except HeatmapsError as error:
            raise PreflightError([error]) from error
    replaced = Replaced(output.overwrite, drawing.refit)
    shared = shared_facts(settings.records.effective, maker.extractor_digest)

    def planned(given: SlideRow, folder: ResultFolder) -> PlannedSlide:
        row = given if given.mpp is not None else replace(given, mpp=settings.making.mpp)
        slide = planned_slide(row, folder, maker, shared)
        if scaling is not None:
            slide.earlier(scaling, replaced)
        return slide

    slides, refused = planned_slides(rows, names, output.folder, planned)
    if settings.tiles.scores is not None:
        look = _look_at_scores(drawing, slides)
        kinds = {kind for s in slides for kind in s.source.record()["tiles"]["maps"].values()}
        if slides:
            warn_of_idle_colours(settings, kinds)
    plan = Plan(
        maker=maker,
        look=look,
        exporters=exporters,
        scaling=scaling,
        replaced=replaced,
        rows=tuple(rows),
        names=names,
        slides=slides,
        refused=refused,
    )
    if any(_needs_network(slide, scaling) for slide in slides):
        _prepare(maker)
    return plan


def _look_at_scores(drawing: Drawing, slides: Sequence[PlannedSlide]) -> Look:
    """Return how given maps are drawn, all of which every slide has.

    Raises
    ------
    PreflightError
        If none has the name that is to be drawn hot.
    """
    kinds = {n: k for s in slides[:1] for n, k in s.source.record()["tiles"]["maps"].items()}
    # A map of a class is hot where it speaks for it; attention speaks for nothing.
    names = sorted(kinds, key=lambda name: kinds[name] == "attention")
    wanted = drawing.look.true_class
    if wanted and names and wanted not in names:
        raise PreflightError(
            [
                OptionError(
                    f"--true-class: no map is called {wanted!r}; there are {', '.join(names)}"
                )
            ]
        )
    return replace(
        drawing.look, classes=tuple(names), true_class=wanted or (names[0] if names else "scores")
    )


def _needs_network(slide: PlannedSlide, scaling: CohortScaling | None) -> bool:
    """Return whether a slide's results, or its raw maps, are not there yet."""
    if slide.source.is_made(slide.fingerprint):
        return False
    return scaling is None or not slide.is_finished(scaling)


def _prepare(maker: Maker) -> None:
    """Build the network, so that its errors show before the first slide.

    Raises
    ------
    PreflightError
        If its weights do not fit.
    """
    try:
        maker.prepare()
    except HeatmapsError as error:
        raise PreflightError([error]) from error


def _require_leave_one_out(drawing: Drawing, maker: Maker, scaling: CohortScaling | None) -> None:
    """Refuse to draw leave-one-out maps if they or the ranges of their colours do not exist."""
    if not drawing.look.style.leave_one_out:
        return
    models = maker.models if isinstance(maker, DenseMaker) else None
    for path, model in zip(models.paths, models.models, strict=True) if models else ():
        if model.additivity != "pooled":
            raise OptionError(
                f"--leave-one-out: the head of {path.name} is not affine, so what the slide is "
                "without a cell does not follow from its maps; leave the option out"
            )
    if scaling is not None and LEAVE_ONE_OUT not in scaling.ranges:
        raise OptionError(
            "--leave-one-out: the scaling to apply is of an earlier version and has no ranges for "
            "these maps; leave the option out, or fit a new scaling with --refit"
        )
