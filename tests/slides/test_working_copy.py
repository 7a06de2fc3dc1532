"""A slide's copy gives the slide's own pixels, whole, once read never read again."""

import shutil
import threading

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, heatmap_set, noise_rgb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from slide_files import speckled, write_slide

from heatmaps_ome.errors import OutputError, SlideError
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.protocol import SlideResult
from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels, raster_pixels
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.working_copy import WorkingCopy

MPP = 256 / 224
CORNER = YX(0.0, 0.0)


def copied(slide, folder, target_mpp=MPP):
    lattice = network_pixels(slide.shape, slide.mpp, target_mpp)
    return WorkingCopy(slide, slide.fingerprint(), lattice, folder, threads=2)


def everything(lattice):
    return Window(0, 0, *lattice.shape)


def alike(found, expected):
    """Return whether pixels are the same but for the rounding of a fake slide's areas."""
    return np.abs(found.astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a slide and the copy of it."""
    path = tmp_path_factory.mktemp("slide") / "a.svs"
    write_slide(path, speckled(2803, 3077))
    slide, copy = open_slide(path), copied(open_slide(path), path.parent / "cache")
    yield slide, copy
    slide.close()
    copy.close()


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(-300, 1600)] * 2), st.tuples(*[st.integers(1, 700)] * 2))
def test_every_window_is_the_slides_own_and_white_beyond_it(both, corner, size):
    slide, copy = both
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    window = Window(*corner, *size)
    assert np.array_equal(copy.read(lattice, window), slide.read(lattice, window))


def test_facts_are_the_slides(both):
    slide, copy = both
    for fact in ("path", "name", "shape", "mpp", "bounds", "mpp_source", "read_from"):
        assert getattr(copy, fact) == getattr(slide, fact)
    assert copy.fingerprint() == slide.fingerprint()


@pytest.mark.parametrize("coarser", [2.0, 3.3, 16.0])
def test_coarser_lattices_show_the_same_at_the_same_place(tmp_path, coarser):
    noise = np.random.default_rng(0).normal(size=(1300, 1700, 3))
    sigma = 5 + 4 * coarser
    smooth = gaussian_filter(noise, (sigma, sigma, 0))
    rgb = np.clip(150 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    slide, copy = FakeSlide(rgb), copied(FakeSlide(rgb), tmp_path)
    lattice = network_pixels(slide.shape, slide.mpp, coarser * MPP)
    window = Window(0, 0, lattice.shape.rows - 1, lattice.shape.cols - 1)
    found = copy.read(lattice, window).astype(int)
    shifted = copy.read(
        Grid(lattice.shape, lattice.l0_cell, lattice.l0_cell.times(0.5), lattice.mpp), window
    ).astype(int)
    expected = slide.read(lattice, window).astype(int)
    assert np.abs(found - expected).mean() < 2
    assert np.abs(shifted - expected).mean() > 2 * np.abs(found - expected).mean()


def test_finer_lattices_are_read_from_the_slide(tmp_path):
    slide, copy = FakeSlide(noise_rgb(Shape(300, 400))), None
    copy = copied(slide, tmp_path)
    lattice = network_pixels(slide.shape, slide.mpp, 0.5)
    assert np.array_equal(copy.read(lattice, everything(lattice)), slide.rgb)


def test_a_slide_is_read_once(tmp_path):
    rgb = noise_rgb(Shape(1300, 1700))
    first = copied(FakeSlide(rgb), tmp_path)
    lattice = network_pixels(first.shape, first.mpp, MPP)
    pixels = first.read(lattice, everything(lattice))
    first.close()
    slide = FakeSlide(rgb, name="moved")
    again = copied(slide, tmp_path)
    assert np.array_equal(again.read(lattice, everything(lattice)), pixels)
    assert slide.l0_reads == []
    other = copied(FakeSlide(255 - rgb), tmp_path)
    assert not np.array_equal(other.read(lattice, everything(lattice)), pixels)


def test_black_parts_are_stored_too(tmp_path):
    rgb = noise_rgb(Shape(1300, 1700))
    rgb[:, :1400] = 0
    first = copied(FakeSlide(rgb), tmp_path)
    lattice = network_pixels(first.shape, first.mpp, MPP)
    pixels = first.read(lattice, everything(lattice))
    first.close()
    slide = FakeSlide(rgb)
    again = copied(slide, tmp_path)
    assert np.array_equal(again.read(lattice, everything(lattice)), pixels)
    assert (again.folder / "0" / "0" / "0" / "0").is_file()
    assert slide.l0_reads == []


class Gated(FakeSlide):
    """Gives its lower half only once it may."""

    def __init__(self, rgb):
        super().__init__(rgb)
        self.gate = threading.Event()

    def read(self, lattice, window):
        if window.row >= 1024:
            assert self.gate.wait(30)
        return super().read(lattice, window)


def test_the_top_can_be_read_before_the_bottom_has_been(tmp_path):
    slide = Gated(noise_rgb(Shape(2600, 400)))
    copy = copied(slide, tmp_path)
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    top = copy.read(lattice, Window(0, 0, 500, 100))
    slide.gate.set()
    assert np.array_equal(top, copy.read(lattice, everything(lattice))[:500, :100])


def test_an_unfinished_copy_is_finished_by_the_next_run(tmp_path):
    rgb = noise_rgb(Shape(2600, 400))
    killed = Gated(rgb)
    copy = copied(killed, tmp_path)
    lattice = network_pixels(copy.shape, copy.mpp, MPP)
    copy.read(lattice, Window(0, 0, 500, 100))
    copy._closed = True
    killed.gate.set()
    copy.close()
    slide = FakeSlide(rgb)
    again = copied(slide, tmp_path)
    found = again.read(lattice, everything(lattice))
    assert slide.l0_reads
    assert alike(found, slide.read(lattice, everything(lattice)))


def test_a_copy_that_lost_a_chunk_is_made_anew(tmp_path):
    rgb = noise_rgb(Shape(2600, 2700))
    copy = copied(FakeSlide(rgb), tmp_path)
    copy.fill()
    (copy.folder / "0" / "0" / "1" / "1").unlink()
    slide = FakeSlide(rgb)
    again = copied(slide, tmp_path)
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    found = again.read(lattice, everything(lattice))
    assert alike(found, slide.read(lattice, everything(lattice)))


def test_what_is_wrong_with_the_slide_reaches_whoever_reads(tmp_path):
    class Damaged(FakeSlide):
        def read(self, lattice, window):
            raise SlideError("a.svs cannot be read near level-0 pixel (y 3, x 4)")

    copy = copied(Damaged(noise_rgb(Shape(300, 300))), tmp_path)
    with pytest.raises(SlideError, match="y 3"):
        copy.fill()
    lattice = network_pixels(copy.shape, copy.mpp, MPP)
    with pytest.raises(SlideError, match="y 3"):
        copy.read(lattice, everything(lattice))


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="--cache-dir"):
        copied(FakeSlide(noise_rgb(Shape(300, 300))), tmp_path / "file")


def exported(slide, image_mpp, folder, **settings_):
    """Return the levels of the image that is written of a slide."""
    folder.mkdir()
    lattice = network_pixels(slide.shape, slide.mpp, image_mpp)
    cells = Grid(Shape(20, 30), YX(73.1, 73.1), YX(-35.0, -35.0), slide.mpp)
    result = SlideResult(
        slide, heatmap_set(cells, slide.shape), (), "MSIH", lattice,
        raster_pixels(slide.shape, slide.mpp, cells.l0_cell),
    )  # fmt: skip
    [path] = OmeZarrExporter(**settings_).write(result, folder)
    group = zarr.open_group(path, mode="r")
    return {key: group[key][...] for key in sorted(group.array_keys())}, path


@pytest.mark.parametrize("image_mpp", [MPP, 0.7, 2.5])
def test_an_image_made_of_the_copy_is_that_made_of_the_slide(both, tmp_path, image_mpp):
    slide, copy = both
    expected, _ = exported(slide, image_mpp, tmp_path / "slide")
    found, path = exported(copy, image_mpp, tmp_path / "copy")
    assert found.keys() == expected.keys()
    for level, pixels in expected.items():
        # A coarser image is made of the copy's levels; at its own resolution nothing differs.
        tolerance = 0 if image_mpp <= MPP else 6
        assert np.abs(found[level].astype(int) - pixels).mean() <= tolerance
    chunks = [file for file in path.rglob("*") if file.is_file() and file.name.isdigit()]
    linked = [chunk.stat().st_nlink > 1 for chunk in chunks]
    assert chunks
    assert any(linked) == all(linked) == (image_mpp == MPP)


def test_where_files_cannot_be_linked_they_are_copied(both, tmp_path, monkeypatch):
    from pathlib import Path

    def refused(self, target):
        raise OSError("another file system")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    slide, copy = both
    expected, _ = exported(slide, MPP, tmp_path / "slide")
    found, _ = exported(copy, MPP, tmp_path / "copy")
    assert all(np.array_equal(found[level], expected[level]) for level in expected)
    shutil.rmtree(tmp_path / "copy")
