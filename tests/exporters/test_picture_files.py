"""Previews of few colours and tiles as JPEG: small, and what one looks at in them is unchanged."""

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from scipy.ndimage import gaussian_filter

from heatmaps_ome.display.colour import palette
from heatmaps_ome.exporters.figures.picture_files import (
    few_colours,
    save_few_colours,
    save_jpeg,
    save_png,
)
from heatmaps_ome.geometry import Window

BOX = Window(40, 20, 600, 800)
SWATCHES = [(0, 158, 115), (213, 94, 0), (86, 180, 233), (240, 228, 66)]


def tissue(rows, cols):
    """Return stained tissue on glass with the noise of a JPEG."""
    rng = np.random.default_rng(0)
    shade = gaussian_filter(rng.normal(size=(rows, cols)), 4)[..., None] * 40
    nuclei = gaussian_filter(rng.random((rows, cols)), 2)[..., None] > 0.53
    pink, violet = np.array([215, 150, 190.0]), np.array([95, 60, 130.0])
    rgb = np.where(nuclei, violet, pink + 20 * shade) + rng.normal(0, 3, (rows, cols, 3))
    rgb[:, : cols // 3] = (243, 243, 245)
    return np.clip(rgb, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def page():
    """A photograph with a colour bar and swatches below it."""
    rgb = np.full((760, 840, 3), 255, np.uint8)
    rgb[BOX.slices] = tissue(BOX.rows, BOX.cols)
    for step, code in enumerate(palette("coolwarm")):
        rgb[660:680, 20 + 2 * step : 22 + 2 * step] = tuple(bytes.fromhex(code.removeprefix("#")))
    for number, swatch in enumerate(SWATCHES):
        rgb[700:714, 20 + 30 * number : 34 + 30 * number] = swatch
    return rgb


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_photograph_of_few_colours_is_near_the_original_in_a_third_of_the_bytes(page, tmp_path):
    save_few_colours(page, tmp_path / "few.png", BOX)
    save_png(page, tmp_path / "all.png")
    few, whole = pixels(tmp_path / "few.png"), pixels(tmp_path / "all.png")
    np.testing.assert_array_equal(whole, page)
    off = np.abs(few - page)[BOX.slices]
    assert off.mean() < 3
    assert np.percentile(off, 99) < 16
    sizes = [(tmp_path / name).stat().st_size for name in ("few.png", "all.png")]
    assert sizes[0] < 0.34 * sizes[1]


def test_colours_around_a_photograph_are_those_that_were_drawn(page):
    index, colours = few_colours(page, BOX)
    assert len(colours) <= 256
    found = colours[index].astype(int)
    for number, swatch in enumerate(SWATCHES):
        at = found[700:714, 20 + 30 * number : 34 + 30 * number]
        np.testing.assert_array_equal(at, np.broadcast_to(swatch, at.shape))
    bar = slice(660, 680), slice(20, 530)
    assert np.abs(found[bar] - page[bar]).max() <= 8
    assert (found[:40] == 255).all(), "white stays white"


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3, 2)])
def test_pictures_of_any_size_have_few_colours(shape, tmp_path):
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    save_few_colours(rgb, tmp_path / "few.png")
    assert pixels(tmp_path / "few.png").shape == rgb.shape


def test_the_same_picture_gives_the_same_bytes(page, tmp_path):
    for name in "ab":
        save_few_colours(page, tmp_path / name, BOX)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_jpeg_keeps_all_of_the_colour_and_nothing_but_the_picture(page, tmp_path):
    save_jpeg(page, tmp_path / "tile.jpg")
    with Image.open(tmp_path / "tile.jpg") as image:
        assert image.format == "JPEG"
        assert JpegImagePlugin.get_sampling(image) == 0, "no colour is left out between pixels"
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
    off = np.abs(pixels(tmp_path / "tile.jpg") - page)
    assert off.mean() < 2.5
    assert off[700:714, 23:31].max() < 12
