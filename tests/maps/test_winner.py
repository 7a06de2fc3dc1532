"""The winning class and its margin, of all classes at once, drawn with names for their colours."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, covering_grid, heatmap_set, noise_rgb, slide_result
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.exporters.figures.captions import width_px
from heatmaps_ome.exporters.figures.framed import Caption, framed
from heatmaps_ome.exporters.figures.legend import MOST_NAMED, SWATCH, legend
from heatmaps_ome.exporters.manifest import manifest
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.png import PngExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiff import TiffExporter
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.kinds import left_out_reasons
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.maps.winner import margins, winners
from heatmaps_ome.slides.artefacts import KIND_COLOURS

SLIDE = Shape(640, 900)
GRID = covering_grid(SLIDE)
THREE = ("MSI-H / high", "MSS", "other")


def scaling_of(heatmaps):
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    return fit.fit("cohort", "model", "extractor")


def drawn(heatmaps, true_class=None, **style):
    """Return the maps of all classes at once, by their names."""
    true_class = true_class or heatmaps.classes[0]
    return {
        shown.name: shown
        for shown in of_all_classes(heatmaps, scaling_of(heatmaps), Style(**style), true_class)
    }


def of_all_classes(heatmaps, scaling, style, true_class):
    """Return the maps of all classes at once, and of artefacts."""
    maps = display_maps(heatmaps, scaling, style, heatmaps.classes, true_class)
    return tuple(shown for shown in maps if shown.kind in ("winner", "margin", "artefacts"))


# --- Numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_winners_and_margins_are_what_loops_say(n_classes):
    rng = np.random.default_rng(n_classes)
    # Few values, so that there are ties.
    scores = rng.integers(0, 4, (n_classes, 11, 13)).astype(np.float32) / 4
    scores[0, 2, 3] = np.nan
    found, ahead = winners(scores), margins(scores)
    for row, col in np.ndindex(11, 13):
        cell = scores[:, row, col].tolist()
        if any(value != value for value in cell):
            assert found[row, col] == 0
            assert np.isnan(ahead[:, row, col]).all()
            continue
        assert found[row, col] == 1 + cell.index(max(cell))
        for index, own in enumerate(cell):
            rivals = cell[:index] + cell[index + 1 :]
            assert ahead[index, row, col] == own - max(rivals)


def test_of_two_classes_the_margin_is_twice_the_score_less_one():
    scores = heatmap_set(GRID, SLIDE).scores
    assert np.allclose(margins(scores)[0], 2 * scores[0] - 1, atol=1e-6, equal_nan=True)


def test_maps_that_cannot_be_are_left_out_for_a_reason():
    assert set(left_out_reasons(1)) == {"winner", "margin", "evidence"}
    assert set(left_out_reasons(2)) == {"margin"}
    assert left_out_reasons(3) == {}
    assert "256 classes" in left_out_reasons(256)["winner"]
    assert "winner" not in left_out_reasons(255)


@pytest.mark.parametrize(
    ("n_classes", "names"),
    [
        (1, set()),
        (2, {"winner"}),
        (3, {"winner", "margin-c0"}),
        (255, {"winner", "margin-c0"}),
        (256, {"margin-c0"}),
    ],
)
def test_those_that_can_be_are_drawn(n_classes, names):
    grid = covering_grid(Shape(100, 100))
    heatmaps = heatmap_set(grid, Shape(100, 100), tuple(f"c{n}" for n in range(n_classes)))
    maps = drawn(heatmaps)
    assert set(maps) == names
    if "winner" in names:
        used = maps["winner"].colours[1 : n_classes + 1]
        assert len({tuple(colour) for colour in used.tolist()}) == n_classes


# --- Display ----------------------------------------------------------------------------------


def test_the_winner_has_the_colours_of_the_classes_and_one_opacity():
    heatmaps = heatmap_set(GRID, SLIDE, THREE)
    heatmaps.scores[1, *np.argwhere(heatmaps.tissue)[5]] = np.nan
    shown = drawn(heatmaps, attention_alpha=0.4)["winner"]
    np.testing.assert_array_equal(shown.levels, winners(heatmaps.scores))
    assert shown.categories == THREE
    codes = ["#" + bytes(colour[:3].tolist()).hex() for colour in shown.colours[1:4]]
    assert codes == list(class_colours(THREE).values())
    assert set(np.unique(shown.opacity[shown.levels > 0])) == {102}
    assert not shown.opacity[shown.levels == 0].any()
    assert (shown.levels == 0).sum() == (~heatmaps.tissue).sum() + 1
    assert shown.fades is False


def test_the_margin_diverges_around_zero_over_the_cohorts_range():
    heatmaps = heatmap_set(GRID, SLIDE, THREE)
    scaling = scaling_of(heatmaps)
    ahead = margins(heatmaps.scores)[1]
    shown = drawn(heatmaps, "MSS")["margin-MSS"]
    reach = np.quantile(np.abs(ahead[heatmaps.tissue].astype(float)), 0.95)
    assert (shown.lower, shown.upper) == pytest.approx((-reach, reach))
    assert (scaling.ranges["margin"][1].lower, scaling.ranges["margin"][1].upper) == (
        shown.lower,
        shown.upper,
    )
    assert shown.middle == 0
    assert shown.values[128] == 0
    assert shown.colours[128].tolist() == [221, 220, 220, 255]  # coolwarm's middle
    known = shown.levels > 0
    assert np.abs(shown.values[shown.levels[known]] - ahead[known]).max() <= 1 / 254 * 1.001
    np.testing.assert_array_equal(known, heatmaps.tissue)
    assert shown.fades
    assert shown.ends == ("MSI-H / high or other", "MSS")


def test_a_scaling_without_margins_shows_all_of_them():
    heatmaps = heatmap_set(GRID, SLIDE, THREE)
    fitted = scaling_of(heatmaps)
    ranges = {kind: found for kind, found in fitted.ranges.items() if kind != "margin"}
    _, shown = of_all_classes(heatmaps, replace(fitted, ranges=ranges), Style(), "other")
    assert (shown.lower, shown.upper) == (-1, 1)


def test_of_many_rivals_none_is_named():
    heatmaps = heatmap_set(GRID, SLIDE, ("a", "b", "c", "d"))
    assert drawn(heatmaps)["margin-a"].ends == ("another class", "a")


def test_all_are_drawn_as_the_reference_drew_with_the_rest():
    grid = covering_grid(SLIDE, origin=YX(-15.5, -15.5))
    heatmaps = heatmap_set(grid, SLIDE, THREE)
    heatmaps = replace(heatmaps, artefacts=heatmaps.tissue.astype(np.uint8))
    maps = drawn(heatmaps, like_reference=True)
    assert set(maps) == {"winner", "margin-MSI-H_high", "artefacts"}
    for shown in maps.values():
        assert shown.grid.l0_origin == YX(0, 0)
        assert shown.note
    assert drawn(heatmaps)["winner"].grid == grid


def test_artefacts_are_drawn_where_they_are_and_tell_each_other_apart():
    heatmaps = heatmap_set(GRID, SLIDE)
    kinds = np.where(heatmaps.tissue, np.arange(GRID.shape.cols) % 5, 0).astype(np.uint8)
    shown = drawn(replace(heatmaps, artefacts=kinds))["artefacts"]
    np.testing.assert_array_equal(shown.levels, kinds)
    np.testing.assert_array_equal(shown.opacity > 0, kinds > 0)
    assert len(set(KIND_COLOURS)) == 4
    assert drawn(heatmaps).keys() == {"winner"}


# --- Files ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with all formats of a slide with three classes and artefacts."""
    folder = tmp_path_factory.mktemp("winner")
    slide = FakeSlide(noise_rgb(SLIDE))
    heatmaps = heatmap_set(GRID, SLIDE, THREE)
    kinds = np.where(heatmaps.tissue, np.arange(GRID.shape.cols) % 5, 0).astype(np.uint8)
    heatmaps = replace(heatmaps, artefacts=kinds)
    maps = of_all_classes(heatmaps, scaling_of(heatmaps), Style(), "MSS")
    result = replace(slide_result(slide, GRID, maps, THREE), heatmaps=heatmaps)
    write_values(heatmaps, folder, {})
    flattened = Settings(flattened=True)
    for exporter in (OmeZarrExporter(flattened), TiffExporter(), PngExporter()):
        exporter.write(result, folder)
    return folder, result


