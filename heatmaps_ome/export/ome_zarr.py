"""Writes ``<slide>.ome.zarr``: the slide's pyramid with the maps as labels (NGFF 0.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.export.manifest import slide_facts
from heatmaps_ome.export.ngff import (
    CHUNK,
    create_array,
    create_group,
    image_label,
    multiscales,
    rgb_omero,
)
from heatmaps_ome.export.ome_xml import RGB_CHANNELS, OmeImage, ome_xml
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.export.rasterise import sampled_strips
from heatmaps_ome.pyramid import levels_from_strips, n_levels
from heatmaps_ome.reading import read_strips

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult


@dataclass(frozen=True)
class OmeZarrExporter:
    """Writes the slide's image pyramid and a label per map.

    Attributes
    ----------
    settings : Settings
    """

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return None: what this needs is always installed."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write ``<slide>.ome.zarr`` into a folder and return its path."""
        path = folder / f"{result.slide.name}.ome.zarr"
        levels = n_levels(result.image.shape, CHUNK)
        self._write_image(result, path, levels)
        create_group(path / "labels", {"labels": [shown.name for shown in result.maps]})
        for shown in result.maps:
            _write_label(shown, result, path / "labels" / shown.name, levels)
        write_ome_xml(path, _ome_image(result))
        return [path]

    def _write_image(self, result: SlideResult, path: Path, levels: int) -> None:
        """Stream the slide once, strip by strip, into all levels."""
        name, lattice, maps = result.slide.name, result.image, result.heatmaps
        prediction = dict(zip(maps.classes, maps.prediction.tolist(), strict=True))
        attributes = {
            "multiscales": [multiscales(name, lattice.um_cell, levels, "mean")],
            "omero": rgb_omero(name),
            "heatmaps_ome": {"slide": slide_facts(result), "prediction": prediction},
        }
        group = create_group(path, attributes)
        arrays = [
            create_array(group, str(level), lattice.shape.halved(level), "uint8", 3, 3)
            for level in range(levels)
        ]
        strips = read_strips(result.slide, lattice, CHUNK, self.settings.threads)
        for level, row, strip in levels_from_strips(strips, levels, CHUNK):
            arrays[level][:, row : row + len(strip)] = np.moveaxis(strip, 2, 0)


def write_ome_xml(path: Path, image: OmeImage) -> None:
    """Write ``OME/METADATA.ome.xml`` into a zarr: all that QuPath reads a pixel size from."""
    create_group(path / "OME", {})
    xml = ome_xml(image, planes=False)
    (path / "OME" / "METADATA.ome.xml").write_text(xml, encoding="utf-8")


def _write_label(shown: DisplayMap, result: SlideResult, path: Path, levels: int) -> None:
    """Draw a map at every level straight from its cells, one row of chunks at a time."""
    raster = result.raster
    attributes = {
        "multiscales": [multiscales(shown.name, raster.um_cell, levels, "nearest", channels=False)],
        "image-label": image_label(shown, slide_facts(result)),
    }
    group = create_group(path, attributes)
    for level in range(levels):
        coarse = raster.downsampled(level)
        array = create_array(group, str(level), coarse.shape, "uint8")
        for row, strip in sampled_strips(shown.levels, shown.grid, coarse, CHUNK):
            array[row : row + len(strip)] = strip


def _ome_image(result: SlideResult) -> OmeImage:
    """Return what OME-XML says of the slide's image."""
    lattice = result.image
    return OmeImage(result.slide.name, lattice.shape, lattice.um_cell, "uint8", RGB_CHANNELS)
