"""Our scripts for QuPath, run: maps and tiles lie at their place however QuPath crops the slide.

QuPath itself is not at hand: its classes have small stand-ins (qupath_stubs), behind which
Bio-Formats reads the real files.
"""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.affinity
from broken_results import edited
from new_kind import ALIKE, KIND, of_new_kind
from qupath_world import (
    BOUNDS,
    SHAPE,
    dumped,
    needed,
    number,
    probability,
    raw_plane,
    run_cases,
    script,
    told,
    write_results,
)

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.exporters.cells import NAME, qupath_class
from heatmaps_ome.geometry import YX
from heatmaps_ome.viewers.files import viewer_files

HOSTILE = ('=1+1, "x"', "two\nlines", "'s", "MSI: high", "Grün  ")
FULL = {"width": SHAPE.cols, "height": SHAPE.rows}
CROPPED = {"width": BOUNDS.cols, "height": BOUNDS.rows}
L0_BOUNDS = YX(float(BOUNDS.row), float(BOUNDS.col))
L0_CORNER = YX(0.0, 0.0)
SLIDES = (("a b", FULL), ("hostile", CROPPED), ("alike", FULL))


class World:
    """Results on disk, what the scripts made of them, and which case is which."""

    def __init__(self, path):
        self.path = path
        self.out, self.answers = path / "out", path / "answers"
        self.answers.mkdir()
        self.slides = path / "slides äö"
        square = YX(0.5, 0.5)
        self.made = {
            "a b": write_results(self.out / "a b", "a b", ("MSIH", "nonMSIH"), square),
            "next": write_results(self.out / "next", "next", ("MSIH", "nonMSIH"), square, seed=8),
            "hostile": write_results(self.slides / "hostile", "hostile", HOSTILE, YX(0.25, 0.5)),
            "alike": write_results(self.slides / "alike", "alike", ALIKE, square),
        }
        with edited(self.slides / "alike" / "maps.json") as said:
            said["maps"] += of_new_kind(said["maps"])
        self._damage(path)
        self.cases = self._cases()
        answers = run_cases(list(self.cases.values()), self.answers)
        self.found = dict(zip(self.cases, answers, strict=True))

    def _damage(self, path):
        """Write results that lack something, or are no results."""
        self.valueless = path / "without values"
        shutil.copytree(self.out / "a b", self.valueless)
        (self.valueless / "a b.values.ome.tiff").unlink()
        self.foreign = path / "with values of another slide"
        shutil.copytree(self.out / "a b", self.foreign)
        with edited(self.foreign / "maps.json") as said:
            said["grid"]["shape"]["cols"] += 1
        self.cut = path / "with half of the values"
        shutil.copytree(self.out / "a b", self.cut)
        (self.cut / "a b.values.ome.tiff").write_bytes(b"II*\0" + b"\0" * 100)
        self.again = path / "made again"
        shutil.copytree(self.out / "a b", self.again)
        self.unfading = path / "without fading"
        shutil.copytree(self.out / "a b", self.unfading)
        with edited(self.unfading / "maps.json") as said:
            for entry in said["maps"]:
                entry["opacity"]["fades_with"] = None
        for name, said in (
            ("damaged", '{"format": "heatmaps-ome maps 3", '),
            ("earlier", '{"format": "heatmaps-ome maps 2"}'),
        ):
            (path / name).mkdir()
            (path / name / "maps.json").write_text(said)
        self.bare = path / "without regions"
        shutil.copytree(self.out / "a b", self.bare)
        whole, self.torn = (self.bare / f"a b.{name}.geojson" for name in ("regions", "torn"))
        self.torn.write_text(whole.read_text(encoding="utf-8")[:1000], encoding="utf-8")
        whole.unlink()

    def said(self, name):
        """Return the content of a slide's maps.json."""
        folder = (self.out if name in ("a b", "next") else self.slides) / name
        return json.loads((folder / "maps.json").read_text(encoding="utf-8"))

    def _slide(self, name, size):
        return {**size, "uri": (self.slides / f"{name}.svs").as_uri()}

    def _map_cases(self, show):
        """Return a case for each slide, whole or cropped, in which every map is chosen."""
        return {
            f"maps of {name}": {
                "script": show, "slide": self._slide(name, size), "levels": [0, 4],
                "args": [str((self.out if name == "a b" else self.slides) / name)],
                "maps": {
                    entry["title"]: places_in_tissue(self.made[name], size, 500 if n else 20_000)
                    for n, entry in enumerate(self.said(name)["maps"])
                },
            }
            for name, size in SLIDES
        }  # fmt: skip

    def shown(self, name):
        """Return what is shown of each map of a slide, with the map's entry of maps.json."""
        shown = self.case(f"maps of {name}")["maps"]
        return [(entry, shown[entry["title"]]) for entry in self.said(name)["maps"]]

    def _cases(self):
        show, tiles = (
            script(self.path, f"{name}.groovy") for name in ("show_heatmap", "import_tiles")
        )
        regions = script(self.path, "import_regions.groovy")
        project = str(self.out / "viewers" / "qupath" / "project.qpproj")
        full, cropped = self._slide("a b", FULL), self._slide("a b", CROPPED)
        cells = self.out / "a b"
        wild = self._slide("hostile", CROPPED)
        alike, following = self._slide("alike", FULL), self._slide("next", CROPPED)

        def refused(folder):
            return {"script": show, "slide": full, "args": [str(self.path / folder), "attention"]}

        return {
            **self._map_cases(show),
            "first": {"script": show, "slide": full, "project": project, "closed": True},
            "contribution": {
                "script": show, "slide": full, "project": project,
                "choose": "Contribution to MSIH",
            },
            "unfading": {
                "script": show, "slide": full, "args": [str(self.unfading), "score-MSIH"],
                "levels": [4],
            },
            "kinds": {
                "script": show, "slide": full, "project": project, "choose": "Artefacts",
            },
            "without a screen": {
                "script": show, "slide": full, "project": project, "screen": False,
            },
            "next slide": {
                "script": show, "slide": full, "args": [str(cells), "attention"],
                "next": following, "places": places_in_tissue(self.made["next"], CROPPED, 500),
            },
            "next slide without results": {
                "script": show, "slide": full, "args": [str(cells), "attention"],
                "next": self._slide("no results", FULL),
            },
            "a second run": {
                "script": show, "slide": full, "project": project, "times": 2, "closed": True,
            },
            "values made again": {
                "script": show, "slide": full, "args": [str(self.again), "attention"], "times": 2,
                "replaced": [
                    str(self.out / "next" / "next.values.ome.tiff"),
                    str(self.again / "a b.values.ome.tiff"),
                ],
                "places": places_in_tissue(self.made["next"], FULL, 500),
            },
            "fluorescence": {
                "script": show, "slide": full | {"type": "FLUORESCENCE"}, "project": project,
            },
            "not of colours": {
                "script": tiles, "slide": full | {"rgb": False}, "project": project,
                "headless": True,
            },
            "alike, measurement": {
                "script": tiles, "slide": alike, "answer": "x",
                "args": [str(self.slides / "alike"), f"contribution: {ALIKE[1]}"],
            },
            "no values": refused(self.valueless),
            "others' values": refused(self.foreign),
            "damaged values": refused(self.cut),
            "damaged": refused("damaged"),
            "earlier": refused("earlier"),
            "other slide": {**refused(cells), "slide": {**full, "width": 9002}},
            "unknown map": {"script": show, "slide": full, "args": [str(cells), "nosuch"]},
            "no window": {"script": show, "slide": full, "project": project, "headless": True},
            "no results": {"script": tiles, "slide": full, "headless": True},
            "dialog left": {"script": show, "slide": full},
            "dialog used": {"script": show, "slide": full, "folder": str(self.out)},
            "another name": {
                "script": show, "slide": self._slide("c", FULL), "args": [str(cells), "attention"],
                "confirmed": False,
            },
            "csv, whole": {"script": tiles, "slide": full, "project": project, "headless": True},
            "run for project": {
                "script": tiles, "slide": full, "project": project, "batch": True,
                "answer": "Attention",
            },
            "csv, cropped": {
                "script": tiles, "slide": cropped, "args": [str(cells), "score: MSIH"],
                "times": 2, "others": ["mine", NAME],
            },
            "geojson, cropped": {
                "script": tiles, "slide": cropped, "args": [str(cells / "a b.cells.geojson")],
                "headless": True,
            },
            "hostile, csv": {"script": tiles, "slide": wild, "headless": True},
            "hostile, geojson": {
                "script": tiles, "slide": wild, "headless": True,
                "args": [str(self.slides / "hostile" / "hostile.cells.geojson")],
            },
            "regions, whole": {
                "script": regions, "slide": full, "project": project, "headless": True,
            },
            "regions, cropped": {
                "script": regions, "slide": cropped, "args": [str(cells)], "times": 2,
                "annotations": ["mine", "hot 1"],
            },
            "regions, cropped once": {
                "script": regions, "slide": cropped, "args": [str(cells)],
            },
            "regions, hostile": {"script": regions, "slide": wild, "headless": True},
            "regions, damaged": {
                "script": regions, "slide": full, "args": [str(self.torn)], "headless": True,
            },
            "no regions": {"script": regions, "slide": full, "args": [str(self.bare)]},
        }  # fmt: skip

    def case(self, name):
        found = self.found[name]
        assert "failed" not in found, found["failed"]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("qupath"))


