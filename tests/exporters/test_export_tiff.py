import importlib

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.display.rasterise import coloured_cells, sampled_strips
from heatmaps_ome.errors import ResultError
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiff import TiffExporter, overlay_lattice
from heatmaps_ome.geometry import YX, Grid, Shape, sample
from heatmaps_ome.ome.ome_xml import OmeImage, ome_xml
from heatmaps_ome.ome.tiff_chain import chain_sub_ifds
from heatmaps_ome.ome.tiff_pyramid import padded_shape

MPP = YX(0.5, 0.25)


def large_result(maps=None, name="slide"):
    slide = FakeSlide(noise_rgb(Shape(2, 2)), MPP, name)
    slide.shape = Shape(5003, 7009)
    grid = covering_grid(slide.shape, YX(32, 32), YX(-15.5, -15.5), MPP)
    return slide_result(slide, grid, maps and maps(grid))


@pytest.fixture(scope="module")
def overlay(tmp_path_factory):
    result = large_result()
    paths = TiffExporter().write(result, tmp_path_factory.mktemp("tiff"))
    assert [path.name for path in paths] == [
        "slide.attention.ome.tiff",
        "slide.score-MSIH.ome.tiff",
        "slide.values.ome.tiff",
    ]
    return result, paths[0]


def expected_rgba(result):
    shown = result.maps[0]
    lattice = overlay_lattice(result, None)
    shape = lattice.shape
    padded = np.zeros((*padded_shape(shape), 4), np.uint8)
    drawn = sample(coloured_cells(shown), shown.grid, lattice, 0)
    padded[: shape.rows, : shape.cols] = drawn
    return padded


def test_tifffile_sees_all_levels_with_straight_alpha(overlay):
    result, path = overlay
    with tifffile.TiffFile(path) as file:
        [series] = file.series
        assert series.kind == "ome"
        shapes = [level.shape for level in series.levels]
        assert shapes == [(1256, 1760, 4), (628, 880, 4), (314, 440, 4), (157, 220, 4)]
        assert file.pages[0].extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)
        assert file.pages[0].tile == (256, 256)
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert file.pages[0].predictor == tifffile.PREDICTOR.NONE
        np.testing.assert_array_equal(series.levels[0].asarray(), expected_rgba(result))


def test_openslide_sees_the_same_levels_at_exact_downsamples(overlay):
    result, path = overlay
    with openslide.OpenSlide(path) as slide:
        assert slide.level_downsamples == (1.0, 2.0, 4.0, 8.0)
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(1.0)
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]) == pytest.approx(2.0)
        found = np.asarray(slide.read_region((0, 0), 0, slide.dimensions)).astype(int)
    assert np.abs(found - expected_rgba(result)).max() <= 2, "OpenSlide premultiplies"


def test_libvips_sees_the_same_levels(overlay):
    result, path = overlay
    found = pyvips.Image.new_from_file(str(path)).numpy()
    np.testing.assert_array_equal(found, expected_rgba(result))
    coarse = pyvips.Image.new_from_file(str(path), subifd=2)
    assert (coarse.width, coarse.height) == (220, 157)


def test_the_physical_size_is_that_of_an_overlays_pixel_along_each_axis(overlay):
    _, path = overlay
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
        assert 'PhysicalSizeX="1.0" PhysicalSizeXUnit="µm"' in xml
        assert 'PhysicalSizeY="2.0" PhysicalSizeYUnit="µm"' in xml
        raw = file.pages[0].tags["ImageDescription"]
        assert "µm".encode() in path.read_bytes()
        assert raw.value.count("<TiffData") == 1


def test_a_hot_cell_is_found_at_its_place_in_micrometres(tmp_path):
    def one_hot(grid):
        levels = np.zeros(grid.shape)
        levels[70, 111] = 255
        return (display_map("attention", grid, levels, opacity=77),)

    result = large_result(one_hot)
    path = TiffExporter().write(result, tmp_path)[0]
    with tifffile.TiffFile(path) as file:
        rgba = file.series[0].levels[0].asarray()
    rows, cols = np.nonzero(rgba[..., 3])
    assert (rgba[rows, cols] == [255, 0, (255 * 7) % 256, 77]).all()
    pixel = overlay_lattice(result, None).um_cell
    corners = (YX(rows.min(), cols.min()), YX(rows.max() + 1, cols.max() + 1))
    for found, cell in zip(corners, (YX(70, 111), YX(71, 112)), strict=True):
        true = result.maps[0].grid.um_from_g(cell)
        assert abs(found.y * pixel.y - true.y) <= pixel.y / 2
        assert abs(found.x * pixel.x - true.x) <= pixel.x / 2


