"""Tiles as pictures and as a table: the slide's very pixels, at the place that is said of them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest
from fakes import FakeSlide, covering_grid, heatmap_set, noise_rgb, slide_result
from PIL import Image
from slide_files import speckled, write_slide

from heatmaps_ome.exporters import tiles as tiles_module
from heatmaps_ome.exporters.figures.captions import scale_bar
from heatmaps_ome.exporters.figures.pages import Page
from heatmaps_ome.exporters.figures.picture_files import save_png
from heatmaps_ome.exporters.figures.tile_pictures import Naming, TilePicture, framed_tile, sheet
from heatmaps_ome.exporters.manifest import manifest
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiles import LONGEST_PX, TilesExporter, picture_name, tile_pixels
from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels
from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.top_tiles import L0Window, PickedTile, picked_tiles
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.working_copy import WorkingCopy

SLIDE = Shape(700, 900)
NAMING = Naming("slide", "MSIH")


def tile_at(y, x, rows=100.0, cols=100.0, kind="top", rank=1, share=0.25):
    """Return a tile of a slide of half a micrometre per pixel."""
    middle = YX((y + rows / 2) / 2, (x + cols / 2) / 2)
    return PickedTile(kind, rank, L0Window(y, x, rows, cols), middle, 0.875, 0.125, share)


def with_tiles(count=3, contributions=True, classes=("MSIH", "nonMSIH"), slide=None, seed=0):
    """Return random results of a slide with the tiles that were picked of them."""
    slide = slide or FakeSlide(noise_rgb(SLIDE))
    grid = covering_grid(slide.shape, YX(18.3, 18.3), YX(-9.1, -9.1), slide.mpp)
    maps = heatmap_set(
        grid, slide.shape, classes, seed, contributions=contributions, slide_name=slide.name
    )
    result = slide_result(slide, grid, (), classes)
    return replace(result, heatmaps=maps, tiles=picked_tiles(maps, classes[0], count))


@pytest.fixture
def exact(monkeypatch):
    """Store every pixel as it is drawn, to compare them."""
    monkeypatch.setattr(tiles_module, "save_jpeg", save_png)


def rows_of(folder):
    with (folder / "slide.tiles.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_by_openslide(path, window):
    """Return level-0 pixels as OpenSlide itself gives them, on white and white off the slide."""
    with openslide.OpenSlide(path) as slide:
        # OpenSlide rounds places off the slide, so only what is on it is asked for.
        inside = window.common(Window(0, 0, slide.dimensions[1], slide.dimensions[0]))
        region = slide.read_region((inside.col, inside.row), 0, (inside.cols, inside.rows))
        background = "#" + slide.properties.get("openslide.background-color", "FFFFFF")
    canvas = Image.new("RGB", region.size, background)
    canvas.paste(region, mask=region.getchannel("A"))
    out = np.full((window.rows, window.cols, 3), 255, np.uint8)
    out[inside.within(window).slices] = np.asarray(canvas)
    return out


def of_slide(slide, n=40):
    """Return random places of tiles, some of them over the slide's edges, with whole windows."""
    rng = np.random.default_rng(1)
    for _ in range(n):
        y, x = (float(rng.uniform(-150, size - 100)) for size in slide.shape)
        tile = tile_at(y, x, 251.4, 249.3)
        yield tile, Window(round(y), round(x), 251, 249)


def assert_same_pixels(slide, path):
    for tile, window in of_slide(slide):
        assert np.array_equal(tile_pixels(slide, tile), read_by_openslide(path, window))


def test_pixels_are_the_slides_own_also_over_its_edges(tmp_path):
    path = write_slide(tmp_path / "slide.svs", noise_rgb(SLIDE))
    slide = open_slide(path)
    assert_same_pixels(slide, path)
    slide.close()


def test_pixels_of_a_slide_with_bounds_are_at_their_place_on_the_whole_canvas(shared_data):
    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    slide = open_slide(path)
    assert_same_pixels(slide, path)
    slide.close()


@pytest.mark.parametrize("mpp", [0.5, 256 / 224])
def test_a_working_copy_gives_the_slides_own_pixels_even_if_it_has_them_itself(tmp_path, mpp):
    path = write_slide(tmp_path / "slide.svs", speckled(*SLIDE), mpp)
    slide = open_slide(path)
    lattice = network_pixels(slide.shape, slide.mpp, 256 / 224)
    copy = WorkingCopy(slide, slide.fingerprint(), lattice, tmp_path / "cache", 2)
    assert_same_pixels(copy, path)
    # Where the copy's finest level is the slide's, this is what it would answer by itself.
    corner = tile_at(0.0, 0.0, 900.0, 1000.0)
    expected = read_by_openslide(path, Window(0, 0, 900, 1000))
    assert np.array_equal(tile_pixels(copy, corner), expected)
    copy.close()


