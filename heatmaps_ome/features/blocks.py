"""Plan the windows of network pixels for each pass: all tissue, little else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatmaps_ome.geometry import Shape, Window


@dataclass(frozen=True)
class Block:
    """A window of cells with the pixels that the network needs for them.

    Attributes
    ----------
    cells : Window
        The core, in cells of the grid.
    pixels : Window
        Core and halo in network pixels, cut at the slide's edges so that the network pads there
        just as it would on the whole image.
    keep : Window
        Where ``cells`` lie among the cells that the network returns for ``pixels``.
    """

    cells: Window
    pixels: Window
    keep: Window


@dataclass(frozen=True)
class BlockPixels:
    """The network pixels that cells need.

    Attributes
    ----------
    slide : Shape
        Size of the slide in network pixels.
    stride_px, halo_px : int
        The extractor's.

    Raises
    ------
    ValueError
        If the halo is not a multiple of the stride: blocks would fall between cells.
    """

    slide: Shape
    stride_px: int
    halo_px: int

    def __post_init__(self) -> None:
        """Refuse a halo between two cells."""
        if self.halo_px % self.stride_px:
            raise ValueError(
                f"a halo of {self.halo_px} px is not a multiple of the stride, {self.stride_px} px"
            )

    def read(self, cells: Window) -> Window:
        """Return the network pixels that these cells need, the halo included."""
        row, col = cells.row * self.stride_px, cells.col * self.stride_px
        rows = min(self.slide.rows - row, cells.rows * self.stride_px)
        cols = min(self.slide.cols - col, cells.cols * self.stride_px)
        return Window(row, col, rows, cols).grown(self.halo_px, self.slide)

    def block(self, cells: Window) -> Block:
        """Return the block that gives these cells."""
        read = self.read(cells)
        first = (cells.row - read.row // self.stride_px, cells.col - read.col // self.stride_px)
        return Block(cells, read, Window(*first, cells.rows, cells.cols))


def plan_blocks(tissue: np.ndarray, within: Window, pixels: BlockPixels) -> list[Block]:
    """Return blocks that hold all tissue cells of a window and cost the network the least.

    A window is shrunk to its tissue, and cut in two wherever the parts, each shrunk to its own
    tissue, have fewer pixels with their halos than the whole; greedily, which for tissue is close
    to the best and takes milliseconds.

    Parameters
    ----------
    tissue : (within.rows, within.cols) bool
        Cells to compute, in the window.
    within : Window
        Where they lie in the grid; bounds the size of blocks.
    """
    return [pixels.block(cells) for cells in _parts(tissue, within, pixels)]


def _parts(tissue: np.ndarray, within: Window, pixels: BlockPixels) -> list[Window]:
    """Return windows of cells without an overlap that hold all tissue."""
    cells = _shrunk(tissue, within)
    if cells is None:
        return []
    best, parts = pixels.read(cells).area, None
    for halves in _cuts(cells):
        shrunk = [_shrunk(tissue[half.within(within).slices], half) for half in halves]
        cost = sum(pixels.read(half).area for half in shrunk if half is not None)
        if cost < best:
            best, parts = cost, halves
    if parts is None:
        return [cells]
    return [
        cell_window
        for part in parts
        for cell_window in _parts(tissue[part.within(within).slices], part, pixels)
    ]


def _cuts(cells: Window) -> list[tuple[Window, Window]]:
    """Return all ways to cut a window in two along one line of cells."""
    row, col, rows, cols = cells
    across = [
        (Window(row, col, n, cols), Window(row + n, col, rows - n, cols)) for n in range(1, rows)
    ]
    down = [
        (Window(row, col, rows, n), Window(row, col + n, rows, cols - n)) for n in range(1, cols)
    ]
    return across + down


def _shrunk(tissue: np.ndarray, cells: Window) -> Window | None:
    """Return the least window that holds a window's tissue, or None if it has none."""
    rows, cols = np.flatnonzero(tissue.any(axis=1)), np.flatnonzero(tissue.any(axis=0))
    if not rows.size:
        return None
    return Window(
        cells.row + int(rows[0]), cells.col + int(cols[0]),
        int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1,
    )  # fmt: skip
