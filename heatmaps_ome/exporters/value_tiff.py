"""Writes ``<slide>.values.ome.tiff``: the raw values as float32 channels that QuPath colours.

A TIFF has no translation, so the cells are drawn on a lattice anchored at the slide's corner, whose
pixels are a fourth of a cell: edges of cells lie within an eighth of a cell of their true place,
and every pixel holds a raw value unchanged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.rasterise import lazy_raster
from heatmaps_ome.exporters import endings_of
from heatmaps_ome.exporters.earlier import SLIDE
from heatmaps_ome.geometry import Grid, raster_pixels
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.ome.ome_xml import OmeImage, ome_xml
from heatmaps_ome.ome.tiff_pyramid import padded_shape, save_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import SlideResult

_, ENDING = endings_of("ome-tiff")


def value_lattice(result: SlideResult) -> Grid:
    """Return the lattice that values are drawn on: about four pixels across a cell."""
    slide, grid = result.slide, result.heatmaps.grid
    return raster_pixels(slide.shape, slide.mpp, grid.l0_cell, largest=math.ceil(max(grid.l0_cell)))


def write_value_tiff(result: SlideResult, folder: Path) -> Path:
    """Write all channels of a slide's raw values, NaN outside the tissue, and return the path.

    Each channel is a page of its own with its pyramid in SubIFDs, as Bio-Formats names channels.
    Coarser levels hold every other pixel: with a mean, NaN would spread over the tissue's edges,
    and pixels would have values that no cell has.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import pyvips

    heatmaps, lattice = result.heatmaps, value_lattice(result)
    path = folder / f"{result.slide.name}{ENDING}"
    if result.earlier.take(SLIDE, folder, path.name):
        return path
    shape, channel_list = padded_shape(lattice.shape), channels(heatmaps)
    pages = [
        lazy_raster(channel.values, heatmaps.grid, lattice, shape, np.nan)
        for channel in channel_list
    ]
    facts = OmeImage(
        name=f"{result.slide.name}: values",
        shape=shape,
        um_pixel=lattice.um_cell,
        pixel_type="float",
        channels=tuple((channel.name, None) for channel in channel_list),
    )
    roll = pyvips.Image.arrayjoin(pages, across=1)
    save_pyramid(roll, path, ome_xml(facts, planes=True), lattice, "nearest", shape.rows)
    return path
