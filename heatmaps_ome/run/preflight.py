"""Checks that find every foreseeable error of a run as a whole before the first slide is opened."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heatmaps_ome.display.colour import require_colour_map
from heatmaps_ome.errors import OptionError
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.maps.kinds import LEAVE_ONE_OUT
from heatmaps_ome.run.applied_scaling import require_all_slides, scaling_to_apply
from heatmaps_ome.run.attempts import Attempts, PreflightError
from heatmaps_ome.run.devices import devices_of
from heatmaps_ome.run.idle_options import (
    warn_of_idle_colours,
    warn_of_idle_encoder_options,
    warn_of_idle_options,
)
from heatmaps_ome.run.job import Job
from heatmaps_ome.run.maker import DenseMaker
from heatmaps_ome.run.makers import maker_of
from heatmaps_ome.run.planning import Replaced, result_names, shared_facts
from heatmaps_ome.run.slide_list import slide_rows
from heatmaps_ome.run.slide_tiles_maker import SlideTilesMaker
from heatmaps_ome.run.staged import staged
from heatmaps_ome.storage.result_folder import remove_leftovers, require_writable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.settings import Drawing, Look, RunSettings
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.run.staged import ScratchPlace


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a run; slides are opened later, one by one.

    Attributes
    ----------
    maker : Maker
        Makes the raw maps of all slides.
    look : Look
        How maps are drawn, with the classes to draw.
    job : Job
        What the maps are asked for.
    shared : mapping
        Everything that determines the results of all slides but their scaling.
    scaling : CohortScaling or None
        The scaling to apply; None: one is fitted to the slides.
    replaced : Replaced
        Earlier results that may be replaced.
    rows : tuple of SlideRow
        All slides, in the order given; the list is read once, as it may come from a pipe.
    names : mapping of slide path → name
        Names of the slides' results.
    taken : mapping of name in small letters → number of slides
    """

    settings: RunSettings
    maker: Maker
    look: Look
    job: Job
    shared: Mapping[str, object]
    exporters: tuple[Exporter, ...]
    scaling: CohortScaling | None
    replaced: Replaced
    rows: tuple[SlideRow, ...]
    names: Mapping[Path, str]
    taken: Mapping[str, int]


def prepare(settings: RunSettings, *, dry: bool = False) -> Plan:
    """Return the plan of a run, and remove what earlier runs left in its output folder.

    Parameters
    ----------
    dry : bool
        Whether nothing may be changed, not even that.

    Raises
    ------
    PreflightError
        With all problems of the run as a whole.
    """
    tried = Attempts()
    output, drawing = settings.output, settings.drawing
    rows = tried(lambda: slide_rows(settings.slides))
    tried(lambda: require_writable(output.folder))
    if not settings.resources.cache.is_relative_to(output.folder):
        tried(lambda: require_writable(settings.resources.cache, "--cache-dir"))
    exporters = tried(lambda: exporters_of(settings))
    maker, look = maker_of(settings, rows or [], tried)
    scaling = None
    if maker is not None:
        scaling = tried(
            lambda: scaling_to_apply(drawing, output, maker.model_digest, maker.extractor_digest)
        )
        tried(lambda: _require_leave_one_out(drawing, maker, scaling))
    if not (rows and maker and look and exporters) or tried.problems:
        raise PreflightError(tried.problems)
    if isinstance(maker, DenseMaker | SlideTilesMaker):
        cells = isinstance(maker, DenseMaker)
        device = devices_of(settings.encoder)[0]
        warn_of_idle_options(settings, maker.models, device, has_cells=cells)
    elif settings.tiles.scores is None:
        warn_of_idle_encoder_options(settings)
    if not dry:
        remove_leftovers(output.folder)
    return _plan(settings, rows, maker, look, exporters, scaling)


def exporters_of(settings: RunSettings) -> tuple[Exporter, ...]:
    """Return the exporters of a run's formats.

    Raises
    ------
    HeatmapsError
        If one of them cannot write here, or there is no such colour map.
    """
    style = settings.drawing.look.style
    for colour_map in (
        style.attention_map, style.score_map, style.contribution_map, style.spread_map,
    ):  # fmt: skip
        require_colour_map(colour_map)
    return load_exporters(settings.output.formats, settings.output.files)


def _plan(
    settings: RunSettings,
    rows: list[SlideRow],
    maker: Maker,
    look: Look,
    exporters: tuple[Exporter, ...],
    scaling: CohortScaling | None,
) -> Plan:
    """Return the plan of a run that can be done."""
    output, drawing = settings.output, settings.drawing
    rows = [row if row.mpp is not None else replace(row, mpp=settings.making.mpp) for row in rows]
    names = result_names(rows)
    if settings.tiles.scores is not None:
        look = _look_at_scores(settings, maker, rows)
    job = Job.of(settings, maker, look)
    tried = Attempts()
    if output.overwrite or drawing.refit or drawing.scaling is not None:
        tried(lambda: require_all_slides(output.folder, set(names.values()), scaling))
    tried(lambda: job.require_alike(output.folder, overwrite=output.overwrite))
    if tried.problems:
        raise PreflightError(tried.problems)
    return Plan(
        settings=settings,
        maker=maker,
        look=look,
        job=job,
        shared=shared_facts(settings.records.effective, maker.extractor_digest),
        exporters=exporters,
        scaling=scaling,
        replaced=Replaced(output.overwrite, drawing.refit),
        rows=tuple(rows),
        names=names,
        taken=Counter(name.casefold() for name in names.values()),
    )


def _look_at_scores(settings: RunSettings, maker: Maker, rows: Sequence[SlideRow]) -> Look:
    """Return how given maps are drawn, all of which every slide has.

    Raises
    ------
    PreflightError
        If none has the name that is to be drawn hot.
    """
    drawing = settings.drawing
    kinds = _kinds_of_scores(maker, rows, settings.resources.scratch)
    if kinds:
        warn_of_idle_colours(settings, set(kinds.values()))
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


def _kinds_of_scores(
    maker: Maker, rows: Sequence[SlideRow], scratch: ScratchPlace
) -> dict[str, str]:
    """Return the kinds of given maps by their names, those of the first slide that has some."""
    for row in rows:
        # Whatever is wrong with a slide is reported when it is its turn.
        with suppress(Exception):
            if not row.problem:
                with (
                    staged(row, scratch) as path,
                    closing(maker.reading.opened(path, row.mpp)) as slide,
                ):
                    return dict(maker.source(row, slide).record()["tiles"]["maps"])
    return {}


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
