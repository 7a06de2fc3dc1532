"""A real browser finds every value at its place, at every level."""

import numpy as np
import pytest
from browser_reader import read_in_browser
from fakes import FakeSlide, display_map, noise_rgb, slide_result

from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape


@pytest.mark.slow
@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("slide_shape", "mpp", "cell", "origin"),
    [
        (Shape(1501, 903), YX(0.5, 0.5), YX(73.1, 73.1), YX(-35.4, -35.4)),
        (Shape(900, 1700), YX(0.25, 0.5), YX(146.3, 73.1), YX(-70.9, -35.4)),
        (Shape(40, 30), YX(1.0, 1.0), YX(36.6, 36.6), YX(-17.7, -17.7)),
    ],
)
def test_a_browser_finds_every_cells_value_at_its_micrometres(
    tmp_path, slide_shape, mpp, cell, origin, ngff
):
    rows = int(np.ceil((slide_shape.rows - origin.y) / cell.y))
    cols = int(np.ceil((slide_shape.cols - origin.x) / cell.x))
    grid = Grid(Shape(rows, cols), cell, origin, mpp)
    rng = np.random.default_rng(0)
    shown = display_map("attention", grid, rng.integers(1, 256, grid.shape))
    slide = FakeSlide(noise_rgb(slide_shape), mpp)
    result = slide_result(slide, grid, (shown,))
    OmeZarrExporter(Settings(ngff=ngff)).write(result, tmp_path)

    # Around every cell's centre, a quarter of the cell to each side.
    places, expected = [], []
    end = YX(slide_shape.rows * mpp.y, slide_shape.cols * mpp.x)
    for row in range(rows):
        for col in range(cols):
            for share in (0.25, 0.5, 0.75):
                um = grid.um_from_g(YX(row + share, col + 1 - share))
                if 0 <= um.y < end.y and 0 <= um.x < end.x:
                    places.append(um)
                    expected.append(float(shown.values[shown.levels[row, col]]))
    found = read_in_browser(tmp_path, "slide.ome.zarr", "attention", places)
    assert found["listed"] == ["attention"]
    assert (found["ranges"] > 0) == (ngff == "0.5"), "shards, and they only, are read in parts"
    assert found["label"]["units"] == ["micrometer", "micrometer"]
    finest, *coarser = found["label"]["levels"]
    np.testing.assert_allclose(
        np.array(finest["values"], float), np.array(expected), rtol=1e-5, atol=1e-6
    )
    for step, level in enumerate(coarser, 1):
        assert level["um"]["y"] == pytest.approx(finest["um"]["y"] * 2**step)
        same = np.isclose(
            np.array(level["values"], float), np.array(expected), rtol=1e-5, atol=1e-6
        )
        # A pixel of half a cell or less still has its centre in the cell of most places.
        if max(level["um"]["y"] / grid.um_cell.y, level["um"]["x"] / grid.um_cell.x) < 0.5:
            assert same.mean() > 0.9
