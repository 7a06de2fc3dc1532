"""Settings of each stage of a run; the one place that reads the options of ``create``.

A new option needs a field in `CreateOptions`, with its effect, and its use here or in a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, cast

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.features.pooling import TILE_CELLS, Pooling
from heatmaps_ome.features.tile_facts import TileFacts
from heatmaps_ome.maps.explanations.explanation import COMPAT
from heatmaps_ome.maps.regions import SHARE
from heatmaps_ome.models.model_facts import ModelFacts
from heatmaps_ome.options import (
    SOURCES,
    CreateOptions,
    only_with,
    quantiles_asked,
    with_usual_values,
)
from heatmaps_ome.run.file_settings import file_settings, formats_of
from heatmaps_ome.run.inputs import GivenScores, GivenTiles, ModelFiles, SlideList
from heatmaps_ome.run.provenance import OptionRecords
from heatmaps_ome.run.resources import Resources
from heatmaps_ome.run.staged import ScratchPlace
from heatmaps_ome.slides.opening import AUTO, known_reader
from heatmaps_ome.slides.reading import reading_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import Settings
    from heatmaps_ome.features.bag import TileScores
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import Origin
    from heatmaps_ome.models.target import Task
    from heatmaps_ome.options import ExportOptions
    from heatmaps_ome.options.tiles import AskedTiles
    from heatmaps_ome.slides.bad_tiles import BadTilePolicy
    from heatmaps_ome.slides.icc import Icc
    from heatmaps_ome.slides.reader import ReadFrom


@dataclass(frozen=True)
class Encoder:
    """The extractor, its devices and its number type.

    Attributes
    ----------
    devices : tuple of str
        torch's names, "auto" or "all"; each device takes slides.
    download : bool
        Whether weights that are not on this machine are fetched.
    """

    name: str
    weights: Path | None
    devices: tuple[str, ...]
    precision: str
    download: bool = False


@dataclass(frozen=True)
class Making:
    """How raw maps are made, with any extractor and model.

    Attributes
    ----------
    target_mpp : float
        µm per network pixel.
    mpp : float or None
        µm per level-0 pixel of the slides, used instead of their own; None: their own.
    read_from : "level" or "level0"
        Level of the slide that is read.
    mask_threshold : float
        Brightness in 0..255 from which a cell is background.
    consistency_tiles : int
        Largest number of tiles for the tile-by-tile prediction; 0: none.
    bad_tiles : "fail" or "blank"
        Whether damaged tiles are errors, or are left white.
    excluded : tuple of str
        Kinds of artefacts whose cells are no tissue.
    tiles : AskedTiles
        Size and distance of tiles, for encoders or models of tiles.
    reader : str
        Name of the reader of all slides, or "auto".
    icc : "ignore" or "apply"
        Whether the slides' profiles of colours are applied.
    """

    target_mpp: float
    mpp: float | None
    read_from: ReadFrom
    pooling: Pooling
    mask_threshold: float
    consistency_tiles: int
    bad_tiles: BadTilePolicy
    excluded: tuple[str, ...]
    tiles: AskedTiles
    reader: str = AUTO
    icc: Icc = "ignore"


@dataclass(frozen=True)
class Look:
    """How a slide's maps are drawn.

    Attributes
    ----------
    style : Style
        Colours and opacities.
    classes : tuple of str
        The classes to draw.
    true_class : str
        The class drawn hot.
    image_mpp : float
        µm per pixel of the slide image that goes with the maps; never finer than the slide.
    region_hot, region_cold : float, in [0, 1]
        Shares of the evidence for the class drawn hot, and against it, that regions carry.
    top_tiles : int
        Tiles to show for the class drawn hot, and as many against it.
    """

    style: Style
    classes: tuple[str, ...]
    true_class: str
    image_mpp: float
    region_hot: float = SHARE
    region_cold: float = SHARE
    top_tiles: int = 0


@dataclass(frozen=True)
class Drawing:
    """How maps are scaled and drawn.

    Attributes
    ----------
    look : Look
        Without classes, as these depend on the models (see `Plan.look`).
    classes : tuple of str or None
        The classes to draw; None: all classes of the models.
    quantiles : Quantiles
        Quantiles of a scaling that is fitted to the slides.
    scaling : Path or None
        File of a scaling to use instead.
    refit : bool
        Whether a scaling is fitted although the output folder has one.
    asked : mapping of quantile → value
        The quantiles that the user asked for.
    """

    look: Look
    classes: tuple[str, ...] | None
    quantiles: Quantiles
    scaling: Path | None
    refit: bool
    asked: Mapping[str, float]


@dataclass(frozen=True)
class Output:
    """The files to write, and their folder.

    Attributes
    ----------
    folder : Path
    overwrite : bool
        Whether to replace results of other options.
    formats : tuple of str
        Without duplicates.
    files : Settings
        How files are written.
    verify : bool
        Whether slides are opened and read although nothing states a change of them.
    """

    folder: Path
    overwrite: bool
    formats: tuple[str, ...]
    files: Settings
    verify: bool = False


@dataclass(frozen=True)
class SourcedOptions:
    """Options that were given, and that the maps of one source alone use, by their flags.

    Attributes
    ----------
    slide : tuple of str
        For maps of a slide's own pixels.
    cells : tuple of str
        For those of them that have a value for each cell.
    features : tuple of str
        For maps of given features.
    """

    slide: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run."""

    slides: SlideList
    models: ModelFiles
    tiles: GivenTiles
    encoder: Encoder
    making: Making
    resources: Resources
    drawing: Drawing
    output: Output
    records: OptionRecords
    sourced: SourcedOptions = SourcedOptions()


