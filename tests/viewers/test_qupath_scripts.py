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
import tifffile
from new_kind import ALIKE, of_new_kind
from qupath_world import (
    BOUNDS,
    SHAPE,
    dumped,
    needed,
    run_cases,
    script,
    write_results,
)

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.exporters.cells import NAME, qupath_class
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.channels import channels, stacked
from heatmaps_ome.viewers.files import viewer_files

HOSTILE = ('=1+1, "x"', "two\nlines", "'s", "MSI: high", "Grün  ")
FULL = {"width": SHAPE.cols, "height": SHAPE.rows}
CROPPED = {"width": BOUNDS.cols, "height": BOUNDS.rows}
L0_BOUNDS = YX(float(BOUNDS.row), float(BOUNDS.col))
L0_CORNER = YX(0.0, 0.0)


class World:
    """Results on disk, what the scripts made of them, and which case is which."""

    def __init__(self, path):
        self.path = path
        self.out, self.answers = path / "out", path / "answers"
        self.answers.mkdir()
        self.slides = path / "slides äö"
        self.made = {
            "a b": write_results(self.out / "a b", "a b", ("MSIH", "nonMSIH"), YX(0.5, 0.5)),
            "hostile": write_results(self.slides / "hostile", "hostile", HOSTILE, YX(0.25, 0.5)),
        }
        self.made["alike"] = write_results(self.slides / "alike", "alike", ALIKE, YX(0.5, 0.5), 3)
        for tiff in (self.slides / "alike").glob("*.score-*.ome.tiff"):
            tiff.unlink()
        manifest = self.slides / "alike" / "maps.json"
        said = json.loads(manifest.read_text(encoding="utf-8"))
        contributions = [
            {**said["maps"][1], "kind": "contribution", "class": name, "channel": 4 + index}
            for index, name in enumerate(ALIKE)
        ]
        said["maps"] += of_new_kind(contributions)
        manifest.write_text(json.dumps(said), encoding="utf-8")
        self.overlays = path / "overlays only"
        shutil.copytree(self.out / "a b", self.overlays / "a b")
        (self.overlays / "a b" / "a b.values.ome.tiff").unlink()
        self.damaged = path / "damaged"
        self.damaged.mkdir()
        (self.damaged / "maps.json").write_text('{"format": "heatmaps-ome maps 2", ')
        self.earlier = path / "earlier"
        self.earlier.mkdir()
        (self.earlier / "maps.json").write_text('{"format": "heatmaps-ome maps 1"}')
        self.oblong = path / "oblong"
        shutil.copytree(self.out / "a b", self.oblong)
        said = json.loads((self.oblong / "maps.json").read_text())
        said["slide"]["mpp"]["x"] = 0.6
        (self.oblong / "maps.json").write_text(json.dumps(said))
        self.bare = path / "without regions"
        shutil.copytree(self.out / "a b", self.bare)
        whole, self.torn = (self.bare / f"a b.{name}.geojson" for name in ("regions", "torn"))
        self.torn.write_text(whole.read_text(encoding="utf-8")[:1000], encoding="utf-8")
        whole.unlink()
        self.cases = self._cases()
        answers = run_cases(list(self.cases.values()), self.answers)
        self.found = dict(zip(self.cases, answers, strict=True))

    def _slide(self, name, size):
        return {**size, "uri": (self.slides / f"{name}.svs").as_uri()}

    def _cases(self):
        show, tiles = (
            script(self.path, f"{name}.groovy") for name in ("show_heatmap", "import_tiles")
        )
        regions = script(self.path, "import_regions.groovy")
        project = str(self.out / "viewers" / "qupath" / "project.qpproj")
        full, cropped = self._slide("a b", FULL), self._slide("a b", CROPPED)
        overlays, cells = str(self.overlays), self.out / "a b"
        wild = self._slide("hostile", CROPPED)
        places = [[x + 0.3, y + 0.7] for x in range(5, 6000, 401) for y in range(5, 5000, 377)]
        pixels = [[-1.0, 5.0], [1.0, 5.0], ["NaN", "NaN"], [0.25, 0.0]]
        alike = self._slide("alike", FULL)
        return {
            **{
                f"alike, {title}": {
                    "script": show, "slide": alike, "answer": title, "places": places,
                }
                for title in self._titles("alike")
            },
            "alike, measurement": {
                "script": tiles, "slide": alike, "answer": "x",
                "args": [str(self.slides / "alike"), f"score: {ALIKE[1]}"],
            },
            "earlier": {"script": show, "slide": full, "args": [str(self.earlier)]},
            "rgba, whole": {"script": show, "slide": full, "args": [overlays, "attention"]},
            "rgba, cropped": {"script": show, "slide": cropped, "args": [overlays, "score-MSIH"]},
            "float, whole": {
                "script": show, "slide": full, "project": project, "answer": "Attention",
                "places": places, "pixels": pixels,
            },
            "float, cropped": {
                "script": show, "slide": cropped, "args": [str(cells), "SCORE-msih"],
                "places": places, "pixels": pixels,
            },
            "kinds": {
                "script": show, "slide": full, "args": [str(cells), "winner"], "places": places,
            },
            "oblong slide": {"script": show, "slide": wild, "answer": "Attention"},
            "other slide": {"script": show, "slide": {**full, "width": 9002}, "args": [overlays]},
            "unknown map": {"script": show, "slide": full, "args": [overlays, "nosuch"]},
            "damaged": {"script": show, "slide": full, "args": [str(self.damaged)]},
            "oblong pixels": {
                "script": show, "slide": full, "args": [str(self.oblong), "attention"],
            },
            "no window": {"script": show, "slide": full, "project": project, "headless": True},
            "no results": {"script": tiles, "slide": full, "headless": True},
            "dialog left": {"script": show, "slide": full},
            "dialog used": {
                "script": show, "slide": full, "folder": str(self.out), "answer": "Attention",
            },
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
            "regions, hostile": {"script": regions, "slide": wild, "headless": True},
            "regions, damaged": {
                "script": regions, "slide": full, "args": [str(self.torn)], "headless": True,
            },
            "no regions": {"script": regions, "slide": full, "args": [str(self.bare)]},
        }  # fmt: skip

    def _titles(self, name):
        said = json.loads((self.slides / name / "maps.json").read_text(encoding="utf-8"))
        return [each["title"] for each in said["maps"] if each["class"] is not None]

    def case(self, name):
        found = self.found[name]
        assert "failed" not in found, found["failed"]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("qupath"))


