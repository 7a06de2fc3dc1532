"""Reads tiles from GeoJSON: outlines in level-0 pixels, with measurements.

WSInfer and QuPath write them. QuPath's older versions have measurements as a list of names and
values. Only numbers are kept of each feature as it is read, so that a file of 200,000 tiles does
not fill the memory. Reference: RFC 7946, and QuPath's ``GsonTools``.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.placing import MOST_TILES
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.storage.regular_file import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 512 << 20
_MOST_PARTS: Final = 32_000_000
"""Commas and brackets: each may become an object of Python."""
_MOST_COLUMNS: Final = 512
_FARTHEST: Final = 1e9
"""Coordinates beyond any slide."""
_NUMBERS: Final = {int, float}
_TYPES: Final = frozenset({"Polygon", "MultiPolygon"})


class _Outline:
    """The bounding box of a geometry, as x0, y0, x1, y1."""

    __slots__ = ("box", "is_upright")

    def __init__(self, box: tuple[float, ...], is_upright: bool) -> None:
        self.box, self.is_upright = box, is_upright


class _Tile:
    """A feature with an outline: its box and its measurements."""

    __slots__ = ("measured", "outline")

    def __init__(self, outline: _Outline, measured: dict[str, float]) -> None:
        self.outline, self.measured = outline, measured


class _Other:
    """A feature without an area, such as a point or a line."""


_OTHER: Final = _Other()


def read_geojson(path: Path) -> tuple[Coordinates, dict[str, np.ndarray], int]:
    """Return the places and the columns of measurements of a file's features.

    Returns
    -------
    coordinates : Coordinates
    columns : dict
        Name → (n,) float64, NaN where a tile has no such measurement.
    n_rows : int

    Raises
    ------
    Unfit
        If it is no GeoJSON, too large, damaged or without tiles.
    OSError
        If it cannot be read.
    """
    tiles, n_left_out = _tiles(_parsed(path))
    if not tiles:
        raise Unfit("holds 0 tiles (no feature with an area); export them as polygons")
    if len(tiles) > MOST_TILES:
        raise Unfit(f"has more than {MOST_TILES} tiles")
    boxes = np.array([tile.outline.box for tile in tiles], np.float64)
    names = dict.fromkeys(name for tile in tiles for name in tile.measured)
    if len(names) > _MOST_COLUMNS:
        raise Unfit(f"has {len(names)} measurements, more than {_MOST_COLUMNS}")
    columns = {
        name: np.array([tile.measured.get(name, math.nan) for tile in tiles]) for name in names
    }
    n_others = sum(not tile.outline.is_upright for tile in tiles)
    notes = []
    if n_others:
        notes.append(f"{n_others} tiles are drawn as the bounding boxes of their outlines")
    if n_left_out:
        notes.append(f"{n_left_out} features without an area are left out")
    return Coordinates(
        boxes[:, :2], system="GeoJSON", unit="px", sides=boxes[:, 2:] - boxes[:, :2],
        origin="top-left", may_be_qupaths=True,
        notes=tuple(notes),
    ), columns, len(tiles)  # fmt: skip


def _parsed(path: Path) -> Any:
    data = read_bytes(path, _MOST_BYTES)
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_PARTS:
        raise Unfit("has too many parts for a file of tiles; write the tiles as CSV or h5")
    try:
        text = data.decode("utf-8-sig")
        del data
        return json.loads(text, object_hook=_reduced, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Unfit("is no text in UTF-8; write it again") from error
    except RecursionError as error:
        raise Unfit("is nested too deeply") from error
    except ValueError as error:
        raise Unfit(f"is no JSON, or cut short ({str(error)[:100]}); copy it again") from error


def _refuse_constant(name: str) -> float:
    raise Unfit(f"holds {name}, which is no number of JSON; write it again")


def _reduced(item: dict[str, Any]) -> Any:
    """Return what is needed of an object of JSON, as soon as it is read."""
    kind = item.get("type")
    if "coordinates" in item and isinstance(kind, str):
        return _outline(item["coordinates"]) if kind in _TYPES else _OTHER
    if kind == "Feature":
        outline = item.get("geometry")
        if not isinstance(outline, _Outline):
            return _OTHER
        return _Tile(outline, _measured(item.get("properties")))
    return item


def _outline(rings: Any) -> _Outline:
    """Return the bounding box of a polygon, or of several."""
    points: list[Any] = []
    if isinstance(rings, list) and len(rings) == 1 and isinstance(rings[0], list):
        points = rings[0]  # nearly all tiles: one ring
    is_ring = bool(points) and isinstance(points[0], list) and bool(points[0])
    if not is_ring or isinstance(points[0][0], list):
        points = _points(rings)
    try:
        xs, ys = [point[0] for point in points], [point[1] for point in points]
    except (TypeError, LookupError) as error:
        raise Unfit("has an outline without points; write it again") from error
    if not xs or not set(map(type, xs + ys)) <= _NUMBERS:
        raise Unfit("has an outline without points; write it again")
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    if max(abs(left), abs(right), abs(top), abs(bottom)) > _FARTHEST:
        raise Unfit("has an outline that is no place; write it again")
    corners = {(left, top), (left, bottom), (right, top), (right, bottom)}
    is_upright = len(corners) == 4 and corners == {*zip(xs, ys, strict=True)}
    return _Outline((left, top, right, bottom), is_upright)


def _points(rings: Any) -> list[Any]:
    """Return the points of nested lists of rings."""
    points: list[Any] = []
    stack = [rings]
    while stack:
        part = stack.pop()
        if not isinstance(part, list):
            raise Unfit("has an outline that is no list of points; write it again")
        if part and isinstance(part[0], list):
            stack.extend(part)
        elif part:
            points.append(part)
    return points


def _measured(properties: Any) -> dict[str, float]:
    """Return the numbers among a feature's properties: its measurements, or else its own."""
    if not isinstance(properties, dict):
        return {}
    stored = properties.get("measurements")
    pairs: list[tuple[Any, Any]]
    if isinstance(stored, list):  # QuPath before 0.4
        pairs = [(m.get("name"), m.get("value")) for m in stored if isinstance(m, dict)]
    elif isinstance(stored, dict):
        pairs = list(stored.items())
    else:
        pairs = list(properties.items())
    return {
        name: float(value)
        for name, value in pairs
        if isinstance(name, str) and type(value) in (int, float) and abs(value) < 1e300
    }


def _tiles(root: Any) -> tuple[list[_Tile], int]:
    """Return the tiles of a collection, a list or a single feature, and how many are none."""
    if isinstance(root, dict):
        root = root.get("features", [])
    items = root if isinstance(root, list) else [root]
    tiles = [item for item in items if isinstance(item, _Tile)]
    return tiles, len(items) - len(tiles)
