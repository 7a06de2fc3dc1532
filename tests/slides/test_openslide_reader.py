import json
import shutil
from contextlib import closing

import numpy as np
import openslide
import pytest
from PIL import Image
from slide_files import speckled, write_slide

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels
from heatmaps_ome.slides.opening import open_slide


def lattice_of(slide, l0_pixel):
    return Grid(
        Shape(int(slide.shape.rows // l0_pixel.y), int(slide.shape.cols // l0_pixel.x)),
        l0_pixel, YX(0, 0), slide.mpp,
    )  # fmt: skip


@pytest.fixture
def slide(tmp_path):
    reader = open_slide(write_slide(tmp_path / "a.svs", speckled(900, 1300)))
    yield reader
    reader.close()


def test_level_0_comes_back_pixel_by_pixel(slide):
    found = slide.read(lattice_of(slide, YX(1, 1)), Window(17, 400, 300, 501))
    assert np.array_equal(found, speckled(900, 1300)[17:317, 400:901])


def test_a_window_is_the_same_part_of_every_larger_window(slide):
    lattice = network_pixels(slide.shape, slide.mpp, 256 / 224)
    whole = slide.read(lattice, Window(0, 0, *lattice.shape)).astype(int)
    for window in (Window(0, 0, 40, 50), Window(100, 77, 33, 200), Window(350, 500, 44, 69)):
        part = slide.read(lattice, window).astype(int)
        assert np.abs(part - whole[window.slices]).max() == 0


def test_reading_is_the_references_resize(slide):
    lattice = lattice_of(slide, YX(2.5, 2.5))
    found = slide.read(lattice, Window(0, 0, *lattice.shape)).astype(int)
    level = Image.fromarray(speckled(900, 1300)).reduce(2)
    box = (0, 0, lattice.shape.cols * 1.25, lattice.shape.rows * 1.25)
    expected = level.resize(lattice.shape[::-1], Image.Resampling.BICUBIC, box=box)
    # The pyramid's own halving rounds otherwise than Pillow's.
    assert np.abs(found[3:-3, 3:-3] - np.asarray(expected).astype(int)[3:-3, 3:-3]).max() <= 3


@pytest.mark.parametrize("l0_pixel", [YX(1, 2), YX(4.57, 4.57), YX(3.3, 7.1), YX(0.5, 0.5)])
def test_a_landmark_stays_at_its_place_at_every_scale(tmp_path, l0_pixel):
    rgb = np.full((1000, 1400, 3), 255, np.uint8)
    rgb[600:680, 320:400] = 0
    slide = open_slide(write_slide(tmp_path / "a.svs", rgb))
    lattice = lattice_of(slide, l0_pixel)
    dark = 255.0 - slide.read(lattice, Window(0, 0, *lattice.shape))[..., 0]
    slide.close()
    rows, cols = np.indices(dark.shape) + 0.5
    centre = lattice.l0_from_g(
        YX((dark * rows).sum() / dark.sum(), (dark * cols).sum() / dark.sum())
    )
    assert centre.y == pytest.approx(640, abs=0.3)
    assert centre.x == pytest.approx(360, abs=0.3)


def test_tissue_at_the_border_is_not_mixed_with_what_lies_outside(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.svs", np.full((301, 403, 3), 90, np.uint8)))
    for l0_pixel in (YX(2.3, 2.3), YX(1, 1), YX(7.7, 5.1)):
        lattice = Grid(Shape(400, 400), l0_pixel, YX(0, 0), slide.mpp)
        found = slide.read(lattice, Window(0, 0, 400, 400))
        rows, cols = round(301 / l0_pixel.y), round(403 / l0_pixel.x)
        assert (found[:rows, :cols] == 90).all()
        assert (found[rows:] == 255).all()
        assert (found[:, cols:] == 255).all()
    slide.close()


def test_outside_the_slide_is_white(slide):
    lattice = Grid(Shape(1000, 1400), YX(1, 1), YX(0, 0), slide.mpp)
    assert (slide.read(lattice, Window(905, 0, 50, 50)) == 255).all()
    assert (slide.read(lattice, Window(890, 1295, 20, 20))[:, 8:] == 255).all()


def test_a_slide_without_a_pixel_size_is_refused_in_one_sentence(tmp_path):
    path = write_slide(tmp_path / "a.tiff", speckled(300, 300), mpp=None)
    with pytest.raises(PixelSizeError, match=r"^a\.tiff says nothing of its pixel size; .*--mpp$"):
        open_slide(path)
    slide = open_slide(path, 0.25)
    assert slide.mpp == (0.25, 0.25)
    assert slide.mpp_source == "--mpp"
    slide.close()


def test_the_users_pixel_size_goes_before_the_slides_own(tmp_path):
    path = write_slide(tmp_path / "a.svs", speckled(300, 300))
    with closing(open_slide(path, 0.25)) as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.25, 0.25), "--mpp")
        assert slide.own_mpp == (0.5, 0.5)
        assert slide.mpp_warning == (
            "a.svs: the pixel size of --mpp, 0.25 µm, is used, not the slide's own, 0.5 × 0.5 µm"
        )
    with closing(open_slide(path, 0.504)) as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.504, 0.504), "--mpp")
        assert slide.mpp_warning is None
    with closing(open_slide(path)) as slide:
        assert (slide.mpp, slide.mpp_source, slide.mpp_warning) == ((0.5, 0.5), "slide", None)


