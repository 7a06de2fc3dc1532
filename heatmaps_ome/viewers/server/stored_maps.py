"""Reads the maps of a slide's results, and its image, to burn one into the other.

The files may be a stranger's, or damaged: arrays are checked before they are read, and whatever
does not fit is one of `DAMAGE`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.colour import opacity
from heatmaps_ome.display.label_cells import levels_of_cells
from heatmaps_ome.display.scaling import Range
from heatmaps_ome.exporters.manifest import MANIFEST, MAPS_FORMAT
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.slides.plain_zarr import (
    attributes_of,
    inside,
    read_object,
    require_plain_array,
)

if TYPE_CHECKING:
    from pathlib import Path

    import zarr

DAMAGE: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""Errors of files that are missing, damaged or of another version."""
_MOST_LEVELS = 32


@dataclass(frozen=True, eq=False)
class StoredMap:
    """A map as it is drawn over the slide; see DisplayMap.

    Attributes
    ----------
    grid : Grid
    levels, opacity : (rows, cols) uint8
    colours : (256, 4) uint8
    over_grey : bool
    """

    grid: Grid
    levels: np.ndarray
    colours: np.ndarray
    opacity: np.ndarray
    over_grey: bool


@dataclass(frozen=True, eq=False)
class StoredImage:
    """The slide's image pyramid.

    Attributes
    ----------
    lattice : Grid
        Of the finest level.
    levels : tuple of zarr.Array
        (3, rows, cols) uint8 each, finest first.
    """

    lattice: Grid
    levels: tuple[zarr.Array, ...]


def read_maps(folder: Path) -> dict[str, Any]:
    """Return the ``maps.json`` in a slide's folder.

    Raises
    ------
    *DAMAGE
        If there is none, or it is damaged or of another version.
    """
    manifest = read_object(folder / MANIFEST)
    if manifest["format"] != MAPS_FORMAT:
        raise ValueError(f"{MANIFEST} is {manifest['format']!r}, not {MAPS_FORMAT!r}")
    return manifest


def read_image(folder: Path, manifest: dict[str, Any]) -> StoredImage:
    """Return the slide's image.

    Raises
    ------
    *DAMAGE
        If there is none, or it is damaged.
    """
    image = inside(folder, manifest["image"])
    attributes = attributes_of(image)
    lattice = _grid(attributes["heatmaps_ome"]["lattice"])
    count = len(_multiscale(attributes)["datasets"])
    if not 1 <= count <= _MOST_LEVELS:
        raise ValueError(f"{image.name} has {count} levels")
    levels = tuple(_array(inside(image, str(level))) for level in range(count))
    for level, array in enumerate(levels):
        if array.shape != (3, *lattice.shape.halved(level)) or array.dtype != np.uint8:
            raise ValueError(f"level {level} of {image.name} is no picture of its lattice")
    return StoredImage(lattice, levels)


def read_map(folder: Path, manifest: dict[str, Any], entry: dict[str, Any]) -> StoredMap:
    """Return a map: its levels are those of its label, its opacity follows from the values.

    Parameters
    ----------
    entry : dict
        The map's, of the manifest.

    Raises
    ------
    *DAMAGE
        If it has no label, or a file is damaged.
    """
    grid = _grid({**manifest["grid"], "l0_origin": entry["l0_origin"]})
    path = inside(inside(folder, manifest["image"]), f"labels/{entry['name']}")
    [scale, *others] = _multiscale(attributes_of(path))["datasets"][0]["coordinateTransformations"]
    if others or scale["type"] != "scale":
        raise ValueError(f"{path.name} is not anchored at the slide's corner")
    label = _array(path / "0", whole=True)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise ValueError(f"{path.name} is no label of levels")
    # A pixel of a label is a whole number of level-0 pixels.
    l0_pixel = YX(*(float(round(um)) for um in YX(*scale["scale"]).over(grid.mpp)))
    raster = Grid(Shape(*label.shape), l0_pixel, YX(0.0, 0.0), grid.mpp)
    if any(n > 2 + m for n, m in zip(grid.shape, raster.shape, strict=True)):
        raise ValueError(f"{path.name} is too small for {tuple(grid.shape)} cells")
    levels = levels_of_cells(label, grid, raster)
    opaque = _opacity(folder, manifest, entry, levels)
    return StoredMap(grid, levels, _colours(entry), opaque, entry["over_grey"] is True)


def _colours(entry: dict[str, Any]) -> np.ndarray:
    """Return the colour of each level of a map."""
    colours = np.zeros((256, 4), np.uint8)
    codes = [bytes.fromhex(code.removeprefix("#")) for code in entry["colours"]]
    colours[1:, :3] = np.frombuffer(b"".join(codes), np.uint8).reshape(255, 3)
    colours[1:, 3] = 255
    return colours


def _opacity(
    folder: Path, manifest: dict[str, Any], entry: dict[str, Any], levels: np.ndarray
) -> np.ndarray:
    """Return the opacity of each cell, by the rule in ``maps.json``."""
    rule = entry["opacity"]
    alpha, fades_with = float(rule["alpha"]), rule["fades_with"]
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}")
    if fades_with is None:
        return opacity((levels > 0) * alpha)
    values = _array(inside(folder, f"{manifest['values']}/0"), whole=True)
    channel = fades_with["channel"]
    if type(channel) is not int or not 0 <= channel < values.shape[0]:
        raise ValueError(f"{channel!r} is no channel")
    if values.shape[1:] != levels.shape or values.dtype != np.float32:
        raise ValueError("the values have other cells than the maps")
    between = Range(float(fades_with["lower"]), float(fades_with["upper"]))
    return opacity(np.nan_to_num(between.position(np.asarray(values[channel]))) * alpha)


def _array(folder: Path, *, whole: bool = False) -> zarr.Array:
    """Return an array, opened to be read, once it is checked."""
    import zarr

    require_plain_array(folder, whole=whole)
    return zarr.open_array(folder, mode="r")


def _multiscale(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the first entry of a store's multiscales, of NGFF 0.4 or 0.5."""
    return attributes.get("ome", attributes)["multiscales"][0]


def _grid(facts: dict[str, Any]) -> Grid:
    """Return a grid as JSON has it."""
    shape = Shape(**facts["shape"])
    if not all(type(count) is int and 1 <= count < 1 << 22 for count in shape):
        raise ValueError(f"{facts['shape']} is no size")
    places = (YX(**facts[key]) for key in ("l0_cell", "l0_origin", "mpp"))
    grid = Grid(shape, *(YX(float(place.y), float(place.x)) for place in places))
    if not all(map(math.isfinite, (*grid.l0_cell, *grid.mpp))):
        raise ValueError(f"{json.dumps(facts)} is no grid")
    return grid
