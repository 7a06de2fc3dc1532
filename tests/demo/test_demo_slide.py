"""The demo slide: what OpenSlide and tifffile make of it, and where its islands are."""

from __future__ import annotations

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from heatmaps_ome.demo.slide import DemoSlide, write_demo_slide
from heatmaps_ome.demo.tissue import paint_tissue
from heatmaps_ome.errors import OptionError, OutputError

HEIGHT, WIDTH = 1400, 1900


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> DemoSlide:
    path = tmp_path_factory.mktemp("demo") / "demo.svs"
    return write_demo_slide(path, 7, l0_height=HEIGHT, l0_width=WIDTH, islands=2)


@pytest.fixture(scope="module")
def pixels(demo) -> np.ndarray:
    with openslide.OpenSlide(demo.path) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def test_openslide_opens_it_as_aperio_with_its_pixel_size(demo):
    with openslide.OpenSlide(demo.path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == 0.5
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]) == 0.5
        assert float(slide.properties[openslide.PROPERTY_NAME_OBJECTIVE_POWER]) == 20
        assert slide.dimensions == (WIDTH, HEIGHT)
        assert slide.level_dimensions == ((1900, 1400), (950, 700), (475, 350), (237, 175))


def test_another_pixel_size_is_written_too(tmp_path):
    path = tmp_path / "demo.tiff"
    write_demo_slide(path, 0, l0_height=600, l0_width=700, mpp=0.25, islands=0)
    with openslide.OpenSlide(path) as slide:
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == 0.25
        assert float(slide.properties[openslide.PROPERTY_NAME_OBJECTIVE_POWER]) == 40


def test_every_level_shows_the_same_pixels(demo, pixels):
    with openslide.OpenSlide(demo.path) as slide:
        for level, (width, height) in enumerate(slide.level_dimensions):
            found = np.asarray(slide.read_region((0, 0), level, (width, height)).convert("RGB"))
            step = 2**level
            window = pixels[: height * step, : width * step].astype(float)
            expected = window.reshape(height, step, width, step, 3).mean(axis=(1, 3))
            assert np.abs(found - expected).mean() < 4


def test_tifffile_reads_the_same_pixels(demo, pixels):
    with tifffile.TiffFile(demo.path) as tiff:
        assert tiff.is_svs
        assert [page.shape[:2] for page in tiff.pages] == [
            (1400, 1900), (700, 950), (350, 475), (175, 237)
        ]  # fmt: skip
        assert all(page.is_tiled for page in tiff.pages)


def test_the_same_seed_gives_the_same_slide_and_another_seed_another():
    first, layout = paint_tissue(3, 500, 640, 0.5)
    again, layout_again = paint_tissue(3, 500, 640, 0.5)
    other, _ = paint_tissue(4, 500, 640, 0.5)
    assert np.array_equal(first, again)
    for one, two in zip(layout.islands, layout_again.islands, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first, other)


def test_glass_is_brighter_than_the_threshold_and_tissue_darker(pixels):
    corner = grey(pixels[:40, :40])
    assert corner.min() > 224
    assert 240 <= corner.mean() <= 246
    middle = grey(
        pixels[HEIGHT // 2 - 200 : HEIGHT // 2 + 200, WIDTH // 2 - 200 : WIDTH // 2 + 200]
    )
    assert middle.mean() < 210


def test_islands_are_purple_and_the_rest_is_pink(demo, pixels):
    island = demo.island_mask(HEIGHT, WIDTH, (0, 0), (1, 1))
    stroma = (grey(pixels) < 215) & ~island
    assert 0.02 < island.mean() < 0.5
    red, green, blue = pixels[island].mean(axis=0)
    assert blue > red > green
    red, green, blue = pixels[stroma].mean(axis=0)
    assert red > blue > green
    assert grey(pixels)[island].mean() < grey(pixels)[stroma].mean() - 40


def test_the_outline_lies_on_the_islands_edge(demo, pixels):
    red_over_blue = pixels[..., 0].astype(float) - pixels[..., 2]
    for outline in demo.islands:
        centre = outline.mean(axis=0)
        just_inside = np.rint(centre + (outline - centre) * 0.93).astype(int)
        just_outside = np.rint(centre + (outline - centre) * 1.07).astype(int)
        inner = red_over_blue[just_inside[:, 0], just_inside[:, 1]]
        outer = red_over_blue[just_outside[:, 0], just_outside[:, 1]]
        assert np.median(inner) < 0 < np.median(outer)


def test_a_mask_cell_is_true_where_its_centre_is_inside(tmp_path):
    square = np.array([[10.0, 20.0], [10.0, 40.0], [30.0, 40.0], [30.0, 20.0]])
    demo = DemoSlide(tmp_path / "none.svs", 0.5, 100, 100, (square,))
    mask = demo.island_mask(5, 6, (-6.0, 2.0), (10.0, 8.0))
    # Centres: y = -1, 9, 19, 29, 39; x = 6, 14, 22, 30, 38, 46.
    expected = np.zeros((5, 6), dtype=bool)
    expected[2:4, 2:5] = True
    assert np.array_equal(mask, expected)


def test_a_slide_without_islands_has_no_purple(tmp_path):
    demo = write_demo_slide(tmp_path / "n.svs", 5, l0_height=700, l0_width=800, islands=0)
    assert demo.islands == ()
    assert not demo.island_mask(7, 8, (0, 0), (100, 100)).any()
    with openslide.OpenSlide(demo.path) as slide:
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    means = pixels[:672, :800].reshape(21, 32, 25, 32, 3).mean(axis=(1, 3))
    assert (means[..., 0] >= means[..., 2] - 12).all()


@pytest.mark.parametrize("seed", range(6))
def test_islands_lie_inside_the_slide_and_apart(seed):
    _, layout = paint_tissue(seed, 600, 760, 2.0, islands=3)
    assert len(layout.islands) == 3
    assert all(outline.dtype == np.float64 for outline in layout.islands)
    everything = np.concatenate(layout.islands)
    assert everything.min() > 0
    assert (everything.max(axis=0) < (600, 760)).all()


def test_a_file_that_exists_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "demo.svs"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_demo_slide(path, 0, l0_height=300, l0_width=300, islands=0)
    assert path.read_bytes() == b"mine"
    assert [found.name for found in tmp_path.iterdir()] == ["demo.svs"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="is not a folder"):
        write_demo_slide(tmp_path / "no" / "demo.svs", 0, l0_height=300, l0_width=300, islands=0)


def test_too_many_islands_are_refused():
    with pytest.raises(OptionError, match="has room for"):
        paint_tissue(0, 300, 300, 0.5, islands=60)