pytestmark = needed


def expected_level(level, l0_pixel, size, l0_corner, fill):
    """Return what lies under each pixel's centre: (…, rows, cols) of the file, fill beyond it.

    Parameters
    ----------
    level : (bands, rows, cols) array of the file
    l0_pixel : float
        Size of the level's pixels in level-0 pixels.
    """
    index = []
    for count, corner, limit in zip(size, l0_corner, level.shape[1:], strict=True):
        l0_centres = (np.arange(count) + 0.5) * l0_pixel + corner
        index.append(np.floor(l0_centres / l0_pixel).astype(int))
        # A pixel's centre is half a pixel off the centre of what is drawn there, at most.
        assert np.abs(l0_centres - (index[-1] + 0.5) * l0_pixel).max() <= l0_pixel / 2
        index[-1][index[-1] >= limit] = -1
    padded = np.pad(level, [(0, 0), (0, 1), (0, 1)], constant_values=fill)
    return padded[:, index[0][:, None], index[1][None, :]]


@pytest.mark.parametrize(
    ("case", "file", "bands", "l0_corner"),
    [
        ("rgba, whole", "a b.attention.ome.tiff", None, L0_CORNER),
        ("rgba, cropped", "a b.score-MSIH.ome.tiff", None, L0_BOUNDS),
        ("float, whole", "a b.values.ome.tiff", [0], L0_CORNER),
        ("float, cropped", "a b.values.ome.tiff", [1, 0], L0_BOUNDS),
        ("oblong slide", "hostile.values.ome.tiff", [0], L0_BOUNDS),
    ],
)
def test_every_pixel_of_every_level_is_the_files_own_at_its_place(
    world, case, file, bands, l0_corner
):
    shown = world.case(case)["overlay"]
    path = next(world.path.rglob(f"*/{file}"))
    size = CROPPED if "width" in shown and shown["width"] == BOUNDS.cols else FULL
    assert (shown["width"], shown["height"]) == (size["width"], size["height"])
    with tifffile.TiffFile(path) as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
    assert len(shown["levels"]) == len(levels) > 1
    for number, (found, level) in enumerate(zip(shown["levels"], levels, strict=True)):
        l0_pixel = (9 if bands is None else 18) * 2**number
        assert found["downsample"] == l0_pixel
        # Nothing at the slide's right and lower edge is left out.
        assert found["cols"] * l0_pixel >= size["width"]
        assert found["rows"] * l0_pixel >= size["height"]
        pixels = dumped(world.answers, found, is_float=bands is not None)
        stored = np.moveaxis(level, -1, 0) if bands is None else level[bands]
        fill = 0 if bands is None else np.nan
        wanted = expected_level(stored, l0_pixel, (found["rows"], found["cols"]), l0_corner, fill)
        wanted = np.moveaxis(wanted, 0, -1) if bands is None else wanted
        assert pixels.shape == wanted.shape
        assert wanted[..., 3].any() if bands is None else np.isfinite(wanted).any()
        if bands is None:
            visible = wanted[..., 3] > 0
            assert np.array_equal(pixels[..., 3], wanted[..., 3])
            assert np.array_equal(pixels[visible], wanted[visible])
        else:
            assert np.array_equal(pixels, wanted, equal_nan=True)