pytestmark = needed


def l0_corner_of(size):
    """Return QuPath's (0, 0) in level-0 pixels of the whole slide."""
    return L0_CORNER if size == FULL else L0_BOUNDS


def cells_around(grid, x, y):
    """Return the row and column of the cell around places in level-0 pixels, by division."""
    row = np.floor((np.asarray(y) - grid.l0_origin.y) / grid.l0_cell.y).astype(int)
    col = np.floor((np.asarray(x) - grid.l0_origin.x) / grid.l0_cell.x).astype(int)
    return row, col


def places_in_tissue(result, size, count):
    """Return places in tissue, in pixels of the slide that QuPath shows, and some off tissue."""
    grid, corner = result.heatmaps.grid, l0_corner_of(size)
    cells = np.argwhere(result.heatmaps.tissue)
    rng = np.random.default_rng(count)
    found = cells[rng.integers(len(cells), size=4 * count)] + rng.random((4 * count, 2))
    y = grid.l0_origin.y + found[:, 0] * grid.l0_cell.y - corner.y
    x = grid.l0_origin.x + found[:, 1] * grid.l0_cell.x - corner.x
    shown = (x >= 0) & (y >= 0) & (x < size["width"]) & (y < size["height"])
    tissue = np.stack([x, y], axis=1)[shown][:count]
    assert len(tissue) == count
    anywhere = rng.random((50, 2)) * (size["width"], size["height"])
    return [*tissue.tolist(), *anywhere.tolist()]


