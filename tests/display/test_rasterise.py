"""Cells drawn on a raster tile by tile: equal to those sampled at once, in little memory."""

import numpy as np
import pytest
from fakes import noise_rgb
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.display import rasterise
from heatmaps_ome.display.rasterise import lazy_raster
from heatmaps_ome.geometry import YX, Grid, Shape, raster_pixels, sample

MPP = YX(0.5, 0.25)

sizes = st.floats(0.7, 300, allow_nan=False)
origins = st.floats(-500, 5000, allow_nan=False)


def noise(shape):
    return np.random.default_rng(0).random(shape, np.float32)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, origins, origins, st.integers(1, 8), st.integers(1, 40), st.integers(1, 40))
def test_lazy_pixels_equal_sampled_ones(height, width, top, left, pixel, rows, cols):
    grid = Grid(Shape(rows, cols), YX(height, width), YX(top, left), MPP)
    raster = Grid(Shape(37, 300), YX(pixel, pixel), YX(0, 0), MPP)
    values = noise(grid.shape)
    found = lazy_raster(values, grid, raster, Shape(40, 320), np.nan).numpy()
    np.testing.assert_array_equal(found[:37, :300], sample(values, grid, raster, np.nan))
    assert np.isnan(found[37:]).all()
    assert np.isnan(found[:, 300:]).all()


@settings(max_examples=40, deadline=None)
@given(sizes, origins, st.integers(1, 8), st.sampled_from([0, 2**20]))
def test_lazy_colours_equal_sampled_ones_drawn_at_once_or_not(size, origin, pixel, at_once):
    grid = Grid(Shape(30, 20), YX(size, size), YX(origin, origin), MPP)
    raster = Grid(Shape(37, 300), YX(pixel, pixel), YX(0, 0), MPP)
    colours = noise_rgb(grid.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rasterise, "_AT_ONCE_BYTES", at_once)
        found = lazy_raster(colours, grid, raster, Shape(40, 320), 0).numpy()
    np.testing.assert_array_equal(found[:37, :300], sample(colours, grid, raster, 0))
    assert not found[37:].any()
    assert not found[:, 300:].any()


def test_lazy_pixels_equal_sampled_ones_far_from_the_origin():
    grid = Grid(Shape(2, 5), YX(36.57142857, 36.57142857), YX(3.0, 399_990.1), MPP)
    raster = Grid(Shape(3, 200_021), YX(2, 2), YX(0, 0), MPP)
    values = noise(grid.shape)
    found = lazy_raster(values, grid, raster, raster.shape, np.nan).numpy()
    np.testing.assert_array_equal(found, sample(values, grid, raster, np.nan))


def test_memory_does_not_grow_with_the_raster():
    grid = Grid(Shape(10, 10), YX(10_000, 10_000), YX(0, 0), MPP)
    raster = raster_pixels(Shape(100_000, 100_000), MPP, YX(8, 8))
    values = noise(grid.shape)
    image = lazy_raster(values, grid, raster, raster.shape, np.nan)
    corner = image.crop(raster.shape.cols - 2, raster.shape.rows - 2, 2, 2).numpy()
    assert (corner == values[-1, -1]).all()
