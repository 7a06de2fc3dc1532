"""A slide's tiles as in the training of MIL models: their places, and the feature of each alone.

Tiles lie side by side from the slide's corner, 7 × 7 cells each: 224 network pixels at a stride of
32. A tile counts as tissue if at least half of its cells do, as tiles of mostly background were
dropped before training; if a slide has no such tile, every tile with any tissue counts. Tiles at
the slide's edge are padded with white, the colour of glass.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.features.dense import KEPT_AS, encoded
from heatmaps_ome.features.pooling import TILE_CELLS
from heatmaps_ome.features.store import kept
from heatmaps_ome.geometry import Window, network_pixels
from heatmaps_ome.slides.reading import read_in_order
from heatmaps_ome.slides.waiting import READING, awaited
from heatmaps_ome.storage.cache import TilesKey
from heatmaps_ome.storage.pieces import WholePiece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.features.dense import Extraction
    from heatmaps_ome.slides.reader import SlideReader

_FEATURES = "features.npy"


@dataclass(frozen=True, eq=False)
class PlainTiles:
    """Tiles of a slide with their features.

    Attributes
    ----------
    windows : tuple of Window
        In cells; those at the slide's edges may reach past the grid.
    features : (n, channels) float32
        The feature of each tile alone.
    n_tissue_tiles : int
        Number of the slide's tiles that count as tissue, including these.
    """

    windows: tuple[Window, ...]
    features: np.ndarray
    n_tissue_tiles: int


def plain_tiles(
    slide: SlideReader,
    extractor: Extractor,
    tissue: np.ndarray,
    how: Extraction,
    limit: int,
    progress: Callable[[int, int], None],
) -> PlainTiles | None:
    """Return a slide's tissue tiles, or ``limit`` of them spread over it, with their features.

    Parameters
    ----------
    tissue : (rows, cols) bool
        Foreground cells of ``feature_grid``.
    limit : int
        Largest number of tiles; 0: none.
    progress : callable
        Called with (tiles done, tiles in all) if features are not in the cache.

    Returns
    -------
    PlainTiles or None
        None if there is no tissue, or no tile is wanted.

    Raises
    ------
    SlideError, ExtractorError, OutputError
        If tiles cannot be read, or their features cannot be stored.
    """
    all_windows = tissue_tiles(tissue)
    windows = spread(all_windows, limit)
    if not windows:
        return None
    features = _features(slide, extractor, windows, how, progress)
    return PlainTiles(tuple(windows), features, len(all_windows))


def tissue_tiles(tissue: np.ndarray) -> list[Window]:
    """Return the tiles that count as tissue, in cells, in reading order."""
    rows, cols = (-(-cells // TILE_CELLS) for cells in tissue.shape)
    whole = np.zeros((rows * TILE_CELLS, cols * TILE_CELLS), bool)
    whole[: tissue.shape[0], : tissue.shape[1]] = tissue
    counts = whole.reshape(rows, TILE_CELLS, cols, TILE_CELLS).sum(axis=(1, 3))
    places = np.argwhere(2 * counts >= TILE_CELLS**2)
    if not len(places):
        places = np.argwhere(counts > 0)
    return [
        Window(row * TILE_CELLS, col * TILE_CELLS, TILE_CELLS, TILE_CELLS)
        for row, col in places.tolist()
    ]


def spread(windows: list[Window], limit: int) -> list[Window]:
    """Return at most ``limit`` of the tiles, evenly spread, always the same, in their order.

    They are equal steps apart along a curve that fills the plane (Z-order), so that each stands for
    the same number of tiles around it; along rows, steps could fall into a few columns only.
    """
    if len(windows) <= limit:
        return windows
    along = sorted(range(len(windows)), key=lambda i: _z_order(windows[i]))
    steps = ((2 * k + 1) * len(windows) // (2 * limit) for k in range(limit))
    return [windows[i] for i in sorted(along[step] for step in steps)]


def _z_order(tile: Window) -> int:
    """Return a tile's place along the curve: the bits of its row and column in turn."""
    row, col = tile.row // TILE_CELLS, tile.col // TILE_CELLS
    bits = range(max(row, col).bit_length())
    return sum((row >> k & 1) << (2 * k + 1) | (col >> k & 1) << (2 * k) for k in bits)