def assert_told(result, entry, size, places, texts):
    """Demand of each place the value of the cell around it, in words."""
    corner, plane = l0_corner_of(size), raw_plane(result.heatmaps, entry)
    x, y = np.array(places).T
    rows, cols = cells_around(result.heatmaps.grid, x + corner.x, y + corner.y)
    wanted = [told(entry, plane[row, col]) for row, col in zip(rows, cols, strict=True)]
    assert texts == wanted
    assert sum(text is not None for text in texts) > 0.5 * len(texts)


@pytest.mark.parametrize(("name", "size"), SLIDES)
def test_the_value_under_the_mouse_is_the_cells_own_in_every_map(world, name, size):
    result, entries = world.made[name], world.said(name)["maps"]
    kinds = {"attention", "score", "contribution", "evidence", "winner", "tissue", "artefacts"}
    assert {each["kind"] for each in entries} >= kinds
    assert "margin" in {each["kind"] for each in entries} or len(result.heatmaps.classes) == 2
    for entry, shown in world.shown(name):
        known = entry if entry["kind"] != KIND else {**entry, "kind": "contribution"}
        places = world.cases[f"maps of {name}"]["maps"][entry["title"]]
        assert_told(result, known, size, places, shown["told"])
    assert len(world.cases[f"maps of {name}"]["maps"]["Attention"]) == 20_050


def test_values_are_drawn_ones_with_the_raw_ones_named(world):
    shown = world.case("maps of a b")["maps"]["Contribution to MSIH"]
    text = next(text for text in shown["told"] if text is not None)
    assert re.fullmatch(r"Contribution to MSIH: \S+ \(raw: \S+e-0\d\)", text)
    drawn, raw = (
        float(each.replace("\u2212", "-"))
        for each in re.findall(r"([\d.e\u2212-]+)(?: \(|\))", text)
    )
    assert drawn == pytest.approx(raw * world.made["a b"].heatmaps.tissue_cells, rel=0.01)