def test_labels_name_the_class_of_every_value(written):
    folder, result = written
    group = zarr.open_group(folder / "slide.ome.zarr" / "labels" / "winner", mode="r")
    said = group.attrs["image-label"]
    named = {each["label-value"]: each["winner"] for each in said["properties"] if len(each) > 1}
    assert named == dict(enumerate(THREE, start=1))
    assert said["heatmaps_ome"]["categories"] == list(THREE)
    colours = {each["label-value"]: each["rgba"] for each in said["colors"]}
    assert colours[2] == [*bytes.fromhex(class_colours(THREE)["MSS"][1:]), 255]
    assert colours[0][3] == 0
    centres = ((np.arange(n) + 0.5) * cell + 0.0 for n, cell in zip(GRID.shape, GRID.l0_cell,
                                                                     strict=True))  # fmt: skip
    rows, cols = (np.floor(each / result.raster.l0_cell.y).astype(int) for each in centres)
    label = np.asarray(group["0"])
    inside = np.ix_(rows[rows < label.shape[0]], cols[cols < label.shape[1]])
    found = label[inside]
    wanted = winners(result.heatmaps.scores)[: found.shape[0], : found.shape[1]]
    np.testing.assert_array_equal(found, wanted)


def test_the_margin_is_a_label_of_numbers(written):
    folder, _ = written
    group = zarr.open_group(folder / "slide.ome.zarr" / "labels" / "margin-MSS", mode="r")
    properties = group.attrs["image-label"]["properties"]
    assert [properties[level].get("margin-MSS") for level in (0, 1, 128, 255)] == [None, -1, 0, 1]


