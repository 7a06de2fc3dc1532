"""Slides of other makers: the library that is missing, what is refused, and the rules."""

import sys
from contextlib import closing

import fake_slideio
import numpy as np
import pytest
from czi_files import tiles_of, write_czi
from fake_isyntax import write_isyntax
from fake_slideio import write_vsi
from slide_files import speckled

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Grid, Window
from heatmaps_ome.slides.opening import open_slide

RGB = speckled(300, 400)


def without(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)


def refusal(path):
    with pytest.raises(SlideError) as caught:
        open_slide(path, 0.5)
    return str(caught.value)


def test_a_missing_library_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    pytest.importorskip("pylibCZIrw")
    czi = write_czi(tmp_path / "a.czi", [tiles_of(RGB)])
    isyntax = write_isyntax(tmp_path / "a.isyntax", [RGB], 0.5)
    vsi = write_vsi(tmp_path / "a.vsi", {"20x": [RGB]})
    for path, module, extra in (
        (czi, "pylibCZIrw", "czi"),
        (isyntax, "isyntax", "isyntax"),
        (vsi, "slideio", "vsi"),
    ):
        without(monkeypatch, module)
        sentence = refusal(path)
        assert path.name in sentence
        assert f"pip install 'heatmaps-ome[{extra}]'" in sentence


@pytest.mark.parametrize("channels", [1, 3])
def test_fluorescence_is_no_slide(tmp_path, channels):
    pytest.importorskip("pylibCZIrw")
    path = write_czi(tmp_path / "a.czi", [tiles_of(RGB)], channels=channels)
    expected = "holds 3 channels" if channels > 1 else "holds pixels of the type Gray8"
    assert expected in refusal(path)
    assert "give a brightfield slide in RGB" in refusal(path)


def test_the_middle_plane_is_a_warning_and_enters_the_keys_of_the_cache(tmp_path):
    pytest.importorskip("pylibCZIrw")
    with closing(open_slide(write_czi(tmp_path / "a.czi", [tiles_of(RGB)], planes=4))) as slide:
        assert slide.warnings == (
            "a.czi: of its 4 planes of focus the middle one (number 3) is used",
        )
        assert slide.pixels == "libCZI plane 2"
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        assert (slide.read(lattice, Window(0, 0, *slide.shape)) == RGB).all()


def test_16_bits_become_8_by_division(tmp_path):
    pytest.importorskip("pylibCZIrw")
    deep = RGB.astype(np.uint16) * 257
    with closing(open_slide(write_czi(tmp_path / "a.czi", [tiles_of(deep)]))) as slide:
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        assert (slide.read(lattice, Window(0, 0, *slide.shape)) == RGB).all()
        assert "16 bits per channel are divided by 257" in slide.notes


def test_a_vsi_needs_its_folder_and_a_scan_in_rgb(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "slideio", fake_slideio.modules()["slideio"])
    grey = write_vsi(tmp_path / "grey.vsi", {"10x": [RGB[..., :1]]})
    assert "holds no scan in RGB" in refusal(grey)
    alone = tmp_path / "alone.vsi"
    alone.write_bytes(grey.read_bytes())
    assert "is an Olympus VSI slide without its data: the folder _alone_" in refusal(alone)