sizes = st.floats(0.7, 300, allow_nan=False)
origins = st.floats(-500, 5000, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, origins, origins, st.integers(1, 50))
def test_sampled_strips_equal_the_sampled_whole(height, width, top, left, strip_rows):
    grid = Grid(Shape(9, 8), YX(height, width), YX(top, left), MPP)
    raster = Grid(Shape(53, 61), YX(8, 8), YX(0, 0), MPP)
    levels = display_map("attention", grid).levels
    for values, fill in ((levels, 0), (np.stack([levels, 255 - levels], axis=2), 7)):
        strips = list(sampled_strips(values, grid, raster, strip_rows, fill))
        whole = np.concatenate([strip for _, strip in strips])
        assert [row for row, _ in strips] == list(range(0, 53, strip_rows))
        np.testing.assert_array_equal(whole, sample(values, grid, raster, fill))


def test_colour_is_zero_where_nothing_is_seen():
    grid = Grid(Shape(3, 3), YX(8, 8), YX(0, 0), MPP)
    shown = display_map("attention", grid, np.full(grid.shape, 200), opacity=0)
    assert not coloured_cells(shown).any()


@pytest.mark.parametrize("shape", [Shape(1, 1), Shape(3, 2), Shape(1, 70), Shape(90, 1)], ids=str)
def test_tiny_and_slender_slides_are_written(tmp_path, shape):
    slide = FakeSlide(noise_rgb(shape))
    grid = Grid(Shape(1, 1), YX(400, 400), YX(-3, -3), slide.mpp)
    shown = display_map("attention", grid, np.full((1, 1), 9))
    path = TiffExporter().write(slide_result(slide, grid, (shown,)), tmp_path)[0]
    with tifffile.TiffFile(path) as file:
        assert (file.asarray()[0, 0] == [9, 246, 63, 128]).all()
    openslide.OpenSlide(path).close()


def test_a_very_wide_slide_keeps_exact_levels(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(2, 2)))
    slide.shape = Shape(9, 40_001)
    grid = covering_grid(slide.shape, YX(32, 32))
    result = slide_result(slide, grid, (display_map("a", grid),))
    path = TiffExporter().write(result, tmp_path)[0]
    with openslide.OpenSlide(path) as opened:
        assert opened.level_downsamples == tuple(2.0**k for k in range(opened.level_count))
        assert max(opened.level_dimensions[-1]) <= 256


def test_a_map_without_values_is_transparent(tmp_path):
    result = large_result(lambda grid: (display_map("attention", grid, np.zeros(grid.shape)),))
    path = TiffExporter().write(result, tmp_path)[0]
    with tifffile.TiffFile(path) as file:
        assert not file.series[0].levels[-1].asarray().any()


def test_names_with_odd_characters_are_escaped(tmp_path):
    def odd(grid):
        return (display_map("score-MSI-H_high", grid, title='Score of <MSI-H/"high"> & \x01µ'),)

    path = TiffExporter().write(large_result(odd, "Schnitt 切片 & Co"), tmp_path)[0]
    assert path.name == "Schnitt 切片 & Co.score-MSI-H_high.ome.tiff"
    with tifffile.TiffFile(path) as file:
        assert file.series[0].kind == "ome"
        name = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Name"]
    assert name == 'Schnitt 切片 & Co: Score of <MSI-H/"high"> & ␁µ'


def test_xml_has_no_character_references_which_bio_formats_would_blank():
    image = OmeImage("a\nb\tc &#181; é", Shape(1, 1), YX(1, 1), "uint8", (("\r\x85x", None),))
    assert "&#" not in ome_xml(image, planes=True).replace("&amp;#", "")


def test_without_the_chain_openslide_sees_one_level(tmp_path):
    result = large_result(lambda grid: (display_map("attention", grid),))
    path = TiffExporter(Settings(chain=False)).write(result, tmp_path)[0]
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 1
    assert chain_sub_ifds(path) == 4
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 4


def test_chaining_twice_or_what_is_no_bigtiff_is_refused(overlay, tmp_path):
    with pytest.raises(ResultError, match="chained already"):
        chain_sub_ifds(overlay[1])
    classic = tmp_path / "classic.tiff"
    tifffile.imwrite(classic, np.zeros((8, 8), np.uint8))
    with pytest.raises(ResultError, match="no BigTIFF"):
        chain_sub_ifds(classic)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_bigtiffs_of_either_byte_order_are_chained(tmp_path, order, levels):
    path = tmp_path / "pyramid.tiff"
    with tifffile.TiffWriter(path, bigtiff=True, byteorder=order) as writer:
        options = {"tile": (16, 16), "metadata": None}
        writer.write(np.zeros((64, 64), np.uint8), subifds=levels - 1, **options)
        for level in range(1, levels):
            writer.write(np.full((64 >> level,) * 2, level, np.uint8), subfiletype=1, **options)
    assert chain_sub_ifds(path) == levels
    with tifffile.TiffFile(path) as file:
        assert [page.asarray().max() for page in file.pages] == list(range(levels))


def test_a_missing_libvips_is_a_refusal_in_one_sentence(monkeypatch):
    assert TiffExporter().refusal() is None

    def fail(name, *_):
        raise OSError(f"cannot load library for {name}")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert "pyvips-binary" in (TiffExporter().refusal() or "")
