"""Pictures of the slide with a map burnt in, for viewers that draw no labels.

Those are hms-dbmi/vizarr 0.3.0, whose label layer has been blank since deck.gl 9.1
(https://github.com/hms-dbmi/vizarr), and Avivator, which has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters.manifest import slide_facts
from heatmaps_ome.ome.ngff import multiscales, rgb_omero
from heatmaps_ome.ome.ngff_store import create_group, create_rgb_levels
from heatmaps_ome.ome.pyramid import CHUNK, LevelStream, n_levels, write_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.ome.ngff_store import Ngff

MOST_PX = 4096
"""Bearable side of a picture that is written once per map. If pictures of a gigapixel slide were as
fine as its image, they would take several times the space of all its other files."""
_NOISE = 1 + 1e-9


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
    """``<slide>.<map>.flat.ome.zarr``, written while a level of the slide streams by.

    Parameters
    ----------
    drawn : DisplayMap
        The map to burn in.
    result : SlideResult
    lattice : Grid
        Lattice of the level of the slide image that the picture begins at.
    path : Path
        Where to write it.
    ngff : "0.4" or "0.5"
    """

    def __init__(
        self, drawn: DisplayMap, result: SlideResult, lattice: Grid, path: Path, ngff: Ngff
    ) -> None:
        self._burnt = BurntMap(drawn, lattice)
        levels = n_levels(lattice.shape, CHUNK)
        self._stream = LevelStream(levels, CHUNK)
        group = create_group(path, _attributes(drawn, result, lattice, levels), ngff)
        self._arrays = create_rgb_levels(group, lattice.shape, levels)

    def take(self, row: int, strip: np.ndarray) -> None:
        """Burn the map into the next (rows, cols, 3) strip of the slide and write it."""
        self._write(self._stream.taken(self._burnt.over(strip, row)))

    def finish(self) -> None:
        """Write the remaining strips after the last strip of the slide."""
        self._write(self._stream.rest())

    def _write(self, strips: Iterable[tuple[int, int, np.ndarray]]) -> None:
        """Write strips into their levels."""
        for level, row, strip in strips:
            write_rgb(self._arrays[level], row, strip)


def _attributes(
    drawn: DisplayMap, result: SlideResult, lattice: Grid, levels: int
) -> dict[str, Any]:
    """Return the metadata of a picture, with the facts that one needs to read it."""
    # The map first: Vizarr shows only the first dozen letters.
    name = f"{drawn.title}, {result.slide.name}"
    return {
        "multiscales": [multiscales(name, lattice.um_cell, levels, "mean")],
        "omero": rgb_omero(name),
        "heatmaps_ome": {
            "kind": "flat",
            "slide": slide_facts(result),
            "map": {
                "name": drawn.name,
                **drawn.label_facts(),
                "alpha": drawn.alpha,
                "fades": drawn.fades,
                "note": drawn.note,
            },
        },
    }
