"""`share`: which tiles, which pixels, which names and sizes; and all of it or nothing."""

import errno
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from shared_world import CELL, ORIGIN, add_slide, region
from slide_files import write_slide

from heatmaps_ome.cli.main import main
from heatmaps_ome.geometry import YX, Grid, Shape, anchored_pixels
from heatmaps_ome.storage.result_folder import RUN
from heatmaps_ome.viewers.share import share as sharing
from heatmaps_ome.viewers.share import tiling
from heatmaps_ome.viewers.share.plan import MARGIN_UM, TILE_PX, plan_tiles

SMALL = Shape(688, 912)
"""Size of the slides."""
NAME = "Zyxwv, Quirin *1951"
"""A name that no other text has a part of."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run of two slides."""
    top = tmp_path_factory.mktemp("share")
    add_slide(top / "run", top / "slides", NAME)
    add_slide(top / "run", top / "slides", "second", seed=1)
    return top


def share(world, *words):
    return main(["share", str(world / "run"), *map(str, words)])


def data_of(script):
    """Return the data that a script hands to the page."""
    text = script.read_text("ascii")
    assert text.startswith("heatmapsData(")
    return json.loads(f"[{text.removeprefix('heatmapsData(').removesuffix(');' + chr(10))}]")[1]


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def finest_um(folder, key="1"):
    return data_of(folder / "data" / key / "slide.js")["picture"]["um"]["x"]


