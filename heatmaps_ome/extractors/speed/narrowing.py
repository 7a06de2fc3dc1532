"""Halos that get narrower from layer to layer: what no cell asked for depends on isn't computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Window


def narrowed(
    maps: torch.Tensor, keep: Window | None, cell_px: int, halo: int, before: int | None
) -> torch.Tensor:
    """Return maps without what lies beyond a halo around some cells.

    Whatever a cut has beside it is padded with zeros by the next layers, which is wrong; but the
    wrong pixels reach no cell asked for if the halo is as wide as the layers that follow see.

    Parameters
    ----------
    maps : (n, channels, rows, cols)
    keep : Window or None
        The cells asked for, among those of the whole image; None leaves the maps as they are.
    cell_px : int
        Pixels of the maps that a cell is wide.
    halo : int
        How many cells on each side stay, where there are so many.
    before : int or None
        How many an earlier call has left; None if there was none.
    """
    if keep is None:
        return maps
    rows = _kept(keep.row, keep.row_stop, cell_px, halo, before)
    cols = _kept(keep.col, keep.col_stop, cell_px, halo, before)
    return maps[:, :, rows, cols].contiguous(memory_format=torch.channels_last)


def _kept(first: int, stop: int, cell_px: int, halo: int, before: int | None) -> slice:
    """Return the pixels that stay along one axis; beyond the image there are none to cut."""
    origin = 0 if before is None else max(0, first - before)
    return slice((max(0, first - halo) - origin) * cell_px, (stop + halo - origin) * cell_px)
