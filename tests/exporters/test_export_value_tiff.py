"""The raw values as TIFF: every reader finds each cell's float under its name, at its place."""

import numpy as np
import pytest
import pyvips
import tifffile
from bioformats import converted, needed
from fakes import FakeSlide, noise_rgb, slide_result
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.display import rasterise
from heatmaps_ome.display.rasterise import lazy_raster
from heatmaps_ome.exporters.value_tiff import write_value_tiff
from heatmaps_ome.geometry import YX, Grid, Shape, raster_pixels, sample
from heatmaps_ome.maps.channels import channels, stacked
from heatmaps_ome.ome.tiff_pyramid import TILE

MPP = YX(0.5, 0.25)
GRID = Grid(Shape(151, 83), YX(36.6, 73.1), YX(-17.8, -35.4), MPP)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    slide = FakeSlide(np.broadcast_to(np.uint8(255), (5501, 6003, 3)), MPP)
    result = slide_result(slide, GRID, classes=("MSI, high", "MSS"))
    return result, write_value_tiff(result, tmp_path_factory.mktemp("values"))


def truth(result, um_rows, um_cols):
    """Return the raw values of the cells around places in µm: by plain division, NaN elsewhere."""
    grid = result.heatmaps.grid
    rows = np.floor((um_rows - grid.um_origin.y) / grid.um_cell.y).astype(int)
    cols = np.floor((um_cols - grid.um_origin.x) / grid.um_cell.x).astype(int)
    inside = np.ix_((rows >= 0) & (rows < grid.shape.rows), (cols >= 0) & (cols < grid.shape.cols))
    out = np.full(
        (len(stacked(channels(result.heatmaps))), len(rows), len(cols)), np.nan, np.float32
    )
    kept = np.ix_(rows[inside[0].ravel()], cols[inside[1].ravel()])
    out[(slice(None), *inside)] = stacked(channels(result.heatmaps))[(slice(None), *kept)]
    return out


def assert_true(result, found, um_pixel):
    """Demand the raw values at every pixel's centre that is on the slide, and NaN beyond it."""
    um_end = result.slide.shape.rows * MPP.y, result.slide.shape.cols * MPP.x
    um_rows = (np.arange(found.shape[1]) + 0.5) * um_pixel[0]
    um_cols = (np.arange(found.shape[2]) + 0.5) * um_pixel[1]
    on_slide = um_rows < um_end[0], um_cols < um_end[1]
    whole = np.ix_(range(len(found)), *on_slide)
    expected = truth(result, um_rows[on_slide[0]], um_cols[on_slide[1]])
    np.testing.assert_array_equal(found[whole], expected)
    beyond_rows = um_rows >= um_end[0] + um_pixel[0]
    assert np.isnan(found[:, beyond_rows]).all()


def um_pixel_of(file):
    import xml.etree.ElementTree as ElementTree

    pixels = next(e for e in ElementTree.fromstring(file.ome_metadata).iter() if "Pixels" in e.tag)
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "XY"} == {"µm"}
    names = [e.get("Name") for e in pixels if e.tag.endswith("Channel")]
    return [float(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"], names


def test_tifffile_finds_every_float_at_its_place_under_its_name(written):
    result, path = written
    with tifffile.TiffFile(path) as file:
        [series] = file.series
        assert (series.kind, series.axes, series.dtype) == ("ome", "CYX", np.float32)
        um_pixel, names = um_pixel_of(file)
        assert names == [channel.name for channel in channels(result.heatmaps)]
        assert (names[1], names[-1]) == ("score-MSI_high", "evidence-MSS")
        finest = series.asarray()
        assert_true(result, finest, um_pixel)
        assert len(series.levels) >= 3
        for level, coarse in enumerate(series.levels):
            step = 2**level
            assert coarse.shape[1:] == tuple(n // step for n in finest.shape[1:])
            np.testing.assert_array_equal(coarse.asarray(), finest[:, ::step, ::step])
        assert max(series.levels[-1].shape[1:]) <= TILE


def test_a_pixel_is_a_fourth_of_a_cell_and_a_whole_number_of_the_slides_pixels(written):
    _result, path = written
    with tifffile.TiffFile(path) as file:
        um_pixel, _ = um_pixel_of(file)
    pixels = np.array(um_pixel) / MPP
    assert np.array_equal(pixels, np.rint(pixels))
    assert (np.array(GRID.l0_cell) / pixels >= 4).all()
    assert (np.array(GRID.l0_cell) / pixels).min() < 5


def test_libvips_finds_the_channels_as_pages(written):
    result, path = written
    image = pyvips.Image.new_from_file(str(path), n=-1)
    assert image.get("n-pages") == len([channel.name for channel in channels(result.heatmaps)])
    with tifffile.TiffFile(path) as file:
        found = image.numpy().reshape(file.series[0].shape)
        np.testing.assert_array_equal(found, file.series[0].asarray())


@pytest.mark.slow
@pytest.mark.parametrize("mark", [pytest.param(None, marks=needed)])
def test_bioformats_finds_levels_names_sizes_and_every_float(written, tmp_path, mark):
    _result, path = written
    plain = converted(path, tmp_path / "plain.ome.tiff")
    with tifffile.TiffFile(plain) as theirs, tifffile.TiffFile(path) as ours:
        assert um_pixel_of(theirs) == um_pixel_of(ours)
        levels = theirs.series[0].levels
        assert len(levels) == len(ours.series[0].levels)
        for found, expected in zip(levels, ours.series[0].levels, strict=True):
            np.testing.assert_array_equal(found.asarray(), expected.asarray())


def test_a_slide_of_a_few_pixels_has_values_too(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(3, 5)), YX(1.0, 1.0))
    grid = Grid(Shape(1, 1), YX(8.0, 8.0), YX(-2.0, -2.0), slide.mpp)
    result = slide_result(slide, grid)
    found = tifffile.imread(write_value_tiff(result, tmp_path))
    cell = stacked(channels(result.heatmaps))[:, 0, 0]
    on_slide = found[:, :2, :3]
    np.testing.assert_array_equal(on_slide, np.broadcast_to(cell[:, None, None], on_slide.shape))


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
