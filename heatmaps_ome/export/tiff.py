"""Writes ``<slide>.<map>.ome.tiff``: pyramidal RGBA overlays that desktop viewers open."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import OutputError
from heatmaps_ome.export.ome_xml import OmeImage, ome_xml
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.export.rasterise import coloured_cells
from heatmaps_ome.export.tiff_chain import chain_sub_ifds
from heatmaps_ome.geometry import Shape

if TYPE_CHECKING:
    from pathlib import Path

    import pyvips

    from heatmaps_ome.display import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

_TILE = 256
_UM_PER_MM = 1000
_LEFT_OUT = "tissue"


@dataclass(frozen=True)
class TiffExporter:
    """Writes an overlay of every map but the tissue.

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
        """Write an overlay per map into a folder and return their paths."""
        return [
            self._write_map(shown, result, folder)
            for shown in result.maps
            if shown.name != _LEFT_OUT
        ]

    def _write_map(self, shown: DisplayMap, result: SlideResult, folder: Path) -> Path:
        """Write one overlay."""
        path = folder / f"{result.slide.name}.{shown.name}.ome.tiff"
        raster = result.raster
        shape = padded_shape(raster.shape)
        image = lazy_raster(coloured_cells(shown), shown.grid, raster, shape)
        facts = OmeImage(
            name=f"{result.slide.name}: {shown.title}",
            shape=shape,
            um_pixel=raster.um_cell,
            pixel_type="uint8",
            channels=((shown.quantity, None),),
            samples=4,
            interleaved=True,
        )
        _save(image, path, ome_xml(facts, planes=True), raster)
        if self.settings.chain:
            chain_sub_ifds(path)
        return path


def padded_shape(shape: Shape) -> Shape:
    """Return the size at which every halving down to one tile is exact.

    libvips rounds levels down, so that viewers would find scales like 2.0008 instead of 2.

    >>> padded_shape(Shape(513, 3))
    Shape(rows=516, cols=4)
    """
    halvings = 0
    while max(shape.halved(halvings)) > _TILE:
        halvings += 1
    coarsest = shape.halved(halvings)
    return Shape(coarsest.rows << halvings, coarsest.cols << halvings)


def lazy_raster(rgba: np.ndarray, grid: Grid, raster: Grid, shape: Shape) -> pyvips.Image:
    """Return cells drawn on a raster, equal to ``geometry.sample`` but computed tile by tile.

    Parameters
    ----------
    rgba : (rows, cols, 4) uint8
        Colours of the grid's cells.
    shape : Shape
        Size of the result; beyond the raster it is transparent.
    """
    import pyvips

    rows, cols = (
        np.pad(index, (0, size - len(index)), constant_values=-1)
        for index, size in zip(grid.cells_under(raster), shape, strict=True)
    )
    # Cells wear a transparent rim, on which -1 falls.
    cells = pyvips.Image.new_from_array(np.pad(rgba, [(1, 1), (1, 1), (0, 0)]))
    x = pyvips.Image.new_from_array((cols + 1).astype(np.int32)[None, :]).zoom(1, shape.rows)
    y = pyvips.Image.new_from_array((rows + 1).astype(np.int32)[:, None]).zoom(shape.cols, 1)
    nearest = pyvips.Interpolate.new("nearest")
    return cells.mapim(x.bandjoin(y), interpolate=nearest).copy(interpretation="srgb")


def _save(image: pyvips.Image, path: Path, description: str, raster: Grid) -> None:
    """Write a tiled pyramid with straight alpha and no loss."""
    import pyvips

    described = image.copy()
    described.set_type(pyvips.GValue.gstr_type, "image-description", description)
    try:
        described.tiffsave(
            str(path),
            compression="deflate",
            predictor="horizontal",
            tile=True,
            tile_width=_TILE,
            tile_height=_TILE,
            pyramid=True,
            subifd=True,
            bigtiff=True,
            # libvips weighs colours by alpha in its mean.
            region_shrink="mean",
            xres=_UM_PER_MM / raster.um_cell.x,
            yres=_UM_PER_MM / raster.um_cell.y,
        )
    except pyvips.Error as error:
        raise OutputError(
            f"{path} cannot be written ({' '.join(str(error).split())}); is there space left?"
        ) from error