def test_artefacts_have_a_label_and_previews_but_no_overlay(written):
    folder, _ = written
    assert (folder / "slide.ome.zarr" / "labels" / "artefacts").is_dir()
    assert (folder / "previews" / "artefacts-overlay.png").is_file()
    names = {path.name for path in folder.iterdir()}
    assert {"slide.winner.ome.tiff", "slide.margin-MSS.ome.tiff"} <= names
    assert {"slide.winner.flat.ome.zarr", "slide.margin-MSS.flat.ome.zarr"} <= names
    assert not any("artefacts" in name for name in names)


def test_maps_json_says_how_they_follow_from_the_values(written):
    folder, result = written
    said = {each["name"]: each for each in manifest(result, folder)["maps"]}
    assert said["winner"]["categories"] == list(THREE)
    assert said["winner"]["channel"] is None
    assert said["winner"]["derived"] == {"highest_of": [1, 2, 3]}
    assert said["margin-MSS"]["derived"] == {"channel": 2, "minus_highest_of": [1, 3]}
    assert said["margin-MSS"]["categories"] == []
    assert said["artefacts"]["categories"] == ["pen", "dark", "blurred", "empty"]
    label = said["artefacts"]["derived"]["label"]
    found = np.asarray(zarr.open_array(folder / label / "0", mode="r"))
    np.testing.assert_array_equal(found, result.heatmaps.artefacts)
    stack = np.asarray(zarr.open_array(folder / said_values(result) / "0", mode="r"))
    np.testing.assert_array_equal(
        np.nan_to_num(stack[1:4], nan=-1).argmax(axis=0)[result.heatmaps.tissue] + 1,
        winners(result.heatmaps.scores)[result.heatmaps.tissue],
    )
    json.dumps(said, allow_nan=False)


def said_values(result):
    return f"{result.slide.name}.values.ome.zarr"


# --- Legends ----------------------------------------------------------------------------------


def winner_map(classes):
    return drawn(heatmap_set(GRID, SLIDE, classes))["winner"]


