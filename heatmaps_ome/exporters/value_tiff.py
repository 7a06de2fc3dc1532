"""Writes ``<slide>.values.ome.tiff``: the raw values as float32 channels, a pixel for each cell.

No value is drawn, so none can lie at another cell's place: PhysicalSize is the size of a cell, and
a plane's Position the place of the first cell's outer corner, as maps.json states them too. Our
script for QuPath finds the cell around each place by arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters import endings_of
from heatmaps_ome.exporters.earlier import SLIDE
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.maps.kinds import ARTEFACTS
from heatmaps_ome.ome.ome_xml import OmeImage, ome_xml
from heatmaps_ome.ome.tiff_pyramid import save_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

_, ENDING = endings_of("ome-tiff")


def write_value_tiff(result: SlideResult, folder: Path) -> Path:
    """Write all channels of a slide's raw values, NaN outside the tissue, and return the path.

    Each channel is a page of its own, as Bio-Formats names channels. There are no coarser levels:
    their pixels would have values that no cell has, or lack some cell's.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import pyvips

    heatmaps, grid = result.heatmaps, result.heatmaps.grid
    path = folder / f"{result.slide.name}{ENDING}"
    if result.earlier.take(SLIDE, folder, path.name):
        return path
    planes = planes_of(heatmaps)
    facts = OmeImage(
        name=f"{result.slide.name}: values",
        shape=grid.shape,
        um_pixel=grid.um_cell,
        pixel_type="float",
        channels=tuple((name, None) for name in planes),
        um_origin=grid.um_origin,
    )
    roll = pyvips.Image.new_from_array(np.concatenate(list(planes.values())))
    save_pyramid(roll, path, ome_xml(facts, planes=True), grid, None, grid.shape.rows)
    return path


def planes_of(heatmaps: HeatmapSet) -> dict[str, np.ndarray]:
    """Return the planes of a slide's values by name, (rows, cols) float32.

    They are the channels of the raw values, and the number of each tissue cell's kind of artefact,
    0 for none, where artefacts are known: what QuPath shows of them it has from here.
    """
    planes = {channel.name: channel.values for channel in channels(heatmaps)}
    if heatmaps.artefacts is not None:
        known = np.where(heatmaps.tissue, heatmaps.artefacts, np.nan)
        planes[ARTEFACTS] = known
    return {name: plane.astype(np.float32, copy=False) for name, plane in planes.items()}
