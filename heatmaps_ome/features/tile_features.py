"""Slide → the feature of each tile on tissue, batch by batch, as in the training of MIL models.

A slide is read in blocks of tiles, only where tissue is, each pixel once but for the margins that
overlapping tiles of two blocks share. Tiles at the slide's edge are padded with white, the colour
of glass.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice, tee
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.features.plain_tiles import batch_size
from heatmaps_ome.slides.reading import read_in_order

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.features.tile_lattice import TileBlock, TileLattice, TissueTiles
    from heatmaps_ome.geometry import Window
    from heatmaps_ome.slides.reader import SlideReader


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles that went through the network together.

    Attributes
    ----------
    tiles : tuple of Window
        In network pixels.
    features : (n, channels) float32
    """

    tiles: tuple[Window, ...]
    features: np.ndarray


def require_side(extractor: Extractor, side_px: int) -> None:
    """Refuse tiles of a side that an extractor does not take.

    Raises
    ------
    ExtractorError
        If the side is no whole number of cells.
    """
    reason = extractor.unfit_side(side_px)
    if reason:
        raise ExtractorError(f"--tile-px: the extractor {extractor.name} {reason}")


def tile_features(
    slide: SlideReader,
    extractor: Extractor,
    lattice: TileLattice,
    chosen: TissueTiles,
    block_px: int,
    threads: int,
) -> Iterator[TileBatch]:
    """Yield the features of a slide's tiles on tissue, in the order of their blocks.

    Parameters
    ----------
    chosen : TissueTiles
        Of the lattice.
    block_px : int
        Side of a block of the dense network that fits into memory; a batch takes as much.
    threads : int
        Readers at work at once, and blocks that wait in memory.

    Raises
    ------
    SlideError
        If a block cannot be read.
    ExtractorError
        If the features are not one vector for each tile.
    """
    size = batch_size(lattice.size.side_px, extractor, block_px)
    cut = _tiles(slide, lattice, iter(chosen), threads)
    with closing(cut):
        while batch := list(islice(cut, size)):
            features = extractor.tiles(np.stack([pixels for _, pixels in batch]))
            if features.shape != (len(batch), extractor.channels):
                raise ExtractorError(
                    f"the extractor {extractor.name} gives features of {features.shape} for "
                    f"{len(batch)} tiles, not one of {extractor.channels} numbers for each"
                )
            yield TileBatch(tuple(tile for tile, _ in batch), features.astype(np.float32))


def _tiles(
    slide: SlideReader, lattice: TileLattice, blocks: Iterator[TileBlock], threads: int
) -> Generator[tuple[Window, np.ndarray]]:
    """Yield each tile with its (side, side, 3) uint8 pixels."""
    blocks, ahead = tee(blocks)
    windows = (block.window for block in ahead)
    with closing(read_in_order(slide, lattice.pixels, windows, threads)) as images:
        yield from chain.from_iterable(
            ((tile, _cut(tile, block.window, pixels)) for tile in block.tiles)
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
