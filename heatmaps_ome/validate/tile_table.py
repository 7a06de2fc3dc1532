"""The rule that holds the raster of tiles and their table together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.plain_zarr import attributes_of, inside
from heatmaps_ome.validate.ngff import open_level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.validate.raw_values import Values

_CLOSE = 1e-3
_SUMMED = ("contribution", "evidence")
"""Kinds of maps whose cells share their tile's value."""
_NEAR = 0.25
"""Part of the smallest side within which an irregular tile's value must be found."""


def tile_faults(values: Values) -> Iterator[str]:
    """Demand each tile's value at its centre, and sums over cells that are those over tiles.

    Where several tiles have their centres in one cell, the value must lie near: in a cell that
    reaches within a quarter of the smallest side, or beside that one.
    """
    if values.target is None or _has_no_tiles(values):
        return
    path = inside(values.pyramid.path, "tiles")
    facts = attributes_of(path)["heatmaps_ome"]
    places, table = _array(path / "places"), _array(path / "values")
    names = [entry["name"] for entry in facts["channels"]]
    if names != list(values.names) or table.shape[0] != len(names):
        yield f"the table of tiles has the maps {', '.join(names)}, not those of the raster"
        return
    if len(places) != facts["count"] or (len(places) and table.shape[1] != len(places)):
        yield f"the table has {len(places)} places and {table.shape[1]} values"
        return
    if not len(places):
        return
    cells, inside_grid = _cells(places, values)
    alone = _alone(cells)
    near = _NEAR * float((places[:, 2:] - places[:, :2]).min())
    reach = [math.ceil(near / side) for side in YX(**values.facts["l0_cell"])]
    for channel, own, plane in zip(values.channels, table, values.stack, strict=True):
        if channel.kind in _SUMMED:
            yield from _sums(channel.name, own, plane)
            continue
        wrong = [
            tile
            for tile in _hidden(own, plane, cells, inside_grid)
            if alone[tile] or not _is_near(own[tile], plane, cells[tile], reach)
        ]
        if wrong:
            row, col = cells[wrong[0]]
            yield (
                f"{channel.name} is {plane[row, col]:g} at the centre of tile {wrong[0]}, whose "
                f"value is {own[wrong[0]]:g}; so are {len(wrong) - 1} others"
            )


def _has_no_tiles(values: Values) -> bool:
    """Return whether maps are differences of two results, which are of cells."""
    differences = all(channel.kind == "difference" for channel in values.channels)
    return differences and values.facts.get("table") is False


def _array(path: Path) -> np.ndarray:
    return np.asarray(open_level(path, whole=True)[...])


def _cells(places: np.ndarray, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return the (row, column) of the cell at each tile's centre, and whether there is one."""
    x, y = ((places[:, axis] + places[:, axis + 2]) / 2 for axis in (0, 1))
    origin, cell = (YX(**values.facts[key]) for key in ("l0_origin", "l0_cell"))
    cells = np.stack([(y - origin.y) / cell.y, (x - origin.x) / cell.x], axis=1)
    cells = np.floor(cells).astype(np.int64)
    inside_grid = np.all((cells >= 0) & (cells < values.stack.shape[1:]), axis=1)
    return cells, inside_grid


def _hidden(
    own: np.ndarray, plane: np.ndarray, cells: np.ndarray, inside_grid: np.ndarray
) -> list[int]:
    """Return the tiles whose value is not the one at their centre."""
    tiles = np.flatnonzero(inside_grid)
    central = plane[cells[tiles, 0], cells[tiles, 1]]
    same = (central == own[tiles]) | (np.isnan(central) & np.isnan(own[tiles]))
    return tiles[~same].tolist()


def _alone(cells: np.ndarray) -> np.ndarray:
    """Return whether no other tile has its centre in a tile's cell."""
    _, which, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    return counts[which.reshape(-1)] == 1


def _is_near(value: float, plane: np.ndarray, cell: np.ndarray, reach: list[int]) -> bool:
    """Return whether a value lies within so many cells, down and across, of a cell."""
    around = plane[tuple(slice(max(0, c - r), c + r + 1) for c, r in zip(cell, reach, strict=True))]
    return bool(np.isnan(around).any()) if np.isnan(value) else bool((around == value).any())


def _sums(name: str, own: np.ndarray, plane: np.ndarray) -> Iterator[str]:
    """Demand the same sum over cells and over tiles."""
    wanted, total = (float(np.nansum(array, dtype=np.float64)) for array in (own, plane))
    size = float(np.nansum(np.abs(own), dtype=np.float64))
    if not abs(total - wanted) <= _CLOSE * max(size, 1e-12):
        yield f"{name} sums to {total:g} over the cells, to {wanted:g} over the tiles"
