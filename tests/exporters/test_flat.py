"""The slide with a map burnt in: the blend of the previews, at the cell's place, in one pass."""

import json
import tracemalloc

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04.image import Image as ImageV04
from ome_zarr_models.v05.image import Image as ImageV05
from PIL import Image

from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters import flat as flat_module
from heatmaps_ome.exporters import ome_zarr as ome_zarr_module
from heatmaps_ome.exporters import png as png_module
from heatmaps_ome.exporters.figures.picture_files import save_png
from heatmaps_ome.exporters.flat import flat_level
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.png import PngExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape

NGFF = ("0.4", "0.5")


def write(result, folder, **settings):
    """Write a result and return its image and the picture of its first map, opened."""
    image, first, *_ = OmeZarrExporter(Settings(flattened=True, **settings)).write(result, folder)
    return zarr.open_group(image, mode="r"), zarr.open_group(first, mode="r")


def levels_of(group):
    return [np.moveaxis(group[name][...], 0, 2) for name in sorted(group.array_keys(), key=int)]


def cells_at(grid, um_pixel, shape):
    """Return the cell around each pixel's centre along both axes, by the places in µm alone."""
    found = []
    for n, pixel, cell, origin, cells in zip(
        shape, um_pixel, grid.um_cell, grid.um_origin, grid.shape, strict=True
    ):
        index = np.floor(((np.arange(n) + 0.5) * pixel - origin) / cell).astype(int)
        found.append(np.where((index < 0) | (index >= cells), -1, index))
    return found


def blended(rgb, result, um_pixel):
    """Return a picture with the first map over it: the plain formula in floats.

    Cells at the slide's edge that are on no label are not drawn.
    """
    shown, raster = result.maps[0], result.raster
    labelled = cells_at(shown.grid, raster.um_cell, raster.shape)
    rows, cols = (
        np.where(np.isin(at, on_label), at, -1)
        for at, on_label in zip(
            cells_at(shown.grid, um_pixel, rgb.shape[:2]), labelled, strict=True
        )
    )
    colour = np.zeros((*rgb.shape[:2], 3))
    alpha = np.zeros((*rgb.shape[:2], 1))
    levels = np.pad(shown.levels, [(0, 1), (0, 1)])[rows[:, None], cols[None]]
    opacity = np.pad(shown.opacity, [(0, 1), (0, 1)])[rows[:, None], cols[None]]
    colour[...] = shown.colours[levels][..., :3]
    alpha[..., 0] = np.where(levels > 0, opacity, 0) / 255
    return np.rint(rgb * (1 - alpha) + colour * alpha).astype(np.uint8)


def test_burning_in_rounds_as_floats_do_for_all_pixels_colours_and_opacities():
    slide, colour, alpha = np.mgrid[0:256:5, 0:256:3, 0:256].reshape(3, -1)
    mixed = slide * (255 - alpha) + colour * alpha
    float32 = np.float32(alpha) / 255
    by_floats = np.rint(np.float32(slide) * (1 - float32) + np.float32(colour) * float32)
    mixed += 128
    np.testing.assert_array_equal((mixed + (mixed >> 8)) >> 8, by_floats)


@pytest.mark.parametrize("ngff", NGFF)
@pytest.mark.parametrize(
    ("shape", "cell", "origin"),
    [
        (Shape(700, 1100), YX(64, 64), YX(-31, -31)),
        (Shape(1030, 530), YX(37.3, 21.1), YX(-15.5, 7.25)),
        (Shape(5, 3), YX(2, 2), YX(0, 0)),
    ],
)
def test_a_picture_is_the_slide_blended_with_the_map_at_each_pixels_centre(
    tmp_path, ngff, shape, cell, origin
):
    slide = FakeSlide(noise_rgb(shape), YX(0.5, 0.25))
    grid = covering_grid(slide.shape, cell, origin, slide.mpp)
    opacity = np.random.default_rng(3).integers(0, 256, grid.shape)
    shown = display_map("attention", grid, opacity=opacity)
    result = slide_result(slide, grid, (shown,))
    _, flat = write(result, tmp_path, ngff=ngff)
    np.testing.assert_array_equal(levels_of(flat)[0], blended(slide.rgb, result, slide.mpp))


