"""Tissue cells as CSV and GeoJSON: places, values to the last bit, and hostile class names."""

import csv
import json
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeSlide, covering_grid, heatmap_set, slide_result

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.exporters.cells import CellsExporter, plain_field
from heatmaps_ome.exporters.manifest import manifest
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.regions import RegionsExporter
from heatmaps_ome.geometry import YX, Shape

HOSTILE = (
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@a",
    'MSI "high", low',
    "two\nlines",
    "'s",
    "Grün",
)
SLIDE = Shape(400, 500)


def written(tmp_path, classes=("MSIH", "nonMSIH"), **changed):
    """Write random cells that hang over the slide's edges; return them with the files' folder."""
    slide = FakeSlide(np.full((*SLIDE, 3), 255, np.uint8))
    grid = covering_grid(SLIDE, YX(73.142857, 73.142857), YX(-35.4285714, -35.4285714))
    result = slide_result(slide, grid, classes=classes, **changed)
    CellsExporter().write(result, tmp_path)
    return result


def rows_of(folder):
    with (folder / "slide.cells.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def features_of(folder):
    return json.loads((folder / "slide.cells.geojson").read_text(encoding="utf-8"))["features"]


def test_each_tissue_cell_is_a_row_at_its_place_on_the_slide(tmp_path):
    heatmaps = written(tmp_path).heatmaps
    rows = rows_of(tmp_path)
    places = np.argwhere(heatmaps.tissue)
    assert len(rows) == len(places)
    for row, (g_row, g_col) in zip(rows, places, strict=True):
        first = heatmaps.grid.l0_from_g(YX(g_row, g_col))
        last = heatmaps.grid.l0_from_g(YX(g_row + 1, g_col + 1))
        left, top, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
        assert (left, top) == pytest.approx((max(0, first.x), max(0, first.y)), abs=1e-3)
        end = (min(SLIDE.cols, last.x), min(SLIDE.rows, last.y))
        assert (left + width, top + height) == pytest.approx(end, abs=1e-3)


def test_values_come_back_bit_for_bit(tmp_path):
    heatmaps = written(tmp_path).heatmaps
    rows = rows_of(tmp_path)
    expected = {
        "attention": heatmaps.attention,
        **{f"score: {c}": heatmaps.score(c) for c in heatmaps.classes},
        "contribution: MSIH": heatmaps.contributions[0],
        "leave-one-out: nonMSIH": heatmaps.values("leave-one-out")[1],
    }
    for name, values in expected.items():
        found = np.array([row[name] for row in rows]).astype(np.float32)
        assert np.array_equal(found, values[heatmaps.tissue])
    predicted = heatmaps.scores[:, heatmaps.tissue].argmax(axis=0)
    assert [row["class"] for row in rows] == [heatmaps.classes[i] for i in predicted]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_class_names_of_strangers_neither_break_rows_nor_run_as_formulas(tmp_path, newline):
    classes = tuple(name.replace("\n", newline) for name in HOSTILE)
    heatmaps = written(tmp_path, classes).heatmaps
    rows = rows_of(tmp_path)
    assert len(rows) == heatmaps.tissue_cells
    predicted = heatmaps.scores[:, heatmaps.tissue].argmax(axis=0)
    for row, index in zip(rows, predicted, strict=True):
        name = classes[index]
        assert row["class"] == ("'" + name if name[0] in "=+-@'" else name)
        assert {f"score: {c}" for c in classes} < set(row)
    for each in {field for row in rows for field in [row["class"], *row]}:
        assert each[:1] not in tuple("=+-@\t\r\n")


def test_features_are_the_rows_as_coloured_tiles_of_qupath(tmp_path):
    classes = (*HOSTILE, "MSI: high")
    written(tmp_path, classes)
    colours = class_colours(classes)
    for row, feature in zip(rows_of(tmp_path), features_of(tmp_path), strict=True):
        ring = np.array(feature["geometry"]["coordinates"][0])
        (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
        found = (left, top, right - left, bottom - top)
        assert found == pytest.approx([float(row[n]) for n in ("x", "y", "width", "height")])
        assert ring.shape == (5, 2)
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert properties["measurements"]["attention"] == float(row["attention"])
        said = properties["classification"]
        # QuPath 0.5-0.7 refuses line breaks in a class's name and takes colons for a hierarchy.
        assert not set(said["name"]) & set("\r\n:")
        name = row["class"].removeprefix("'") if row["class"] != "''s" else "'s"
        assert said["color"] == list(bytes.fromhex(colours[name][1:]))


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    slide = FakeSlide(np.full((64, 64, 3), 255, np.uint8))
    result = slide_result(slide)
    result.heatmaps.tissue[:] = True
    result.heatmaps.attention[:] = np.inf
    result.heatmaps.scores[:] = np.nan
    CellsExporter().write(result, tmp_path)
    assert {(row["attention"], row["class"]) for row in rows_of(tmp_path)} == {("", "")}
    for feature in features_of(tmp_path):
        assert not {"attention", "score: MSIH"} & set(feature["properties"]["measurements"])
        assert "classification" not in feature["properties"]


def test_a_slide_without_tissue_has_a_header_and_no_cells(tmp_path):
    slide = FakeSlide(np.full((64, 64, 3), 255, np.uint8))
    result = slide_result(slide)
    result.heatmaps.tissue[:] = False
    CellsExporter().write(result, tmp_path)
    assert (tmp_path / "slide.cells.csv").read_text().startswith("x,y,width,height,class,attention")
    assert rows_of(tmp_path) == []
    assert features_of(tmp_path) == []


def test_many_cells_are_written_fast_in_little_memory_and_not_as_geojson(tmp_path):
    shape = Shape(400, 500)
    slide = FakeSlide(np.zeros((1, 1, 3), np.uint8))
    slide.shape = Shape(shape.rows * 32, shape.cols * 32)
    grid = covering_grid(slide.shape)
    tissue = np.ones(shape, bool)
    result = slide_result(slide, covering_grid(Shape(64, 64)), maps=())
    maps = heatmap_set(grid, slide.shape, tissue=tissue)
    result = type(result)(slide, maps, (), "MSIH", grid, grid)
    begun = time.process_time()
    CellsExporter().write(result, tmp_path)
    spent = time.process_time() - begun
    assert [p.name for p in tmp_path.iterdir()] == ["slide.cells.csv"]
    with (tmp_path / "slide.cells.csv").open() as file:
        assert sum(1 for _ in file) == 200_001
    # 400 000 cells in 5 s, with a reserve for slow machines.
    assert spent < 10
    tracemalloc.start()
    CellsExporter().write(result, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_cells_are_a_table_alone_if_geojson_is_never_wanted(tmp_path):
    result = written(tmp_path)
    table = (tmp_path / "slide.cells.csv").read_bytes()
    (tmp_path / "table").mkdir()
    paths = CellsExporter(Settings(cells_geojson=False)).write(result, tmp_path / "table")
    assert list((tmp_path / "table").iterdir()) == paths
    assert paths[0].read_bytes() == table
    assert manifest(result, tmp_path / "table")["cells_geojson"] is None


def test_class_colours_are_all_different_and_stay():
    names = [str(number) for number in range(60)]
    colours = class_colours(names)
    assert len(set(colours.values())) == 60
    assert class_colours(names[:3]) == {name: colours[name] for name in names[:3]}


def test_maps_json_says_where_the_cells_are_and_how_classes_are_coloured(tmp_path):
    result = written(tmp_path)
    said = manifest(result, tmp_path)
    assert (said["cells"], said["cells_geojson"]) == ("slide.cells.csv", "slide.cells.geojson")
    assert said["class_colours"] == class_colours(("MSIH", "nonMSIH"))
    measurements = {each["name"]: each["measurement"] for each in said["maps"]}
    expected = {"attention": "attention", "score-MSIH": "score: MSIH", "tissue": None}
    assert measurements == expected
    assert set(filter(None, measurements.values())) <= set(rows_of(tmp_path)[0])


@pytest.mark.parametrize(
    "mark", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "\t=", " =", "\r", "\n"]
)
def test_no_field_of_a_table_begins_as_a_formula(mark):
    assert plain_field(f"{mark}1+1") == f"'{mark}1+1"
    assert plain_field(f"a{mark}1+1") == f"a{mark}1+1"


def test_regions_of_a_class_named_like_a_formula_have_a_plain_header_and_fields(tmp_path):
    result = replace(written(tmp_path, ("=1+1", "b")), true_class="=1+1")
    RegionsExporter().write(result, tmp_path)
    with (tmp_path / "slide.regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    fields = {field for row in rows for field in row}
    assert "'=1+1" in fields
    texts = [field for field in fields if not field.replace("-", "").replace(".", "").isdigit()]
    assert not [field for field in texts if field[:1] in tuple("=+@\t\r")]
