"""A real browser finds every value at its place, at every level."""

import hashlib
from urllib.parse import quote, unquote

import numpy as np
import pytest
import zarr
from browser_reader import images_in_browser, read_in_browser
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from view_server import viewing
from viewer_results import write_results

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


@pytest.mark.slow
@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_every_map_burnt_in_is_served_with_the_pixels_that_flattened_writes(tmp_path, ngff):
    shape, mpp = Shape(2901, 1203), YX(0.5, 0.25)
    grid = covering_grid(shape, YX(73.1, 146.2), YX(-35.4, -70.8), mpp)
    bare, flattened = (
        write_results(
            tmp_path / name, shape, mpp, grid, formats=("ome-zarr",),
            settings=Settings(ngff=ngff, flattened=name == "flattened"), classes=("A", "B/é", "C"),
        )[0]
        for name in ("bare", "flattened")
    )  # fmt: skip
    written = sorted(flattened.glob("*.flat.ome.zarr"))
    assert len(written) > 8
    assert not list(bare.glob("*.flat.ome.zarr"))
    with viewing(tmp_path / "bare") as server:
        files = f"{server.url}files/slide/"
        found = images_in_browser(tmp_path, [f"{files}{quote(path.name)}" for path in written])
        # What the files say of the page's own links is read in the same way.
        [slide] = server.json("/api/run.json")["slides"]
        [vizarr] = [link for link in slide["links"] if link["title"] == "Vizarr"]
        assert unquote(vizarr["url"]).partition("source=")[2] in {
            f"{files}{quote(path.name)}" for path in written
        }
    for path, levels in zip(written, found, strict=True):
        group = zarr.open_group(path, mode="r")
        assert len(levels) == len(list(group.arrays())) > 1
        for number, level in enumerate(levels):
            pixels = np.ascontiguousarray(group[str(number)][...])
            assert level["shape"] == list(pixels.shape)
            assert level["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
