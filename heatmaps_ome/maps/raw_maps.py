"""Slide + networks → raw maps, or the same maps from the cache of an earlier run with both."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.plain_tiles import plain_tiles
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.inference import compute_heatmaps
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.slides.artefacts import MEASURES, find_artefacts, without
from heatmaps_ome.slides.reader import given_mpp
from heatmaps_ome.slides.tissue import TissueCells
from heatmaps_ome.storage.cache import MapsKey, folder_of
from heatmaps_ome.storage.pieces import ATTEMPTS, WholePiece
from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.features.lanes import Lanes
    from heatmaps_ome.features.plain_tiles import PlainTiles
    from heatmaps_ome.features.pooling import Pooling
    from heatmaps_ome.features.store import FeatureStore
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.slides.bad_tiles import BadTilePolicy
    from heatmaps_ome.slides.reader import ReadFrom, SlideReader
    from heatmaps_ome.slides.working_copy import WorkingCopy


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the raw maps of a slide.

    Attributes
    ----------
    extraction : Extraction
    mask_threshold : float
        Brightness in 0..255 from which a cell is background.
    read_from : "level" or "level0"
        The slide's level that pixels are resampled from.
    lanes : Lanes
        The devices that the network runs on.
    overlaps : bool
        Whether the network begins before the slide has been read: on an accelerator. On a CPU
        both would only take the cores from each other.
    consistency_tiles : int
        Plain tiles at most to compare the dense grid with; 0: none.
    bad_tiles : "fail" or "blank"
        Whether damaged tiles are errors, or are left white.
    excluded : tuple of str
        Kinds of artefacts (`artefacts.KINDS`) whose cells are taken out of the tissue.
    """

    lanes: Lanes[Extractor]
    model: AttentionMIL
    pooling: Pooling
    extraction: Extraction
    mask_threshold: float
    read_from: ReadFrom
    overlaps: bool
    consistency_tiles: int = 0
    bad_tiles: BadTilePolicy = "fail"
    excluded: tuple[str, ...] = ()

    @property
    def extractor(self) -> Extractor:
        """The network, for facts that are the same on all devices."""
        return self.lanes.extractor

    def kept_in(self, fingerprint: str, mpp: float | None, pixels: str = "") -> Path:
        """Return the folder of the cache that holds the maps of a slide, once they are made.

        Parameters
        ----------
        fingerprint : str
            Digest of the slide's content.
        mpp : float or None
            µm per level-0 pixel that the user gave for this slide; None: the slide's own.
        pixels : str
            What its pixels' values depend on beside its file: see `SlideReader`.
        """
        return folder_of(self.extraction.cache, self.maps_key(fingerprint, mpp, pixels))

    def maps_key(self, fingerprint: str, mpp: float | None, pixels: str = "") -> MapsKey:
        """Return the cache key of a slide's maps; see `kept_in`."""
        return MapsKey(
            slide=fingerprint,
            mpp=mpp,
            read_from=self.read_from,
            bad_tiles=self.bad_tiles,
            pixels=pixels,
            target_mpp=self.extraction.target_mpp,
            extractor=self.extractor.digest,
            model=self.model.cache_digest,
            pooling=asdict(self.pooling),
            mask_threshold=self.mask_threshold,
            consistency_tiles=self.consistency_tiles,
            artefacts=MEASURES,
            excluded=tuple(sorted(self.excluded)),
        )


class Stages(Protocol):
    """Enters the stages of a slide."""

    def __call__(
        self, name: str, forget: SlideReader | None = None
    ) -> AbstractContextManager[Callable[[int, int], None]]:
        """Enter a stage; yields the callable for its progress: (steps done, steps in all).

        Parameters
        ----------
        forget : SlideReader or None
            A slide whose pixels in memory no later stage needs.
        """
        ...


def raw_maps(slide: WorkingCopy, recipes: Sequence[Recipe], stage: Stages) -> list[HeatmapSet]:
    """Return each model's maps of a slide, whose features are computed once.

    Parameters
    ----------
    recipes : sequence of Recipe
        The same but for their models.
    stage : Stages
        Entered for each stage while it lasts.
    """
    sets: list[HeatmapSet] = []
    features: _Features | None = None
    for recipe in recipes:
        key = recipe.maps_key(slide.fingerprint(), given_mpp(slide), slide.pixels)
        piece = WholePiece(recipe.extraction.cache, key, slide.name)
        maps = _read_cached(piece)
        if maps is None:
            if features is None:
                features = _features(slide, recipe, stage)
            maps, features = _computed(slide, recipe, features, stage)
            piece.write(lambda folder, maps=maps: write_values(maps, folder, {}))
        # A slide keeps its maps when its file is renamed.
        sets.append(replace(maps, slide_name=slide.name))
    return sets


