"""The raw values as TIFF: every reader finds each cell's float under its name, at its place."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import pyvips
import tifffile
from bioformats import converted, needed
from fakes import FakeSlide, noise_rgb, slide_result

from heatmaps_ome.exporters.value_tiff import write_value_tiff
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import channels, stacked

MPP = YX(0.5, 0.25)
# More than a tile of 256 to one side, and no whole number of the slide's pixels.
GRID = Grid(Shape(151, 283), YX(36.6, 21.3), YX(-17.8, -10.1), MPP)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    slide = FakeSlide(np.broadcast_to(np.uint8(255), (5501, 6003, 3)), MPP)
    result = slide_result(slide, GRID, classes=("MSI, high", "MSS"))
    kinds = np.arange(result.heatmaps.tissue.size).reshape(GRID.shape) % 5
    heatmaps = replace(result.heatmaps, artefacts=(kinds * result.heatmaps.tissue).astype(np.uint8))
    result = replace(result, heatmaps=heatmaps)
    return result, write_value_tiff(result, tmp_path_factory.mktemp("values"))


def wanted(result):
    """Return the planes that the file must have, in their order: of the raw values, then kinds."""
    heatmaps = result.heatmaps
    kinds = np.where(heatmaps.tissue, heatmaps.artefacts.astype(np.float32), np.float32(np.nan))
    names = [channel.name for channel in channels(heatmaps)]
    return [*names, "artefacts"], np.concatenate([stacked(channels(heatmaps)), kinds[None]])


def facts_of(file):
    """Return names, the size of a pixel and the places of the planes in µm, by OME-XML."""
    pixels = next(e for e in ElementTree.fromstring(file.ome_metadata).iter() if "Pixels" in e.tag)
    planes = [e for e in pixels if e.tag.endswith("Plane")]
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "XY"} == {"µm"}
    assert {e.get(f"Position{axis}Unit") for e in planes for axis in "XY"} == {"µm"}
    names = [e.get("Name") for e in pixels if e.tag.endswith("Channel")]
    size = [float(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"]
    places = [[float(e.get(f"Position{axis}")) for axis in "YX"] for e in planes]
    return names, size, places


def test_a_pixel_is_a_cell_of_its_size_at_its_place(written):
    result, path = written
    names, planes = wanted(result)
    with tifffile.TiffFile(path) as file:
        [series] = file.series
        assert (series.kind, series.axes, series.dtype) == ("ome", "CYX", np.float32)
        assert (names[1], names[-2:]) == ("score-MSI_high", ["evidence-MSS", "artefacts"])
        assert facts_of(file) == (
            names,
            [GRID.l0_cell.y * MPP.y, GRID.l0_cell.x * MPP.x],
            [[GRID.l0_origin.y * MPP.y, GRID.l0_origin.x * MPP.x]] * len(names),
        )
        np.testing.assert_array_equal(series.asarray(), planes)
        assert len(series.levels) == 1


def test_the_value_at_a_place_in_um_is_the_cells_around_it(written):
    """As a reader finds it that knows nothing but the file."""
    result, path = written
    with tifffile.TiffFile(path) as file:
        _names, size, places = facts_of(file)
        found = file.series[0].asarray()
    grid, (_, planes) = result.heatmaps.grid, wanted(result)
    rng = np.random.default_rng(0)
    l0_places = rng.uniform(0, result.slide.shape, (20_000, 2))
    cells = np.floor((l0_places - grid.l0_origin) / grid.l0_cell).astype(int)
    pixels = np.floor((l0_places * MPP - places[0]) / size).astype(int)
    # Float noise may decide at the very edge of a cell.
    assert (pixels == cells).all(axis=1).mean() > 0.9999
    inside = (cells < grid.shape).all(axis=1)
    rows, cols = pixels[inside].T
    np.testing.assert_array_equal(found[:, rows, cols], planes[:, rows, cols])


def test_libvips_finds_the_channels_as_pages(written):
    result, path = written
    image = pyvips.Image.new_from_file(str(path), n=-1)
    names, planes = wanted(result)
    assert image.get("n-pages") == len(names)
    np.testing.assert_array_equal(image.numpy().reshape(planes.shape), planes)


@pytest.mark.slow
@pytest.mark.parametrize("mark", [pytest.param(None, marks=needed)])
def test_bioformats_finds_names_sizes_places_and_every_float(written, tmp_path, mark):
    result, path = written
    with tifffile.TiffFile(converted(path, tmp_path / "plain.ome.tiff")) as theirs:
        with tifffile.TiffFile(path) as ours:
            assert facts_of(theirs) == facts_of(ours)
        np.testing.assert_array_equal(theirs.series[0].asarray(), wanted(result)[1])


def test_a_slide_of_a_few_pixels_has_values_too(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(3, 5)), YX(1.0, 1.0))
    grid = Grid(Shape(1, 1), YX(8.0, 8.0), YX(-2.0, -2.0), slide.mpp)
    result = slide_result(slide, grid)
    found = tifffile.imread(write_value_tiff(result, tmp_path))
    np.testing.assert_array_equal(found.reshape(-1, 1, 1), stacked(channels(result.heatmaps)))
