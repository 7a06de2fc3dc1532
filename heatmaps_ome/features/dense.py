"""Slide → features: blocks are read by threads, put through the network, and cached."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import tee
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from heatmaps_ome.features.blocks import Block, BlockPixels, plan_blocks
from heatmaps_ome.features.store import FeatureStore, open_store
from heatmaps_ome.features.writing import Writing
from heatmaps_ome.geometry import Grid, Shape, Window, network_pixels
from heatmaps_ome.memory import give_back
from heatmaps_ome.slides.reader import source_of
from heatmaps_ome.slides.reading import read_in_order
from heatmaps_ome.slides.waiting import READING, TISSUE, awaited
from heatmaps_ome.storage.cache import Encoded, FeaturesKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor, TileEncoder
    from heatmaps_ome.slides.reader import SlideReader
    from heatmaps_ome.slides.tissue import TissueCells


@dataclass(frozen=True)
class Extraction:
    """How features are made.

    Attributes
    ----------
    target_mpp : float
        µm per network pixel; a property of the MIL model's training features.
    block_px : int
        Longest side of a block's core in network pixels.
    threads : int
        Readers at work at once, and blocks that wait in memory, while tissue is not known yet.
    cache : Path
        Folder of the feature cache.
    """

    target_mpp: float
    block_px: int
    threads: int
    cache: Path

    def chunk_cells(self, extractor: Extractor) -> int:
        """Side of the cache's chunks, in cells; no block is larger."""
        return max(1, self.block_px // extractor.stride_px)


def feature_grid(slide: SlideReader, extractor: Extractor, target_mpp: float) -> Grid:
    """Return where the extractor's cells lie on a slide.

    Each cell is placed around the centre of its receptive field: design.md section 5.
    """
    pixels = network_pixels(slide.shape, slide.mpp, target_mpp)
    stride = extractor.stride_px
    shape = Shape(-(-pixels.shape.rows // stride), -(-pixels.shape.cols // stride))
    corner = extractor.centre_px - stride / 2
    return Grid(shape, pixels.l0_cell.times(stride), pixels.l0_cell.times(corner), slide.mpp)


def extract(
    slide: SlideReader,
    extractor: Extractor,
    tissue: np.ndarray | TissueCells,
    how: Extraction,
    progress: Callable[[int, int], None],
) -> FeatureStore:
    """Return a slide's features, computing the tissue cells that the cache lacks.

    Parameters
    ----------
    tissue : (rows, cols) bool, or TissueCells
        Foreground cells of ``feature_grid``; TissueCells are computed row by row, so that the
        network begins before the whole slide has been read.
    progress : callable
        Called with (network pixels done, network pixels in all); the latter is an estimate until
        all tissue is known.

    Raises
    ------
    SlideError
        If a block cannot be read.
    ExtractorError
        If features cannot be stored.
    OutputError
        If the cache cannot be written.
    """
    lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
    store = open_store(
        how.cache, FeaturesKey(encoded(slide, extractor, lattice), how.chunk_cells(extractor)),
        slide.name, (tissue.shape[0], tissue.shape[1], extractor.channels),
        KEPT_AS[extractor.precision],
    )  # fmt: skip
    plan = _Plan(store, BlockPixels(lattice.shape, extractor.stride_px, extractor.halo_px))
    steps = awaited(TISSUE, plan.steps(tissue))
    threads = how.threads
    if isinstance(tissue, np.ndarray):
        # All tissue is known: plan every block first, so that the time left is right from the
        # start. The slide has been read by then, and one thread reads its copy back in a fraction
        # of the network's time.
        steps, threads = iter(list(steps)), 1
    steps, ahead = tee(steps)
    windows = (step.block.pixels for step in ahead)
    done, parts = 0, []
    progress(done, plan.expected_px)
    with (
        closing(read_in_order(slide, lattice, windows, threads)) as images,
        Writing() as writing,
    ):
        for (_, image), step in zip(awaited(READING, images), steps, strict=True):
            # No variable holds the whole block's features while the network is at the next.
            packed = store.packed(extractor(image, step.block.keep))
            parts.append((step.block.cells, packed))
            if step.completes:
                writing.begin(partial(store.write, step.chunk, parts))
                parts = []
                give_back()
            done += step.block.pixels.area
            progress(done, plan.expected_px)
    return store


KEPT_AS: Final[Mapping[str, Literal["float16", "float32"]]] = {
    "bfloat16": "float16",
    "float32": "float32",
}
"""Precision of the network → number type of the cache, which is never coarser."""


@dataclass(frozen=True)
class _Step:
    """A block to compute.

    Attributes
    ----------
    chunk : Window
        The cells that are written together with it.
    completes : bool
        Whether it is the last of its chunk.
    """

    block: Block
    chunk: Window
    completes: bool


class _Plan:
    """The blocks to compute, chunk by chunk, and the number of their pixels."""

    def __init__(self, store: FeatureStore, pixels: BlockPixels) -> None:
        self._store, self._pixels = store, pixels
        self._planned_px = 0
        self._planned_rows = 0

    @property
    def expected_px(self) -> int:
        """Network pixels to compute; rows not planned yet are assumed to be like the others."""
        return round(self._planned_px * self._store.shape.rows / max(1, self._planned_rows))

    def steps(self, tissue: np.ndarray | TissueCells) -> Iterator[_Step]:
        """Yield the blocks of tissue cells without features."""
        for chunk in self._store.chunks:
            rows, cols = chunk.slices
            lacking = self._store.lacking(chunk, tissue[rows][:, cols])
            blocks = plan_blocks(lacking, chunk, self._pixels)
            self._planned_px += sum(block.pixels.area for block in blocks)
            if chunk.col_stop == self._store.shape.cols:
                self._planned_rows = chunk.row_stop
            for block in blocks:
                yield _Step(block, chunk, block is blocks[-1])


def encoded(slide: SlideReader, extractor: TileEncoder, pixels: Grid) -> Encoded:
    """Return a slide as an extractor sees it, as a part of cache keys."""
    return Encoded(source_of(slide), extractor.digest, pixels.l0_cell)
