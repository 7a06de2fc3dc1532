"""Slide + encoder → the features of its tiles on tissue, as a bag that any model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError
from heatmaps_ome.features.lattice_features import bag_of, computed
from heatmaps_ome.features.tile_lattice import TileLattice, TissueTiles
from heatmaps_ome.slides.artefacts import MEASURES, find_artefacts, without
from heatmaps_ome.slides.tissue import tissue_cells
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.pieces import ATTEMPTS
from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.features.lanes import Lanes
    from heatmaps_ome.features.lattice_features import Choice, Passes
    from heatmaps_ome.features.tile_lattice import TileSize
    from heatmaps_ome.maps.raw_maps import Stages
    from heatmaps_ome.slides.working_copy import WorkingCopy
    from heatmaps_ome.storage.cache import Source

    OnTissue = Callable[[], tuple[TissueTiles, Mapping[str, int]]]

_LAYOUT: Final = 1
"""Increased when tiles are chosen or read otherwise, so that maps of old ones are not used."""


@dataclass(frozen=True)
class Tiling:
    """How a slide's tiles are chosen and put through an encoder.

    Attributes
    ----------
    size : TileSize
    mask_threshold : float
        Brightness in 0..255 from which a cell is background.
    excluded : tuple of str
        Kinds of artefacts (`artefacts.KINDS`) whose cells are no tissue.
    lanes : Lanes
        The devices that the encoder runs on.
    passes : Passes
    """

    size: TileSize
    mask_threshold: float
    excluded: tuple[str, ...]
    lanes: Lanes[TileEncoder]
    passes: Passes

    @property
    def facts(self) -> dict[str, Any]:
        """All that places and choice of tiles depend on beside the slide, as plain JSON values."""
        size = self.size
        return {
            "layout": _LAYOUT,
            "tile": [size.side_px, float(size.stride_px), size.target_mpp],
            "mask_threshold": float(self.mask_threshold),
            "excluded": sorted(self.excluded),
            **({"artefacts": dict(MEASURES)} if self.excluded else {}),
        }

    def digest(self, source: Source) -> str:
        """Return the digest of all that the bag of a slide follows from."""
        encoder = self.lanes.extractor.digest
        return digest_of({**source.identity(), "extractor": encoder, **self.facts})


def slide_bag(
    slide: WorkingCopy, tiling: Tiling, on_tissue: OnTissue, digest: str, stage: Stages
) -> Bag:
    """Return the features of a slide's tiles on tissue, computing those that the cache lacks.

    Parameters
    ----------
    on_tissue : callable
        Returns `tissue_tiles_of` the slide.
    digest : str
        The bag's: see `Tiling.digest`.
    stage : Stages
        Entered for each stage while it lasts.

    Raises
    ------
    SlideError, ExtractorError, OutputError
        If tiles cannot be read, or their features cannot be stored.
    """
    tiles, excluded = on_tissue()
    notes = (*_notes(tiling, tiles), *_excluded(excluded))
    lattice = TileLattice(slide, tiling.size)
    with stage("features") as progress:
        return bag_of_tiles(slide, tiling, lattice, tiles, progress, digest=digest, notes=notes)


def bag_of_tiles(
    slide: WorkingCopy,
    tiling: Tiling,
    lattice: TileLattice,
    tiles: Choice,
    progress: Callable[[int, int], None],
    **facts: Any,
) -> Bag:
    """Return the features of some tiles of a lattice, computing those that the cache lacks.

    Parameters
    ----------
    progress : callable
        Gets (tiles done, tiles to do).
    **facts
        The bag's digest and notes.

    Raises
    ------
    SlideError, ExtractorError, OutputError
        If tiles cannot be read, or their features cannot be stored.
    """
    store, name = None, tiling.lanes.extractor.name
    for _ in range(ATTEMPTS):
        with tiling.lanes.turn() as network:
            store = computed(slide, network, lattice, tiles, tiling.passes, progress)
        try:
            return bag_of(slide, lattice, tiles, store, encoder=name, **facts)
        except DamagedPieceError:
            # Features that were damaged, or removed by other processes, are computed again.
            continue
    raise OutputError(
        f"{store and store.folder} loses features as soon as they are computed; check the disk, "
        "or choose another place with --cache-dir"
    )


def tissue_tiles_of(
    slide: WorkingCopy, tiling: Tiling, stage: Stages
) -> tuple[TissueTiles, Mapping[str, int]]:
    """Return a slide's tiles on tissue, and the number of cells left out by kind of artefact."""
    lattice = TileLattice(slide, tiling.size)
    with stage("reading") as progress:
        slide.fill(progress)
    # Tissue is sampled from pixels as wide as the slide.
    with stage("tissue", forget=slide):
        tissue = tissue_cells(slide, lattice.cells, tiling.mask_threshold)
    counts: dict[str, int] = {}
    if tiling.excluded:
        with stage("artefacts", forget=slide):
            artefacts = find_artefacts(
                slide, lattice.cells, lattice.pixels, tissue, tiling.mask_threshold,
                tiling.passes.threads,
            )  # fmt: skip
        tissue, counts = without(tissue, artefacts, tiling.excluded)
    return lattice.on(tissue), counts


def size_text(size: TileSize) -> str:
    """Return the size and distance of tiles in words.

    >>> from heatmaps_ome.features.tile_lattice import TileSize
    >>> size_text(TileSize(224, 112, 0.5))
    '224 px of 0.5 µm (112 µm), overlapping by 112 px'
    """
    overlap = size.overlap_px
    text = f"{size.side_px} px of {size.target_mpp:.4g} µm ({size.um_side:.4g} µm)"
    if overlap > 0:
        return f"{text}, overlapping by {overlap:.4g} px"
    return f"{text}, {-overlap:.4g} px apart" if overlap < 0 else f"{text}, side by side"


def _notes(tiling: Tiling, tiles: TissueTiles) -> list[str]:
    """Return sentences on the tiles."""
    notes = [f"tiles are {size_text(tiling.size)}"]
    if tiles.n_beyond:
        notes.append(
            f"{tiles.n_beyond:,} tiles reach beyond the slide and are padded with white there"
        )
    if tiles.count and not tiles.need_half:
        notes.append("no tile is tissue by half, so each with any tissue is taken")
    return notes


def _excluded(counts: Mapping[str, int]) -> list[str]:
    """Return the sentence on cells that were left out as artefacts, if any were to be."""
    if not counts:
        return []
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    return [f"artefacts that are no tissue: {kinds} cells of 32 px"]
