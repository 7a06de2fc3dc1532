import numpy as np
import odd_slides
import pytest
from fakes import FakeSlide
from slide_files import speckled

from heatmaps_ome.geometry import YX, Grid, Shape, network_pixels
from heatmaps_ome.slides.artefacts import KINDS, find_artefacts
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import LUMA, TissueCells, brightness, filled, tissue_cells

MPP = YX(0.5, 0.5)


TINT = (210, 196, 196)
"""A colour, as a single grey counts as a fill."""


def resnet_grid(shape, l0_network_pixel=1.0):
    cell = 32 * l0_network_pixel
    origin = -15.5 * l0_network_pixel
    cells = Shape(-(-shape.rows // int(cell)), -(-shape.cols // int(cell)))
    return Grid(cells, YX(cell, cell), YX(origin, origin), MPP)


def test_brightness_is_the_mean_luma_under_each_cell():
    rgb = np.random.default_rng(0).integers(0, 256, (160, 224, 3), dtype=np.uint8)
    grid = resnet_grid(Shape(160, 224))
    found = brightness(FakeSlide(rgb), grid, 0, grid.shape.rows)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    for row in range(grid.shape.rows):
        for col in range(grid.shape.cols):
            # Samples of a quarter of 32 px: the cell is taken half a pixel up and left.
            area = luma[
                max(0, 32 * row - 16) : 32 * row + 16, max(0, 32 * col - 16) : 32 * col + 16
            ]
            assert found[row, col] == pytest.approx(area.mean(), abs=1)


def test_the_border_is_not_brightened_by_what_lies_outside_the_slide():
    grid = resnet_grid(Shape(64, 64))
    slide = FakeSlide(np.full((64, 64, 3), TINT, np.uint8))
    found = brightness(slide, grid, 0, grid.shape.rows)
    assert found == pytest.approx(LUMA @ TINT)


def test_rows_can_be_asked_for_one_by_one_and_from_the_middle():
    rgb = np.random.default_rng(0).integers(100, 256, (5000, 96, 3), dtype=np.uint8)
    grid = resnet_grid(Shape(5000, 96))
    whole = tissue_cells(FakeSlide(rgb), grid, 178)
    assert 0.1 < whole.mean() < 0.9
    cells = TissueCells(FakeSlide(rgb), grid, 178)
    assert np.array_equal(cells[100:103], whole[100:103])
    assert np.array_equal(cells[0:1], whole[:1])
    assert np.array_equal(cells[:], whole)


def test_tissue_is_darker_than_the_threshold():
    rgb = np.full((128, 128, 3), 240, np.uint8)
    rgb[:, :64] = (160, 140, 150)
    tissue = tissue_cells(FakeSlide(rgb), resnet_grid(Shape(128, 128)), 224)
    assert tissue[:, :2].all()
    assert not tissue[:, 3:].any()


def test_a_slide_smaller_than_a_cell_has_one():
    slide = FakeSlide(np.full((3, 2, 3), 10, np.uint8))
    grid = Grid(Shape(1, 1), YX(73, 73), YX(-35, -35), MPP)
    assert tissue_cells(slide, grid, 224).tolist() == [[True]]


def test_what_is_transparent_is_no_tissue_on_the_real_mirax(shared_data):
    slide = open_slide(shared_data / "slides" / "mirax-cmu-bounds.mrxs")
    scale = 256 / 224 / slide.mpp.y
    cell = YX(32 * scale, 32 * scale)
    shape = Shape(int(slide.shape.rows / cell.y), int(slide.shape.cols / cell.x))
    grid = Grid(shape, cell, YX(-15.5 * scale, -15.5 * scale), slide.mpp)
    tissue = tissue_cells(slide, grid, 224)
    slide.close()
    first_row, first_col = int(368 / cell.y), int(736 / cell.x)
    assert not tissue[:first_row].any()
    assert not tissue[:, :first_col].any()
    assert tissue.any()


# --- Areas that were never scanned --------------------------------------------------------------


def tissue_of(slide):
    pixels = network_pixels(slide.shape, slide.mpp, 256 / 224)
    shape = Shape(-(-pixels.shape.rows // 32), -(-pixels.shape.cols // 32))
    grid = Grid(shape, pixels.l0_cell.times(32), YX(0, 0), slide.mpp)
    return tissue_cells(slide, grid, 224), grid, pixels


def test_a_black_fill_is_no_tissue_and_no_artefact(tmp_path):
    slide = open_slide(odd_slides.black_filled(tmp_path / "a.tif"))
    tissue, grid, pixels = tissue_of(slide)
    rows, cols = np.indices(tissue.shape) + 0.5
    place = grid.l0_from_g(YX(rows, cols))
    distance = np.hypot(place.y - 300, place.x - 300)
    half = max(grid.l0_cell) / 2
    assert tissue[distance < 200 - half].all()
    assert not tissue[distance > 200 + 1.5 * half].any()
    artefacts = find_artefacts(slide, grid, pixels, tissue, 224)
    assert np.count_nonzero(artefacts == 1 + KINDS.index("dark")) == 0
    slide.close()


@pytest.mark.parametrize("grey", [(0, 0, 0), (128, 128, 128), (40, 41, 40)])
def test_any_single_grey_is_a_fill(grey):
    rgb = speckled(600, 600)
    rgb[:, :300] = grey
    tissue, grid, _ = tissue_of(FakeSlide(rgb))
    first = -(-300 // grid.l0_cell.x)
    assert not tissue[:, : int(300 // grid.l0_cell.x)].any()
    assert tissue[:, int(first) : int(400 // grid.l0_cell.x)].all()


def test_dark_tissue_and_ink_are_no_fill():
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 40, (600, 600, 1), dtype=np.uint8).repeat(3, axis=2)
    tissue, _, _ = tissue_of(FakeSlide(dark))
    assert tissue.all()
    ink = np.full((600, 600, 3), (10, 90, 60), np.uint8)
    tissue, _, _ = tissue_of(FakeSlide(ink))
    assert tissue.all()


def test_a_fill_is_the_same_in_every_strip_and_has_a_rim_of_one_sample():
    rgb = np.random.default_rng(0).integers(0, 255, (100, 120, 3), dtype=np.uint8)
    rgb[20:40, 30:60] = 0
    rgb[70:77, 70:90] = 0  # narrower than a cell
    expected = np.zeros((100, 120), bool)
    expected[19:41, 29:61] = True
    assert np.array_equal(filled(rgb, 224), expected)
    # Grown by the reach, a part shows what the whole does.
    assert np.array_equal(filled(rgb[12:60], 224)[8:-8], expected[20:52])
