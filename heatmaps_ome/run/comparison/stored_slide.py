"""A slide as its results show it: size and place from them, pixels from their image, if any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.errors import ResultError
from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.slides.bad_tiles import BadTiles
from heatmaps_ome.slides.plain_zarr import (
    attributes_of,
    inside,
    read_object,
    require_plain_array,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr

    from heatmaps_ome.slides.reader import ReadFrom

_DAMAGED: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_WHITE: Final = 255


@dataclass(frozen=True, eq=False)
class ImageLevel:
    """A level of an image in OME-Zarr.

    Attributes
    ----------
    folder : Path
    grid : Grid
        Its pixels on the slide.
    """

    folder: Path
    grid: Grid

    @cached_property
    def array(self) -> zarr.Array:
        """The pixels, (3, rows, cols) uint8."""
        import zarr

        require_plain_array(self.folder)
        array = zarr.open_array(self.folder, mode="r")
        if array.shape != (3, *self.grid.shape) or array.dtype != np.uint8:
            raise ValueError(f"{self.folder.name} is no level of an RGB image")
        return array


@dataclass(eq=False)
class StoredSlide:
    """A `SlideReader` of a slide that may not be here, from a folder of its results.

    Attributes
    ----------
    name : str
        Of the results.
    path : Path
        The slide file's name.
    shape : Shape
    mpp : YX
    mpp_source : str
    bounds : Window
    digest : str
        The slide's fingerprint; "" if it is not known.
    levels : tuple of ImageLevel
        Of its image, finest first; empty where the results have none.
    """

    name: str
    path: Path
    shape: Shape
    mpp: YX
    mpp_source: str
    bounds: Window
    digest: str
    levels: tuple[ImageLevel, ...] = ()

    def __post_init__(self) -> None:
        self.bad_tiles = BadTiles("fail")

    @property
    def own_mpp(self) -> YX | None:
        """See `SlideReader`; the results state no other."""
        return self.mpp

    @property
    def pixels(self) -> str:
        """See `SlideReader`; nothing of it enters a cache."""
        return ""

    @property
    def decoding(self) -> dict[str, Any]:
        """See `SlideReader`; the results' own records have it."""
        return {}

    @property
    def read_from(self) -> ReadFrom:
        """See `SlideReader`."""
        return "level"

    @property
    def image_mpp(self) -> float:
        """µm per pixel of the finest level; that of the slide where there is none."""
        return self.levels[0].grid.um_cell.y if self.levels else max(self.mpp)

    def fingerprint(self) -> str:
        """See `SlideReader`."""
        return self.digest

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """See `SlideReader`; means over the pixels of the coarsest level that is fine enough."""
        white = np.full((window.rows, window.cols, 3), _WHITE, np.uint8)
        if not self.levels:
            return white
        fit = [one for one in self.levels if one.grid.l0_cell.y <= lattice.l0_cell.y * 1.001]
        level = (fit or [self.levels[0]])[-1]
        corners = YX(window.row, window.col), YX(window.row_stop, window.col_stop)
        (top, left), (bottom, right) = (
            level.grid.g_from_l0(lattice.l0_from_g(corner)) for corner in corners
        )
        rows, cols = level.grid.shape
        first = max(0, math.floor(top)), max(0, math.floor(left))
        last = min(rows, math.ceil(bottom)), min(cols, math.ceil(right))
        if last[0] <= first[0] or last[1] <= first[1]:
            return white
        pixels = np.moveaxis(
            np.asarray(level.array[:, first[0] : last[0], first[1] : last[1]]), 0, 2
        )
        box = left - first[1], top - first[0], right - first[1], bottom - first[0]
        return _resized(pixels, (window.cols, window.rows), box)

    def level_folders(self, lattice: Grid) -> list[Path]:
        """See `SlideReader`."""
        fits = bool(self.levels) and self.levels[0].grid.shape == lattice.shape
        return [level.folder for level in self.levels] if fits else []

    def forget(self) -> None:
        """Keep nothing: the image is read anew each time."""

    def close(self) -> None:
        """Let the files go with the object."""


def _resized(
    pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """Return the part of (rows, cols, 3) uint8 pixels in a box as (height, width, 3), by area.

    Parameters
    ----------
    box : left, top, right, bottom
        May reach beyond the pixels, where the slide is white.
    """
    from PIL import Image

    rows, cols = pixels.shape[:2]
    top, bottom = _sticking_out(box[1], box[3], rows)
    left, right = _sticking_out(box[0], box[2], cols)
    padded = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), constant_values=_WHITE)
    moved = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
    return np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BOX, box=moved))


def _sticking_out(start: float, stop: float, size: int) -> tuple[int, int]:
    """Return by how many whole pixels a stretch begins before pixels, and ends after them."""
    return math.ceil(max(0.0, -start)), math.ceil(max(0.0, stop - size))


def stored_slide(folder: Path, record: Mapping[str, Any]) -> StoredSlide:
    """Return the slide of a folder of results.

    Parameters
    ----------
    record : mapping
        The slide's provenance; {} if it is damaged.

    Raises
    ------
    ResultError
        If its ``maps.json`` is damaged.
    """
    try:
        facts = read_object(folder / MANIFEST)
        slide, image = facts["slide"], facts.get("image")
        own = record.get("slide")
        own = own if isinstance(own, dict) else {}
        mpp, shape = YX(**slide["mpp"]), Shape(int(slide["rows"]), int(slide["cols"]))
        return StoredSlide(
            name=folder.resolve().name,
            path=Path(str(own.get("name", slide["name"]))),
            shape=shape,
            mpp=mpp,
            mpp_source=str(slide["mpp_source"]),
            bounds=Window(**slide["bounds"]),
            digest=str(own.get("fingerprint", "")),
            levels=() if image is None else _levels(inside(folder, image), mpp),
        )
    except _DAMAGED as error:
        raise ResultError(
            f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}); make the result "
            "anew with create"
        ) from error


def _levels(store: Path, mpp: YX) -> tuple[ImageLevel, ...]:
    """Return the levels of an image in OME-Zarr."""
    attributes = attributes_of(store)
    [multiscale] = attributes.get("ome", attributes)["multiscales"]
    levels = []
    for dataset in multiscale["datasets"]:
        folder = inside(store, dataset["path"])
        steps = dataset["coordinateTransformations"]
        [scale] = [step["scale"] for step in steps if step["type"] == "scale"]
        cell = YX(*map(float, scale[-2:])).over(mpp)
        levels.append(ImageLevel(folder, Grid(_shape(folder), cell, YX(0.0, 0.0), mpp)))
    return tuple(levels)


def _shape(folder: Path) -> Shape:
    """Return the rows and columns of an array of zarr v2 or v3."""
    version3 = folder / "zarr.json"
    facts = read_object(version3 if version3.exists() else folder / ".zarray")
    rows, cols = facts["shape"][-2:]
    return Shape(int(rows), int(cols))