@pytest.mark.parametrize(
    ("case", "l0_corner", "title", "channel"),
    [("float, whole", L0_CORNER, "Attention", 0), ("float, cropped", L0_BOUNDS, "Score-msih", 1)],
)
def test_the_value_under_the_mouse_is_the_cells_own(world, case, l0_corner, title, channel):
    heatmaps = world.made["a b"].heatmaps
    values = [heatmaps.attention, heatmaps.score("MSIH")][channel]
    told = world.case(case)["overlay"]["told"]
    places = world.cases[case]["places"]
    agreeing = 0
    for (x, y), text in zip(places, told, strict=True):
        # Values are drawn on pixels of 18 level-0 pixels: near a cell's edge another may be found.
        near = {
            _told(title, values, heatmaps.grid, YX(y + l0_corner.y + dy, x + l0_corner.x + dx))
            for dy in (-18, 0, 18)
            for dx in (-18, 0, 18)
        }
        assert text in near
        agreeing += text == _told(title, values, heatmaps.grid, l0_corner.plus(YX(y, x)))
    assert agreeing > 0.8 * len(places)


def test_each_class_has_its_own_map_however_alike_the_names_are(world):
    heatmaps = world.made["alike"].heatmaps
    raw = stacked(channels(heatmaps))
    titles = [case.removeprefix("alike, ") for case in world.cases if case.startswith("alike, ")]
    # Of the kind that the script does not know there is one map a class, too.
    assert [each for each in titles if "Pull" in each] == [f"Pull of {c}" for c in ALIKE]
    for title, channel in zip(titles[:6], (1, 2, 3, 4, 5, 6), strict=True):
        shown = world.case(f"alike, {title}")["overlay"]
        assert shown["float"] is True
        assert shown["channels"] == [channels(heatmaps)[channel].name, "attention"]
        found = 0
        for (x, y), text in zip(
            world.cases[f"alike, {title}"]["places"], shown["told"], strict=True
        ):
            own = _told(title, raw[channel], heatmaps.grid, YX(y, x))
            found += own is not None and text == own
        assert found > 100
    mapper = world.case("alike, measurement")["mapper"]
    assert mapper["measurement"] == f"score: {ALIKE[1]}"


