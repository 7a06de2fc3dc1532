"""Writes ``<slide>.report.json``: all data about one slide in the run's report."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters.manifest import attention_range, grid_facts, opacity_rule, slide_facts
from heatmaps_ome.exporters.png import thumbnail_lattice
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiles import tile_pixels
from heatmaps_ome.maps.kinds import KINDS, TISSUE
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
from heatmaps_ome.viewers.report.small_pictures import SMALL, small_jpeg

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid

PART: Final = ".report.json"
"""End of the file's name."""
PART_FORMAT: Final = "heatmaps-ome report part 3"
_FIRST_KINDS: Final = ("score", "prediction", "value")
"""Kinds of the map to show first, of the class drawn hot, as in the page."""
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
        Upper limit of a tile's side: its size in the network.
    """

    settings: Settings = Settings()
    thumbnail_px: int = 1200
    tile_px: int = 224

    def refusal(self) -> str | None:
        """Return None: all requirements are always installed."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the part into a folder and return its path."""
        path = folder / f"{result.slide.name}{PART}"
        facts = self._part(result)
        path.write_text(json.dumps(facts, separators=(",", ":"), allow_nan=False), "ascii")
        return [path]

    def _part(self, result: SlideResult) -> dict[str, Any]:
        """Return the part as plain JSON values."""
        heatmaps, slide = result.heatmaps, result.slide
        pictures = [jpeg(tile_pixels(slide, tile, self.tile_px), _QUALITY) for tile in result.tiles]
        lattice = thumbnail_lattice(slide, self.thumbnail_px)
        thumbnail = np.concatenate(
            list(read_strips(slide, lattice, _STRIP_ROWS, self.settings.threads))
        )
        return json_ready({
            # Both stand first: the table of many slides reads no more.
            "format": PART_FORMAT,
            "row": cohort_row(result),
            SMALL: data_uri(small_jpeg(thumbnail, _mapped(result, thumbnail, lattice))),
            "slide": slide_facts(result),
            "classes": list(heatmaps.classes),
            "true_class": result.true_class,
            "prediction": heatmaps.prediction,
            "target": heatmaps.target.record(),
            "logits": heatmaps.logits,
            "grid": grid_facts(heatmaps.grid),
            "tissue_cells": heatmaps.tissue_cells,
            "tissue": packed_mask(heatmaps.tissue),
            "maps": [
                _map(drawn, result) for drawn in result.maps if drawn.kind != TISSUE
            ],
            "thumbnail": {
                "jpeg": jpeg(thumbnail, _QUALITY),
                "rows": lattice.shape.rows,
                "cols": lattice.shape.cols,
                "l0_pixel": lattice.l0_cell._asdict(),
            },
            **sections(result, pictures),
        })  # fmt: skip


def _mapped(result: SlideResult, thumbnail: np.ndarray, lattice: Grid) -> np.ndarray | None:
    """Return the slide under the map that the page shows first; None without maps."""
    hot = [drawn for drawn in result.maps if drawn.class_name == result.true_class]
    first = [drawn for kind in _FIRST_KINDS for drawn in hot if drawn.kind == kind]
    others = [drawn for drawn in result.maps if drawn.kind != TISSUE]
    drawn = next(iter([*first, *others]), None)
    return None if drawn is None else BurntMap(drawn, lattice).over(thumbnail, 0)


def _map(drawn: DisplayMap, result: SlideResult) -> dict[str, Any]:
    """Return a map's facts, its colours, and its values in the tissue cells."""
    tissue = result.heatmaps.tissue
    record = {
        **drawn.facts(),
        "opacity": opacity_rule(drawn, attention_range(result.maps)),
        "l0_origin": drawn.grid.l0_origin._asdict(),
        "colours": base64.b64encode(drawn.colours[1:, :3].tobytes()).decode("ascii"),
    }
    if drawn.categories:
        return {**record, "levels_packed": packed_levels(drawn.levels[tissue])}
    values = result.heatmaps.map(drawn.kind, drawn.class_name)
    if values is None:
        # The map has no values but those of its levels.
        values = drawn.values[drawn.levels]
    elif drawn.factor != 1:
        values = values * np.float32(drawn.factor)
    steps = PLAIN if KINDS[drawn.kind].evenly_spread else FINE
    return {**record, "values": packed_values(values[tissue], steps)}


def jpeg(rgb: np.ndarray, quality: int) -> str:
    """Return (rows, cols, 3) uint8 as the data URI of a JPEG without metadata."""
    import pyvips
    from pyvips.enums import ForeignKeep

    image = pyvips.Image.new_from_array(np.ascontiguousarray(rgb))
    stored = image.jpegsave_buffer(Q=quality, keep=ForeignKeep.NONE, optimize_coding=True)
    return data_uri(stored)


def data_uri(stored: bytes) -> str:
    """Return a JPEG as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(stored).decode("ascii")