@dataclass(frozen=True, eq=False)
class _Features:
    """The input from a slide that all models of a run share.

    Attributes
    ----------
    grid : Grid
    tissue : (rows, cols) bool
    store : FeatureStore
        Features of the tissue cells.
    tiles : PlainTiles or None
        Tiles to compare the dense grid with.
    artefacts : (rows, cols) uint8
    excluded : mapping of kind → number of cells
        Cells that were taken out of the tissue.
    brightness : float or None
        Median over the tissue cells.
    """

    grid: Grid
    tissue: np.ndarray
    store: FeatureStore
    tiles: PlainTiles | None
    artefacts: np.ndarray
    excluded: Mapping[str, int]
    brightness: float | None


def _computed(
    slide: WorkingCopy, recipe: Recipe, given: _Features, stage: Stages
) -> tuple[HeatmapSet, _Features]:
    """Return the maps that a model computes from a slide's features, and these.

    Features that were damaged, removed or replaced by other processes are computed again.
    """
    for _ in range(ATTEMPTS):
        try:
            with stage("model"):
                heatmaps = compute_heatmaps(
                    slide, given.grid, given.tissue, given.store, recipe.pooling, recipe.model,
                    given.tiles,
                )  # fmt: skip
        except DamagedPieceError:
            with stage("features") as progress, recipe.lanes.turn() as network:
                store = extract(slide, network, given.tissue, recipe.extraction, progress)
            given = replace(given, store=store)
        else:
            made = replace(
                heatmaps, artefacts=given.artefacts, excluded=given.excluded,
                brightness=given.brightness,
            )  # fmt: skip
            return made, given
    raise OutputError(
        f"{given.store.folder} loses features as soon as they are computed; check the disk, or "
        "choose another place with --cache-dir"
    )


def _features(slide: WorkingCopy, recipe: Recipe, stage: Stages) -> _Features:
    """Return a slide's features, and all else that is computed before the models."""
    how = recipe.extraction
    grid = feature_grid(slide, recipe.extractor, how.target_mpp)
    cells = TissueCells(slide, grid, recipe.mask_threshold)
    tissue: np.ndarray | TissueCells = cells
    # Cells can be taken out only once all of the slide is known.
    if not recipe.overlaps or recipe.excluded:
        with stage("reading") as progress:
            slide.fill(progress)
        # Tissue is sampled from pixels as wide as the slide.
        with stage("tissue", forget=slide):
            tissue = cells[:]
    excluded: dict[str, int] = {}
    artefacts = None
    if recipe.excluded:
        artefacts = _artefacts(slide, grid, cells, recipe, stage)
        tissue, excluded = without(cells[:], artefacts, recipe.excluded)
    with recipe.lanes.turn() as network:
        with stage("features") as progress:
            store = extract(slide, network, tissue, how, progress)
        # Features of a slide that changed while it was read must not get as far as maps.
        slide.fill()
        tissue = tissue[:]
        with stage("consistency") as progress:
            tiles = plain_tiles(slide, network, tissue, how, recipe.consistency_tiles, progress)
    if artefacts is None:
        artefacts = _artefacts(slide, grid, cells, recipe, stage)
    artefacts = np.where(tissue, artefacts, np.uint8(0))
    brightness = cells.median_brightness(tissue)
    return _Features(grid, tissue, store, tiles, artefacts, excluded, brightness)


def _artefacts(
    slide: WorkingCopy, grid: Grid, cells: TissueCells, recipe: Recipe, stage: Stages
) -> np.ndarray:
    """Return the kind of artefact of each tissue cell: (rows, cols) uint8."""
    how = recipe.extraction
    with stage("artefacts", forget=slide):
        pixels = network_pixels(slide.shape, slide.mpp, how.target_mpp)
        return find_artefacts(slide, grid, pixels, cells[:], recipe.mask_threshold, how.threads)


def _read_cached(piece: WholePiece) -> HeatmapSet | None:
    """Return the maps in a piece of the cache, or None if they are missing or damaged."""
    if not piece.is_intact():
        return None
    for path in piece.folder.glob("*.zarr"):
        try:
            return read_values(path)
        except ResultError:
            return None
    return None
