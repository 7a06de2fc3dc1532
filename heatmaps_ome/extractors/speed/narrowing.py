"""Halos that get narrower from layer to layer, so that only needed pixels are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Window


def narrowed(
    maps: torch.Tensor, keep: Window | None, cell_px: int, halo: int, before: int | None
) -> torch.Tensor:
    """Return maps cropped to some cells and a halo around them.

    The next layers pad a crop with zeros instead of the real pixels; but the wrong values do not
    reach the cells in ``keep`` if the halo is as wide as the reach of the layers that follow.

    Parameters
    ----------
    maps : (n, channels, rows, cols)
    keep : Window or None
        The needed cells, among those of the whole image; None returns the maps unchanged.
    cell_px : int
        Width of a cell in pixels of the maps.
    halo : int
        Cells to keep on each side, as far as the maps have them.
    before : int or None
        The halo of the call before; None if there was none.
    """
    if keep is None:
        return maps
    rows = _kept(keep.row, keep.row_stop, cell_px, halo, before)
    cols = _kept(keep.col, keep.col_stop, cell_px, halo, before)
    return maps[:, :, rows, cols].contiguous(memory_format=torch.channels_last)


def _kept(first: int, stop: int, cell_px: int, halo: int, before: int | None) -> slice:
    """Return the pixels to keep along one axis; the image's own edges are not cropped."""
    origin = 0 if before is None else max(0, first - before)
    return slice((max(0, first - halo) - origin) * cell_px, (stop + halo - origin) * cell_px)
