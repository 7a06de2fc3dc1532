"""Draws outlines around cells of a grid: polygons with holes, in level-0 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from shapely import Polygon

    from heatmaps_ome.geometry import Grid, Shape

_LEVEL = 0.5 + 1e-9
"""Between cells inside (1) and outside (0); above the mean of 2 × 2 cells with two inside that
touch at a corner, so that these stay apart there."""
_STRAIGHT = 1e-9
"""Twice the area of a triangle of three points in a row, in cells, below which they are a line."""


def outlines(labels: np.ndarray, grid: Grid, slide_shape: Shape) -> list[Polygon]:
    """Return the outline of each labelled set of cells, in level-0 pixels, (x, y).

    An outline joins the middles of the cells' sides, so that it cuts corners by half a cell: none
    of its points is further than 0.36 cells from the cells' own outline, slanted sides are straight
    lines of few points, and a set of n cells with h holes has an area of n - 1/2 + h/2 cells.
    Outlines of different sets never overlap, and no outline touches itself.

    Parameters
    ----------
    labels : (rows, cols) int
        1 to n, each a set of cells that hang together by their sides; 0 elsewhere. Every cell has
        some of its area on the slide.
    slide_shape : Shape
        A cell that hangs over the slide's edge ends there.

    Returns
    -------
    list of n Polygon
        With all holes; exteriors run anticlockwise in (x, y).
    """
    from scipy import ndimage

    rows, cols = grid.l0_edges_on(slide_shape)
    polygons = []
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        corner = np.array([window[1].start, window[0].start])
        rings = [ring + corner for ring in _rings(labels[window] == number)]
        polygons.append(_polygon([_placed(ring, rows, cols) for ring in rings], grid))
    return polygons


def footprints(labels: np.ndarray, grid: Grid, slide_shape: Shape) -> list[Polygon]:
    """Return the union of the cells of each labelled set, in level-0 pixels, (x, y).

    For cells that show tiles: a tile is a square that was seen as a whole, and cut corners would
    leave half of a single one.

    Parameters
    ----------
    labels, slide_shape
        As of `outlines`.

    Returns
    -------
    list of n Polygon
        With all holes; exteriors run anticlockwise in (x, y).
    """
    import shapely
    from scipy import ndimage
    from shapely.geometry.polygon import orient

    rows, cols = grid.l0_edges_on(slide_shape)
    polygons = []
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        top, left = window[0].start, window[1].start
        # A box for each run of cells in a row: those that begin, and those that end, with a step.
        steps = np.diff(np.pad((labels[window] == number).astype(np.int8), ((0, 0), (1, 1))))
        (row, first), (_, last) = np.nonzero(steps == 1), np.nonzero(steps == -1)
        row, first, last = row + top, first + left, last + left
        boxes = shapely.box(cols[first], rows[row], cols[last], rows[row + 1])
        # Cells that hang together are one polygon.
        union: Any = shapely.union_all(boxes)
        union = orient(union)
        rings = [union.exterior, *union.interiors]
        polygons.append(_polygon([np.asarray(ring.coords) for ring in rings], grid))
    return polygons


def _rings(inside: np.ndarray) -> list[np.ndarray]:
    """Return the exterior and the holes of a set of cells: (n, 2) float64 each, closed, (x, y).

    Coordinates are cells from the array's first corner; each is half a cell or a whole one.
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(inside, 1).astype(np.float64)
    y, x = (np.arange(size) - 0.5 for size in padded.shape)
    tracer = contour_generator(x, y, padded, name="serial", fill_type=FillType.OuterOffset)
    filled: Any = tracer.filled(_LEVEL, 2.0)
    [points], [starts] = filled
    halves = np.rint(np.asarray(points) * 2) / 2
    return np.split(halves, np.asarray(starts)[1:-1].astype(int))


def _placed(g_ring: np.ndarray, l0_rows: np.ndarray, l0_cols: np.ndarray) -> np.ndarray:
    """Return a ring in level-0 pixels, on a slide that cuts the outer cells: (n, 2), (x, y)."""
    x = np.interp(g_ring[:, 0], np.arange(len(l0_cols)), l0_cols)
    y = np.interp(g_ring[:, 1], np.arange(len(l0_rows)), l0_rows)
    return np.stack([x, y], axis=1)


def _polygon(l0_rings: list[np.ndarray], grid: Grid) -> Polygon:
    """Return the polygon of an exterior and its holes."""
    import shapely

    exterior, *holes = (_without_points_on_lines(ring, grid) for ring in l0_rings)
    return shapely.Polygon(exterior, holes)


def _without_points_on_lines(l0_ring: np.ndarray, grid: Grid) -> np.ndarray:
    """Return a closed ring, without its last point, and without those between two in line."""
    points = l0_ring[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    doubled_area = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return points[np.abs(doubled_area) > _STRAIGHT * grid.l0_cell.x * grid.l0_cell.y]
