"""Slide → features: blocks are read by threads, put through the network, and kept in the cache."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.blocks import plan_blocks
from heatmaps_ome.cache import FeatureStore, open_store
from heatmaps_ome.geometry import Grid, Shape, network_pixels
from heatmaps_ome.reading import read_in_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.slide import SlideReader


@dataclass(frozen=True)
class Extraction:
    """How features are made.

    Attributes
    ----------
    target_mpp : float
        µm per network pixel; a property of the MIL model's training features.
    block_px : int
        Side of a block's core in network pixels.
    threads : int
        Readers at work at once; also the number of blocks that wait in memory.
    cache : Path
        Folder of the feature cache.
    """

    target_mpp: float
    block_px: int
    threads: int
    cache: Path

    def block_cells(self, extractor: Extractor) -> int:
        """Side of a block's core in cells."""
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
    tissue: np.ndarray,
    how: Extraction,
    progress: Callable[[int, int], None],
) -> FeatureStore:
    """Return a slide's features, computing the blocks with tissue that the cache lacks.

    Parameters
    ----------
    tissue : (rows, cols) bool
        Foreground cells of ``feature_grid``.
    progress : callable
        Told (blocks done, blocks in all), those from the cache included.

    Raises
    ------
    SlideError
        If a block cannot be read.
    OutputError
        If the cache cannot be written.
    """
    pixels = network_pixels(slide.shape, slide.mpp, how.target_mpp)
    block_cells = how.block_cells(extractor)
    store = open_store(
        how.cache, _identity(slide, extractor, pixels), Shape(*tissue.shape),
        extractor.channels, block_cells,
    )  # fmt: skip
    planned = plan_blocks(tissue, pixels.shape, extractor.stride_px, extractor.halo_px, block_cells)
    missing = [block for block in planned if not store.has(block.cells)]
    done = len(planned) - len(missing)
    progress(done, len(planned))
    windows = (block.pixels for block in missing)
    with closing(read_in_order(slide, pixels, windows, how.threads)) as images:
        for block, (_, image) in zip(missing, images, strict=True):
            store.write(block.cells, extractor(image)[:, *block.keep.slices])
            done += 1
            progress(done, len(planned))
    return store


def _identity(slide: SlideReader, extractor: Extractor, pixels: Grid) -> dict[str, object]:
    """Return all that a slide's features depend on."""
    return {
        "slide": slide.fingerprint(),
        "mpp": list(slide.mpp),
        "extractor": extractor.digest,
        "l0_network_pixel": list(pixels.l0_cell),
        "read_from": slide.read_from,
    }
