"""open_slide: which reader opens a file, and what a new kind of slide needs."""

import sys
import types
from contextlib import closing
from pathlib import Path

import numpy as np
import odd_slides
import pytest
from slide_files import speckled, write_slide

from heatmaps_ome.errors import OptionError, PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels
from heatmaps_ome.slides import opening
from heatmaps_ome.slides.opening import known_reader, open_slide
from heatmaps_ome.slides.slide_file import SlideFacts, Unsuited


class ArrayFile:
    """A slide of one level in a .npy file, as CONTRIBUTING's recipe has it."""

    opened: list[Path] = []  # noqa: RUF012
    closed = 0
    mpp: YX | None = YX(0.5, 0.5)

    def __init__(self, path):
        self._path = path
        try:
            self._pixels = np.load(path, mmap_mode="r")
        except ValueError as error:
            raise SlideError(f"{path} cannot be opened as a slide ({error})") from error
        shape = Shape(*self._pixels.shape[:2])
        self.facts = SlideFacts("array", (shape,), Window(0, 0, *shape), self.mpp, " (an array)")
        self.opened.append(path)

    @staticmethod
    def can_read(path):
        return path.suffix == ".npy"

    def files(self):
        return [self._path]

    def read_tile(self, level, tile):
        return np.asarray(self._pixels[tile.slices])

    def close(self):
        type(self).closed += 1


@pytest.fixture
def arrays(monkeypatch):
    module = types.ModuleType("array_slides")
    module.ArrayFile = type("ArrayFile", (ArrayFile,), {"opened": [], "closed": 0})
    monkeypatch.setitem(sys.modules, "array_slides", module)
    monkeypatch.setitem(opening.REGISTRY, "arrays", "array_slides:ArrayFile")
    return module.ArrayFile


def test_a_reader_is_a_module_and_a_row(arrays, tmp_path):
    rgb = speckled(603, 877)
    np.save(tmp_path / "a.npy", rgb)
    slide = open_slide(tmp_path / "a.npy")
    assert (slide.format, slide.shape, slide.mpp_source) == ("array", rgb.shape[:2], "slide")
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    assert np.array_equal(slide.read(lattice, Window(0, 0, *slide.shape)), rgb)
    slide.close()
    assert arrays.closed == 1


def test_every_reader_gives_the_same_pixels_of_the_same_level(arrays, tmp_path):
    rgb = speckled(603, 877)
    np.save(tmp_path / "a.npy", rgb)
    write_slide(tmp_path / "a.svs", rgb)
    found = []
    for name in ("a.npy", "a.svs"):
        slide = open_slide(tmp_path / name, read_from="level0")
        lattice = network_pixels(slide.shape, slide.mpp, 256 / 224)
        found.append(slide.read(lattice, Window(0, 0, *lattice.shape)))
        slide.close()
    assert np.array_equal(*found)


def test_readers_that_cannot_read_a_file_are_not_opened(arrays, tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.svs", speckled(300, 300)))
    assert slide.format == "aperio"
    slide.close()
    assert arrays.opened == []


def test_a_missing_pixel_size_is_refused_for_every_reader_and_the_file_closed(arrays, tmp_path):
    np.save(tmp_path / "a.npy", speckled(300, 300))
    arrays.mpp = None
    with pytest.raises(PixelSizeError, match=r"^a\.npy says nothing .* \(an array\); give it"):
        open_slide(tmp_path / "a.npy")
    assert arrays.closed == 1
    slide = open_slide(tmp_path / "a.npy", 0.25)
    assert (slide.mpp, slide.mpp_source) == (YX(0.25, 0.25), "--mpp")
    slide.close()


def test_a_damaged_file_is_its_readers_to_refuse(arrays, tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(SlideError, match=r"a\.npy cannot be opened as a slide"):
        open_slide(tmp_path / "a.npy")


def test_a_file_of_no_format_names_the_readers(arrays, tmp_path):
    (tmp_path / "a.txt").write_text("no slide")
    with pytest.raises(
        SlideError,
        match=r"a\.txt is in no format that one of the readers \(.*OpenSlide.*, arrays\) knows; ",
    ):
        open_slide(tmp_path / "a.txt")


def test_a_reader_that_is_asked_for_reads_the_slide_or_refuses_it(arrays, tmp_path):
    path = write_slide(tmp_path / "a.svs", speckled(300, 300))
    slide = open_slide(path, reader="openSLIDE")
    assert slide.reader == "OpenSlide"
    slide.close()
    with pytest.raises(
        SlideError, match=r"a\.svs cannot be read by the reader arrays: it is in no format that it"
    ):
        open_slide(path, reader="arrays")
    assert arrays.opened == []


def test_a_reader_that_finds_a_slide_unsuited_gives_its_reason(arrays, tmp_path, monkeypatch):
    class Picky(ArrayFile):
        def __init__(self, path):
            raise Unsuited("has pixels of another kind")

    monkeypatch.setattr(sys.modules["array_slides"], "ArrayFile", Picky)
    np.save(tmp_path / "a.npy", speckled(300, 300))
    with pytest.raises(SlideError, match=r"by the reader arrays: it has pixels of another kind; "):
        open_slide(tmp_path / "a.npy", reader="arrays")
    with pytest.raises(
        SlideError, match=r"is in no format that one of .*OpenSlide.*, arrays\) knows"
    ):
        open_slide(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("reader", "levels", "mpp"),
    [("auto", 2, YX(0.5, 0.5)), ("tifffile", 2, YX(0.5, 0.5)), ("openslide", 1, None)],
)
def test_a_reader_that_is_asked_for_reads_what_another_would_read(tmp_path, reader, levels, mpp):
    path = odd_slides.with_subifds(tmp_path / "a.ome.tif")
    with closing(open_slide(path, 0.5, reader=reader)) as slide:
        assert slide.reader == {"openslide": "OpenSlide"}.get(reader, "tifffile")
        assert (len(slide.level_shapes), slide.own_mpp) == (levels, mpp)
        assert (
            slide._file.read_tile(0, Window(0, 0, 256, 256)) == odd_slides.rgb()[:256, :256]
        ).all()


def test_tifffile_reads_aperios_slides_without_the_label_among_the_levels(shared_data):
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with closing(open_slide(path, reader="tifffile")) as slide:
        assert (slide.reader, slide.level_shapes) == ("tifffile", ((2967, 2220),))
        assert slide.own_mpp == YX(0.499, 0.499)
    with closing(open_slide(path)) as slide:
        assert slide.reader != "tifffile"


def test_tifffile_leaves_levels_by_rules_of_a_vendor_alone(shared_data):
    with pytest.raises(SlideError, match=r"cannot be read by the reader tifffile: it is in no"):
        open_slide(shared_data / "slides" / "philips-cmu.tiff", reader="tifffile")


def test_an_unknown_reader_is_answered_with_the_names(arrays):
    assert known_reader("Arrays") == "arrays"
    assert known_reader("AUTO") == "auto"
    with pytest.raises(OptionError, match=r"no reader of slides 'bio'; .* auto and: .*arrays$"):
        known_reader("bio")
