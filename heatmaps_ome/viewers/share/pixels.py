"""The pixels of a slide's picture at any level: from the slide, or else from its OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from heatmaps_ome.errors import ResultError
from heatmaps_ome.geometry import YX, Grid, Shape, Window, anchored_pixels
from heatmaps_ome.ome.pyramid import halved
from heatmaps_ome.slides.plain_zarr import attributes_of, require_plain_array

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.opened_slide import OpenedSlide

_UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
    MemoryError,
)  # fmt: skip
"""Errors of zarr and the look-ups below on a damaged store."""


class Pixels(Protocol):
    """A picture that several threads read at once."""

    @property
    def lattice(self) -> Grid:
        """The finest pixels."""
        ...

    def read(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level, (rows, cols, 3) uint8; each level halves the one before."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


class SlidePixels:
    """A slide's own pixels, from level 0 on or from halvings of it.

    Parameters
    ----------
    slide : OpenedSlide
        Closed with the picture.
    start : int
        Number of halvings of level 0 that the finest level is.
    """

    def __init__(self, slide: OpenedSlide, start: int = 0) -> None:
        self.slide = slide
        self.lattice = anchored_pixels(slide.shape, slide.mpp, 1).downsampled(start)

    def read(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level; at level 0 of the slide, the slide's own pixels."""
        return self.slide.read(self.lattice.downsampled(level), window)

    def close(self) -> None:
        """Close the slide."""
        self.slide.close()


class ZarrPixels:
    """The picture in a slide's OME-Zarr, which is coarser than the slide.

    Parameters
    ----------
    path : Path
        ``<slide>.ome.zarr``.
    mpp : YX
        µm per level-0 pixel of the slide.
    start : int
        Number of halvings of the picture that the finest level is.

    Raises
    ------
    ResultError
        If it is damaged or missing.
    """

    def __init__(self, path: Path, mpp: YX, start: int = 0) -> None:
        import zarr

        self._path, self._start = path, start
        try:
            datasets, um_pixel = _scale_of(attributes_of(path))
            for name in datasets:
                require_plain_array(path / name)
            self._levels = [zarr.open_array(path / name, mode="r") for name in datasets]
            _, rows, cols = self._levels[0].shape
            finest = Grid(Shape(rows, cols), um_pixel.over(mpp), YX(0.0, 0.0), mpp)
        except _UNREADABLE as error:
            raise self._damaged(error) from error
        self.lattice = finest.downsampled(start)

    def read(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level.

        Raises
        ------
        ResultError
            If the store is damaged there.
        """
        wanted = self._start + level
        stored = min(wanted, len(self._levels) - 1)
        step = 2 ** (wanted - stored)
        rows, cols = Window(*(side * step for side in window)).slices
        try:
            rgb = np.moveaxis(np.asarray(self._levels[stored][:, rows, cols]), 0, 2)
        except _UNREADABLE as error:
            raise self._damaged(error) from error
        for _ in range(wanted - stored):
            rgb = halved(np.ascontiguousarray(rgb))
        return np.ascontiguousarray(rgb)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _damaged(self, error: Exception) -> ResultError:
        return ResultError(
            f"{self._path} cannot be read as the picture of a slide ({type(error).__name__}: "
            f"{error}); make it anew with create"
        )


def _scale_of(attributes: dict) -> tuple[list[str], YX]:
    """Return the names of a picture's levels, and the size of the finest pixel in µm."""
    ome = attributes.get("ome", attributes)
    datasets = ome["multiscales"][0]["datasets"]
    [scale] = [
        change["scale"]
        for change in datasets[0]["coordinateTransformations"]
        if change["type"] == "scale"
    ]
    return [dataset["path"] for dataset in datasets], YX(float(scale[-2]), float(scale[-1]))
