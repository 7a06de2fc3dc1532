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
_FINER_STRIDE = 0.25 * (1 + 1e-6)
"""Distance of finer tiles in sides of one."""
_NEAR = 0.25
"""Part of the smallest side within which an irregular tile's value must be found."""


def tile_faults(values: Values) -> Iterator[str]:
    """Demand each tile's value at its centre, and sums over cells that are those over tiles.

    Where several tiles have their centres in one cell, the value must lie near: in a cell that
    reaches within a quarter of the smallest side, or beside that one.
    """
    if values.target is None or _has_no_tiles(values):
        return
    path = _path(values)
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
    if facts.get("finer", False):
        yield from _finer_faults(path / "finer", values, len(places))
    near = _NEAR * float((places[:, 2:] - places[:, :2]).min())
    reach = [math.ceil(near / side) for side in YX(**values.facts["l0_cell"])]
    for channel, own, plane in zip(values.channels, table, values.stack, strict=True):
        if channel.kind in _SUMMED:
            if facts.get("finer", False):
                yield from _scaled(channel.name, own, plane, cells, _share(values, len(places)))
            else:
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


def has_finer(values: Values) -> bool:
    """Return whether the raster shows finer tiles between those of the table."""
    if values.target is None or _has_no_tiles(values):
        return False
    return attributes_of(_path(values))["heatmaps_ome"].get("finer", False)


def own_values(values: Values, name: str) -> np.ndarray:
    """Return the values of a named map in the table of tiles, (n,) float32."""
    return _array(_path(values) / "values")[values.names.index(name)]


def _path(values: Values) -> Path:
    """Return the folder of the table."""
    return inside(values.pyramid.path, "tiles")


def _share(values: Values, count: int) -> float:
    """Return the part of a tile's share that a cell has where finer tiles are shown."""
    return count / max(1, int(np.count_nonzero(values.tissue)))


def _scaled(
    name: str, own: np.ndarray, plane: np.ndarray, cells: np.ndarray, share: float
) -> Iterator[str]:
    """Demand each tile's share, divided by the mean number of a tile's cells, at its centre."""
    rows, cols = (np.clip(cells[:, axis], 0, plane.shape[axis] - 1) for axis in (0, 1))
    off = np.abs(plane[rows, cols] - own * share)
    close = (off <= _CLOSE * np.abs(own * share).max(initial=0.0)) | np.isnan(own)
    if not close.all():
        yield f"{name} is off by up to {np.nanmax(off):g} at the centres of {(~close).sum()} tiles"


def _finer_faults(path: Path, values: Values, count: int) -> Iterator[str]:
    """Demand the value of each finer tile beside its centre, where any tile is shown there."""
    facts = attributes_of(path)["heatmaps_ome"]
    places, table = _array(path / "places"), _array(path / "values")
    if len(places) != facts["count"] or table.shape[1:] != (len(places),):
        yield f"the finer tiles are {len(places)} places and {table.shape[1:]} values"
        return
    # A centre lies on a corner of four cells, those off the table's tiles show none.
    shifts = [np.array([row, col]) for row in (-0.5, 0.5) for col in (-0.5, 0.5)]
    cell = YX(**values.facts["l0_cell"])
    if len(places) and cell.y > float(places[0, 3] - places[0, 1]) * _FINER_STRIDE:
        return  # Cells wider than the distance of finer tiles have no room for each of them.
    around = [
        _cells(places + np.array([shift[1] * cell.x, shift[0] * cell.y] * 2), values)
        for shift in shifts
    ]
    for entry, own in zip(facts["channels"], table, strict=True):
        plane = values.channel(entry["name"])
        wanted = own * (_share(values, count) if entry["kind"] in _SUMMED else 1)
        seen = np.stack([_at(plane, *one) for one in around])
        close = np.abs(seen - wanted) <= _CLOSE * max(np.nanmax(np.abs(wanted)), 1e-12)
        hidden = ~close.any(axis=0) & ~np.isnan(seen).any(axis=0)
        if hidden.any():
            yield f"{entry['name']} shows {hidden.sum()} of {len(own)} finer tiles nowhere"


def _at(plane: np.ndarray, cells: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the values of cells, NaN for those beyond the grid."""
    rows, cols = (np.clip(cells[:, axis], 0, plane.shape[axis] - 1) for axis in (0, 1))
    return np.where(there, plane[rows, cols], np.nan)


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