def test_an_absurd_pixel_size_is_refused_with_the_value(tmp_path):
    path = write_slide(tmp_path / "a.svs", speckled(300, 300), mpp=250.0)
    with pytest.raises(PixelSizeError, match=r"250 × 250 µm .* give the true one .* --mpp$"):
        open_slide(path)
    with closing(open_slide(path, 0.25)) as slide:
        assert (slide.mpp, slide.own_mpp) == ((0.25, 0.25), (250, 250))
        assert "250 × 250" in slide.mpp_warning


@pytest.mark.parametrize("mpp", ["nan", "inf", "-0.5", "0", "half"])
def test_a_pixel_size_that_is_no_length_counts_as_none(tmp_path, mpp):
    path = write_slide(tmp_path / "a.svs", speckled(300, 300), mpp=mpp)
    with pytest.raises(PixelSizeError, match=r"give .* in µm per pixel with --mpp$"):
        open_slide(path)
    with closing(open_slide(path, 0.25)) as slide:
        assert slide.mpp == (0.25, 0.25)
        json.dumps(slide.own_mpp, allow_nan=False)


def test_a_pixel_size_that_makes_a_slide_of_metres_is_refused(tmp_path):
    path = write_slide(tmp_path / "a.svs", np.full((64, 40000, 3), 200, np.uint8), mpp=19.0)
    with pytest.raises(PixelSizeError, match=r"would be 760 × 1 mm; .*--mpp$"):
        open_slide(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no slide at all", r"ends in \.svs, but does not begin like Aperio SVS; copy it again"),
        (b"", r"is empty \(0 bytes\); copy the slide again"),
        (b"II*\0\x08\0\0\0\0\0", "is a TIFF that is cut off or damaged .*; copy it again"),
    ],
    ids=["text", "empty", "cut"],
)
def test_what_is_no_slide_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=rf"a\.svs {reason}"):
        open_slide(path)


def test_a_missing_slide_is_named(tmp_path):
    with pytest.raises(SlideError, match="there is no such slide"):
        open_slide(tmp_path / "missing.svs")


def test_the_fingerprint_is_of_the_content_not_the_name(tmp_path):
    first = write_slide(tmp_path / "a.svs", speckled(300, 300))
    prints = []
    for path in (
        first,
        shutil.copy(first, tmp_path / "b.svs"),
        write_slide(tmp_path / "c.svs", speckled(300, 300, seed=1)),
    ):
        slide = open_slide(path)
        prints.append(slide.fingerprint())
        slide.close()
    assert prints[0] == prints[1] != prints[2]


def test_transparent_pixels_are_white_on_the_real_mirax(shared_data):
    slide = open_slide(shared_data / "slides" / "mirax-cmu-bounds.mrxs")
    assert slide.bounds == (368, 736, 2592, 2224)
    lattice = lattice_of(slide, YX(1, 1))
    corner = slide.read(lattice, Window(0, 0, 300, 600))
    slide.close()
    assert (corner == 255).all()


def test_a_coarse_level_agrees_with_level_0_on_the_real_aperio(shared_data):
    path = shared_data / "slides" / "aperio-3levels-cmu.svs"
    slide = open_slide(path)
    lattice = lattice_of(slide, YX(5, 5))
    found = slide.read(lattice, Window(0, 0, *lattice.shape)).astype(float)
    raw = openslide.OpenSlide(path)
    level_0 = raw.read_region((0, 0), 0, raw.dimensions).convert("RGB")
    raw.close()
    slide.close()
    box = (0, 0, lattice.shape.cols * 5, lattice.shape.rows * 5)
    expected = level_0.resize(lattice.shape[::-1], Image.Resampling.BICUBIC, box=box)
    assert np.abs(found - np.asarray(expected)).mean() < 4.5


def test_a_damaged_tile_is_placed_and_the_slide_still_reads_elsewhere(shared_data):
    slide = open_slide(shared_data / "broken" / "broken-3badtiles-cmu.svs")
    lattice = lattice_of(slide, YX(1, 1))
    results, said = {}, set()
    for row in range(0, lattice.shape.rows - 240, 240):
        for col in range(0, lattice.shape.cols - 240, 240):
            window = Window(row, col, 200, 200)
            try:
                results[window] = slide.read(lattice, window).std()
            except SlideError as error:
                results[window] = None
                said.add("level-0 pixel" in str(error))
    slide.close()
    assert said == {True}
    bad = [window for window, found in results.items() if found is None]
    assert bad
    assert len(bad) < len(results)


def test_an_unreadable_slide_is_a_slide_error(shared_data):
    path = shared_data / "broken" / "openslide-python-unreadable.svs"
    try:
        slide = open_slide(path, 0.5)
    except SlideError:
        return
    with pytest.raises(SlideError, match="cannot be read"):
        slide.read(lattice_of(slide, YX(1, 1)), Window(0, 0, 4, 4))
