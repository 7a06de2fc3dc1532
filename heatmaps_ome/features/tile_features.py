"""Slide → the feature of each tile on tissue, batch by batch, as in the training of MIL models.

A slide is read in blocks of tiles, only where tissue is, each pixel once but for the margins that
overlapping tiles of two blocks share. Tiles at the slide's edge are padded with white, the colour
of glass. The next batch is cut while the network is at one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice, tee
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.slides.reading import read_in_order
from heatmaps_ome.slides.waiting import READING, awaited

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.features.tile_lattice import TileBlock, TileLattice
    from heatmaps_ome.geometry import Window
    from heatmaps_ome.slides.reader import SlideReader


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles that went through the network together.

    Attributes
    ----------
    tiles : tuple of Window
        In network pixels.
    steps : (n, 2) int64
        Their rows and columns in the lattice.
    features : (n, channels) float32
    """

    tiles: tuple[Window, ...]
    steps: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, eq=False)
class _Cut:
    """Tiles before they go through the network; pixels are (n, side, side, 3) uint8."""

    tiles: tuple[Window, ...]
    steps: np.ndarray
    pixels: np.ndarray


def require_side(encoder: TileEncoder, side_px: int) -> None:
    """Refuse tiles of a side that an encoder does not take.

    Raises
    ------
    ExtractorError
        With the reason.
    """
    reason = encoder.unfit_side(side_px)
    if reason:
        raise ExtractorError(f"--tile-px: the extractor {encoder.name} {reason}")


def tile_features(
    slide: SlideReader,
    encoder: TileEncoder,
    lattice: TileLattice,
    blocks: Iterable[TileBlock],
    at_once: int,
    threads: int,
) -> Iterator[TileBatch]:
    """Yield the features of tiles, in the order of their blocks.

    Parameters
    ----------
    blocks : iterable of TileBlock
        Of the lattice.
    at_once : int
        Tiles that go through the network at once.
    threads : int
        Readers at work at once, and blocks that wait in memory.

    Raises
    ------
    SlideError
        If a block cannot be read.
    ExtractorError
        If the features are not one vector for each tile.
    """
    with closing(_cut_ahead(_tiles(slide, lattice, iter(blocks), threads), at_once)) as batches:
        for batch in awaited(READING, batches):
            features = encoder.tiles(batch.pixels)
            if features.shape != (len(batch.tiles), encoder.channels):
                raise ExtractorError(
                    f"the extractor {encoder.name} gives features of {features.shape} for "
                    f"{len(batch.tiles)} tiles, not one of {encoder.channels} numbers for each"
                )
            yield TileBatch(batch.tiles, batch.steps, features.astype(np.float32, copy=False))


_Tile = tuple["Window", np.ndarray, np.ndarray]
"""A tile, its row and column in the lattice, and its pixels."""


def _cut_ahead(tiles: Generator[_Tile], at_once: int) -> Generator[_Cut]:
    """Yield batches of tiles, the next of which is cut by a thread meanwhile."""

    def cut() -> _Cut | None:
        some = list(islice(tiles, at_once))
        if not some:
            return None
        places, steps, pixels = zip(*some, strict=True)
        return _Cut(places, np.stack(steps), np.stack(pixels))

    with closing(tiles), ThreadPoolExecutor(1, thread_name_prefix="cut") as thread:
        ahead = thread.submit(cut)
        try:
            while (batch := ahead.result()) is not None:
                ahead = thread.submit(cut)
                yield batch
        finally:
            # The generator of tiles must rest when it is closed.
            ahead.cancel()
            thread.shutdown()


def _tiles(
    slide: SlideReader, lattice: TileLattice, blocks: Iterator[TileBlock], threads: int
) -> Generator[_Tile]:
    """Yield each tile with its place in the lattice and its (side, side, 3) uint8 pixels."""
    blocks, ahead = tee(blocks)
    windows = (block.window for block in ahead)
    with closing(read_in_order(slide, lattice.pixels, windows, threads)) as images:
        yield from chain.from_iterable(
            (
                (tile, step, _cut(tile, block.window, pixels))
                for tile, step in zip(block.tiles, block.steps, strict=True)
            )
            for block, (_, pixels) in zip(blocks, images, strict=True)
        )


def _cut(tile: Window, window: Window, pixels: np.ndarray) -> np.ndarray:
    """Return a tile of a window's pixels, white where it reaches past them."""
    inside = tile.common(window)
    part = pixels[inside.within(window).slices]
    if inside == tile:
        return part
    out = np.full((tile.rows, tile.cols, 3), 255, np.uint8)
    out[inside.within(tile).slices] = part
    return out
