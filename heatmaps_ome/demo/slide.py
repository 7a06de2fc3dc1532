"""Writes the demo slide: a synthetic H&E-like section as an Aperio pyramid, with known islands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.demo.layout import inside_any
from heatmaps_ome.demo.tissue import paint_tissue
from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.private import replacing

if TYPE_CHECKING:
    from pathlib import Path

    import pyvips

_TILE = 256
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class DemoSlide:
    """A demo slide on disk and the outlines of its tumour islands.

    Attributes
    ----------
    path : Path
    mpp : float
        µm per level-0 pixel, along both axes.
    l0_height, l0_width : int
    islands : tuple of (n, 2) float64 arrays
        Outlines, level-0 (y, x), not closed; empty on a slide without tumour.
    """

    path: Path
    mpp: float
    l0_height: int
    l0_width: int
    islands: tuple[np.ndarray, ...]

    def island_mask(
        self,
        rows: int,
        cols: int,
        l0_origin_yx: tuple[float, float],
        l0_cell_yx: tuple[float, float],
    ) -> np.ndarray:
        """Return which cells of a lattice have their centre inside an island, (rows, cols) bool.

        Parameters
        ----------
        l0_origin_yx : (float, float)
            Outer corner of the first cell, level-0 pixels.
        l0_cell_yx : (float, float)
            Size of a cell, level-0 pixels.
        """
        y = l0_origin_yx[0] + (np.arange(rows) + 0.5) * l0_cell_yx[0]
        x = l0_origin_yx[1] + (np.arange(cols) + 0.5) * l0_cell_yx[1]
        points = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
        return inside_any(self.islands, points).reshape(rows, cols)


def write_demo_slide(
    path: Path,
    seed: int,
    *,
    l0_height: int = 5600,
    l0_width: int = 7000,
    mpp: float = 0.5,
    islands: int | None = None,
) -> DemoSlide:
    """Write a synthetic slide that OpenSlide opens as Aperio, and return it with its islands.

    The same arguments give the same pixels. An incomplete file never appears at ``path``.

    Parameters
    ----------
    path : Path
        A new file, ``.svs`` or ``.tiff``, in a folder that exists.
    mpp : float
        µm per level-0 pixel; the objective power written is 10 / mpp.
    islands : int, optional
        Number of tumour islands; None: a number that suits the area; 0: a slide without tumour.

    Raises
    ------
    OutputError
        When the file exists already or cannot be written.
    OptionError
        When the slide is too small for that many islands.
    """
    if path.exists():
        raise OutputError(f"{path} exists already; remove it or write the demo slide elsewhere")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder, so {path.name} cannot go there; make it")
    pixels, layout = paint_tissue(seed, l0_height, l0_width, mpp, islands)
    with replacing(path) as partial:
        write_pyramid(pixels, partial, mpp)
    return DemoSlide(path, mpp, l0_height, l0_width, layout.islands)


def write_pyramid(pixels: np.ndarray, path: Path, mpp: float, *, lossless: bool = False) -> None:
    """Write a chained pyramid of tiles, the form that OpenSlide knows as Aperio.

    Parameters
    ----------
    pixels : (rows, cols, 3) uint8
    mpp : float
        µm per level-0 pixel.
    lossless : bool
        Whether tiles are deflated rather than JPEG.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    import pyvips

    try:
        _described(pixels, mpp, lossless=lossless).tiffsave(
            str(path),
            compression="deflate" if lossless else "jpeg",
            Q=_JPEG_QUALITY,
            tile=True,
            tile_width=_TILE,
            tile_height=_TILE,
            pyramid=True,
            subifd=False,
            region_shrink="mean",
        )
    except pyvips.Error as error:
        what = " ".join(str(error).split())
        raise OutputError(f"{path} cannot be written ({what}); check the folder") from error


def _described(pixels: np.ndarray, mpp: float, *, lossless: bool) -> pyvips.Image:
    """Return the pixels with Aperio's description and a resolution in pixels per millimetre.

    https://openslide.org/formats/aperio/
    """
    import pyvips

    height, width = pixels.shape[:2]
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    image = image.copy(xres=1000 / mpp, yres=1000 / mpp)
    codec = "RGB" if lossless else f"JPEG/RGB Q={_JPEG_QUALITY}"
    image.set_type(
        pyvips.GValue.gstr_type,
        "image-description",
        f"Aperio Image Library v12.0.0\r\n{width}x{height} [0,0 {width}x{height}] "
        f"({_TILE}x{_TILE}) {codec}|AppMag = {10 / mpp:g}|MPP = {mpp:.4f}"
        f"|Title = synthetic demo slide of heatmaps-ome",
    )
    return image
