"""A damaged tile fails its slide, or is left blank: it alone, counted and recorded."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import odd_slides
import pytest

from heatmaps_ome.errors import DamagedTileError, SlideError
from heatmaps_ome.geometry import YX, Grid, Window, network_pixels
from heatmaps_ome.slides.bad_tiles import BadTile, BadTiles, bad_tiles_sentence
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.working_copy import WorkingCopy

DAMAGED = ((0, 1), (2, 3), (3, 0))
"""Rows and columns of the damaged tiles, of 128 px; a level has 8 columns of them."""


@pytest.fixture
def path(tmp_path):
    path = odd_slides.jpeg_slide(tmp_path / "a.tif")
    with closing(open_slide(path)) as slide:
        np.save(tmp_path / "sound.npy", pixels_of(slide))
    return odd_slides.spoil_tiles(path, *(row * 8 + col for row, col in DAMAGED))


def pixels_of(slide, window=None):
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    return slide.read(lattice, window or Window(0, 0, *slide.shape))


def expected(path):
    pixels = np.load(path.parent / "sound.npy")
    for row, col in DAMAGED:
        pixels[row * 128 : row * 128 + 128, col * 128 : col * 128 + 128] = 255
    return pixels


def test_a_damaged_tile_fails_with_its_place_and_the_remedy(path):
    with closing(open_slide(path)) as slide:
        with pytest.raises(DamagedTileError, match=r"\(y 0, x 0\).*--bad-tiles blank$"):
            pixels_of(slide)
        assert slide.bad_tiles.record() is None


def test_the_damaged_tiles_alone_are_blank(path):
    with closing(open_slide(path, bad_tiles="blank")) as slide:
        assert (pixels_of(slide) == expected(path)).all()
        assert slide.bad_tiles.tiles == [BadTile(0, row * 128, col * 128) for row, col in DAMAGED]
        json.dumps(slide.bad_tiles.record())


def test_threads_that_read_beside_a_damaged_tile_get_their_pixels(path):
    windows = [Window(row, col, 60, 90) for row in range(0, 600, 60) for col in range(0, 900, 90)]
    for _ in range(3):
        with (
            closing(open_slide(path, bad_tiles="blank")) as slide,
            ThreadPoolExecutor(4) as pool,
        ):
            parts = list(pool.map(lambda window: pixels_of(slide, window), windows))
            assert len(slide.bad_tiles.tiles) == len(DAMAGED)
        for window, part in zip(windows, parts, strict=True):
            assert (part == expected(path)[window.slices]).all()


def test_a_real_slide_with_three_damaged_tiles_has_these_blank(shared_data):
    path = shared_data / "broken" / "broken-3badtiles-cmu.svs"
    with closing(open_slide(path, bad_tiles="blank")) as slide:
        pixels_of(slide)
        assert slide.bad_tiles.record()["count"] == 3
        assert len(slide.bad_tiles.record()["first"]) == 3


def test_a_file_that_was_replaced_is_no_damaged_tile(path, tmp_path):
    with closing(open_slide(path, bad_tiles="blank")) as slide:
        odd_slides.plain_tiff(path, odd_slides.rgb()[:300, :300])
        with pytest.raises(SlideError) as caught:
            pixels_of(slide)
        assert not isinstance(caught.value, DamagedTileError)


def copy_of(path, folder, bad_tiles="blank"):
    slide = open_slide(path, bad_tiles=bad_tiles)
    lattice = network_pixels(slide.shape, slide.mpp, 0.6)
    return WorkingCopy(slide, slide.fingerprint(), lattice, folder, threads=2)


def test_the_copy_of_a_slide_remembers_its_blank_tiles(path, tmp_path):
    for _ in range(2):
        with closing(copy_of(path, tmp_path / "cache")) as copy:
            copy.fill()
            assert len(copy.bad_tiles.tiles) == len(DAMAGED)
    with (
        closing(copy_of(path, tmp_path / "cache", "fail")) as copy,
        pytest.raises(DamagedTileError),
    ):
        copy.fill()


def test_a_slide_that_changes_while_it_is_copied_fails(tmp_path):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", odd_slides.rgb())
    with closing(copy_of(path, tmp_path / "cache")) as copy:
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(SlideError, match="was replaced or written to while it was read"):
            copy.fill()


def test_blank_tiles_are_counted_once_and_told_with_the_first_places():
    bad = BadTiles("blank")
    assert bad_tiles_sentence(bad.record()) == bad_tiles_sentence(None) == ""
    bad.add([BadTile(0, 512, 256), BadTile(0, 0, 256)] * 2)
    assert bad_tiles_sentence(bad.record()) == (
        "2 damaged tiles were left blank: (y 0, x 256) of level 0, (y 512, x 256) of level 0"
    )
    bad.add(BadTile(1, 0, x) for x in range(100))
    assert (bad.record()["count"], len(bad.record()["first"])) == (102, 10)
    assert bad_tiles_sentence(bad.record()).endswith(", …")
    other = BadTiles("blank")
    assert other.load(bad.text())
    assert other.tiles == bad.tiles
    assert not BadTiles("blank").load(b"[[1]]")
