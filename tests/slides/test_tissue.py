import numpy as np
import pytest
from fakes import FakeSlide

from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import LUMA, TissueCells, brightness, tissue_cells

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
