"""Writes ``<slide>.<map>.ome.tiff``: pyramidal RGBA overlays that desktop viewers open.

The raw values are written too, as ``<slide>.values.ome.tiff``.

A TIFF has no translation, so overlays are drawn on a lattice anchored at the slide's corner. Its
pixels are a whole number of level-0 pixels, as a rule an eighth of a cell, so that edges of cells
lie within a sixteenth of a cell of their true place. Viewers scale by physical size.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.display import patchwork
from heatmaps_ome.display.display_map import pictured
from heatmaps_ome.display.rasterise import coloured_cells, lazy_raster
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.value_tiff import write_value_tiff
from heatmaps_ome.geometry import anchored_pixels
from heatmaps_ome.ome.ome_xml import OmeImage, ome_xml
from heatmaps_ome.ome.tiff_chain import chain_sub_ifds
from heatmaps_ome.ome.tiff_pyramid import padded_shape, save_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

_PIXELS_PER_CELL = 8
_FEW_PIXELS = 32
"""Pixels across a cell up to which libvips draws an overlay pixel by pixel. Finer ones are drawn by
rows, which at full resolution takes a tenth of the time."""


@dataclass(frozen=True)
class TiffExporter:
    """Writes an overlay of every map but the tissue, and the raw values."""

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return why libvips cannot be used here, or None if it can."""
        try:
            importlib.import_module("pyvips")
        except (ImportError, OSError) as error:
            return (
                f"OME-TIFF needs libvips, which cannot be loaded ({error}); "
                "install pyvips-binary or leave TIFF out"
            )
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write an overlay per map, and the raw values, into a folder; return their paths."""
        overlays = [self.write_overlay(drawn, result, folder) for drawn in pictured(result.maps)]
        return [*overlays, write_value_tiff(result, folder)]

    def write_overlay(self, drawn: DisplayMap, result: SlideResult, folder: Path) -> Path:
        """Write the overlay of one map into a folder and return its path.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        path = folder / f"{result.slide.name}.{drawn.name}.ome.tiff"
        if result.earlier.take(drawn.name, folder, path.name):
            return path
        lattice = overlay_lattice(result, self.settings.overlay_px)
        shape = padded_shape(lattice.shape)
        facts = OmeImage(
            name=f"{result.slide.name}: {drawn.title}",
            shape=shape,
            um_pixel=lattice.um_cell,
            pixel_type="uint8",
            channels=((drawn.quantity, None),),
            samples=4,
            interleaved=True,
        )
        text = ome_xml(facts, planes=True)
        if min(drawn.grid.l0_cell.over(lattice.l0_cell)) > _FEW_PIXELS:
            # Here, as importing tifffile takes a sixth of a second.
            from heatmaps_ome.exporters.overlay_tiff import write_picture

            picture = patchwork.drawn(coloured_cells(drawn), drawn.grid, lattice, shape)
            write_picture(picture, path, text, lattice.um_cell)
        else:
            image = lazy_raster(coloured_cells(drawn), drawn.grid, lattice, shape, 0)
            coloured = image.copy(interpretation="srgb")
            save_pyramid(coloured, path, text, lattice, "mean", shape.rows)
        if self.settings.chain:
            chain_sub_ifds(path)
        return path


def overlay_lattice(result: SlideResult, l0_pixel: int | None) -> Grid:
    """Return the lattice that overlays are drawn on.

    Parameters
    ----------
    l0_pixel : int or None
        Level-0 pixels of one of its pixels, or less where a cell is smaller, as every cell must be
        drawn; None: an eighth of a cell, rounded down.
    """
    slide, cell = result.slide, min(result.heatmaps.grid.l0_cell)
    wanted = cell / _PIXELS_PER_CELL if l0_pixel is None else min(l0_pixel, cell)
    return anchored_pixels(slide.shape, slide.mpp, max(1, math.floor(wanted)))
