"""Values lie where they come from: position slides, read back by everybody else's readers."""

import dataclasses

import alignment_checks as checks
import bioformats
import numpy as np
import openslide
import pytest
from alignment_checks import CHECKS, Case
from fakes import FakeSlide
from independent_readers import label, overlay_by_openslide, overlay_by_tifffile, raw_values
from position_slides import ramp_colours, um_of_attention

from heatmaps_ome.features.dense import feature_grid
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.maps import raw_maps
from heatmaps_ome.maps import store as values
from heatmaps_ome.models import attention_mil
from heatmaps_ome.ome import ngff, ome_xml
from heatmaps_ome.run import maker
from heatmaps_ome.slides import opened_slide
from heatmaps_ome.slides.readers import openslide as openslide_reader

CASES = {
    "odd sizes": Case(Shape(1101, 1303), YX(0.5, 0.5)),
    "mpp x != y": Case(Shape(1501, 1103), YX(0.41, 0.67)),
    "level downsample 4.002": Case(
        Shape(1601, 1401), YX(0.26, 0.26), (Shape(400, 350), Shape(100, 87))
    ),
    "level downsample 4.6": Case(Shape(1301, 1703), YX(0.23, 0.23), (Shape(282, 370),)),
    "transparent": Case(
        Shape(901, 1003), YX(0.5, 0.5), transparent=Window(256, 402, 219, 293), block_size=1024
    ),
    "pyramids": Case(Shape(2301, 603), YX(0.5, 0.5), block_size=1024, options={"overlay_px": 8}),
    "overlays at full resolution": Case(Shape(901, 1103), YX(0.41, 0.5), options={"overlay_px": 1}),
    "smaller than a block": Case(
        Shape(203, 305), YX(1.0, 1.0), extractor="position-tiles", block_size=1024
    ),
    "one cell": Case(
        Shape(25, 29), YX(1.0, 1.0), extractor="position-tiles", border_px=0, block_size=1024
    ),
    "tiles": Case(Shape(700, 900), YX(0.5, 0.6), extractor="position-tiles"),
    "NGFF 0.5": Case(Shape(1301, 903), YX(0.41, 0.67), options={"ngff": "0.5"}),
    "another stride": Case(Shape(640, 811), YX(0.7, 0.5), extractor="position-fine"),
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The results of a case, made once."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = checks.run(CASES[name], tmp_path_factory.mktemp("case"))
        return made[name]

    return folder


# No pixel of one cell's slide is farther from the border than resampling reaches.
@pytest.mark.parametrize(
    ("case", "check"),
    [(c, k) for c in CASES for k in CHECKS if (c, k) != ("one cell", "image")],
)
def test_every_value_is_found_at_its_place(case, check, folder_of):
    CHECKS[check](CASES[case], folder_of(case))


@pytest.mark.parametrize("case", ["mpp x != y", "pyramids", "overlays at full resolution"])
@pytest.mark.parametrize("mark", [pytest.param(None, marks=bioformats.needed)])
def test_bio_formats_finds_every_value_at_its_place(case, mark, folder_of):
    checks.check_bioformats(CASES[case], folder_of(case))


def test_the_slide_of_pyramids_has_them_in_every_format(folder_of):
    folder = folder_of("pyramids")
    for reader in (label, overlay_by_tifffile, overlay_by_openslide):
        assert len(reader(folder, "attention")) > 1


def test_nothing_is_stated_where_the_slide_is_transparent(folder_of):
    checks.check_transparent(CASES["transparent"], folder_of("transparent"))


BOUNDED = Case(Shape(1101, 1303), YX(0.5, 0.5))
BOUNDS = Window(150, 260, 800, 700)


def bounded_slide():
    """Return a position slide that is white, as transparency reads, outside its bounds."""
    rgb = np.full((*BOUNDED.shape, 3), 255, np.uint8)
    rgb[BOUNDS.slices] = ramp_colours(BOUNDED.shape, BOUNDED.shape)[BOUNDS.slices]
    return rgb


def run_bounded(folder, patch, bounds=BOUNDS):
    """Run the pipeline on a slide with bounds; OpenSlide cannot be made to write one."""
    rgb = bounded_slide()

    def opened(*_):
        slide = FakeSlide(rgb, BOUNDED.mpp, "bounded")
        slide.bounds = bounds
        return slide

    patch.setattr(maker, "open_slide", opened)
    return checks.run(BOUNDED, folder, folder / "bounded.svs")


def test_values_lie_on_their_pixels_in_viewers_that_show_the_bounds_only(tmp_path, monkeypatch):
    folder = run_bounded(tmp_path, monkeypatch)
    checks.check_cropped_viewer(BOUNDED, folder, bounded_slide()[BOUNDS.slices])


# The real slides do not state places; but a cell's mean colour is that of the slide there.

REAL = ("mirax-cmu-bounds.mrxs", "aperio-3levels-cmu.svs", "philips-cmu.tiff")


@pytest.fixture(scope="module", params=REAL)
def real(request, shared_data, tmp_path_factory):
    """A real slide and its results."""
    path = shared_data / "slides" / request.param
    return path, run_real(path, tmp_path_factory.mktemp("real"))


def run_real(path, folder):
    case = Case(Shape(1, 1), YX(1, 1), extractor="position-wide")
    return checks.run(case, folder, path)


def check_real(path, folder):
    """Assert that each cell's red is the slide's there, and nowhere near as well beside it."""
    with openslide.OpenSlide(path) as slide:
        seen = slide.read_region((0, 0), 0, slide.dimensions)
        mpp = YX(*(float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "yx"))
        white = np.asarray(seen)[..., 3:] == 0
    red = np.where(white, 255, np.asarray(seen)[..., :3])[..., 0].astype(np.float64)
    total = np.pad(red, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    half = 16 * checks.TARGET_MPP
    for reader in (raw_values, label, overlay_by_tifffile):
        reading = reader(folder, "attention")[0]
        rows, cols = np.nonzero(np.isfinite(reading.values))
        found = um_of_attention(reading.values[rows, cols], 1.0)
        y, x = reading.um_y[rows], reading.um_x[cols]

        def likeness(cells_y, cells_x, y=y, x=x, found=found):
            up, left = y + (2 * cells_y - 1) * half, x + (2 * cells_x - 1) * half
            edges = [
                np.clip(np.rint(edge), 0, size).astype(int)
                for edge, size in (
                    (up / mpp.y, red.shape[0]), ((up + 2 * half) / mpp.y, red.shape[0]),
                    (left / mpp.x, red.shape[1]), ((left + 2 * half) / mpp.x, red.shape[1]),
                )
            ]  # fmt: skip
            top, bottom, first, last = edges
            area = np.maximum((bottom - top) * (last - first), 1)
            sums = total[bottom, last] - total[top, last] - total[bottom, first] + total[top, first]
            return np.corrcoef(sums / area, found)[0, 1]

        here = likeness(0, 0)
        beside = max(likeness(*s) for s in ((0.25, 0), (-0.25, 0), (0, 0.25), (0, -0.25)))
        assert here > 0.9, f"{reading.reader}: {here:.3f}"
        assert here > beside, f"{reading.reader}: {here:.3f} here, {beside:.3f} a quarter cell off"


def check_real_bounds(path, folder):
    """Assert that labels state the slide's bounds, and that nothing is stated outside them."""
    with openslide.OpenSlide(path) as slide:
        names = ("y", "x", "height", "width")
        expected = Window(*(int(slide.properties[f"openslide.bounds-{name}"]) for name in names))
    bounds, mpp = checks.stated_bounds(folder)
    assert bounds == expected, f"bounds {bounds} instead of {expected}"
    reading = label(folder, "attention")[0]
    rows, cols = np.nonzero(np.isfinite(reading.values))
    cell = 32 * checks.TARGET_MPP
    assert reading.um_y[rows].min() > bounds.row * mpp.y - cell
    assert reading.um_x[cols].min() > bounds.col * mpp.x - cell
    assert reading.um_y[rows].max() < bounds.row_stop * mpp.y + cell
    assert reading.um_x[cols].max() < bounds.col_stop * mpp.x + cell


def test_on_real_slides_each_cell_has_the_colour_of_the_slide_under_it(real):
    check_real(*real)


@pytest.mark.parametrize("real", REAL[:1], indirect=True)
def test_bounds_of_a_real_mirax_are_stated_and_kept(real):
    check_real_bounds(*real)


# Mutations: with the code made wrong, the checks must fail.


def half_a_cell_off(patch):
    def shifted(*given):
        grid = feature_grid(*given)
        return dataclasses.replace(grid, l0_origin=grid.l0_origin.plus(grid.l0_cell.times(0.5)))

    patch.setattr(raw_maps, "feature_grid", shifted)


def cells_swapped(patch):
    def swapped(*given):
        grid = feature_grid(*given)
        return dataclasses.replace(
            grid, l0_cell=YX(*grid.l0_cell[::-1]), l0_origin=YX(*grid.l0_origin[::-1])
        )

    patch.setattr(raw_maps, "feature_grid", swapped)


def ngff_axes_swapped(patch):
    right = ngff._transformation
    patch.setattr(
        ngff, "_transformation", lambda kind, place, *rest: right(kind, YX(*place[::-1]), *rest)
    )


def ome_xml_axes_swapped(patch):
    right = ome_xml._pixels

    def swapped(image):
        said = right(image)
        said["PhysicalSizeX"], said["PhysicalSizeY"] = said["PhysicalSizeY"], said["PhysicalSizeX"]
        return said

    patch.setattr(ome_xml, "_pixels", swapped)


def translation_forgotten(patch):
    right = values.multiscales
    patch.setattr(values, "multiscales", lambda *given, um_origin, **more: right(*given, **more))


def downsample_floored(patch):
    right = opened_slide.Resampler

    def floored(shapes, l0_pixels, read_tile):
        whole = [YX(float(int(y)), float(int(x))) for y, x in l0_pixels]
        return right(shapes, whole, read_tile)

    patch.setattr(opened_slide, "Resampler", floored)


def batch_norm_forgotten(patch):
    right = attention_mil._torch_layer

    def forgetful(layer):
        module = right(layer)
        if layer.kind == "BatchNorm1d":
            module.reset_running_stats()
            module.reset_parameters()
        return module

    patch.setattr(attention_mil, "_torch_layer", forgetful)


MUTATIONS = [
    (half_a_cell_off, "odd sizes", ("values", "labels", "tifffile", "openslide")),
    (cells_swapped, "mpp x != y", ("values", "labels", "tifffile", "openslide")),
    (ngff_axes_swapped, "mpp x != y", ("labels",)),
    (ome_xml_axes_swapped, "mpp x != y", ("tifffile",)),
    (translation_forgotten, "odd sizes", ("values",)),
    (downsample_floored, "level downsample 4.6", ("values", "labels", "tifffile", "image")),
    (batch_norm_forgotten, "odd sizes", ("values", "labels", "tifffile", "openslide")),
]


@pytest.mark.parametrize(
    ("mutation", "case", "failing"), MUTATIONS, ids=lambda each: getattr(each, "__name__", None)
)
def test_a_mistake_of_placement_is_found_out(mutation, case, failing, tmp_path, monkeypatch):
    mutation(monkeypatch)
    folder = checks.run(CASES[case], tmp_path)
    for name in failing:
        with pytest.raises(AssertionError, match="cells off"):
            CHECKS[name](CASES[case], folder)


def test_dropped_bounds_are_found_out_in_viewers_that_show_them_only(tmp_path, monkeypatch):
    whole = Window(0, 0, *BOUNDED.shape)
    folder = run_bounded(tmp_path, monkeypatch, bounds=whole)
    with pytest.raises(AssertionError, match="cells off"):
        checks.check_cropped_viewer(BOUNDED, folder, bounded_slide()[BOUNDS.slices])


def test_bounds_dropped_while_reading_are_found_out(shared_data, tmp_path, monkeypatch):
    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    right = openslide.OpenSlide.read_region

    def as_if_the_slide_began_at_its_bounds(self, location, level, size):
        start = [int(self.properties[f"openslide.bounds-{axis}"]) for axis in "xy"]
        moved = tuple(place + first for place, first in zip(location, start, strict=True))
        return right(self, moved, level, size)

    with monkeypatch.context() as patch:
        patch.setattr(openslide.OpenSlide, "read_region", as_if_the_slide_began_at_its_bounds)
        folder = run_real(path, tmp_path)
    with pytest.raises(AssertionError):
        check_real(path, folder)
    with pytest.raises(AssertionError):
        check_real_bounds(path, folder)


def test_bounds_dropped_from_what_is_stated_are_found_out(shared_data, tmp_path, monkeypatch):
    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    monkeypatch.setattr(openslide_reader, "_bounds", lambda slide, shape: Window(0, 0, *shape))
    folder = run_real(path, tmp_path)
    with pytest.raises(AssertionError, match="bounds"):
        check_real_bounds(path, folder)
