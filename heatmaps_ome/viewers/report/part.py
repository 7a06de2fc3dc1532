"""Writes ``<slide>.report.json``: everything that the run's report shows of one slide."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.display_map import ATTENTION, MARGIN, TISSUE
from heatmaps_ome.export.manifest import grid_facts, map_facts, slide_facts
from heatmaps_ome.export.png import thumbnail_lattice
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.export.tiles import tile_pixels
from heatmaps_ome.maps.ensemble import all_channel_names, all_channels
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.slides.reading import read_strips
from heatmaps_ome.viewers.report.facts import cohort_row, sections
from heatmaps_ome.viewers.report.packing import (
    FINE,
    PLAIN,
    packed_levels,
    packed_mask,
    packed_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.slides.reader import SlideReader

PART: Final = ".report.json"
"""How the file's name ends."""
PART_FORMAT: Final = "heatmaps-ome report part 2"
_EVENLY_SPREAD: Final = (ATTENTION, "score", MARGIN)
"""Kinds of maps whose small values matter no more than the large."""
_STRIP_ROWS = 256
_QUALITY = 80


@dataclass(frozen=True)
class ReportExporter:
    """Writes a slide's part of the report.

    Attributes
    ----------
    settings : Settings
    thumbnail_px : int
        Upper limit of the longer side of the slide's picture.
    tile_px : int
        Upper limit of a tile's side: the size in which the network saw it.
    """

    settings: Settings = Settings()
    thumbnail_px: int = 1200
    tile_px: int = 224

    def refusal(self) -> str | None:
        """Return None: what this needs is always installed."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the part into a folder and return its path."""
        path = folder / f"{result.slide.name}{PART}"
        said = self._part(result)
        path.write_text(json.dumps(said, separators=(",", ":"), allow_nan=False), "ascii")
        return [path]

    def _part(self, result: SlideResult) -> dict[str, Any]:
        """Return what the part says, as plain JSON values."""
        heatmaps, slide = result.heatmaps, result.slide
        raw = dict(zip(all_channel_names(heatmaps), all_channels(heatmaps), strict=True))
        pictures = [jpeg(tile_pixels(slide, tile, self.tile_px), _QUALITY) for tile in result.tiles]
        return json_ready({
            "format": PART_FORMAT,
            "row": cohort_row(result),
            "slide": slide_facts(result),
            "classes": list(heatmaps.classes),
            "true_class": result.true_class,
            "prediction": heatmaps.prediction,
            "logits": heatmaps.logits,
            "grid": grid_facts(heatmaps.grid),
            "tissue_cells": heatmaps.tissue_cells,
            "tissue": packed_mask(heatmaps.tissue),
            "maps": [
                _map(shown, result, raw) for shown in result.maps if shown.kind != TISSUE
            ],
            "thumbnail": self._thumbnail(slide),
            **sections(result, pictures),
        })  # fmt: skip

    def _thumbnail(self, slide: SlideReader) -> dict[str, Any]:
        """Return the slide's picture, and the size of its pixels from the slide's corner on."""
        lattice = thumbnail_lattice(slide, self.thumbnail_px)
        strips = read_strips(slide, lattice, _STRIP_ROWS, self.settings.threads)
        rgb = np.concatenate(list(strips))
        return {
            "jpeg": jpeg(rgb, _QUALITY),
            "rows": lattice.shape.rows,
            "cols": lattice.shape.cols,
            "l0_pixel": lattice.l0_cell._asdict(),
        }


def _map(shown: DisplayMap, result: SlideResult, raw: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what a map is, how it is drawn, and its values of the tissue cells.

    Parameters
    ----------
    raw : mapping of name → (rows, cols) float32
        The raw maps; of another, the values that its levels stand for are taken.
    """
    facts = {
        **map_facts(shown, result.maps),
        "l0_origin": shown.grid.l0_origin._asdict(),
        "colours": base64.b64encode(shown.colours[1:, :3].tobytes()).decode("ascii"),
    }
    tissue = result.heatmaps.tissue
    levels = shown.levels[tissue]
    if shown.categories:
        return {**facts, "levels_packed": packed_levels(levels)}
    values = raw[shown.name][tissue] if shown.name in raw else shown.values[levels]
    steps = PLAIN if shown.kind in _EVENLY_SPREAD else FINE
    return {**facts, "values": packed_values(values, steps)}


def jpeg(rgb: np.ndarray, quality: int) -> str:
    """Return (rows, cols, 3) uint8 as a data URI; nothing but pixels is kept of it."""
    import pyvips
    from pyvips.enums import ForeignKeep

    image = pyvips.Image.new_from_array(np.ascontiguousarray(rgb))
    stored = image.jpegsave_buffer(Q=quality, keep=ForeignKeep.NONE, optimize_coding=True)
    return "data:image/jpeg;base64," + base64.b64encode(stored).decode("ascii")