def test_a_tile_beyond_the_slide_is_white():
    slide = FakeSlide(noise_rgb(SLIDE))
    assert (tile_pixels(slide, tile_at(-200.0, 0.0)) == 255).all()


def test_pixels_are_coarser_where_a_tile_would_have_too_many():
    rgb = np.zeros((400, 400, 3), np.uint8)
    rgb[100:200, 50:150] = 200
    tile = tile_at(100.0, 50.0, 200.0, 100.0)
    found = tile_pixels(FakeSlide(rgb), tile, 40)
    assert found.shape == (40, 20, 3)
    assert (found[:20] == 200).all()
    assert (found[20:] == 0).all()


class WhiteSlide(FakeSlide):
    """A slide of 0.05 µm per pixel that notes which lattices are asked for."""

    def __init__(self):
        super().__init__(np.zeros((1, 1, 3), np.uint8), YX(0.05, 0.05))
        self.shape, self.asked = Shape(6000, 6000), []

    def read(self, lattice, window):
        self.asked.append(lattice)
        return np.full((window.rows, window.cols, 3), 250, np.uint8)


@pytest.mark.usefixtures("exact")
def test_pictures_have_no_more_pixels_than_is_said_and_their_scale_is_told(tmp_path):
    tile = replace(tile_at(10.5, 20.5, 5120.0, 5120.0), um_centre=YX(128.5, 129.0))
    slide = WhiteSlide()
    result = replace(slide_result(FakeSlide(noise_rgb(SLIDE))), slide=slide, tiles=(tile,))
    TilesExporter().write(result, tmp_path)
    [lattice] = slide.asked
    assert lattice.shape == (LONGEST_PX, LONGEST_PX)
    assert lattice.l0_cell == YX(2.5, 2.5)
    assert lattice.l0_origin == YX(10.5, 20.5)
    found, page = picture_and_page(tmp_path / "tiles" / "top-1.jpg")
    assert found.shape == (LONGEST_PX, LONGEST_PX, 3)
    assert bar_px(page) == pytest.approx(scale_bar(0.4 * 256)[0] / 0.125, abs=1)


def picture_and_page(path):
    """Return what is in a picture's frame, found by its border, and the page below it."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        page = np.asarray(image)
    border = (page == 0xAD).all(axis=2)
    rows = np.flatnonzero(border.sum(axis=1) > page.shape[1] // 3)
    cols = np.flatnonzero(border.sum(axis=0) > 100)
    top, left, bottom, right = rows[0], cols[0], rows[-1], cols[-1]
    return page[top + 1 : bottom, left + 1 : right], page[bottom + 1 :]


def bar_px(page):
    """Return the length of the longest run of ink in a row, which is the scale bar's."""
    longest = 0
    for row in (page == 0x1A).all(axis=2):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        longest = max(longest, *(edges[1::2] - edges[::2]), 0) if len(edges) else longest
    return longest


