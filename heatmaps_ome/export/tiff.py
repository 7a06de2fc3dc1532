"""Writes ``<slide>.<map>.ome.tiff``: pyramidal RGBA overlays that desktop viewers open.

The raw values go along as ``<slide>.values.ome.tiff``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.display import pictured
from heatmaps_ome.export.ome_xml import OmeImage, ome_xml
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.export.rasterise import coloured_cells
from heatmaps_ome.export.tiff_chain import chain_sub_ifds
from heatmaps_ome.export.tiff_pyramid import lazy_raster, padded_shape, save_pyramid
from heatmaps_ome.export.value_tiff import write_value_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult


@dataclass(frozen=True)
class TiffExporter:
    """Writes an overlay of every map but the tissue, and the raw values.

    Attributes
    ----------
    settings : Settings
    """

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
        overlays = [self._write_map(shown, result, folder) for shown in pictured(result.maps)]
        return [*overlays, write_value_tiff(result, folder)]

    def _write_map(self, shown: DisplayMap, result: SlideResult, folder: Path) -> Path:
        """Write one overlay."""
        path = folder / f"{result.slide.name}.{shown.name}.ome.tiff"
        raster = result.raster
        shape = padded_shape(raster.shape)
        image = lazy_raster(coloured_cells(shown), shown.grid, raster, shape, 0)
        facts = OmeImage(
            name=f"{result.slide.name}: {shown.title}",
            shape=shape,
            um_pixel=raster.um_cell,
            pixel_type="uint8",
            channels=((shown.quantity, None),),
            samples=4,
            interleaved=True,
        )
        coloured = image.copy(interpretation="srgb")
        save_pyramid(coloured, path, ome_xml(facts, planes=True), raster, "mean", shape.rows)
        if self.settings.chain:
            chain_sub_ifds(path)
        return path