# --- The tiles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_fine_tiles_are_those_that_tissue_or_its_margin_touches(seed):
    rng = np.random.default_rng(seed)
    mpp = YX(*rng.uniform(0.2, 0.6, 2))
    shape = Shape(*(int(n) for n in rng.integers(4097, 30000, 2)))
    cell = YX(*rng.uniform(60, 300, 2))
    cells = Shape(*(int(n) for n in rng.integers(5, 40, 2)))
    grid = Grid(cells, cell, YX(-31.5, -17.0), mpp)
    tissue = rng.random(cells) < 0.05
    plan = plan_tiles(anchored_pixels(shape, mpp, 1), grid, tissue)
    wanted = np.zeros(plan.masks[0].shape, bool)
    for row, col in np.argwhere(tissue):
        ends = [
            (origin + index * size - MARGIN_UM / um, origin + (index + 1) * size + MARGIN_UM / um)
            for origin, index, size, um in zip(grid.l0_origin, (row, col), cell, mpp, strict=True)
        ]
        for tile_row, tile_col in np.ndindex(wanted.shape):
            wanted[tile_row, tile_col] |= all(
                place * TILE_PX < stop and (place + 1) * TILE_PX > start
                for place, (start, stop) in zip((tile_row, tile_col), ends, strict=True)
            )
    assert (plan.masks[0] == wanted).all()
    assert plan.masks[-1].shape == (1, 1)
    for level, mask in enumerate(plan.masks[1:], start=1):
        size = shape.halved(level)
        assert mask.shape == tuple(-(-side // TILE_PX) for side in size)
        made = [plan.has_finer(level, *place) for place in np.ndindex(mask.shape)]
        under = np.reshape(made, mask.shape)
        assert (mask == (under | (max(size) <= 4096))).all()


def test_without_tissue_coarse_levels_are_there_alone():
    grid = Grid(Shape(3, 3), YX(1000, 1000), YX(0, 0), YX(0.5, 0.5))
    plan = plan_tiles(anchored_pixels(Shape(9000, 9000), grid.mpp, 1), grid, np.zeros((3, 3), bool))
    assert [bool(mask.any()) for mask in plan.masks] == [False, False, True, True, True, True]


def test_tiles_hold_the_slides_own_pixels_and_their_means(world, tmp_path):
    assert share(world, "-o", tmp_path / "out", "--slides", "second") == 0
    slide = world / "slides" / "second.svs"
    whole = region(slide, 0, 0, SMALL.cols, SMALL.rows)
    levels = [whole]
    for _ in range(1):
        padded = np.pad(levels[-1], [(0, n % 2) for n in levels[-1].shape[:2]] + [(0, 0)], "edge")
        rows, cols = (n // 2 for n in padded.shape[:2])
        levels.append(padded.reshape(rows, 2, cols, 2, 3).mean(axis=(1, 3)))
    tiles = tmp_path / "out" / "data" / "1" / "tiles"
    assert files_of(tiles) == {"0/0_0.jpg", "0/1_0.jpg", "0/0_1.jpg", "0/1_1.jpg", "1/0_0.jpg"}
    for level, pixels in enumerate(levels):
        for path in (tiles / str(level)).iterdir():
            col, row = map(int, path.stem.split("_"))
            own = pixels[row * TILE_PX : (row + 1) * TILE_PX, col * TILE_PX : (col + 1) * TILE_PX]
            stored = np.asarray(Image.open(path), np.float64)
            assert stored.shape == own.shape
            assert np.abs(stored - own).mean() < 3
            assert abs((stored - own).mean()) < 0.3


def test_a_slide_cropped_to_its_bounds_keeps_its_places(shared_data, tmp_path):
    """Level-0 pixels count from its outer corner, and where it is transparent it is white."""
    from heatmaps_ome.slides.opening import open_slide
    from heatmaps_ome.viewers.share.pixels import SlidePixels

    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    slide = open_slide(path)
    pixels = SlidePixels(slide)
    bounds = slide.bounds
    cells = Shape(1, 1)
    spot = YX(bounds.row + bounds.rows / 2, bounds.col + bounds.cols / 2)
    grid = Grid(cells, YX(10, 10), spot, slide.mpp)
    plan = plan_tiles(pixels.lattice, grid, np.ones(cells, bool))
    row, col = (int(place // TILE_PX) for place in spot)
    assert plan.masks[0][row, col]
    window = plan.window(0, row, col)
    read = pixels.read(0, window).astype(float)
    own = region(path, window.col, window.row, window.cols, window.rows)
    pixels.close()
    assert np.abs(read - own).max() == 0


# --- The data ----------------------------------------------------------------------------------


def test_values_are_the_stored_floats_bit_by_bit(world, tmp_path):
    import base64

    import zarr

    assert share(world, "-o", tmp_path / "out", "--slides", "second") == 0
    folder = tmp_path / "out" / "data" / "1"
    facts = data_of(folder / "slide.js")
    values = np.asarray(zarr.open_array(world / "run" / "second" / "second.values.ome.zarr" / "0"))
    cells = np.unpackbits(np.frombuffer(base64.b64decode(facts["cells"]), np.uint8))
    cells = cells[: values[0].size].astype(bool).reshape(values[0].shape)
    assert (cells == ~np.isnan(values[0])).all()
    for place, channel in enumerate(values):
        packed = base64.b64decode(data_of(folder / f"values-{place}.js"))
        assert packed == channel[cells].tobytes()
    assert facts["manifest"]["grid"]["l0_cell"] == {"y": CELL, "x": CELL}
    assert facts["manifest"]["grid"]["l0_origin"] == {"y": ORIGIN, "x": ORIGIN}


def test_regions_keep_their_outlines_and_holes(world, tmp_path):
    assert share(world, "-o", tmp_path / "out", "--slides", "second") == 0
    regions = data_of(tmp_path / "out" / "data" / "1" / "regions.js")["features"]
    geojson = json.loads((world / "run" / "second" / "second.regions.geojson").read_text())
    assert len(regions) == len(geojson["features"])
    for region_, feature in zip(regions, geojson["features"], strict=True):
        assert region_["properties"]["name"] == feature["properties"]["name"]
        rings = feature["geometry"]["coordinates"]
        assert len(region_["geometry"]["coordinates"]) == len(rings)
        for ring, points in zip(region_["geometry"]["coordinates"], rings, strict=True):
            assert np.array(ring) == pytest.approx(np.array(points), abs=0.051)


# --- Names -------------------------------------------------------------------------------------


def test_names_files_and_dates_are_kept_from_anonymous_folders(world, tmp_path, capsys):
    out = tmp_path / "out"
    assert share(world, "-o", out, "--anonymous", "--zip") == 0
    capsys.readouterr()
    private = [NAME, "Zyxwv", "Quirin", "second", "run", str(world)]
    dates = re.compile(rb"20\d\d-\d\d-\d\d")
    archive = (tmp_path / "out.zip").read_bytes()
    contents = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for path, content in [*contents.items(), ("zip", archive)]:
        if str(path).endswith(
            ("page/share.js", "page/style.css", "LICENSES.txt", "START-HERE.html")
        ):
            continue  # the same in every folder
        assert not dates.search(content), path
        for word in private:
            if path == "zip" or word == "run":
                continue
            assert word.encode() not in content, (path, word)
            assert word not in str(path.relative_to(tmp_path))
    for word in ("Zyxwv", "Quirin", str(world)):
        assert word.encode() not in archive
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    names = [slide["name"] for slide in data_of(out / "data" / "run.js")["run"]["slides"]]
    assert names == ["Slide 1", "Slide 2"]
    assert data_of(out / "data" / "run.js")["run"]["name"] == "Slides"
    for path in out.rglob("*.jpg"):
        with Image.open(path) as image:
            assert not image.getexif()
            assert not {"comment", "exif", "icc_profile", "photoshop"} & set(image.info)


def test_every_name_of_a_file_is_short_and_plain(world, tmp_path):
    assert share(world, "-o", tmp_path / "out") == 0
    for name in files_of(tmp_path / "out"):
        assert re.fullmatch(r"[A-Za-z0-9_./-]{1,60}", name), name


def test_without_anonymous_names_are_shown_and_listed_by_number_of_folder(world, tmp_path):
    assert share(world, "-o", tmp_path / "out", "--slides", f"second,{NAME.split(',')[0]}*") == 0
    slides = data_of(tmp_path / "out" / "data" / "run.js")["run"]["slides"]
    assert {slide["name"]: slide["folder"] for slide in slides} == {NAME: "1", "second": "2"}
    assert slides[0]["true_class"] == "MSIH"


# --- Sizes -------------------------------------------------------------------------------------


def stated_bytes(text):
    """Return the bytes of the folder and of each slide that the lines before the writing state."""
    sizes = re.findall(r"(?:about|:) ([\d.]+) (kB|MB)", text)
    return [float(number) * {"kB": 1e3, "MB": 1e6}[unit] for number, unit in sizes]


def test_the_size_is_stated_before_and_nearly_right(world, tmp_path, capsys):
    out = tmp_path / "out"
    assert share(world, "-o", out, "--dry-run") == 0
    stated = stated_bytes(capsys.readouterr().err)[0]
    assert not out.exists()
    assert share(world, "-o", out, "--zip") == 0
    size = sum((out / name).stat().st_size for name in files_of(out))
    assert size == pytest.approx(stated, rel=0.2)
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        assert packed.testzip() is None
        assert {name.removeprefix("out/") for name in packed.namelist()} == files_of(out)
        assert packed.namelist()[0] == "out/START-HERE.html"
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in packed.infolist())
        pictures = [name for name in packed.namelist() if name.endswith(".jpg")]
        Image.open(io.BytesIO(packed.read(pictures[0]))).verify()


@pytest.mark.parametrize(("wish", "um"), [(0.5, 0.5), (0.52, 0.5), (1.0, 1.0), (3.0, 4.0)])
def test_the_finest_pixel_can_be_chosen(world, tmp_path, wish, um):
    assert share(world, "-o", tmp_path / "out", "--slides", "second", "--finest", wish) == 0
    picture = data_of(tmp_path / "out" / "data" / "1" / "slide.js")["picture"]
    expected = um if um < 2 else 1.0  # a picture of one tile is not made coarser
    assert picture["um"] == {"y": expected, "x": expected}
    assert picture["rows"] == -(-SMALL.rows * 0.5 // expected)


def test_pictures_become_coarser_until_they_fit(world, tmp_path, capsys):
    assert share(world, "-o", tmp_path / "out", "--dry-run") == 0
    whole, first, _ = stated_bytes(capsys.readouterr().err)
    for number, (less, expected) in enumerate([(0.1, [0.5, 1.0]), (0.8, [1.0, 1.0])]):
        out, limit = tmp_path / f"out{number}", round(whole - less * first)
        assert share(world, "-o", out, "--max-size", f"{limit}B") == 0
        assert sorted(finest_um(out, key) for key in ("1", "2")) == expected
        assert sum((out / name).stat().st_size for name in files_of(out)) < limit * 1.1
    capsys.readouterr()
    assert share(world, "-o", tmp_path / "other", "--max-size", "10kB") == 2
    assert "--max-size: the maps and the coarsest pictures take" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_disk_without_room_is_not_filled(world, tmp_path, capsys, monkeypatch):
    usage = SimpleNamespace(total=10**9, used=10**9, free=1000)
    monkeypatch.setattr(sharing.shutil, "disk_usage", lambda _: usage)
    assert share(world, "-o", tmp_path / "out") == 1
    assert "1.00 kB are free on that disk" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- Where slides are --------------------------------------------------------------------------


@pytest.fixture
def moved(world, tmp_path):
    """A copy of the run whose slides are elsewhere."""
    shutil.copytree(world / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "viewers")
    return tmp_path


def test_a_slide_that_is_not_found_is_shown_by_its_picture(moved, capsys):
    assert share(moved, "-o", moved / "out", "--slides", "second") == 0
    err = capsys.readouterr().err
    assert "no run has noted where it is" in err
    assert "name it with --slide-paths; until then its picture is that of second.ome.zarr" in err
    assert finest_um(moved / "out") == 2.0
    [tile] = (moved / "out" / "data" / "1" / "tiles" / "0").iterdir()
    import zarr

    stored = np.asarray(zarr.open_array(moved / "run" / "second" / "second.ome.zarr" / "0"))
    assert np.abs(np.asarray(Image.open(tile), float) - np.moveaxis(stored, 0, 2)).mean() < 4


@pytest.mark.parametrize("place", ["slides", "slides/..", "slides/second.svs", "renamed.tif"])
def test_slides_are_found_where_the_user_says(world, moved, place):
    given = world / place
    if place == "renamed.tif":
        given = moved / place
        shutil.copy(world / "slides" / "second.svs", given)
    assert share(moved, "-o", moved / "out", "--slides", "second", "--slide-paths", given) == 0
    assert finest_um(moved / "out") == 0.5


def test_another_slide_of_the_same_name_is_not_shown(moved, capsys):
    wrong = write_slide(moved / "second.svs", np.full((*SMALL, 3), 90, np.uint8))
    assert share(moved, "-o", moved / "out", "--slides", "second", "--slide-paths", wrong) == 0
    assert "is another slide than the results are of" in capsys.readouterr().err
    assert finest_um(moved / "out") == 2.0


# --- All of it, or nothing ---------------------------------------------------------------------


def test_one_bad_slide_does_not_sink_the_rest(moved, world, capsys):
    path = moved / "run" / "second" / "maps.json"
    path.write_text(path.read_text()[:-20])
    assert share(moved, "-o", moved / "out", "--slide-paths", world / "slides") == 1
    out, _ = capsys.readouterr()
    assert re.search(r"failed: second: .*maps.json is damaged", out)
    assert "1 slide, " in out
    assert not (moved / "out" / "data" / "2").exists()
    slides = data_of(moved / "out" / "data" / "run.js")["run"]["slides"]
    assert [one["name"] for one in slides] == [NAME]


def test_a_slide_that_fails_late_leaves_nothing_of_itself(world, tmp_path, capsys, monkeypatch):
    genuine = sharing.write_tiles

    def failing(pixels, plan, folder, *rest):
        coarsest = genuine(pixels, plan, folder, *rest)
        if folder.name == "1":
            raise sharing.HeatmapsError("the disk of slides is gone; mount it")
        return coarsest

    monkeypatch.setattr(sharing, "write_tiles", failing)
    assert share(world, "-o", tmp_path / "out") == 1
    assert "the disk of slides is gone; mount it" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out" / "data").iterdir()} == {"2", "page", "run.js"}


def test_a_full_disk_leaves_nothing_behind(world, tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tiling, "jpeg", full)
    assert share(world, "-o", tmp_path / "out", "--zip") == 1
    assert "no space is left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_only_a_shared_folder_is_replaced_and_only_when_asked(world, tmp_path, capsys):
    words = ("-o", tmp_path / "out", "--slides", "second", "--zip")
    assert share(world, *words) == 0
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in ("out", "out.zip")}
    assert share(world, *words) == 1
    assert "out exists already" in capsys.readouterr().err
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    assert share(world, *words, "--overwrite", "--anonymous") == 0
    assert data_of(tmp_path / "out" / "data" / "run.js")["run"]["name"] == "Slides"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.zip"}
    capsys.readouterr()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"a")
    assert share(world, "-o", other, "--overwrite") == 1
    assert "was not made by share" in capsys.readouterr().err
    assert files_of(other) == {"a.jpg"}


def test_a_killed_command_leaves_no_folder_and_the_next_one_tidies_up(world, tmp_path):
    words = [sys.executable, "-c", KILLED, str(world / "run"), "-o", str(tmp_path / "out")]
    running = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*/data/1/tiles/0/*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir())
    assert share(world, "-o", tmp_path / "out") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import sys, time
from heatmaps_ome.cli.main import main
from heatmaps_ome.viewers.share import tiling
genuine = tiling.jpeg
def slow(rgb):
    time.sleep(0.5)
    return genuine(rgb)
tiling.jpeg = slow
main(["share", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--slides", "secnd"), 2, "has no results of 'secnd'; did you mean second?"),
        (("--max-size", "many"), 2, "--max-size: 'many' is not a size such as 50GB"),
        (("--finest", "0"), 2, "--finest"),
        (("--slide-paths", "nowhere"), 2, "--slide-paths: there is no nowhere"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(world, tmp_path, capsys, words, code, sentence):
    assert share(world, "-o", tmp_path / "out", *words) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["share", str(tmp_path)]) == 1
    assert "holds no results of heatmaps-ome" in capsys.readouterr().err


def test_a_single_slides_folder_can_be_shared_and_its_slide_is_found(world, tmp_path):
    assert main(["share", str(world / "run" / "second"), "-o", str(tmp_path / "out")]) == 0
    assert finest_um(tmp_path / "out") == 0.5
    assert not (world / RUN).exists()


def test_the_usual_folder_lies_beside_the_results(world):
    from heatmaps_ome.options import ShareOptions

    assert ShareOptions(world / "run").target == (world / "run-share").resolve()


def test_slides_that_never_had_results_are_listed_and_no_failure(moved, world, capsys):
    run = {
        "slides": [
            {"slide": "second.svs", "folder": "second", "message": ""},
            {"slide": "torn.svs", "folder": None, "message": "torn.svs is damaged; copy it again"},
        ]
    }
    (moved / "run" / "run.json").write_text(json.dumps(run))
    assert share(moved, "-o", moved / "out", "--slide-paths", world / "slides") == 0
    assert "no results: torn.svs: torn.svs is damaged; copy it again" in capsys.readouterr().out
