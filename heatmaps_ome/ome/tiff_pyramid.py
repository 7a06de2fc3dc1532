"""Tiled TIFF pyramids by libvips of cells that are drawn only as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from heatmaps_ome.display.rasterise import expanded
from heatmaps_ome.errors import OutputError
from heatmaps_ome.geometry import Shape

if TYPE_CHECKING:
    from pathlib import Path

    import pyvips

    from heatmaps_ome.geometry import Grid

TILE = 256
_UM_PER_MM = 1000
_AT_ONCE_BYTES = 32 * 2**20


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


def lazy_raster(
    cells: np.ndarray, grid: Grid, raster: Grid, shape: Shape, fill: float
) -> pyvips.Image:
    """Return cells drawn on a raster, equal to ``geometry.sample`` but computed tile by tile.

    Colours of few pixels are drawn at once, which takes a fiftieth of the time.

    Parameters
    ----------
    cells : (rows, cols) or (rows, cols, bands) uint8 or float32
        Values or colours of the grid's cells.
    shape : Shape
        Size of the result; beyond the raster it is ``fill``, as where no cell lies.
    """
    import pyvips

    rows, cols = (
        np.pad(index, (0, size - len(index)), constant_values=-1)
        for index, size in zip(grid.cells_under(raster), shape, strict=True)
    )
    # Cells wear a rim of nothing, on which -1 falls.
    rim = [(1, 1), (1, 1)] + [(0, 0)] * (cells.ndim - 2)
    rimmed_cells = np.pad(cells, rim, constant_values=fill)
    if cells.ndim > 2 and shape.rows * shape.cols * cells.shape[2] <= _AT_ONCE_BYTES:
        return pyvips.Image.new_from_array(expanded(rimmed_cells, rows + 1, cols + 1))
    rimmed = pyvips.Image.new_from_array(rimmed_cells)
    x = pyvips.Image.new_from_array((cols + 1).astype(np.int32)[None, :]).zoom(1, shape.rows)
    y = pyvips.Image.new_from_array((rows + 1).astype(np.int32)[:, None]).zoom(shape.cols, 1)
    return rimmed.mapim(x.bandjoin(y), interpolate=pyvips.Interpolate.new("nearest"))


def save_pyramid(
    image: pyvips.Image,
    path: Path,
    description: str,
    raster: Grid,
    shrink: Literal["mean", "nearest"],
    page_rows: int,
) -> None:
    """Write tiled pages without loss, each with a pyramid in SubIFDs.

    Parameters
    ----------
    image : pyvips.Image
        Pages of ``page_rows`` rows one below the other.
    raster : Grid
        For the size of pixels.
    shrink : "mean" or "nearest"
        How four pixels become one of the next level; libvips weighs colours by alpha in a mean.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import pyvips

    described = image.copy()
    described.set_type(pyvips.GValue.gstr_type, "image-description", description)
    try:
        # Without a predictor: cells are runs of equal pixels, which deflate finds as they are in
        # two thirds of the time that it takes for their differences, in a tenth more bytes.
        described.tiffsave(
            str(path),
            compression="deflate",
            predictor="none",
            tile=True,
            tile_width=TILE,
            tile_height=TILE,
            pyramid=True,
            subifd=True,
            bigtiff=True,
            region_shrink=shrink,
            page_height=page_rows,
            xres=_UM_PER_MM / raster.um_cell.x,
            yres=_UM_PER_MM / raster.um_cell.y,
        )
    except pyvips.Error as error:
        raise OutputError(
            f"{path} cannot be written ({' '.join(str(error).split())}); is there space left?"
        ) from error
