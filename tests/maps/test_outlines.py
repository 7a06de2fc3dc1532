"""Outlines of cells, held against unions of the cells' own rectangles by shapely."""

import time

import numpy as np
import pytest
import shapely
from fakes import covering_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.outlines import footprints, outlines

MPP = YX(0.5, 0.5)
CELL, CORNER = YX(10.0, 10.0), YX(0.0, 0.0)


def grid_of(shape, cell=CELL, origin=CORNER):
    return Grid(Shape(*shape), cell, origin, MPP)


def whole(grid):
    """Return the size of a slide that a grid does not hang over."""
    edges = grid.l0_edges()
    return Shape(*(int(np.ceil(each[-1])) for each in edges))


def rectangles(mask, grid, slide_shape):
    """Return the union of cells, as far as they are on the slide."""
    rows, cols = grid.l0_edges()
    boxes = [shapely.box(cols[c], rows[r], cols[c + 1], rows[r + 1]) for r, c in np.argwhere(mask)]
    frame = shapely.box(0, 0, slide_shape.cols, slide_shape.rows)
    return shapely.union_all(boxes).intersection(frame)


def in_cells(polygon, grid):
    """Return a polygon in cells, so that lengths are the same along both axes."""
    return shapely.transform(polygon, lambda xy: xy / [grid.l0_cell.x, grid.l0_cell.y])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.booleans())
def test_the_footprint_of_tiles_is_the_union_of_their_squares(mask, hangs_over):
    labels, count = ndimage.label(mask)
    grid = grid_of(mask.shape, YX(10.0, 14.0), YX(-3.0, -4.0) if hangs_over else CORNER)
    slide = Shape(*(size - 2 if hangs_over else size for size in whole(grid)))
    polygons = footprints(labels, grid, slide)
    assert len(polygons) == count
    for number, polygon in enumerate(polygons, 1):
        cells = rectangles(labels == number, grid, slide)
        assert polygon.geom_type == "Polygon"
        assert shapely.is_valid(polygon)
        assert polygon.exterior.is_ccw
        assert polygon.symmetric_difference(cells).area < 1e-6
        # No point lies between two others in line.
        assert len(polygon.exterior.coords) == len(shapely.simplify(polygon, 0).exterior.coords)


masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@settings(max_examples=150, deadline=None)
@given(masks)
def test_an_outline_is_valid_and_stays_within_half_a_cell_of_its_cells(mask):
    labels, count = ndimage.label(mask)
    grid = grid_of(mask.shape, YX(10.0, 14.0))
    found = outlines(labels, grid, whole(grid))
    assert len(found) == count
    for number, polygon in enumerate(found, 1):
        cells = rectangles(labels == number, grid, whole(grid))
        assert shapely.is_valid(polygon)
        assert polygon.geom_type == "Polygon"
        # Vertices alone would miss what lies between them.
        ours, theirs = (
            shapely.segmentize(in_cells(each, grid).boundary, 0.1) for each in (polygon, cells)
        )
        assert ours.hausdorff_distance(theirs) <= 0.5**1.5 + 1e-9 < 0.5
        assert shapely.is_ccw(polygon.exterior)


@settings(max_examples=150, deadline=None)
@given(masks)
def test_holes_are_kept_and_the_area_hardly_changes(mask):
    labels, _ = ndimage.label(mask)
    grid = grid_of(mask.shape)
    for number, polygon in enumerate(outlines(labels, grid, whole(grid)), 1):
        # What is not connected to the outside, by sides or corners, lies in a hole.
        outside, parts = ndimage.label(np.pad(labels != number, 1, constant_values=True),
                                       np.ones((3, 3)))  # fmt: skip
        assert outside[0, 0] == 1
        assert len(polygon.interiors) == parts - 1
        wanted = np.count_nonzero(labels == number) - 0.5 + 0.5 * (parts - 1)
        assert polygon.area / 100 == pytest.approx(wanted)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.int8, (8, 8), elements=st.integers(0, 2)))
def test_outlines_of_neighbours_never_overlap(kinds):
    labels, count = ndimage.label(kinds == 1)
    others, more = ndimage.label(kinds == 2)
    labels = np.where(others > 0, others + count, labels)
    grid = grid_of(kinds.shape)
    found = outlines(labels, grid, whole(grid))
    assert len(found) == count + more
    total = sum(polygon.area for polygon in found)
    assert shapely.union_all(found).area == pytest.approx(total)


@settings(max_examples=60, deadline=None)
@given(masks, st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_cells_that_hang_over_the_slides_edges_end_there(mask, first, last):
    labels, _ = ndimage.label(mask)
    rows, cols = mask.shape
    grid = grid_of(mask.shape, YX(100.0, 100.0), YX(-100 * first, -100 * first))
    beyond = 100 * (first + last)
    if min(rows, cols) * 100 - beyond <= 1:
        return
    slide_shape = Shape(int(rows * 100 - beyond), int(cols * 100 - beyond))
    for number, polygon in enumerate(outlines(labels, grid, slide_shape), 1):
        cells = rectangles(labels == number, grid, slide_shape)
        assert shapely.is_valid(polygon)
        left, top, right, bottom = polygon.bounds
        assert min(left, top) >= 0
        assert right <= slide_shape.cols
        assert bottom <= slide_shape.rows
        ours, theirs = (
            shapely.segmentize(in_cells(each, grid).boundary, 0.1) for each in (polygon, cells)
        )
        assert ours.hausdorff_distance(theirs) <= 0.5


def test_slanted_and_straight_sides_have_no_points_but_their_ends():
    stairs = np.tri(40, dtype=int)
    [polygon] = outlines(stairs, grid_of(stairs.shape), Shape(400, 400))
    # A triangle with cut corners, of 820 cells.
    assert len(polygon.exterior.coords) - 1 <= 8
    assert polygon.area / 100 == pytest.approx(np.count_nonzero(stairs) - 0.5)


def test_the_noisiest_map_of_400_000_cells_is_outlined_in_seconds():
    mask = np.random.default_rng(0).random((640, 640)) < 0.6
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    ranks = np.zeros(count + 1, int)
    ranks[np.argsort(-sizes)[:200] + 1] = np.arange(1, 201)
    grid = covering_grid(Shape(640 * 32, 640 * 32))
    begun = time.process_time()
    found = outlines(ranks[labels], grid, Shape(640 * 32, 640 * 32))
    assert time.process_time() - begun < 5
    assert len(found) == 200