def colours_of(entry, raw, fading):
    """Return the RGBA of values of a map of maps.json, (…, 4), as maps.json describes it."""
    known = np.array([[*bytes.fromhex(code[1:])] for code in entry["colours"]])
    values = np.asarray(raw, np.float64) * entry["factor"]
    if entry["levels"] is None:
        visible = np.nan_to_num(values) >= 1
        place = np.where(visible, values - 1, 0).astype(int)
    else:
        visible, (lower, upper) = ~np.isnan(values), entry["levels"].values()
        part = np.clip((np.nan_to_num(values) - lower) / (upper - lower), 0, 1)
        place = np.rint(part * (len(known) - 1)).astype(int)
    rule, alpha = entry["opacity"]["fades_with"], 255.0
    if rule is not None:
        position = (np.nan_to_num(fading) - rule["lower"]) / (rule["upper"] - rule["lower"])
        alpha = np.rint(255 * np.clip(position, 0, 1))
    return np.concatenate([known[place], (visible * alpha)[..., None]], axis=-1)


@pytest.mark.parametrize(("name", "size"), SLIDES[:2])
def test_every_pixel_has_the_colour_of_the_cell_around_its_centre(world, name, size):
    result, corner = world.made[name], l0_corner_of(size)
    grid = result.heatmaps.grid
    for entry, shown in world.shown(name):
        assert (shown["width"], shown["height"]) == (size["width"], size["height"])
        for pixel, cols, rows in shown["levels"]:
            # Nothing at the slide's right and lower edge is left out.
            assert cols * pixel >= size["width"] > (cols - 1) * pixel
            assert rows * pixel >= size["height"] > (rows - 1) * pixel
        assert [level[0] for level in shown["levels"]][:3] == [1, 2, 4]
        raw = raw_plane(result.heatmaps, entry)
        wanted_cells = colours_of(entry, raw, result.heatmaps.attention)
        for tile in shown["tiles"]:
            x = (tile["left"] + np.arange(tile["cols"]) + 0.5) * tile["downsample"] + corner.x
            y = (tile["top"] + np.arange(tile["rows"]) + 0.5) * tile["downsample"] + corner.y
            rows, cols = cells_around(grid, x, y)
            wanted = np.pad(wanted_cells, [(0, 1), (0, 1), (0, 0)])[
                np.clip(rows, -1, grid.shape.rows)[:, None], np.clip(cols, -1, grid.shape.cols)
            ]
            pixels = dumped(world.answers, tile).astype(int)
            seen = wanted[..., 3] > 0
            # A value half way between two levels may take either.
            assert np.abs(pixels[..., 3] - wanted[..., 3]).max() <= 1
            differ = (pixels[seen] != wanted[seen]).any(axis=1)
            assert seen.any() or entry["opacity"]["fades_with"] or tile["downsample"] == 1
            assert differ.sum() <= 0.002 * max(1, seen.sum())


def test_each_class_has_its_own_map_however_alike_the_names_are(world):
    entries = world.said("alike")["maps"]
    titles = [entry["title"] for entry in entries if entry["kind"] == KIND]
    # Of the kind that the script does not know there is one map a class, too.
    assert titles == [f"Pull of {name}" for name in ALIKE]
    assert len({entry["title"] for entry in entries}) == len(entries)
    mapper = world.case("alike, measurement")["mapper"]
    assert mapper["measurement"] == f"contribution: {ALIKE[1]}"
    # The measurement is raw, the map's range is of drawn values.
    [entry] = [each for each in entries if each["measurement"] == mapper["measurement"]]
    drawn = [mapper[end] * entry["factor"] for end in ("lower", "upper")]
    assert drawn == pytest.approx([entry["range"]["lower"], entry["range"]["upper"]])
    assert entry["factor"] > 1000


def test_no_map_hides_the_tissue_unless_it_is_asked_to(world):
    for entry, shown in world.shown("a b"):
        assert shown["opacity"] == min(0.6, entry["opacity"]["alpha"])


