"""Overlays of any size equal the cells drawn pixel by pixel, and cost what the cells do."""

import hashlib
import subprocess
import sys
import tracemalloc
import zlib
from itertools import pairwise

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.display.patchwork import Patchwork, drawn
from heatmaps_ome.display.rasterise import coloured_cells
from heatmaps_ome.errors import OutputError
from heatmaps_ome.exporters import tiff
from heatmaps_ome.exporters.overlay_tiff import write_picture
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiff import TiffExporter, overlay_lattice
from heatmaps_ome.geometry import YX, Grid, Shape, anchored_pixels, sample
from heatmaps_ome.ome.tiff_pyramid import TILE, padded_shape
from heatmaps_ome.options import CreateOptions

MPP = YX(0.5, 0.25)

cells = st.floats(0.7, 150, allow_nan=False)
origins = st.floats(-200, 200, allow_nan=False)
sides = st.integers(1, 700)


@st.composite
def cases(draw):
    """Draw coloured cells of any opacity, their grid and a raster with the size to draw it at."""
    grid = Grid(
        Shape(draw(st.integers(1, 30)), draw(st.integers(1, 30))),
        YX(draw(cells), draw(cells)), YX(draw(origins), draw(origins)), MPP,
    )  # fmt: skip
    slide = Shape(draw(sides), draw(sides))
    raster = anchored_pixels(slide, MPP, draw(st.sampled_from([1, 2, 3, 8])))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    rgba = rng.integers(0, 256, (*grid.shape, 4), dtype=np.uint8)
    rgba[..., 3] = rng.choice([0, 1, 2, 128, 255], grid.shape)
    rgba[rgba[..., 3] == 0] = 0
    return rgba, grid, raster, padded_shape(raster.shape)


def whole(picture):
    return picture.patches[picture.rows][:, picture.cols]


