"""Tiled TIFFs by libvips, with and without a pyramid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from heatmaps_ome.errors import OutputError
from heatmaps_ome.geometry import Shape

if TYPE_CHECKING:
    from pathlib import Path

    import pyvips

    from heatmaps_ome.geometry import Grid

TILE = 256
_UM_PER_MM = 1000


def padded_shape(shape: Shape) -> Shape:
    """Return the size at which every halving down to one tile is exact.

    libvips rounds levels down, so that viewers would find scales like 2.0008 instead of 2.

    >>> padded_shape(Shape(513, 3))
    Shape(rows=516, cols=4)
    """
    halvings = 0
    while max(shape.halved(halvings)) > TILE:
        halvings += 1
    coarsest = shape.halved(halvings)
    return Shape(coarsest.rows << halvings, coarsest.cols << halvings)


def save_pyramid(
    image: pyvips.Image,
    path: Path,
    description: str,
    raster: Grid,
    shrink: Literal["mean"] | None,
    page_rows: int,
) -> None:
    """Write tiled pages without loss, each with a pyramid in SubIFDs if it shall have one.

    Parameters
    ----------
    image : pyvips.Image
        Pages of ``page_rows`` rows one below the other.
    raster : Grid
        Gives the size of pixels.
    shrink : "mean" or None
        How four pixels become one of the next level; libvips weighs colours by alpha in a mean.
        None: there are no further levels.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import pyvips

    described = image.copy()
    described.set_type(pyvips.GValue.gstr_type, "image-description", description)
    try:
        # No predictor: cells are runs of equal pixels. Deflate compresses them in two thirds of
        # the time that it takes for their differences, into a tenth more bytes.
        described.tiffsave(
            str(path),
            compression="deflate",
            predictor="none",
            tile=True,
            tile_width=TILE,
            tile_height=TILE,
            pyramid=shrink is not None,
            subifd=shrink is not None,
            bigtiff=True,
            region_shrink=shrink or "mean",
            page_height=page_rows,
            xres=_UM_PER_MM / raster.um_cell.x,
            yres=_UM_PER_MM / raster.um_cell.y,
        )
    except pyvips.Error as error:
        raise OutputError(
            f"{path} cannot be written ({' '.join(str(error).split())}); is there space left?"
        ) from error
