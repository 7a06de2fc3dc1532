"""Pictures of the slide with a map burnt in, for viewers that draw no labels.

Those are hms-dbmi/vizarr 0.3.0, whose label layer has been blank since deck.gl 9.1
(https://github.com/hms-dbmi/vizarr), and Avivator, which has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.display.label_cells import on_label
from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters.manifest import slide_facts
from heatmaps_ome.ome.ngff import multiscales, rgb_omero
from heatmaps_ome.ome.ngff_store import create_group, create_rgb_levels
from heatmaps_ome.ome.ome_xml import ome_xml, rgb_image
from heatmaps_ome.ome.pyramid import write_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import YX, Grid
    from heatmaps_ome.ome.ngff_store import Ngff

MOST_PX = 4096
"""Bearable side of a picture that is written once per map. If pictures of a gigapixel slide were as
fine as its image, they would take several times the space of all its other files."""
_NOISE = 1 + 1e-9
FLAT_ENDING: Final = ".flat.ome.zarr"
"""End of the name of a picture, after the slide's name and the map's."""
_MAP_FACTS: Final = (
    "name", "kind", "class", "title", "quantity", "unit", "colour_map", "categories", "note",
    "over_grey",
)  # fmt: skip


def flat_level(image: Grid, levels: int, flat_mpp: float | None) -> int:
    """Return the level of the slide image that the pictures begin at.

    Parameters
    ----------
    image : Grid
        Lattice of the slide image.
    levels : int
        Number of levels of the slide image.
    flat_mpp : float or None
        µm per pixel: take the coarsest level that is no coarser, or the finest if all are coarser;
        None: the finest level of at most 4096 pixels a side.

    Examples
    --------
    >>> from heatmaps_ome.geometry import YX, Grid, Shape
    >>> image = Grid(Shape(20000, 9000), YX(1, 1), YX(0, 0), YX(0.5, 0.5))
    >>> flat_level(image, 7, None), flat_level(image, 7, 2.5), flat_level(image, 7, 0.1)
    (3, 2, 0)
    """
    if flat_mpp is None:
        bearable = (n for n in range(levels) if max(image.shape.halved(n)) <= MOST_PX)
        return next(bearable, levels - 1)
    fine = [n for n in range(levels) if max(image.um_cell) * 2**n <= flat_mpp * _NOISE]
    return max(fine, default=0)


class FlatPicture:
    """``<slide>.<map>.flat.ome.zarr``, written while the slide image's levels stream by.

    Each level is that of the slide image with the map over it, so that a chunk follows from one
    chunk of the image: the server composes the same ones when they are asked for.

    Parameters
    ----------
    drawn : DisplayMap
        The map to burn in.
    result : SlideResult
    levels : range
        The levels of the slide image that the picture has.
    path : Path
        Where to write it.
    ngff : "0.4" or "0.5"
    """

    def __init__(
        self,
        drawn: DisplayMap,
        result: SlideResult,
        levels: range,
        path: Path,
        ngff: Ngff,
    ) -> None:
        lattice = result.image.downsampled(levels.start)
        cells = replace(drawn, levels=on_label(drawn.levels, drawn.grid, result.raster))
        self._start = levels.start
        burnt = BurntMap(cells, lattice)
        self._burnt = [burnt.on(result.image.downsampled(level)) for level in levels]
        facts = flat_facts(drawn.facts(), slide_facts(result), drawn.alpha, fades=drawn.fades)
        group = create_group(path, flat_attributes(facts, lattice.um_cell, len(levels)), ngff)
        self._arrays = create_rgb_levels(group, lattice.shape, len(levels))

    def take(self, level: int, row: int, strip: np.ndarray) -> None:
        """Burn the map into a (rows, cols, 3) strip of a level of the image, and write it."""
        index = level - self._start
        if index >= 0:
            write_rgb(self._arrays[index], row, self._burnt[index].over(strip, row))


def flat_facts(
    facts: Mapping[str, Any], slide: Mapping[str, Any], alpha: float, *, fades: bool
) -> dict[str, Any]:
    """Return the facts that one needs to read a picture.

    Parameters
    ----------
    facts, slide : mapping
        The map's and the slide's, as ``maps.json`` has them.
    """
    return {
        "kind": "flat",
        "slide": dict(slide),
        "map": {
            **{key: facts[key] for key in _MAP_FACTS},
            **{key: facts["range"][key] for key in ("lower", "upper", "middle")},
            "alpha": alpha,
            "fades": fades,
        },
    }


def flat_attributes(facts: Mapping[str, Any], um_pixel: YX, levels: int) -> dict[str, Any]:
    """Return the metadata of a picture, as NGFF 0.4 has them.

    Parameters
    ----------
    facts : mapping
        See `flat_facts`.
    """
    # The map first: Vizarr shows only the first dozen letters.
    name = f"{facts['map']['title']}, {facts['slide']['name']}"
    return {
        "multiscales": [multiscales(name, um_pixel, levels, "mean")],
        "omero": rgb_omero(name),
        "heatmaps_ome": dict(facts),
    }


def flat_xml(name: str, lattice: Grid) -> str:
    """Return the OME-XML of a picture."""
    return ome_xml(rgb_image(name, lattice.shape, lattice.um_cell), planes=False)
