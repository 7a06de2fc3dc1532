"""Bio-Formats, which QuPath and OMERO read with, finds every level, name and pixel of a TIFF."""

import xml.etree.ElementTree as ElementTree

import bioformats
import numpy as np
import pytest
import tifffile
from viewer_results import write_results

from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import channels

pytestmark = [pytest.mark.slow, *bioformats.needed]

SHAPE, MPP = Shape(5003, 4201), YX(0.25, 0.5)
GRID = Grid(Shape(70, 58), YX(73.1, 73.1), YX(-35.4, -35.4), MPP)


WAYS = {
    "chained": Settings(),
    "strict": Settings(chain=False),
    "fine": Settings(overlay_px=4),
}


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def results(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("bioformats")
    return write_results(out, SHAPE, MPP, GRID, formats=("ome-tiff",), settings=request.param)


def facts_of(file):
    """Return µm per pixel (y, x), and the names of channels, by OME-XML."""
    root = ElementTree.fromstring(file.ome_metadata)
    pixels = next(each for each in root.iter() if each.tag.endswith("}Pixels"))
    channels = [each for each in pixels if each.tag.endswith("}Channel")]
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "XY"} == {"µm"}
    um_pixel = [float(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"]
    return um_pixel, [each.get("Name") for each in channels]


def test_every_tiff_is_read_level_by_level_and_pixel_by_pixel(results, tmp_path):
    folder, result = results
    paths = sorted(folder.glob("*.ome.tiff"))
    assert len(paths) == len(result.maps), "an overlay for every map but the tissue, and the values"
    for path in paths:
        plain = bioformats.converted(path, tmp_path / path.name)
        with tifffile.TiffFile(path) as ours, tifffile.TiffFile(plain) as theirs:
            assert facts_of(theirs) == facts_of(ours)
            levels = ours.series[0].levels
            found = theirs.series[0].levels
            # Values have a pixel for each cell, and no level that lacks some.
            assert len(found) == len(levels) > ("values" not in path.name)
            for one, other in zip(found, levels, strict=True):
                pixels = one.asarray()
                if other.asarray().shape != pixels.shape:  # it writes colours plane by plane
                    pixels = np.moveaxis(pixels, 0, -1)
                np.testing.assert_array_equal(pixels, other.asarray())


def test_a_window_is_read_as_exactly_as_the_whole(results, tmp_path):
    folder, result = results
    path = folder / "slide.values.ome.tiff"
    plain = bioformats.cropped(path, tmp_path / "crop.ome.tiff", left=11, top=7, cols=31, rows=40)
    with tifffile.TiffFile(path) as ours, tifffile.TiffFile(plain) as theirs:
        assert facts_of(ours)[1] == [channel.name for channel in channels(result.heatmaps)]
        whole = ours.series[0].asarray()
        np.testing.assert_array_equal(theirs.asarray().squeeze(), whole[:, 7:47, 11:42])