def test_maps_that_do_not_fade_are_even(world):
    tiles = world.case("unfading")["overlay"]["tiles"]
    assert {n for tile in tiles for n in np.unique(dumped(world.answers, tile)[..., 3])} == {0, 255}
    assert "fades" not in " ".join(world.case("unfading")["window"]["texts"])
    assert world.case("unfading")["window"]["bar"][1] == 14


def test_the_map_of_the_class_drawn_hot_is_shown_at_once_and_all_are_offered(world):
    shown, entries = world.case("first"), world.said("a b")["maps"]
    assert (shown["choices"], shown["window"]["count"]) == ([], 1)
    assert shown["window"]["chosen"] == "Score of MSIH"
    assert shown["window"]["choices"] == [entry["title"] for entry in entries]
    assert shown["overlay"]["visible"] is True
    assert world.case("a second run")["window"]["count"] == 1
    assert "Its window cannot be opened" in world.case("without a screen")["said"]


def test_the_window_explains_a_map_and_whose_slide_it_is_of(world):
    window = world.case("contribution")["window"]
    [entry] = [each for each in world.said("a b")["maps"] if each["name"] == "contribution-MSIH"]
    ends = [number(entry["range"][end]) for end in ("lower", "upper")]
    assert window["numbers"] == [f"\u2264 {ends[0]}", "0", f"\u2265 {ends[1]}"]
    words, slide = window["texts"][0], window["texts"][2]
    assert words.startswith(entry["quantity"])
    assert "left: against MSIH, right: for MSIH" in words
    assert f"raw: {entry['raw']['quantity']}" in words
    assert "fades where attention is low" in words
    predicted = world.said("a b")["prediction"]
    assert f"MSIH {probability(predicted['MSIH'])}" in slide
    assert slide.splitlines()[1:] == [
        "drawn hot: MSIH", f"ground truth: {world.said('a b')['label']}",
        "For research, not for diagnosis.",
    ]  # fmt: skip
    width, height, argb = window["bar"]
    bar = np.array(argb, np.int64).reshape(height, width)
    rgb = np.stack([bar >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    # As opaque as attention is high: the map's colours at the top, none of them at the bottom.
    assert (rgb[-1] == 255).all()
    first, last = (tuple(bytes.fromhex(entry["colours"][end][1:])) for end in (0, -1))
    assert (tuple(rgb[0, 0]), tuple(rgb[0, -1])) == (first, last)


def test_kinds_of_cells_are_listed_with_their_colours(world):
    window = world.case("kinds")["window"]
    [entry] = [each for each in world.said("a b")["maps"] if each["kind"] == "artefacts"]
    assert [name for name, _ in window["kinds"]] == entry["categories"]
    for (_, style), colour in zip(window["kinds"], entry["colours"], strict=False):
        assert colour in style
    assert (window["bar"], window["numbers"]) == (None, ["", "", ""])
    assert window["opacity"] == 0.6


def test_a_slide_opened_afterwards_shows_its_own_map(world):
    shown = world.case("next slide")
    assert (shown["window"]["title"], shown["window"]["chosen"]) == ("next", "Attention")
    entry = world.said("next")["maps"][0]
    places = world.cases["next slide"]["places"]
    assert_told(world.made["next"], entry, CROPPED, places, shown["overlay"]["told"])
    assert shown["type"] == "BRIGHTFIELD_H_E"
    without = world.case("next slide without results")["window"]
    assert without["off"] is True
    assert "no results of no results" in without["texts"][0]


def test_values_that_were_made_again_are_read_again(world):
    entry = world.said("next")["maps"][0]
    places = world.cases["values made again"]["places"]
    found = world.case("values made again")["overlay"]["told"]
    assert_told(world.made["next"], entry, FULL, places, found)


def test_the_kind_of_slide_is_set_where_nobody_has_set_it(world):
    for case in ("first", "csv, whole", "regions, whole"):
        assert world.case(case)["type"] == "BRIGHTFIELD_H_E"
    assert world.case("fluorescence")["type"] == "FLUORESCENCE"
    assert world.case("not of colours")["type"] == "UNSET"


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("other slide", r"are of a slide of 9003 x 7001 pixels, but the open one has 9002 x 7001"),
        ("unknown map", r"no map nosuch; there are attention, score-MSIH, .*winner, artefacts\."),
        ("damaged", r"maps\.json cannot be read"),
        ("earlier", r"made by an earlier version of heatmaps-ome; run create again with --over"),
        ("no values", r"no values in .*run heatmaps-ome with --formats ome-tiff"),
        ("others' values", r"pixels for \d+ x \d+ cells: it is of other results"),
        ("damaged values", r"values.ome.tiff cannot be read and may be damaged"),
        ("no window", r"need the window of QuPath"),
        ("no results", r"No results of a b were found"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_sentence(world, case, sentence):
    found = world.case(case)
    assert re.search(sentence, found["said"])
    headless = world.cases[case].get("headless", False)
    assert [bool(re.search(sentence, each)) for each in found["errors"]] == [True] * (not headless)
    assert found["overlay"] is None


def test_a_folder_is_asked_for_where_no_results_are_known(world):
    assert world.case("dialog used")["window"]["title"] == "a b"
    left = world.case("dialog left")
    assert (left["overlay"], left["errors"], left["said"]) == (None, [], "")


def test_results_of_another_name_are_shown_only_if_that_is_meant(world):
    found = world.case("another name")
    assert (found["overlay"], found["errors"]) == (None, [])


def tile_places(result, l0_corner, size):
    """Return x, y, width, height of each tissue cell as far as it lies in QuPath's slide."""
    rows, cols = result.heatmaps.grid.l0_edges()
    places = {}
    for row, col in np.argwhere(result.heatmaps.tissue):
        top, bottom = np.clip(rows[[row, row + 1]], 0, SHAPE.rows) - l0_corner.y
        left, right = np.clip(cols[[col, col + 1]], 0, SHAPE.cols) - l0_corner.x
        top, bottom = np.clip([top, bottom], 0, size["height"])
        left, right = np.clip([left, right], 0, size["width"])
        if right - left > 1e-9 and bottom - top > 1e-9:
            places[row, col] = (left, top, right - left, bottom - top)
    return places


@pytest.mark.parametrize(
    ("case", "name", "l0_corner", "size"),
    [
        ("csv, whole", "a b", L0_CORNER, FULL),
        ("csv, cropped", "a b", L0_BOUNDS, CROPPED),
        ("geojson, cropped", "a b", L0_BOUNDS, CROPPED),
        ("hostile, csv", "hostile", L0_BOUNDS, CROPPED),
        ("hostile, geojson", "hostile", L0_BOUNDS, CROPPED),
    ],
)
def test_tiles_lie_at_their_place_with_their_values_and_classes(world, case, name, l0_corner, size):
    result = world.made[name]
    heatmaps = result.heatmaps
    tiles = [tile for tile in world.case(case)["tiles"] if "place" in tile]
    places = tile_places(result, l0_corner, size)
    assert len(tiles) == len(places)
    colours = class_colours(heatmaps.classes)
    for tile, ((row, col), place) in zip(tiles, places.items(), strict=True):
        assert tile["place"] == pytest.approx(place, abs=1e-3)
        assert tile["name"] == NAME
        values = tile["values"]
        assert np.float32(values["attention"]) == heatmaps.attention[row, col]
        for index, class_name in enumerate(heatmaps.classes):
            assert np.float32(values[f"score: {class_name}"]) == heatmaps.scores[index, row, col]
        predicted = heatmaps.classes[heatmaps.scores[:, row, col].argmax()]
        assert tile["class"] == qupath_class(predicted)
        assert tile["colour"] & 0xFFFFFF == int(colours[predicted][1:], 16)


def test_a_second_import_replaces_the_first_and_nothing_else(world):
    found = world.case("csv, cropped")
    assert [tile["name"] for tile in found["tiles"] if "place" not in tile] == ["mine"]
    assert "of an earlier import were removed" in found["said"]


def test_running_for_a_whole_project_asks_nothing(world):
    found = world.case("run for project")
    assert found["choices"] == []
    assert found["mapper"] is None
    assert found["tiles"] == world.case("csv, whole")["tiles"]


def test_tiles_are_coloured_as_the_map_is(world):
    mapper = world.case("csv, cropped")["mapper"]
    [entry] = [each for each in world.said("a b")["maps"] if each["name"] == "score-MSIH"]
    ends = [entry["range"]["lower"], entry["range"]["upper"]]
    assert (mapper["measurement"], [mapper["lower"], mapper["upper"]]) == ("score: MSIH", ends)
    wanted = colours_of({**entry, "opacity": {"fades_with": None}}, ends, None)[:, :3].astype(int)
    found = [[colour >> shift & 255 for shift in (16, 8, 0)] for colour in mapper["colours"]]
    assert np.abs(np.array(found) - wanted).max() <= 2
    assert world.case("csv, whole")["mapper"] is None


def drawn(annotation):
    """Return an annotation's area: what lies within an odd number of its rings."""
    # Java's areas leave slivers of 1e-13 pixels behind.
    rings = [shapely.Polygon(np.round(ring, 6)).buffer(0) for ring in annotation["rings"]]
    return functools.reduce(shapely.symmetric_difference, rings)


@pytest.mark.parametrize(
    ("case", "name", "l0_corner", "size"),
    [
        ("regions, whole", "a b", L0_CORNER, FULL),
        ("regions, cropped", "a b", L0_BOUNDS, CROPPED),
        ("regions, hostile", "hostile", L0_BOUNDS, CROPPED),
    ],
)
def test_regions_lie_at_their_place_with_their_values_and_classes(
    world, case, name, l0_corner, size
):
    result = world.made[name]
    classes = result.heatmaps.classes
    found = [each for each in world.case(case)["annotations"] if each["rings"]]
    frame = shapely.box(0, 0, size["width"], size["height"])
    wanted = {}
    for region in result.regions.regions:
        moved = shapely.affinity.translate(region.l0_polygon, -l0_corner.x, -l0_corner.y)
        if moved.intersection(frame).area > 0:
            wanted[region.name] = (region, moved.intersection(frame))
    assert [each["name"] for each in found] == list(wanted)
    assert len(wanted) >= 15
    for each in found:
        region, area = wanted[each["name"]]
        assert drawn(each).symmetric_difference(area).area < 1
        assert each["locked"]
        assert each["values"]["cells"] == region.cells
        assert each["values"]["area mm²"] == region.area_mm2
        assert each["values"][f"mean score: {classes[0]}"] == region.mean_score
        hot = region.kind == "hot"
        assert each["class"] == qupath_class(classes[0] if hot else f"not {classes[0]}")
        # Hot and cold differ for eyes of any colour vision, whichever class is drawn hot.
        assert each["own"] & 0xFFFFFF == (0xD55E00 if hot else 0x0072B2)
        values = {"cells", "area mm²", "share of tissue", f"mean score: {classes[0]}"}
        assert values <= set(each["values"])
    kinds = {region.kind for region, _ in wanted.values()}
    assert kinds == {"hot", "cold"}
    assert any(len(each["rings"]) > 1 for each in found), "holes are rings of their region"


def test_a_second_import_of_regions_replaces_the_first_and_nothing_else(world):
    found = world.case("regions, cropped")
    once = world.case("regions, cropped once")["annotations"]
    assert [each for each in found["annotations"] if each["rings"]] == once
    # Of the name that ours have, but without what is measured of them.
    assert [each["name"] for each in found["annotations"] if not each["rings"]] == ["mine", "hot 1"]
    names = [each["name"] for each in found["annotations"] if each["rings"]]
    assert len(set(names)) == len(names)
    assert "of an earlier import were removed" in found["said"]


def test_regions_that_are_not_there_or_damaged_are_told_of(world):
    assert "with --formats regions" in world.case("no regions")["errors"][0]
    damaged = world.case("regions, damaged")
    assert "cannot be read and may be damaged" in damaged["said"]
    assert damaged["annotations"] == []


SCRIPTS = ("show_heatmap", "import_tiles", "import_regions")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_its_own_part_and_what_all_share(world, name):
    """As the folder's README has it done by hand, from the repository alone."""
    folder = viewer_files() / "qupath"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"cat show_heatmap\.groovy prelude\.groovy > \S+", readme)
    command = command.replace("show_heatmap", name, 1).rpartition(" ")[0]
    made = world.path / f"{name} by hand.groovy"
    with made.open("wb") as file:
        subprocess.run(command.split()[:3], cwd=folder, stdout=file, check=True)
    joined = Path(script(world.path, f"{name}.groovy")).read_bytes()
    assert joined == made.read_bytes()
    imports = re.findall(r"^import (\S+)$", joined.decode(), re.MULTILINE)
    assert len(imports) == len(set(imports)) > 10
