"""Writes ``figures/``: for papers and talks, with text as text and pictures of 300 dpi.

There is a sheet that sums the slide up, each preview as PDF and SVG, and each map and its colour
bar bare, without any words around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.display.display_map import pictured
from heatmaps_ome.display.rasterise import BurntMap, sampled_strips
from heatmaps_ome.exporters.figures.curves import curves_figure
from heatmaps_ome.exporters.figures.framed import framed, legend_figure
from heatmaps_ome.exporters.figures.layout import DPI
from heatmaps_ome.exporters.figures.overview import Photograph, overview, tiles_shown
from heatmaps_ome.exporters.figures.vector import PICTURE_DPI, encoded, placed, save_figure
from heatmaps_ome.exporters.png import caption_of, curves_by_name, thumbnail_lattice
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiles import tile_picture
from heatmaps_ome.slides.reading import read_strips

if TYPE_CHECKING:
    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

FOLDER: Final = "figures"
OVERVIEW: Final = "overview"
_STRIP_ROWS = 256
_OPAQUE = 255
_TILE_PX = 320
"""Longer side of a tile on the sheet, which is printed an inch wide."""


@dataclass(frozen=True)
class FiguresExporter:
    """Writes figures for papers and talks.

    Attributes
    ----------
    settings : Settings
    longest_side_pt : int
        Upper limit of the slide's longer side in a figure; 72 pt are an inch.
    """

    settings: Settings = Settings()
    longest_side_pt: int = 760

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write ``figures/`` into a folder and return the paths of its files."""
        figures = folder / FOLDER
        figures.mkdir()
        fine_px = self.longest_side_pt * PICTURE_DPI // DPI
        pixels = thumbnail_lattice(result.slide, fine_px)
        strips = read_strips(result.slide, pixels, _STRIP_ROWS, self.settings.threads)
        slide = Photograph(np.concatenate(list(strips)), pixels)
        paths = self._write_sheet(result, slide, figures / OVERVIEW)
        extent = thumbnail_lattice(result.slide, self.longest_side_pt)
        for drawn in pictured(result.maps):
            names = _names(drawn.name)
            if result.earlier.take(drawn.name, folder, *(f"{FOLDER}/{name}" for name in names)):
                paths += [figures / name for name in names]
            else:
                paths += _write_map(drawn, result, slide, extent, figures)
        maps = result.heatmaps
        for name, curves in curves_by_name(result).items():
            figure = curves_figure(curves, result.slide.name, maps.target, maps.unit_name)
            paths += save_figure(figure, figures / name)
        return paths

    def _write_sheet(self, result: SlideResult, slide: Photograph, path: Path) -> list[Path]:
        """Write the sheet that sums the slide up."""
        read = partial(tile_picture, result.slide, longest_px=_TILE_PX)
        tiles = [read(tile) for tile in tiles_shown(result)]
        return save_figure(overview(result, slide, tiles), path, ("png", "pdf"))


def _names(map_name: str) -> list[str]:
    """Return the names of a map's files."""
    kinds = ("overlay", "map", "bar")
    vectors = [f"{map_name}-{kind}.{ending}" for kind in kinds for ending in ("pdf", "svg")]
    return [*vectors, f"{map_name}-overlay-bare.jpg", f"{map_name}-map-bare.png"]


def _write_map(
    drawn: DisplayMap, result: SlideResult, slide: Photograph, extent: Grid, folder: Path
) -> list[Path]:
    """Write a map over the slide and alone, with words and bare, and its colour bar."""
    over = BurntMap(drawn, slide.lattice).over(slide.pixels, 0)
    alone = _alone(drawn, slide.lattice)
    stems = [folder / f"{drawn.name}-{kind}" for kind in ("overlay", "map", "bar")]
    bare = [Path(f"{stems[0]}-bare.jpg"), Path(f"{stems[1]}-bare.png")]
    bare[0].write_bytes(encoded(over, photograph=True))
    bare[1].write_bytes(encoded(alone, photograph=False))
    around = framed(extent, caption_of(drawn, result), drawn)
    paths = save_figure(legend_figure(drawn), stems[2])
    for stem, pixels, photograph in ((stems[0], over, True), (stems[1], _on_white(alone), False)):
        picture = placed(around, extent, pixels, slide.lattice, photograph=photograph)
        paths += save_figure(around.figure, stem, picture=picture)
    return [*bare, *paths]


def _alone(drawn: DisplayMap, lattice: Grid) -> np.ndarray:
    """Return a map cell by cell, transparent where it has none: (rows, cols, 4) uint8."""
    cells = np.take(drawn.colours, drawn.levels, axis=0)
    [(_, picture)] = sampled_strips(cells, drawn.grid, lattice, lattice.shape.rows)
    return picture


def _on_white(picture: np.ndarray) -> np.ndarray:
    """Return RGBA that is opaque or transparent on white, as (rows, cols, 3) uint8."""
    return np.where(picture[..., 3:] == _OPAQUE, picture[..., :3], np.uint8(255))
