"""The features of a slide's tiles on disk: those that lack are computed, and all are read as a bag.

Each tile of the lattice is a cell of a `FeatureStore`, so that the tiles of another choice of
tissue are not computed anew, and a run that was stopped goes on with those that lack.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from heatmaps_ome import __version__
from heatmaps_ome.features.bag import Bag
from heatmaps_ome.features.dense import KEPT_AS, encoded
from heatmaps_ome.features.store import FeatureStore, open_store
from heatmaps_ome.features.tile_features import tile_features
from heatmaps_ome.features.writing import Writing
from heatmaps_ome.geometry import Window
from heatmaps_ome.storage.cache import LatticeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.features.tile_features import TileBatch
    from heatmaps_ome.features.tile_lattice import TileLattice, TileSize
    from heatmaps_ome.slides.reader import SlideReader
    from heatmaps_ome.storage.cache import Encoded

_WRITTEN_AFTER_S: Final = 10.0
"""Time after which features are written although their chunk lacks some: what a kill may cost."""


class Choice(Protocol):
    """Some of the tiles of a lattice."""

    def chosen(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield each block's rows and columns of the lattice, and which of its tiles count.

        The latter is (rows, cols) bool.
        """
        ...


@dataclass(frozen=True)
class Passes:
    """How tiles go through the network; nothing of it changes a feature.

    Attributes
    ----------
    at_once : int
        Tiles that go through the network together.
    threads : int
        Readers at work at once, and blocks that wait in memory.
    cache : Path
        Folder of the feature cache.
    """

    at_once: int
    threads: int
    cache: Path


def computed(
    slide: SlideReader,
    encoder: TileEncoder,
    lattice: TileLattice,
    choice: Choice,
    how: Passes,
    progress: Callable[[int, int], None],
) -> FeatureStore:
    """Return the features of tiles, computing those that the cache lacks.

    Parameters
    ----------
    progress : callable
        Called with (tiles done, tiles to do).

    Raises
    ------
    SlideError
        If a block cannot be read.
    ExtractorError
        If features cannot be stored.
    OutputError
        If the cache cannot be written.
    """
    store = opened(slide, encoder, lattice, how.cache)
    lacking = [
        block
        for cells, tiles in choice.chosen()
        if (block := lattice.block_of(cells, store.lacking(cells, tiles))) is not None
    ]
    n_tiles, done = sum(len(block.tiles) for block in lacking), 0
    progress(done, n_tiles)
    with Writing() as writing:
        chunks = _Chunks(store, writing)
        for batch in tile_features(slide, encoder, lattice, lacking, how.at_once, how.threads):
            chunks.add(batch)
            done += len(batch.tiles)
            progress(done, n_tiles)
        chunks.write()
    return store


class _Chunks:
    """Features that are written chunk by chunk, and those of the chunk that lacks some."""

    def __init__(self, store: FeatureStore, writing: Writing) -> None:
        self._store, self._writing = store, writing
        self._chunk: Window | None = None
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._written = time.monotonic()

    def add(self, batch: TileBatch) -> None:
        """Take a batch, whose tiles are in the order of the chunks."""
        side = self._store.chunk_cells
        of_chunks = batch.steps // side
        firsts = np.flatnonzero((np.diff(of_chunks, axis=0) != 0).any(axis=1)) + 1
        for part in np.split(np.arange(len(batch.steps)), firsts):
            row, col = (of_chunks[part[0]] * side).tolist()
            shape = self._store.shape
            chunk = Window(row, col, min(side, shape.rows - row), min(side, shape.cols - col))
            if chunk != self._chunk:
                self.write()
                self._chunk = chunk
            self._parts.append((batch.steps[part], batch.features[part]))
        if time.monotonic() - self._written > _WRITTEN_AFTER_S:
            self.write()

    def write(self) -> None:
        """Begin to write what is not written yet."""
        if self._parts and self._chunk is not None:
            steps, features = (np.concatenate(one) for one in zip(*self._parts, strict=True))
            self._writing.begin(partial(self._store.write_cells, self._chunk, steps, features))
            self._parts, self._written = [], time.monotonic()


def opened(
    slide: SlideReader, encoder: TileEncoder, lattice: TileLattice, cache: Path
) -> FeatureStore:
    """Return the store of the features of a lattice's tiles, created if it does not exist.

    Raises
    ------
    OutputError
        If the cache cannot be made.
    """
    key = lattice_key(encoded(slide, encoder, lattice.pixels), lattice.size)
    rows, cols = lattice.shape
    shape = rows, cols, encoder.channels
    return open_store(cache, key, slide.name, shape, KEPT_AS[encoder.precision])


def lattice_key(encoded: Encoded, size: TileSize) -> LatticeKey:
    """Return the key of the features of a slide's tiles of some size in the cache."""
    return LatticeKey(encoded, size.side_px, size.stride_px, size.block_tiles)


def bag_of(
    slide: SlideReader, lattice: TileLattice, choice: Choice, store: FeatureStore, **facts: Any
) -> Bag:
    """Return the bag of tiles whose features were computed, in the order of their blocks.

    Parameters
    ----------
    **facts
        The bag's digest, encoder and notes.

    Raises
    ------
    DamagedPieceError
        If features are damaged, or another process removed them.
    """
    steps: list[np.ndarray] = []
    features: list[np.ndarray] = []
    for cells, tiles in choice.chosen():
        if tiles.any():
            steps.append(np.argwhere(tiles) + np.array([cells.row, cells.col]))
            features.append(store.read_cells(cells, tiles))
    places = np.concatenate(steps) if steps else np.zeros((0, 2), np.int64)
    corners = lattice.corners(places)
    l0_cell, mpp = lattice.pixels.l0_cell, lattice.size.target_mpp
    l0_yx = np.concatenate([corners, corners + lattice.size.side_px], 1) * (*l0_cell, *l0_cell)
    return Bag(
        l0_places=l0_yx[:, [1, 0, 3, 2]],
        system=f"heatmaps-ome {__version__}",
        features=np.concatenate(features)
        if features
        else np.zeros((0, store.channels), np.float32),
        um_places=(corners[:, ::-1] * mpp).astype(np.float32),
        **facts,
    )