def stand_ins(windows: tuple[Window, ...], tissue: np.ndarray, reach: int) -> np.ndarray:
    """Return the cell that stands for each tile in the dense grid, as a (rows, cols) bool mask.

    It is the cell at the tile's centre, tissue or not: pooled over 7 × 7 cells it is the mean of
    exactly that tile. Where pooling is narrower and reaches no tissue of the tile from there, it is
    the tile's cell nearest to the centre from which it does; among equals the first in reading
    order.

    Parameters
    ----------
    reach : int
        Reach of the pooling, in cells.
    """
    mask = np.zeros(tissue.shape, bool)
    for tile in windows:
        inside = tile.common(Window(0, 0, *tissue.shape))
        own = np.pad(tissue[inside.slices], reach)
        seen = np.lib.stride_tricks.sliding_window_view(own, (2 * reach + 1,) * 2).any(axis=(2, 3))
        places = np.argwhere(seen)
        distance = np.square(places - TILE_CELLS // 2).sum(axis=1)
        row, col = places[np.argmin(distance)]
        mask[inside.row + row, inside.col + col] = True
    return mask


def batches(n_tiles: int, extractor: Extractor, block_px: int) -> list[int]:
    """Return the sizes of the batches of tiles that go through the network."""
    size = batch_size(TILE_CELLS * extractor.stride_px, extractor, block_px)
    return [min(size, n_tiles - first) for first in range(0, n_tiles, size)]


def batch_size(side_px: int, extractor: Extractor, block_px: int) -> int:
    """Return the number of tiles that go through the network at once.

    A batch takes no more memory than the largest block with its halo, which is accounted for; its
    pixels take a fifth more than a block's, as no part of their maps is cut off on the way. Larger
    batches are faster: 64 tiles take half of the time of 8, on a CPU too.

    Parameters
    ----------
    side_px : int
        Side of a tile in network pixels.
    """
    return max(1, 4 * (block_px + 2 * extractor.halo_px) ** 2 // (5 * side_px**2))


def _features(
    slide: SlideReader,
    extractor: Extractor,
    windows: list[Window],
    how: Extraction,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Return the tiles' features from the cache, computing and adding them if need be."""
    lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
    places = tuple((tile.row, tile.col) for tile in windows)
    key = TilesKey(encoded(slide, extractor, lattice), TILE_CELLS, places)
    piece = WholePiece(how.cache, key, slide.name)
    features = _stored(piece, (len(windows), extractor.channels))
    if features is None:
        computed = np.concatenate(list(_computed(slide, extractor, windows, how, progress)))
        features = kept(computed, np.dtype(KEPT_AS[extractor.precision]))
        piece.write(lambda partial: np.save(partial / _FEATURES, features))
    # Rounded as in the cache, so that a second run gives identical results.
    return features.astype(np.float32)


def _stored(piece: WholePiece, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the features that a piece holds, or None if they are not there or damaged."""
    if not piece.is_intact():
        return None
    try:
        features = np.load(piece.folder / _FEATURES)
    except (OSError, ValueError, EOFError):
        # Another process removed it meanwhile.
        return None
    return features if features.shape == shape else None


def _computed(
    slide: SlideReader,
    extractor: Extractor,
    windows: list[Window],
    how: Extraction,
    progress: Callable[[int, int], None],
) -> Iterator[np.ndarray]:
    """Yield the (n, channels) float32 features of the tiles, batch by batch."""
    lattice = network_pixels(slide.shape, slide.mpp, how.target_mpp)
    places = [_in_pixels(tile, extractor.stride_px) for tile in windows]
    on_slide = (place.common(Window(0, 0, *lattice.shape)) for place in places)
    done = 0
    progress(done, len(windows))
    with closing(read_in_order(slide, lattice, on_slide, how.threads)) as images:
        for size in batches(len(windows), extractor, how.block_px):
            tiles = np.full((size, *places[0][2:], 3), 255, np.uint8)
            for tile, (_, pixels) in zip(tiles, awaited(READING, images), strict=False):
                tile[: len(pixels), : pixels.shape[1]] = pixels
            yield extractor.tiles(tiles)
            done += size
            progress(done, len(windows))


def _in_pixels(cells: Window, stride_px: int) -> Window:
    """Return the network pixels of a window of cells."""
    return Window(*(number * stride_px for number in cells))