SIZES = (Shape(1, 900), Shape(900, 1), Shape(1600, 1200))
NUMBERS = (2, 9, 255)
NAMES = ("c", "MSI-H_$x$ ", "a long name of a class " * 9)
PAIRS = [
    (size, number, NAMES[(row + col) % 3])
    for row, size in enumerate(SIZES)
    for col, number in enumerate(NUMBERS)
]
"""Each size, number of classes and name with each of the others once."""


@pytest.mark.parametrize(("size", "n_classes", "name"), PAIRS)
def test_no_name_overlaps_another_or_leaves_the_figure(size, n_classes, name):
    classes = tuple(f"{name}{index}" for index in range(n_classes))
    frame = Grid(size, YX(1, 1), YX(0, 0), YX(0.25, 0.25))
    around = framed(frame, Caption("slide", "Winner", "prediction"), winner_map(classes))
    figure, picture = around.figure, around.box
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [rim.get_window_extent() for rim, _ in swatches(figure)]
    width, height = figure.get_size_inches() * figure.dpi
    bottom, top = height - picture.row_stop, height - picture.row
    boxes.append(Bbox([[picture.col, bottom], [picture.col_stop, top]]))
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
    assert (x0 >= 0).all()
    assert (x0 < x1).all()
    assert (x1 <= width).all()
    assert (y0 >= 0).all()
    assert (y0 < y1).all()
    assert (y1 <= height).all()
    overlap = _meet(x0, x1) & _meet(y0, y1)
    assert not overlap[np.triu_indices(len(boxes), 1)].any()


def _meet(start, stop):
    """Return which ranges have two pixels or more in common, (n, n) bool."""
    first, last = np.minimum(start + 1, stop - 1), np.maximum(start + 1, stop - 1)
    return (first[:, None] <= last) & (last[:, None] >= first)


def swatches(figure):
    """Return a legend's rectangles, (rim, inside): they come after the picture's and the bar's."""
    _, _, *drawn = (each for each in figure.artists if isinstance(each, Rectangle))
    return list(zip(drawn[::2], drawn[1::2], strict=True))


def test_each_swatch_has_the_colour_that_its_name_has_in_the_map():
    shown = winner_map(THREE)
    frame = Grid(Shape(300, 400), YX(1, 1), YX(0, 0), YX(0.25, 0.25))
    figure = framed(frame, Caption("s", "t", "p"), shown).figure
    figure.draw_without_rendering()
    assert not figure.axes
    texts = {text.get_text(): text.get_window_extent() for text in figure.texts}
    for (rim, inside), name in zip(swatches(figure), THREE, strict=True):
        colour = "#" + bytes(round(255 * part) for part in inside.get_facecolor()[:3]).hex()
        assert colour == class_colours(THREE)[name]
        box = rim.get_window_extent()
        assert 0 < texts[name].x0 - box.x1 < box.width
        assert texts[name].y0 < (box.y0 + box.y1) / 2 < texts[name].y1


def test_of_very_many_classes_those_with_the_most_cells_are_named():
    shown = winner_map(tuple(f"c{n}" for n in range(100)))
    cells = np.bincount(shown.levels.ravel(), minlength=101)[1:]
    entries = legend(shown, 14, 500)
    *named, rest = entries
    assert len(named) == MOST_NAMED
    assert (rest.level, rest.text) == (0, "and 76 more")
    levels = [entry.level for entry in named]
    assert levels == sorted(levels)
    others = np.delete(cells, np.array(levels) - 1)
    assert cells[np.array(levels) - 1].min() >= others.max()


def test_entries_keep_their_order_and_fit_the_width():
    shown = winner_map(tuple("name " * (n % 7 + 1) + str(n) for n in range(9)))
    entries = legend(shown, 14, 300)
    assert [entry.level for entry in entries] == list(range(1, 10))
    places = [(entry.line, entry.left) for entry in entries]
    assert places == sorted(places)
    assert all(e.left + SWATCH * 14 + width_px(e.text, 14) <= 300 for e in entries)


def test_a_map_of_quantities_has_no_legend():
    assert legend(drawn(heatmap_set(GRID, SLIDE, THREE))["margin-MSI-H_high"], 14, 300) == []