@pytest.mark.parametrize("ngff", NGFF)
def test_each_level_of_a_picture_is_the_images_own_with_the_map_over_it(
    tmp_path, monkeypatch, ngff
):
    monkeypatch.setattr(flat_module, "MOST_PX", 1024)
    slide = FakeSlide(noise_rgb(Shape(2100, 4101)), YX(0.5, 0.5))
    result = slide_result(slide, covering_grid(slide.shape, YX(73.1, 73.1), YX(-30, -30)))
    image, flat = write(result, tmp_path, ngff=ngff)
    whole, found = levels_of(image), levels_of(flat)
    assert len(found) == len(whole) - 3
    for level, (picture, under) in enumerate(zip(found, whole[3:], strict=True), 3):
        um_pixel = YX(0.5, 0.5).times(2.0**level)
        np.testing.assert_array_equal(picture, blended(under, result, um_pixel))


def test_a_picture_is_the_preview_where_both_have_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(png_module, "save_few_colours", lambda rgb, path, _: save_png(rgb, path))
    slide = FakeSlide(noise_rgb(Shape(400, 300)))
    result = slide_result(slide)
    _, flat = write(result, tmp_path)
    shown = result.maps[0]
    burnt = BurntMap(shown, result.image).over(slide.rgb, 0)
    np.testing.assert_array_equal(levels_of(flat)[0], burnt)
    PngExporter(longest_side_px=400).write(result, tmp_path)
    with Image.open(tmp_path / "previews" / "attention-overlay.png") as preview:
        pixels = np.asarray(preview.convert("RGB"))
    row = burnt[200]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (1, len(row), 3))[:, :, 0, 0]
    assert (windows == row).all(axis=(2, 3)).any(), "no row of the preview is the picture's"


@pytest.mark.parametrize(
    ("shape", "flat_mpp", "level"),
    [
        ((4096, 4096), None, 0),
        ((4097, 10), None, 1),
        ((40000, 30000), None, 4),
        ((40000, 30000), 0.5, 0),
        ((40000, 30000), 0.2, 0),
        ((40000, 30000), 3.99, 2),
        ((40000, 30000), 4.0, 3),
        ((40000, 30000), 20.0, 5),
        ((1000, 1000), 20.0, 1),
    ],
)
def test_pictures_begin_at_a_bearable_level_or_at_the_one_asked_for(shape, flat_mpp, level):
    image = Grid(Shape(*shape), YX(1, 1), YX(0, 0), YX(0.5, 0.5))
    levels = ome_zarr_module.n_levels(image.shape, 512)
    assert flat_level(image, levels, flat_mpp) == level


def test_the_coarser_axis_decides_how_fine_a_level_is():
    image = Grid(Shape(9000, 9000), YX(1, 1), YX(0, 0), YX(0.5, 1.0))
    assert flat_level(image, 6, 2.0) == 1


def test_pictures_are_made_of_all_maps_but_the_tissue_or_of_none(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(64, 64))))
    (tmp_path / "none").mkdir()
    paths = OmeZarrExporter(Settings(flattened=True)).write(result, tmp_path)
    names = ["slide.ome.zarr", "slide.attention.flat.ome.zarr", "slide.score-MSIH.flat.ome.zarr"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in tmp_path.glob("*.zarr")) == sorted(names)
    bare = OmeZarrExporter().write(result, tmp_path / "none")
    assert [path.name for path in bare] == ["slide.ome.zarr"]


