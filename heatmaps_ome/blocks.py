"""Which windows of a slide go through the network: only those with tissue, each with its halo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.geometry import Shape, Window, tiles_of

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Block:
    """One window of pixels and what to keep of its cells.

    Attributes
    ----------
    cells : Window
        The cells that this block gives, on the grid.
    pixels : Window
        The network pixels to read, halo included, clipped to the slide: there the network's
        own padding acts as it would on the whole image.
    keep : Window
        Where ``cells`` lie among the cells that the network returns for ``pixels``.
    """

    cells: Window
    pixels: Window
    keep: Window


def plan_blocks(
    tissue: np.ndarray, pixels: Shape, stride_px: int, halo_px: int, block_cells: int
) -> list[Block]:
    """Return the blocks that hold tissue, in reading order.

    Parameters
    ----------
    tissue : (rows, cols) bool
        Foreground cells of the grid.
    pixels : Shape
        Size of the slide in network pixels.
    stride_px, halo_px : int
        The extractor's; a halo is a multiple of the stride.
    block_cells : int
        Side of a block's core in cells.

    Raises
    ------
    ValueError
        If the halo is not a multiple of the stride: blocks would fall between cells.
    """
    if halo_px % stride_px:
        raise ValueError(f"a halo of {halo_px} px is not a multiple of the stride, {stride_px} px")
    return [
        _block(cells, pixels, stride_px, halo_px)
        for cells in tiles_of(Shape(*tissue.shape), block_cells)
        if tissue[cells.slices].any()
    ]


def _block(cells: Window, pixels: Shape, stride_px: int, halo_px: int) -> Block:
    """Return the block that gives these cells."""
    row, col = cells.row * stride_px, cells.col * stride_px
    rows = min(pixels.rows - row, cells.rows * stride_px)
    cols = min(pixels.cols - col, cells.cols * stride_px)
    read = Window(row, col, rows, cols).grown(halo_px, pixels)
    keep = Window(
        (row - read.row) // stride_px, (col - read.col) // stride_px, cells.rows, cells.cols
    )
    return Block(cells, read, keep)
