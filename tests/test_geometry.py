import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.geometry import (
    YX,
    Grid,
    Shape,
    Window,
    network_pixels,
    raster_pixels,
    sample,
    tiles_of,
)

sizes = st.floats(0.1, 500)
places = st.floats(-1000, 1e6)
mpps = st.floats(0.05, 20)
grids = st.builds(
    Grid,
    st.builds(Shape, st.integers(1, 50), st.integers(1, 50)),
    st.builds(YX, sizes, sizes),
    st.builds(YX, places, places),
    st.builds(YX, mpps, mpps),
)


@given(grids, places, places)
def test_grid_places_go_there_and_back(grid, y, x):
    back = grid.l0_from_g(grid.g_from_l0(YX(y, x)))
    assert back == pytest.approx((y, x), abs=1e-5)


@given(grids)
def test_micrometres_are_level_0_pixels_times_mpp_on_each_axis_apart(grid):
    um = grid.um_from_g(YX(1, 2))
    assert um.y == pytest.approx((grid.l0_origin.y + grid.l0_cell.y) * grid.mpp.y)
    assert um.x == pytest.approx((grid.l0_origin.x + 2 * grid.l0_cell.x) * grid.mpp.x)


@given(grids, st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_a_pixel_takes_the_cell_that_holds_its_centre(grid, rows, cols, pixel):
    raster = Grid(Shape(rows, cols), YX(pixel, pixel), YX(0, 0), grid.mpp)
    found_rows, found_cols = grid.cells_under(raster)
    for index, found in enumerate(found_rows):
        centre = grid.g_from_l0(YX((index + 0.5) * pixel, 0)).y
        assert found == (int(np.floor(centre)) if 0 <= centre < grid.shape.rows else -1)
    for index, found in enumerate(found_cols):
        centre = grid.g_from_l0(YX(0, (index + 0.5) * pixel)).x
        assert found == (int(np.floor(centre)) if 0 <= centre < grid.shape.cols else -1)


def test_coarse_cells_are_unions_of_fine_cells():
    fine = Grid(Shape(5, 7), YX(2, 3), YX(-1, -1), YX(0.5, 0.25))
    coarse = fine.downsampled()
    assert coarse.shape == (3, 4)
    assert coarse.l0_from_g(YX(1, 1)) == fine.l0_from_g(YX(2, 2))


def test_sampling_fills_what_no_cell_covers():
    grid = Grid(Shape(1, 2), YX(2, 2), YX(1, 1), YX(1, 1))
    raster = Grid(Shape(4, 6), YX(1, 1), YX(0, 0), YX(1, 1))
    assert sample(np.array([[5, 6]]), grid, raster, 0).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 5, 5, 6, 6, 0],
        [0, 5, 5, 6, 6, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_network_pixels_are_square_in_micrometres_even_where_the_slides_are_not():
    lattice = network_pixels(Shape(1000, 2000), YX(0.25, 0.5), 1.0)
    assert lattice.l0_cell == (4.0, 2.0)
    assert lattice.um_cell == (1.0, 1.0)
    assert lattice.shape == (250, 1000)


def test_network_pixels_gain_no_row_from_float_noise():
    assert network_pixels(Shape(300, 300), YX(0.1, 0.1), 0.3).shape == (100, 100)


@pytest.mark.parametrize(("cell", "pixel"), [(146.3, 8), (73.1, 8), (31.0, 7), (4.7, 1), (1.8, 1)])
def test_raster_pixels_are_whole_and_at_least_four_span_a_cell_where_they_can(cell, pixel):
    raster = raster_pixels(Shape(1001, 777), YX(0.5, 0.5), YX(cell, cell))
    assert raster.l0_cell == (pixel, pixel)
    assert raster.l0_origin == (0, 0)
    assert raster.shape == (-(-1001 // pixel), -(-777 // pixel))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20))
def test_tiles_cover_every_cell_once(rows, cols, side):
    seen = np.zeros((rows, cols), int)
    for window in tiles_of(Shape(rows, cols), side):
        seen[window.slices] += 1
    assert (seen == 1).all()


def test_a_window_grows_no_further_than_its_lattice():
    assert Window(0, 5, 4, 4).grown(3, Shape(10, 10)) == Window(0, 2, 7, 8)


@pytest.mark.parametrize(
    ("shape", "cell", "mpp"),
    [
        (Shape(0, 1), YX(1, 1), YX(1, 1)),
        (Shape(1, 1), YX(0, 1), YX(1, 1)),
        (Shape(1, 1), YX(1, float("nan")), YX(1, 1)),
        (Shape(1, 1), YX(1, 1), YX(1, -1)),
    ],
)
def test_a_grid_that_places_nothing_is_refused(shape, cell, mpp):
    with pytest.raises(ValueError, match=r"grid|size"):
        Grid(shape, cell, YX(0, 0), mpp)