def settings_of(options: CreateOptions) -> RunSettings:
    """Return the settings of each stage from the options."""
    asked = quantiles_asked(options)
    options = with_usual_values(options)
    resources = _resources(options)
    return RunSettings(
        slides=SlideList(options.slides, options.from_file, options.table),
        models=ModelFiles(
            options.model_paths,
            dict(options.covariate),
            options.allow_pickle,
            model_facts(options),
        ),
        tiles=GivenTiles(
            features=options.features,
            facts=tile_facts(options),
            explain=options.explain,
            compat=next((name for name in COMPAT if name == options.compat), None),
        ),
        encoder=_encoder(options),
        making=Making(
            target_mpp=options.asked_tiles.network_mpp,
            mpp=options.mpp,
            read_from=options.read_from,
            pooling=_pooling(options),
            mask_threshold=options.mask_threshold,
            consistency_tiles=options.consistency_tiles,
            bad_tiles=options.bad_tiles,
            excluded=tuple(dict.fromkeys(options.exclude_artefacts)),
            tiles=options.asked_tiles,
            reader=known_reader(options.reader),
            icc=options.icc,
        ),
        resources=resources,
        drawing=_drawing(options, asked),
        output=_output(options, resources),
        records=OptionRecords.of(options),
        sourced=SourcedOptions(*(only_with(options, one) for one in SOURCES)),
    )


def settings_of_export(
    options: ExportOptions, in_memory: Callable[[SlideFacts], TileScores] | None = None
) -> RunSettings:
    """Return the settings of each stage from the options of ``export``.

    Parameters
    ----------
    in_memory : callable, optional
        Returns the scores of the only slide, instead of a file's.
    """
    shared = {entry.name for entry in fields(CreateOptions)} & {
        entry.name for entry in fields(options)
    }
    values = {name: getattr(options, name) for name in shared}
    common = settings_of(CreateOptions(model_path=(), **values))
    return replace(
        common,
        tiles=GivenTiles(
            scores=GivenScores(options.scores, in_memory),
            facts=replace(tile_facts(options), maps=options.map),
        ),
        records=OptionRecords.of(options),
    )


def tile_facts(options: CreateOptions | ExportOptions) -> TileFacts:
    """Return the facts on coordinates that the user gave."""
    return TileFacts(
        coords=options.coords,
        unit=options.coords_unit,
        tile_size=options.tile_size,
        origin=cast("Origin | None", options.origin),
        stride=options.stride,
        dataset=options.dataset,
    )


def model_facts(options: CreateOptions) -> ModelFacts:
    """Return the facts about models that the user gave."""
    return ModelFacts(
        class_names=options.class_names,
        task=cast("Task | None", options.task),
        family=options.family,
        head=options.head,
        heads=options.heads,
        gate=options.attention_gate,
        temperature=options.temperature,
        code=options.model_code,
    )


def _encoder(options: CreateOptions) -> Encoder:
    """Return the extractor, its weights and its devices."""
    return Encoder(
        name=options.extractor,
        weights=options.extractor_weights,
        devices=options.devices or ("cpu" if options.force_cpu else options.device,),
        precision=options.precision,
        download=options.download,
    )


def _pooling(options: CreateOptions) -> Pooling:
    if options.no_pool or options.blur_kernel_size == 0:
        return Pooling("none", 1)
    if options.blur_kernel_size is not None:
        return Pooling("gaussian", options.blur_kernel_size)
    return Pooling("mean", TILE_CELLS)


def _resources(options: CreateOptions) -> Resources:
    """Return the limits of a run's resources."""
    cache = options.cache_dir
    return Resources(
        block_px=options.block_size,
        max_memory=options.max_memory,
        threads=options.threads,
        cache=options.output_path / ".cache" if cache is None else cache,
        scratch=ScratchPlace.of(options.scratch, options.scratch_size),
        keep_pixels=options.keep_pixels,
    )


def _drawing(options: CreateOptions, asked: Mapping[str, float]) -> Drawing:
    look = Look(
        style=Style(
            attention_map=options.att_cmap,
            score_map=options.score_cmap,
            contribution_map=options.contribution_cmap,
            attention_alpha=options.att_alpha,
            score_alpha=options.score_alpha,
            like_reference=options.compat == "reference",
            leave_one_out=options.leave_one_out,
            fade=options.fade,
            grey_tissue=options.grey_tissue,
        ),
        classes=(),
        true_class=options.true_class or "",
        image_mpp=options.asked_tiles.network_mpp
        if options.image_mpp is None
        else options.image_mpp,
        region_hot=options.region_hot,
        region_cold=options.region_cold,
        top_tiles=options.top_tiles,
    )
    quantiles = _quantiles(options)
    return Drawing(look, options.classes, quantiles, options.scaling, options.refit, asked)


def _quantiles(options: CreateOptions) -> Quantiles:
    """Return the quantiles to fit a scaling to; with --scaling, nothing is fitted."""
    lower, upper = options.att_lower_threshold, options.att_upper_threshold
    score = options.score_threshold
    if lower is None or upper is None or score is None:
        return Quantiles()
    return Quantiles(lower, upper, score)


def _output(options: CreateOptions, resources: Resources) -> Output:
    # Results have the pictures of tiles.
    cache = resources.cache if resources.keep_pixels == "always" else None
    return Output(
        folder=options.output_path,
        overwrite=options.overwrite,
        formats=formats_of(options),
        verify=options.verify,
        files=file_settings(options, reading_threads(resources.threads), cache),
    )