@pytest.mark.parametrize(
    ("size", "um_pixel"),
    [(512, 0.5), (1024, 0.25), (1026, 0.2495), (64, 4.0), (513, 0.4990)],
)
def test_a_frame_covers_no_pixel_and_its_bar_has_the_length_that_it_says(tmp_path, size, um_pixel):
    pixels = noise_rgb(Shape(size, size))
    pixels[pixels == 0xAD] = 0
    page = framed_tile(TilePicture(tile_at(0, 0), pixels, YX(um_pixel, um_pixel)), NAMING)
    Image.fromarray(page).save(tmp_path / "page.png")
    found, below = picture_and_page(tmp_path / "page.png")
    zoom = max(1, 256 // size)
    assert np.array_equal(found, pixels.repeat(zoom, 0).repeat(zoom, 1))
    um, _ = scale_bar(0.4 * size * um_pixel)
    assert bar_px(below) == pytest.approx(um / um_pixel * zoom, abs=1)


@pytest.mark.usefixtures("exact")
def test_files_show_each_tile_and_where_it_is(tmp_path):
    result = with_tiles()
    paths = TilesExporter().write(result, tmp_path)
    assert sorted(paths) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    names = [f"{kind}-{rank}.jpg" for kind in ("bottom", "top") for rank in (1, 2, 3)]
    assert sorted(path.name for path in (tmp_path / "tiles").iterdir()) == sorted(
        [*names, "tiles.jpg"]
    )
    for tile in result.tiles:
        found, _ = picture_and_page(tmp_path / picture_name(tile))
        zoom = len(found) // round(tile.l0_window.rows)
        assert zoom == 2
        assert np.array_equal(found[::zoom, ::zoom], tile_pixels(result.slide, tile))


def test_the_table_says_what_the_maps_say_and_where(tmp_path):
    result = with_tiles()
    TilesExporter().write(result, tmp_path)
    rows, maps = rows_of(tmp_path), result.heatmaps
    own = evidence(maps, "MSIH")
    for name, place in (("top", np.nanargmax(own)), ("bottom", np.nanargmin(own))):
        row = next(row for row in rows if row["kind"] == name)
        cell = np.unravel_index(place, own.shape)
        middle = maps.grid.um_from_g(YX(cell[0] + 0.5, cell[1] + 0.5))
        assert (float(row["y_um"]), float(row["x_um"])) == pytest.approx(middle, abs=1e-4)
        assert float(row["score"]) == pytest.approx(maps.scores[0][cell], rel=1e-7)
        assert float(row["contribution"]) == pytest.approx(maps.contributions[0][cell], rel=1e-7)
    assert [(row["kind"], row["rank"]) for row in rows] == [
        (kind, str(rank)) for kind in ("top", "bottom") for rank in (1, 2, 3)
    ]
    for row in rows:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
        assert (width, height) == pytest.approx((7 * 18.3, 7 * 18.3), abs=1e-4)
        said = (float(row["x_um"]), float(row["y_um"]))
        assert said == pytest.approx(((x + width / 2) * 0.5, (y + height / 2) * 0.5), abs=1e-3)
        assert 0 < float(row["share_of_evidence"]) < 1
        assert (tmp_path / row["picture"]).is_file()


HOSTILE = ('=HYPERLINK("http://x")', "-1", "<b>a</b>/..\\", "two\nlines", "$x$ \u4e2d\U0001f600")


@pytest.mark.parametrize("name", HOSTILE)
def test_class_names_of_strangers_are_drawn_and_run_as_no_formula(tmp_path, name):
    TilesExporter().write(with_tiles(1, classes=(name, "b")), tmp_path)
    marked = ("'" if name[0] in "=-" else "") + name
    assert {row["class"] for row in rows_of(tmp_path)} == {marked}


def test_without_an_affine_head_the_table_leaves_shares_empty(tmp_path):
    TilesExporter().write(with_tiles(2, contributions=False), tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == 4
    assert {(row["contribution"], row["share_of_evidence"]) for row in rows} == {("", "")}
    assert all(row["score"] for row in rows)


def test_without_tiles_there_is_a_table_without_rows_and_no_picture(tmp_path):
    [path] = TilesExporter().write(with_tiles(0), tmp_path)
    assert path.name == "slide.tiles.csv"
    assert rows_of(tmp_path) == []
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def words_on(monkeypatch):
    """Return the list in which all that pages are given to write is noted."""
    written = []
    original = Page.write_at

    def noted(self, place, texts, *rest, **more):
        written.extend(texts)
        return original(self, place, texts, *rest, **more)

    monkeypatch.setattr(Page, "write_at", noted)
    return written


def pictures_of(tiles):
    return [TilePicture(tile, noise_rgb(Shape(50, 60)), YX(2.0, 2.0)) for tile in tiles]


def test_the_sheet_says_what_tiles_speak_for_and_that_there_are_none(monkeypatch):
    written = words_on(monkeypatch)
    tiles = [tile_at(0, 0, kind="bottom", rank=rank, share=0.1) for rank in (1, 2)]
    sheet([each.thumbnail() for each in pictures_of(tiles)], NAMING, affine=True)
    assert "Tiles that speak for MSIH: none" in written
    assert "Tiles that speak against MSIH: together 20 % of the evidence against it" in written
    written.clear()
    unknown = tile_at(0, 0, share=float("nan"))
    tiles = [replace(unknown, contribution=float("nan"))]
    sheet([each.thumbnail() for each in pictures_of(tiles)], NAMING, affine=False)
    assert "Tiles that speak for MSIH" in written
    assert written[-1] == "For research, not for diagnosis."
    assert written[-2].endswith("Tiles are chosen by it, as the model's head is not affine.")
    assert not any("evidence" in text for text in written)
    written.clear()
    sheet([each.thumbnail() for each in pictures_of([unknown])], NAMING, affine=True)
    assert "Tiles that speak for MSIH: all evidence for it is next to nothing" in written
    written.clear()
    framed_tile(pictures_of([unknown])[0], NAMING)
    assert "score for MSIH 0.875 · all evidence for it is next to nothing" in written


def test_the_sheet_holds_every_tile_and_none_over_another():
    tiles = [
        tile_at(0, 0, kind=kind, rank=rank) for kind in ("top", "bottom") for rank in range(11)
    ]
    pictures = [each.thumbnail() for each in pictures_of(tiles)]
    page = sheet(pictures, NAMING, affine=True)
    border = (page == 0xAD).all(axis=2)
    height, width = pictures[0].pixels.shape[:2]
    corners = [
        (row, col)
        for row, col in np.argwhere(border)
        if border[row, col : col + width + 2].sum() == width + 2
        and border[row : row + height + 2, col].sum() == height + 2
    ]
    assert len(corners) == len(tiles)
    for picture, (row, col) in zip(pictures, corners, strict=True):
        found = page[row + 1 : row + 1 + height, col + 1 : col + 1 + width]
        assert np.array_equal(found, picture.pixels)


def test_a_caption_says_rank_place_score_and_share(monkeypatch):
    written = words_on(monkeypatch)
    tile = tile_at(200.0, 100.0, kind="bottom", rank=3)
    framed_tile(TilePicture(tile, noise_rgb(Shape(100, 100)), YX(0.5, 0.5)), NAMING)
    assert written == [
        "Bottom 3: speaks against MSIH",
        "score for MSIH 0.875 · 25 % of the evidence against it",
        "centre at x 75.0 µm, y 125.0 µm",
        "slide",
        "For research, not for diagnosis.",
    ]


def test_pictures_are_kept_and_found_again_unless_something_is_missing(tmp_path):
    result = with_tiles(2)
    exporter = TilesExporter(Settings(cache=tmp_path / "cache"))
    for name in "abcd":
        (tmp_path / name).mkdir()
    exporter.write(result, tmp_path / "a")
    reads = len(result.slide.l0_reads)
    assert reads == 4
    paths = exporter.write(result, tmp_path / "b")
    assert len(result.slide.l0_reads) == reads
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    assert sorted(paths) == sorted(path for path in (tmp_path / "b").rglob("*") if path.is_file())
    [kept] = (tmp_path / "cache" / "pictures").iterdir()
    (kept / "top-1.jpg").write_bytes(b"cut")
    exporter.write(result, tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "a")
    TilesExporter().write(result, tmp_path / "d")
    assert contents(tmp_path / "d") == contents(tmp_path / "a")


def test_pictures_of_another_class_or_name_are_not_taken_for_these(tmp_path):
    result = with_tiles(1)
    exporter = TilesExporter(Settings(cache=tmp_path / "cache"))
    others = (
        result,
        replace(result, true_class="nonMSIH"),
        replace(result, tiles=result.tiles[:1]),
        replace(result, slide=FakeSlide(noise_rgb(SLIDE), name="renamed")),
        replace(result, slide=FakeSlide(noise_rgb(SLIDE, seed=1))),
    )
    for index, each in enumerate(others):
        (tmp_path / str(index)).mkdir()
        exporter.write(each, tmp_path / str(index))
    assert len(list((tmp_path / "cache" / "pictures").iterdir())) == len(others)


def contents(folder: Path):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")
            if path.is_file()}  # fmt: skip


def test_maps_json_names_the_table(tmp_path):
    result = with_tiles(1)
    assert manifest(result, tmp_path)["tiles"] is None
    TilesExporter().write(result, tmp_path)
    said = json.loads(json.dumps(manifest(result, tmp_path)))
    assert said["tiles"] == "slide.tiles.csv"


def test_a_grid_coarser_than_the_slide_makes_a_tile_that_is_mostly_white(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(10, 12)))
    grid = Grid(Shape(1, 1), YX(32, 32), YX(0, 0), slide.mpp)
    maps = heatmap_set(grid, slide.shape, tissue=np.ones((1, 1), bool))
    tiles = picked_tiles(maps, "MSIH", 8)
    assert len(tiles) == 1
    TilesExporter().write(
        replace(slide_result(slide, grid, ()), heatmaps=maps, tiles=tiles), tmp_path
    )
    pixels = tile_pixels(slide, tiles[0])
    assert np.array_equal(pixels[96:106, 96:108], slide.rgb)
    assert (np.delete(pixels, range(96, 106), axis=0) == 255).all()