def halved_slowly(rgba):
    """Return the mean of 2 × 2 pixels with straight alpha, by plain division."""
    blocks = rgba.reshape(len(rgba) // 2, 2, -1, 2, 4).astype(np.float64)
    alpha = blocks[..., 3].sum(axis=(1, 3))
    colour = (blocks[..., :3] * blocks[..., 3:]).sum(axis=(1, 3))
    colour /= np.maximum(alpha, 1)[..., None]
    out = np.floor(np.concatenate([colour, alpha[..., None] / 4], axis=2) + 0.5)
    out[out[..., 3] == 0] = 0
    return out


@settings(max_examples=60, deadline=None)
@given(cases())
def test_patches_equal_pixels_at_every_level(case):
    rgba, grid, raster, shape = case
    picture = drawn(rgba, grid, raster, shape)
    expected = np.zeros((*shape, 4), np.uint8)
    expected[: raster.shape.rows, : raster.shape.cols] = sample(rgba, grid, raster, 0)
    np.testing.assert_array_equal(whole(picture), expected)
    while max(picture.shape) > TILE:
        fine, picture = whole(picture), picture.halved()
        np.testing.assert_array_equal(whole(picture), halved_slowly(fine))


@settings(max_examples=20, deadline=None)
@given(cases(), st.integers(1, 3))
def test_a_coarse_level_is_near_the_mean_of_the_finest(case, halvings):
    rgba, grid, raster, _ = case
    step = 2**halvings
    picture = drawn(rgba, grid, raster, Shape(*(-(-n // step) * step for n in raster.shape)))
    blocks = whole(picture)[..., 3].reshape(picture.shape.rows // step, step, -1, step)
    mean = blocks.astype(np.float64).mean(axis=(1, 3))
    for _ in range(halvings):
        picture = picture.halved()
    off = np.abs(whole(picture)[..., 3] - mean)
    assert off.max() <= halvings / 2, "half a grey level is lost at each halving, at most"


def test_halving_a_cell_larger_than_a_pixel_makes_few_patches():
    grid = Grid(Shape(9, 7), YX(146.3, 146.3), YX(-20.1, 3.3), MPP)
    rgba = coloured_cells(display_map("attention", grid))
    raster = anchored_pixels(Shape(1536, 1280), MPP, 1)
    picture = drawn(rgba, grid, raster, raster.shape)
    for _ in range(7):
        picture = picture.halved()
        rows, cols, _ = picture.patches.shape
        assert rows <= 2 * 9 + 3
        assert cols <= 2 * 7 + 3


def pages_of(file):
    """Return the pages of all levels of a TIFF, finest first."""
    finest = file.pages.first
    return [finest, *(page.aspage() for page in finest.pages or ())]


def tiles_of(page):
    """Return where a level's tiles stand in the file: pairs of offset and size."""
    return list(zip(page.dataoffsets, page.databytecounts, strict=True))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_tiles_hold_the_pixels(tmp_path_factory, case):
    path = tmp_path_factory.mktemp("tiles") / "a.ome.tiff"
    picture = drawn(*case)
    write_picture(picture, path, "", MPP)
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        pages = pages_of(file)
        empty = set()
        for page in pages:
            pixels = whole(picture)
            rows, cols = (-(-n // TILE) for n in picture.shape)
            assert len(tiles_of(page)) == rows * cols
            for index, (offset, size) in enumerate(tiles_of(page)):
                row, col = (TILE * n for n in divmod(index, cols))
                expected = pixels[row : row + TILE, col : col + TILE]
                unpacked = zlib.decompress(data[offset : offset + size])
                found = np.frombuffer(unpacked, np.uint8).reshape(TILE, TILE, 4)
                np.testing.assert_array_equal(found[: len(expected), : expected.shape[1]], expected)
                if not expected.any():
                    empty.add(offset)
                else:
                    assert found.any()
            assert max(picture.shape) > TILE or page is pages[-1]
            if page is not pages[-1]:
                picture = picture.halved()
    assert len(empty) <= 1, "empty tiles share one place"


def test_rows_repeated_any_number_of_times_are_read_back(tmp_path):
    times = np.repeat([*range(1, 20), *range(200, 260)], 2)
    patches = np.random.default_rng(0).integers(0, 256, (len(times), 2 * TILE, 4), np.uint8)
    patches[1::2] = 255
    rows = np.repeat(np.arange(len(times)), times)
    rows = np.pad(rows, (0, -len(rows) % 128), mode="edge")
    picture = Patchwork(patches, rows, np.arange(2 * TILE))
    write_picture(picture, tmp_path / "a.ome.tiff", "", MPP)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as file:
        np.testing.assert_array_equal(file.pages.first.asarray(), whole(picture))


COLOURS_AT_THE_CORNERS = """
import sys
from pathlib import Path
import numpy as np
from heatmaps_ome.display.patchwork import Patchwork
from heatmaps_ome.exporters.overlay_tiff import write_picture
from heatmaps_ome.geometry import YX
patches = np.random.default_rng(0).integers(1, 256, (64, 64, 4), np.uint8)
each_fills_a_tile = np.repeat(np.arange(64), 256)
picture = Patchwork(patches, each_fills_a_tile, each_fills_a_tile)
write_picture(picture, Path(sys.argv[1]), "", YX(1.0, 1.0))
"""


def test_every_process_writes_the_same_bytes(tmp_path):
    """Memory has other addresses in each, which a compressor can let slip into what it writes."""
    digests = set()
    for number in range(3):
        path = tmp_path / f"{number}.ome.tiff"
        subprocess.run([sys.executable, "-c", COLOURS_AT_THE_CORNERS, path], check=True)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def result_of(shape, grid, levels=None, opacity=128):
    slide = FakeSlide(noise_rgb(Shape(2, 2)), MPP)
    slide.shape = shape
    shown = display_map("attention", grid, levels, opacity=opacity)
    return slide_result(slide, grid, (shown,)), shown


def written(result, shown, folder, l0_pixel):
    return TiffExporter(Settings(overlay_px=l0_pixel)).write_overlay(shown, result, folder)


def test_full_resolution_shows_each_pixels_cell_to_every_reader(tmp_path):
    shape = Shape(1203, 1701)
    result, shown = result_of(shape, Grid(Shape(8, 12), YX(146.3, 140.1), YX(9.6, -31), MPP))
    path = written(result, shown, tmp_path, 1)
    lattice = Grid(shape, YX(1, 1), YX(0, 0), MPP)
    expected = sample(coloured_cells(shown), shown.grid, lattice, 0)
    window = (slice(shape.rows), slice(shape.cols))
    with tifffile.TiffFile(path) as file:
        assert 'PhysicalSizeX="0.25"' in file.ome_metadata
        levels = [level.asarray() for level in file.series[0].levels]
        pages = pages_of(file)
    assert pages[0].tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
    assert pages[0].tags["XResolution"].value == (40_000, 1)
    assert pages[0].tags["YResolution"].value == (20_000, 1)
    for page in pages:
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        assert page.planarconfig == tifffile.PLANARCONFIG.CONTIG
        assert page.extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)
        assert page.tile == (TILE, TILE)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == tifffile.PREDICTOR.NONE
        assert page.is_reduced == (page is not pages[0])
    np.testing.assert_array_equal(levels[0][window], expected)
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, halved_slowly(fine))
    by_libvips = pyvips.Image.new_from_file(str(path)).numpy()
    np.testing.assert_array_equal(by_libvips, levels[0])
    with openslide.OpenSlide(path) as slide:
        for number, level in enumerate(levels):
            size = slide.level_dimensions[number]
            found = np.asarray(slide.read_region((0, 0), number, size)).astype(int)
            seen = level[..., 3] >= 32
            assert np.abs(found - level)[seen].max() <= 4, "OpenSlide premultiplies"
            np.testing.assert_array_equal(found[..., 3], level[..., 3])


def test_both_ways_of_drawing_show_the_same(tmp_path, monkeypatch):
    """libvips draws pixel by pixel, and is as independent a reader of cells as any."""
    shape = Shape(1203, 1701)
    rng = np.random.default_rng(0)
    grid = Grid(Shape(14, 20), YX(96.3, 90.1), YX(9.6, -31), MPP)
    opacity = rng.choice([0, 90, 128, 255], grid.shape)
    result, shown = result_of(shape, grid, opacity=opacity)
    found = {}
    for few in (8, 1000):
        monkeypatch.setattr(tiff, "_FEW_PIXELS", few)
        (tmp_path / str(few)).mkdir()
        with tifffile.TiffFile(written(result, shown, tmp_path / str(few), 4)) as file:
            found[few] = [level.asarray().astype(int) for level in file.series[0].levels]
    assert len(found[8]) == len(found[1000]) > 1
    np.testing.assert_array_equal(found[8][0], found[1000][0])
    for rows_wise, pixel_wise in zip(found[8][1:], found[1000][1:], strict=True):
        assert rows_wise.shape == pixel_wise.shape
        # libvips rounds alpha down at each halving.
        assert np.abs(rows_wise - pixel_wise)[..., 3].max() <= len(found[8])


def test_a_pixel_is_an_eighth_of_a_cell_unless_it_is_told(tmp_path):
    result, shown = result_of(Shape(5001, 3000), covering_grid(Shape(5001, 3000), YX(150, 147)))
    for told, pixel in ((None, 18), (1, 1), (40, 40)):
        lattice = overlay_lattice(result, told)
        assert (lattice.l0_cell, lattice.l0_origin) == ((pixel, pixel), (0, 0))
        path = written(result, shown, tmp_path, told)
        with tifffile.TiffFile(path) as file:
            assert f'PhysicalSizeY="{pixel * 0.5}"' in file.ome_metadata
    tiny, _ = result_of(Shape(30, 40), covering_grid(Shape(30, 40), YX(5, 5)))
    assert overlay_lattice(tiny, None).l0_cell == (1, 1)
    assert overlay_lattice(tiny, 8).l0_cell == (5, 5), "no cell is left out"


def test_empty_tiles_are_all_one_and_cost_their_entries_only(tmp_path):
    shape = Shape(20_000, 30_000)
    grid = covering_grid(shape, YX(1000, 1000))
    levels = np.zeros(grid.shape)
    levels[10, 20] = 99
    result, shown = result_of(shape, grid, levels)
    tracemalloc.start()
    path = written(result, shown, tmp_path, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with tifffile.TiffFile(path) as file:
        places = [place for page in pages_of(file) for place in tiles_of(page)]
    entries, places = len(places), set(places)
    assert entries > 12_000
    assert len(places) < 50
    assert path.stat().st_size < 16 * entries + 100_000
    assert peak < 10e6, "a few strips of a picture of 2.4 GB"


@pytest.mark.parametrize("l0_pixel", [None, 1])
def test_an_overlay_that_cannot_be_written_is_told(tmp_path, l0_pixel):
    result, shown = result_of(Shape(300, 300), covering_grid(Shape(300, 300), YX(64, 64)))
    with pytest.raises(OutputError, match=r"attention\.ome\.tiff cannot be written"):
        written(result, shown, tmp_path / "nowhere", l0_pixel)


def test_without_the_chain_a_fine_overlay_has_its_levels_in_sub_ifds_only(tmp_path):
    result, shown = result_of(Shape(1203, 1701), covering_grid(Shape(1203, 1701), YX(64, 64)))
    exporter = TiffExporter(Settings(overlay_px=1, chain=False))
    path = exporter.write_overlay(shown, result, tmp_path)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
        assert len(pages_of(file)) == 4
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 1


@pytest.mark.parametrize("pixels", [0, 257])
def test_pixels_of_no_sense_are_refused(tmp_path, pixels):
    with pytest.raises(ValueError, match="--overlay-px is"):
        CreateOptions(model_path=tmp_path, output_path=tmp_path, true_class="A", overlay_px=pixels)