@pytest.mark.parametrize("ngff", NGFF)
def test_pictures_keep_to_the_contract_of_images(tmp_path, ngff):
    slide = FakeSlide(noise_rgb(Shape(700, 900)), YX(0.5, 0.25))
    _, path, *_ = OmeZarrExporter(Settings(ngff=ngff, flattened=True)).write(
        slide_result(slide), tmp_path
    )
    (ImageV04 if ngff == "0.4" else ImageV05).from_zarr(zarr.open_group(path, mode="r"))
    [node] = list(Reader(parse_url(path))())
    assert [data.shape for data in node.data] == [(3, 700, 900), (3, 350, 450)]
    assert node.metadata["channel_names"] == ["Red", "Green", "Blue"]
    assert [[m["type"] for m in moves] for moves in node.metadata["coordinateTransformations"]] == [
        ["scale"], ["scale"]
    ]  # fmt: skip
    assert node.metadata["coordinateTransformations"][1][0]["scale"] == [1.0, 1.0, 0.5]
    xml = (path / "OME" / "METADATA.ome.xml").read_text("utf-8")
    assert 'PhysicalSizeY="0.5"' in xml
    assert 'SizeX="900"' in xml


@pytest.mark.parametrize("ngff", NGFF)
def test_pictures_say_which_map_they_show_and_how_to_read_it(tmp_path, ngff):
    result = slide_result(FakeSlide(noise_rgb(Shape(64, 64))))
    paths = OmeZarrExporter(Settings(ngff=ngff, flattened=True)).write(result, tmp_path)
    facts = zarr.open_group(paths[2], mode="r").attrs["heatmaps_ome"]
    assert facts["kind"] == "flat"
    assert facts["slide"]["name"] == "slide"
    assert facts["map"] == {
        "name": "score-MSIH", "kind": "score", "class": "MSIH", "unit": "made up",
        "title": "Score-msih", "quantity": "score-MSIH (made up)",
        "colour_map": "made up", "lower": -1.0, "upper": 1.0, "middle": 0.0, "categories": [],
        "alpha": 1.0, "fades": False, "note": "", "over_grey": False,
    }  # fmt: skip
    assert json.dumps(facts, allow_nan=False)


def area_read(slide):
    return sum(size.y * size.x for size in slide.l0_reads)


@pytest.mark.parametrize("settings", [{}, {"ngff": "0.5"}, {"flat_mpp": 2.0}], ids=str)
def test_each_pixel_of_the_slide_is_read_once_whatever_is_written(tmp_path, settings):
    slide = FakeSlide(noise_rgb(Shape(1500, 5000)))
    OmeZarrExporter(Settings(flattened=True, **settings)).write(slide_result(slide), tmp_path)
    assert area_read(slide) == 1500 * 5000


class StripedSlide(FakeSlide):
    """A slide as long as one likes that is never in memory as a whole."""

    def __init__(self, shape):
        super().__init__(np.zeros((1, 1, 3), np.uint8))
        self.shape = shape

    def read(self, lattice, window):
        rows = np.arange(window.row, window.row_stop, dtype=np.int64) % 256
        return np.broadcast_to(
            rows[:, None, None].astype(np.uint8), (window.rows, window.cols, 3)
        ).copy()


def peak_mb(rows, folder, ngff):
    """Return the most memory, in MB, that writing a slide of 4096 pixels' width took."""
    slide = StripedSlide(Shape(rows, 4096))
    grid = covering_grid(slide.shape, YX(256, 256))
    maps = tuple(display_map(name, grid) for name in ("attention", "score-a", "score-b"))
    result = slide_result(slide, grid, maps)
    folder.mkdir()
    tracemalloc.start()
    try:
        OmeZarrExporter(Settings(threads=1, ngff=ngff, flattened=True)).write(result, folder)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ngff", NGFF)
def test_memory_does_not_grow_with_the_slide(tmp_path, ngff):
    peak_mb(1024, tmp_path / "warm", ngff)
    short, long = (peak_mb(rows, tmp_path / str(rows), ngff) for rows in (3072, 6144))
    strip = 1024 * 4096 * 3 / 1e6
    assert long < short + strip
    assert long < 14 * strip
