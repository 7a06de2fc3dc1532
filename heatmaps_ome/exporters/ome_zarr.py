"""Writes ``<slide>.ome.zarr``: the slide's pyramid with the maps as labels, or burnt in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.display.display_map import pictured
from heatmaps_ome.display.label_metadata import image_label
from heatmaps_ome.display.rasterise import sampled_strips
from heatmaps_ome.exporters.flat import FLAT_ENDING, FlatPicture, flat_level
from heatmaps_ome.exporters.manifest import grid_facts, slide_facts
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.ome.ngff import multiscales, rgb_omero
from heatmaps_ome.ome.ngff_store import (
    LABEL_CHUNK,
    create_array,
    create_group,
    create_rgb_levels,
    take_levels,
    write_label,
    write_ome_xml,
)
from heatmaps_ome.ome.ome_xml import rgb_image
from heatmaps_ome.ome.pyramid import CHUNK, levels_from_strips, n_levels, rgb_strips, write_rgb
from heatmaps_ome.slides.reading import read_strips

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import zarr

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.ome.ngff_store import Ngff


@dataclass(frozen=True)
class OmeZarrExporter:
    """Writes the slide's image pyramid and a label per map."""

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write ``<slide>.ome.zarr`` and the pictures of its maps; return their paths."""
        path = folder / f"{result.slide.name}.ome.zarr"
        levels, ngff = n_levels(result.image.shape, CHUNK), self.settings.ngff
        flats = self._flats(result, folder, levels) if self.settings.flattened else {}
        arrays = _image_arrays(result, path, levels, ngff)
        begun = [flat for flat in flats.values() if flat is not None]
        for level, row, strip in self._written(result, path, arrays, again=bool(begun)):
            for flat in begun:
                flat.take(level, row, strip)
        create_group(path / "labels", {"labels": [drawn.name for drawn in result.maps]}, ngff)
        for drawn in result.maps:
            if not result.earlier.take(drawn.name, folder, f"{path.name}/labels/{drawn.name}"):
                _write_label(drawn, result, path / "labels" / drawn.name, levels, ngff)
        write_ome_xml(
            path, rgb_image(result.slide.name, result.image.shape, result.image.um_cell), ngff
        )
        return [path, *flats]

    def _flats(
        self, result: SlideResult, folder: Path, levels: int
    ) -> dict[Path, FlatPicture | None]:
        """Begin the pictures and return them by path; None for those that were taken over."""
        flats: dict[Path, FlatPicture | None] = {}
        ngff, start = self.settings.ngff, flat_level(result.image, levels, self.settings.flat_mpp)
        for drawn in pictured(result.maps):
            name = f"{result.slide.name}.{drawn.name}"
            path = folder / f"{name}{FLAT_ENDING}"
            if result.earlier.take(drawn.name, folder, path.name):
                flats[path] = None
                continue
            flats[path] = FlatPicture(drawn, result, range(start, levels), path, ngff)
            lattice = result.image.downsampled(start)
            write_ome_xml(path, rgb_image(name, lattice.shape, lattice.um_cell), ngff)
        return flats

    def _written(
        self, result: SlideResult, path: Path, arrays: list[zarr.Array], *, again: bool
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Write all levels of the image; yield each (level, first row, strip).

        Parameters
        ----------
        again : bool
            Whether strips are yielded of an image that exists, too.
        """
        if take_levels(result.slide.level_folders(result.image), path):
            for level, array in enumerate(arrays if again else ()):
                yield from ((level, row, strip) for row, strip in rgb_strips(array))
            return
        strips = read_strips(result.slide, result.image, CHUNK, self.settings.threads)
        for level, row, strip in levels_from_strips(strips, len(arrays), CHUNK):
            write_rgb(arrays[level], row, strip)
            yield level, row, strip


def _image_arrays(result: SlideResult, path: Path, levels: int, ngff: Ngff) -> list[zarr.Array]:
    """Create the slide's image and return its levels, finest first."""
    name, lattice, maps = result.slide.name, result.image, result.heatmaps
    prediction = dict(zip(maps.classes, maps.prediction.tolist(), strict=True))
    attributes = {
        "multiscales": [multiscales(name, lattice.um_cell, levels, "mean")],
        "omero": rgb_omero(name),
        "heatmaps_ome": {
            "slide": slide_facts(result),
            "prediction": prediction,
            # In level-0 pixels to the last digit, which µm are not.
            "lattice": grid_facts(lattice),
        },
    }
    group = create_group(path, attributes, ngff)
    return create_rgb_levels(group, lattice.shape, levels)


def _write_label(
    drawn: DisplayMap, result: SlideResult, path: Path, levels: int, ngff: Ngff
) -> None:
    """Draw a map at every level straight from its cells, one row of chunks at a time."""
    raster = result.raster
    attributes = {
        "multiscales": [multiscales(drawn.name, raster.um_cell, levels, "nearest", channels=False)],
        "image-label": image_label(drawn, slide_facts(result)),
    }
    group = create_group(path, attributes, ngff)
    for level in range(levels):
        coarse = raster.downsampled(level)
        array = create_array(group, str(level), coarse.shape, "uint8")
        for row, strip in sampled_strips(drawn.levels, drawn.grid, coarse, LABEL_CHUNK):
            write_label(array, row, strip)