def _told(title, values, grid, l0_place):
    row, col = (int(np.floor(g)) for g in grid.g_from_l0(l0_place))
    inside = 0 <= row < grid.shape.rows and 0 <= col < grid.shape.cols
    if not inside or np.isnan(values[row, col]):
        return None
    return f"{title}: {_three_digits(values[row, col])}"


def _three_digits(value):
    """Return what Java's %.3g makes of a number: no trailing zero is dropped."""
    from decimal import ROUND_HALF_UP, Decimal

    exact = Decimal(float(value))
    if exact == 0:
        return "0.00"
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_UP)
    if Decimal("0.0001") <= abs(rounded) < 1000:
        return f"{rounded:f}"
    mantissa, exponent = f"{rounded:.2e}".split("e")
    return f"{mantissa}e{int(exponent):+03d}"


def test_values_have_the_maps_colours_and_opacity(world):
    steady = world.case("float, whole")["overlay"]
    fading = world.case("float, cropped")["overlay"]
    assert (steady["opacity"], fading["opacity"]) == (1.0, 0.7)
    assert (steady["channels"], fading["channels"]) == (
        ["attention"],
        ["score-MSIH", "attention"],
    )

    def argb(number):
        return [number >> shift & 255 for shift in (24, 16, 8, 0)]

    first, last, none, _ = map(argb, steady["colours"])
    # display_map's colours of the first and last level.
    assert (first, last) == ([255, 1, 254, 7], [255, 255, 0, 249])
    assert none[0] == 0
    # Attention of 5 is above its range, 0 in its middle; a score of 0.25 is the lowest.
    below, above, none, lowest = map(argb, fading["colours"])
    assert (below[0], above[0], none[0]) == (255, 255, 0)
    assert lowest[0] == 128
    levels = np.array([argb(c)[1:] for c in [fading["colours"][3]]])
    place = (0.25 + 1) / 2 * 254 + 1
    assert np.abs(levels[0][0] - place) <= 1
    assert below == [255, *lowest[1:]]


def test_maps_are_offered_by_their_titles_without_those_that_no_file_shows(world):
    assert world.case("float, whole")["choices"] == ["Attention", "Score-msih", "Winner"]
    assert world.case("float, whole")["overlay"]["visible"] is True
    assert "Its window cannot be opened" in world.case("float, whole")["said"]


def test_kinds_of_cells_are_shown_as_their_overlay_has_them(world):
    shown = world.case("kinds")["overlay"]
    assert (shown["float"], set(shown["told"])) == (False, {"Winner"})


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("other slide", r"are of a slide of 9003 x 7001 pixels, but the open one has 9002 x 7001"),
        ("unknown map", r"no map nosuch; there are attention, score-MSIH, winner\."),
        ("damaged", r"maps\.json cannot be read"),
        ("earlier", r"made by an earlier version of heatmaps-ome; run create again with --over"),
        ("oblong pixels", r"QuPath can only show square ones"),
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
    assert world.case("dialog used")["overlay"]["float"] is True
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
    assert (mapper["measurement"], mapper["lower"], mapper["upper"]) == ("score: MSIH", 0.25, 1.0)
    assert mapper["colours"][1] & 0xFFFFFF == 0xFF00F9
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
    assert len(wanted) >= 20
    for each in found:
        region, area = wanted[each["name"]]
        assert drawn(each).symmetric_difference(area).area < 1
        assert each["locked"]
        assert each["values"]["cells"] == region.cells
        assert each["values"]["area mm²"] == region.area_mm2
        assert each["values"][f"mean score: {classes[0]}"] == region.mean_score
        assert each["class"] == qupath_class(f"{classes[0]} ({region.kind})")


def test_a_second_import_of_regions_replaces_the_first_and_nothing_else(world):
    found = world.case("regions, cropped")
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
