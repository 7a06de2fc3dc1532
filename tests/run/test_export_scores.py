"""Scores of any tool are found at each tile's centre in every file that `export` writes."""

import csv
import json
import shutil

import h5py
import numpy as np
import openslide
import pytest
import torch
import zarr
from odd_slides import plain_tiff
from slide_files import speckled, write_slide
from tile_readings import TileReadings, assert_found_everywhere

import heatmaps_ome
from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import HeatmapsError, OptionError

SHAPE = (900, 1200)
MAPS = ("attention", "tumour", "push", "size")
"""Attention, probability, contribution and value."""
KINDS = ["--map", "attention:attention", "--map", "tumour:probability",
         "--map", "push:contribution", "--map", "size:value"]  # fmt: skip
CHANNELS = {
    "attention": ("attention", "attention"), "score-tumour": ("tumour", "score: tumour"),
    "contribution-push": ("push", "contribution: push"), "value-size": ("size", "value: size"),
}  # fmt: skip
FAST = ["--formats", "cells", "--top-tiles", "0"]


def lattice(rows, cols, stride, side, x=0.0, y=0.0):
    return [(x + c * stride, y + r * stride, side, side) for r in range(rows) for c in range(cols)]


LAYOUTS = {
    "regular": (lattice(7, 7, 112, 112), (0.5, 0.5)),
    "fractional": (lattice(7, 7, 112.22, 112.22, 3.7, 8.1), (0.5, 0.5)),
    "overlapping": (lattice(10, 10, 64, 128, 10, 20), (0.5, 0.5)),
    "not square": (lattice(7, 7, 112, 112, 5, 9), (0.5, 0.25)),
    "gaps": (lattice(5, 5, 160, 100, 8, 8), (0.5, 0.5)),
    "irregular": (
        [
            *lattice(4, 3, 96, 96, 3, 5),
            *lattice(3, 3, 128, 128, 350, 41),
            *lattice(2, 4, 80, 80, 30, 500),
        ],
        (0.5, 0.25),
    ),
}  # fmt: skip
EXACT = ("regular", "fractional", "overlapping", "not square")


def columns_of(places, seed=0, gaps=True):
    """Return a table of scores; some tiles lack the probability, and one lacks all."""
    rng, n = np.random.default_rng(seed), len(places)
    columns = {
        "x": [p[0] for p in places], "y": [p[1] for p in places],
        "width": [p[2] for p in places], "height": [p[3] for p in places],
        "attention": rng.normal(size=n), "tumour": rng.random(n),
        "push": rng.normal(size=n) / 50, "size": rng.random(n) * 30,
    }  # fmt: skip
    if gaps:
        columns["tumour"][[1, 5]] = np.nan
        for name in MAPS:
            columns[name][3] = np.nan
    return columns


def write_csv(path, columns):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow(["" if isinstance(v, float) and np.isnan(v) else v for v in row])
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with slides of square and oblong pixels."""
    folder = tmp_path_factory.mktemp("export")
    write_slide(folder / "a.svs", speckled(*SHAPE))
    write_slide(folder / "b.svs", speckled(*SHAPE, seed=1))
    plain_tiff(folder / "oblong.tif", speckled(*SHAPE), resolution=(10000 / 0.25, 10000 / 0.5))
    write_csv(folder / "scores.csv", columns_of(LAYOUTS["regular"][0]))
    return folder


def export(*words):
    return cli.main(["export", *map(str, words)])


@pytest.fixture(scope="module")
def good(world):
    """An export of all formats, not to be changed."""
    assert (
        export(world / "scores.csv", "--slide", world / "a.svs", "-o", world / "good", *KINDS) == 0
    )
    return world / "good"


@pytest.fixture(scope="module", params=LAYOUTS)
def result(request, world):
    """Readings of an export of each layout, its scores, and whether tiles are cells."""
    places, mpp = LAYOUTS[request.param]
    columns, out = columns_of(places), world / f"out-{request.param}"
    scores = write_csv(world / f"{request.param}.csv", columns)
    slide = world / ("a.svs" if mpp[0] == mpp[1] else "oblong.tif")
    assert export(scores, "--slide", slide, "-o", out, *KINDS) == 0
    readings = TileReadings(out / slide.stem, mpp)
    return readings, columns, request.param in EXACT


def centres(columns):
    x, y, w, h = (np.asarray(columns[key], float) for key in ("x", "y", "width", "height"))
    return list(zip(x + w / 2, y + h / 2, strict=True))


@pytest.mark.parametrize("name", CHANNELS)
def test_every_file_has_a_tiles_value_at_its_centre(result, name):
    readings, columns, exact = result
    column, measurement = CHANNELS[name]
    plane, _, _ = readings.planes
    around = 0.0 if exact else min(columns["width"]) / 4
    for centre, value in zip(centres(columns), columns[column].tolist(), strict=True):
        share = None
        if name.startswith("contribution") and not exact and not np.isnan(value):
            # The cells of a tile share its contribution.
            shares = plane[name][~np.isnan(plane[name])]
            [share] = readings.zarr_values(name, *centre)
            assert np.sign(share) == np.sign(value)
            assert abs(share) < abs(value)
            assert share in shares
        assert_found_everywhere(
            readings, name, measurement, centre, value, around=around, share=share
        )


def test_contributions_sum_to_those_of_the_tiles(result):
    readings, columns, _ = result
    planes, _, _ = readings.planes
    assert np.nansum(planes["contribution-push"]) == pytest.approx(
        np.nansum(columns["push"]), rel=1e-4
    )


def test_the_table_has_all_tiles_with_their_exact_places(result):
    readings, columns, _ = result
    places, values = readings.table()
    wanted = np.array([columns[key] for key in ("x", "y", "width", "height")], float).T
    np.testing.assert_allclose(places[:, :2], wanted[:, :2], atol=1e-9)
    np.testing.assert_allclose(places[:, 2:] - places[:, :2], wanted[:, 2:], atol=1e-9)
    for name, (column, _) in CHANNELS.items():
        np.testing.assert_array_equal(values[name], np.asarray(columns[column], np.float32))


def test_cells_have_a_row_for_each_tile_with_a_value(result):
    readings, columns, _ = result
    rows = readings.rows
    assert len(rows) == len(readings.features) == len(columns["x"]) - 1
    wanted = centres(columns)
    del wanted[3]
    assert {(round(x, 2), round(y, 2)) for x, y in wanted} == set(rows)


def test_what_no_tile_covers_is_no_tissue(result):
    readings, columns, _ = result
    # The slide's right and lower edges, far from all tiles.
    for x, y in [(1190, 890), (1190, 10)]:
        for name in CHANNELS:
            assert np.isnan(readings.zarr_values(name, x, y)).all()
            assert np.isnan(readings.tiff_values(name, x, y)).all()
            assert all(np.isnan(found).all() for _, found in readings.label_values(name, x, y))
            assert (readings.overlay_colours(name, x, y)[:, 3] == 0).all()
    if len(set(columns["width"])) == 1 and columns["width"][0] == 100:
        x, y = columns["x"][0] + 130, columns["y"][0] + 130
        assert np.isnan(readings.zarr_values("attention", x, y)).all()
        assert (readings.overlay_colours("attention", x, y)[:, 3] == 0).all()


def test_results_are_valid(result):
    readings, _, _ = result
    assert cli.main(["validate", str(readings.folder.parent)]) == 0


def test_the_python_reader_gives_the_same_values(good):
    columns = columns_of(LAYOUTS["regular"][0])
    slide = heatmaps_ome.open(good)["a"]
    for (x, y), value in zip(centres(columns), columns["size"].tolist(), strict=True):
        np.testing.assert_equal(
            float(slide.map("value", "size").at(x_px=x, y_px=y)), float(np.float32(value))
        )


def test_names_of_any_script_and_columns_of_other_names(world, tmp_path):
    columns = {**columns_of(LAYOUTS["regular"][0])}
    columns["Größe: ≥ 3/日本"] = columns.pop("size")
    scores = write_csv(tmp_path / "s.csv", columns)
    words = ["--map", "Häufigkeit=Größe: ≥ 3/日本:value", "--map", "肿瘤=tumour:probability"]
    out = tmp_path / "out"
    assert export(scores, "--slide", world / "a.svs", "-o", out, *words) == 0
    readings = TileReadings(out / "a", (0.5, 0.5))
    names = {entry["class"]: entry["name"] for entry in readings.manifest["maps"]}
    assert list(readings.manifest["classes"]) == ["肿瘤", "Häufigkeit"] or list(
        readings.manifest["classes"]
    ) == ["Häufigkeit", "肿瘤"]
    for x_y, value in list(zip(centres(columns), columns["tumour"].tolist(), strict=True))[6:9]:
        assert_found_everywhere(readings, names["肿瘤"], "score: 肿瘤", x_y, value)
    assert cli.main(["validate", str(out)]) == 0


def test_two_attention_maps_have_names_and_colours_of_their_own(world, tmp_path):
    columns = columns_of(LAYOUTS["regular"][0])
    columns["attention_b"] = columns["attention"][::-1] * 3
    scores = write_csv(tmp_path / "s.csv", columns)
    words = ["--map", "A=attention:attention", "--map", "B=attention_b:attention"]
    out = tmp_path / "out"
    assert export(scores, "--slide", world / "a.svs", "-o", out, *words) == 0
    readings = TileReadings(out / "a", (0.5, 0.5))
    assert [entry["name"] for entry in readings.manifest["maps"]][:2] == [
        "class-attention-A", "class-attention-B",
    ]  # fmt: skip
    for index in (0, 10):
        centre = centres(columns)[index]
        for name, column in (("A", "attention"), ("B", "attention_b")):
            assert_found_everywhere(
                readings, f"class-attention-{name}", f"class-attention: {name}", centre,
                float(columns[column][index]),
            )  # fmt: skip
    assert cli.main(["validate", str(out)]) == 0


@pytest.mark.parametrize("name", ["attention", "A"])
def test_attention_alone_is_enough(world, tmp_path, name):
    columns = columns_of(LAYOUTS["regular"][0])
    kept = {key: columns[key] for key in ("x", "y", "width", "height", "attention")}
    scores, out = write_csv(tmp_path / "s.csv", kept), tmp_path / "out"
    words = ["--map", f"{name}=attention:attention"]
    assert export(scores, "--slide", world / "a.svs", "-o", out, *words) == 0
    readings = TileReadings(out / "a", (0.5, 0.5))
    drawn = readings.manifest["maps"][0]
    assert drawn["kind"] == ("attention" if name == "attention" else "class-attention")
    assert all(entry["opacity"]["fades_with"] is None for entry in readings.manifest["maps"])
    assert cli.main(["validate", str(out)]) == 0


def test_given_attention_has_no_unit_that_nobody_stated(good):
    maps = json.loads((good / "a" / "maps.json").read_text())["maps"]
    [attention] = [entry for entry in maps if entry["kind"] == "attention"]
    assert attention["unit"] == ""
    assert "logit" not in attention["quantity"]


def test_units_stay(good):
    maps = {e["kind"]: e for e in json.loads((good / "a" / "maps.json").read_text())["maps"]}
    assert maps["score"]["unit"] == "probability"
    assert maps["value"]["unit"] == ""
    assert maps["contribution"]["unit"] == ""


@pytest.fixture
def folders(world, tmp_path):
    """A folder of scores for two slides, alike but in their values."""
    (tmp_path / "scores").mkdir()
    for seed, name in enumerate("ab"):
        write_csv(tmp_path / "scores" / f"{name}.csv", columns_of(LAYOUTS["regular"][0], seed))
    return tmp_path


def test_a_folder_of_scores_serves_two_slides(world, folders):
    slides = ["--slide", world / "a.svs", "--slide", world / "b.svs"]
    out = folders / "out"
    assert export(folders / "scores", *slides, "-o", out, *KINDS, *FAST) == 0
    for seed, name in enumerate("ab"):
        columns = columns_of(LAYOUTS["regular"][0], seed)
        rows = TileReadings(out / name, (0.5, 0.5)).rows
        for centre, value in zip(centres(columns), columns["size"].tolist(), strict=True):
            if not np.isnan(value):
                assert float(rows[centre]["value: size"]) == pytest.approx(value, rel=1e-6)
    # Both have the same colours.
    ends = [
        {e["name"]: e["levels"] for e in json.loads((out / n / "maps.json").read_text())["maps"]}
        for n in "ab"
    ]
    assert ends[0] == ends[1]


def test_a_table_names_the_scores_of_each_slide(world, folders, capsys):
    (folders / "other").mkdir()
    (folders / "scores" / "b.csv").rename(folders / "other" / "of-b.csv")
    (folders / "bad.csv").write_text("x,y\n1,2\n")
    for seed, name in enumerate("cd", start=2):
        write_slide(folders / f"{name}.svs", speckled(300, 400, seed))
    (folders / "table.csv").write_text(
        "slide;scores;name\n"
        f"{world}/a.svs;scores/a.csv;first\n{world}/b.svs;other/of-b.csv;second\n"
        "c.svs;bad.csv;third\nd.svs;;fourth\n"
    )
    out = folders / "out"
    assert export("--slides", folders / "table.csv", "-o", out, *KINDS, *FAST) == 1
    text = capsys.readouterr()
    for name in ("first", "second"):
        assert (out / name / "maps.json").is_file()
    for name in ("third", "fourth"):
        assert not (out / name / "maps.json").exists()
    printed = text.out + text.err
    assert "bad.csv" in printed
    assert "fill its cell in the column scores" in printed
    assert "Traceback" not in printed


def test_other_maps_in_another_slide_are_refused_in_a_sentence(world, folders, capsys):
    columns = columns_of(LAYOUTS["regular"][0])
    columns["stroma"] = columns.pop("tumour")
    write_csv(folders / "scores" / "b.csv", columns)
    slides = ["--slide", world / "a.svs", "--slide", world / "b.svs"]
    assert export(folders / "scores", *slides, "-o", folders / "out", *FAST) == 1
    text = capsys.readouterr()
    [_, reason] = " ".join(text.out.split()).split("b.csv has the maps ")
    reason = reason.split("View the results:")[0]
    assert "stroma" in reason
    assert "tumour" in reason
    assert (folders / "out" / "a" / "maps.json").is_file()


def test_a_second_run_changes_nothing(world, tmp_path, capsys):
    words = [
        world / "scores.csv",
        "--slide",
        world / "a.svs",
        "-o",
        tmp_path / "out",
        *KINDS,
        *FAST,
    ]
    assert export(*words) == 0
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "out" / "a").rglob("*") if f.is_file()}
    capsys.readouterr()
    assert export(*words) == 0
    assert "unchanged" in capsys.readouterr().out
    after = {f: f.stat().st_mtime_ns for f in (tmp_path / "out" / "a").rglob("*") if f.is_file()}
    assert after == before


def test_changed_scores_need_overwrite(world, tmp_path, capsys):
    scores = write_csv(tmp_path / "s.csv", columns_of(LAYOUTS["regular"][0]))
    words = [scores, "--slide", world / "a.svs", "-o", tmp_path / "out", *KINDS, *FAST]
    assert export(*words) == 0
    columns = columns_of(LAYOUTS["regular"][0], seed=5)
    write_csv(scores, columns)
    capsys.readouterr()
    assert export(*words) == 1
    assert "--overwrite" in "".join(capsys.readouterr())
    assert export(*words, "--overwrite") == 0
    row = TileReadings(tmp_path / "out" / "a", (0.5, 0.5)).rows[centres(columns)[0]]
    assert float(row["value: size"]) == pytest.approx(columns["size"][0], rel=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_arrays_of_python_are_exported(world, tmp_path, kind):
    columns = columns_of(LAYOUTS["regular"][0], gaps=False)
    x, y = (np.asarray(columns[key]) for key in "xy")
    attention, tumour = columns["attention"], columns["tumour"]
    places = np.stack([x, y, x + 112, y + 112], axis=1)
    if kind == "torch":
        attention = torch.tensor(attention, requires_grad=True)[:, None]
        tumour, places = torch.tensor(tumour).half(), torch.tensor(places)
    results = heatmaps_ome.export(
        world / "a.svs", places, {"attention": attention, "tumour": tumour}, tmp_path / "out",
        kinds={"tumour": "probability"}, formats=["cells"], top_tiles=0,
    )  # fmt: skip
    slide = results["a"]
    rows = TileReadings(tmp_path / "out" / "a", (0.5, 0.5)).rows
    exact = np.float16 if kind == "torch" else np.float32
    for k, centre in enumerate(centres(columns)):
        assert np.float32(rows[centre]["score: tumour"]) == np.float32(exact(columns["tumour"][k]))
        assert slide.map("attention").at(x_px=centre[0], y_px=centre[1]) == np.float32(
            columns["attention"][k]
        )
    # The same again is unchanged, and corners with a size are the same tiles.
    again = heatmaps_ome.export(
        world / "a.svs", places[:, :2], {"attention": attention, "tumour": tumour},
        tmp_path / "out", kinds={"tumour": "probability"}, formats=["cells"],
        top_tiles=0, tile_size=112,
    )  # fmt: skip
    assert len(again) == 1


BAD_ARRAYS = {
    "no maps": ({"maps": {}}, "at least one map"),
    "too few values": ({"maps": {"a": [1.0]}}, "49"),
    "no size": ({"places": np.zeros((49, 2))}, "tile-size|tile_size"),
    "far off": ({"places": np.tile([1e7, 1e7, 2e7, 2e7], (49, 1))}, "slide"),
    "no numbers": ({"maps": {"a": ["x"] * 49}}, "number"),
    "not finite": ({"places": np.full((49, 4), np.nan)}, "a.svs|a "),
    "a wrong kind": ({"kinds": {"a": "colour"}}, "colour"),
    "a kind of none": ({"kinds": {"b": "value"}}, "none of the maps"),
    "a strange name": ({"maps": {"a:b": np.zeros(49)}}, "a:b"),
    "a wrong option": ({"tile_sise": 3}, "tile_size"),
    "another true class": ({"true_class": "z"}, "'z'"),
    "a probability of 3": ({"maps": {"a": np.full(49, 3.0)}, "kinds": {"a": "probability"}}, "a"),
    "a file": ({"coords": "patches.h5"}, "coords is of files of scores"),
    "a dataset": ({"dataset": "a"}, "dataset is of files of scores"),
    "only NaN": ({"maps": {"a": np.full(49, np.nan)}}, "a"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_refused_in_a_sentence(world, tmp_path, name):
    change, wanted = BAD_ARRAYS[name]
    columns = columns_of(LAYOUTS["regular"][0], gaps=False)
    x, y = (np.asarray(columns[key]) for key in "xy")
    given = {"places": np.stack([x, y, x + 112, y + 112], 1), "maps": {"a": columns["size"]}}
    with pytest.raises((OptionError, HeatmapsError), match=wanted) as error:
        heatmaps_ome.export(
            world / "a.svs", output=tmp_path / "out", formats=["cells"], **{**given, **change}
        )
    assert "\n" not in str(error.value).strip()
    assert not (tmp_path / "out" / "a").exists()


BAD_WORDS = {
    "no scores": (["--slide", "a.svs"], "SCORES is missing"),
    "no slide": (["scores.csv"], "slide"),
    "no such file": (["none.csv", "--slide", "a.svs"], "none.csv"),
    "no such map": (["scores.csv", "--slide", "a.svs", "--map", "stroma"], "stroma"),
    "no such kind": (["scores.csv", "--slide", "a.svs", "--map", "size:colour"], "colour"),
    "one file for two": (["scores.csv", "--slide", "a.svs", "--slide", "b.svs"], "2 slides"),
    "another's": (["far.csv", "--slide", "a.svs"], "far.csv"),
    "no places": (["noplaces.csv", "--slide", "a.svs"], "noplaces.csv"),
    "no class so called": (["scores.csv", "--slide", "a.svs", "-t", "zzz"], "zzz"),
    "the same map twice": (
        ["scores.csv", "--slide", "a.svs", "--map", "size", "--map", "size=tumour"], "size"
    ),
    "empty": (["empty.csv", "--slide", "a.svs"], "empty.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_WORDS)
def test_bad_input_is_refused_in_a_sentence(world, tmp_path, capsys, monkeypatch, name):
    words, wanted = BAD_WORDS[name]
    monkeypatch.chdir(world)
    columns = columns_of(LAYOUTS["regular"][0])
    write_csv(world / "far.csv", {**columns, "x": [v + 5000 for v in columns["x"]]})
    write_csv(world / "noplaces.csv", {key: columns[key] for key in MAPS})
    (world / "empty.csv").write_text("")
    assert export(*words, "-o", tmp_path / "out", *FAST) in (1, 2)
    text = capsys.readouterr()
    assert wanted in text.err + text.out
    assert "Traceback" not in text.err + text.out
    assert not (tmp_path / "out" / "a").exists()


def test_tiles_on_no_tissue_at_all_are_another_slides(tmp_path, capsys):
    pixels = speckled(*SHAPE)
    pixels[:, :400] = 255
    slide = write_slide(tmp_path / "right.svs", pixels)
    scores = write_csv(tmp_path / "left.csv", columns_of(lattice(4, 3, 96, 96)))
    words = [scores, "--slide", slide, "--coords-unit", "px", "-o", tmp_path / "out"]
    assert export(*words, *FAST) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "left.csv: 0 % of its 12 tiles lie on tissue of right.svs" in printed


def _values(folder):
    return zarr.open_group(folder / "a.values.ome.zarr", mode="r+")


def _swap_two_tiles(folder):
    table = _values(folder)["tiles/values"]
    values = np.asarray(table)
    values[:, [7, 9]] = values[:, [9, 7]]
    table[...] = values


def _move_the_raster(folder):
    raster = _values(folder)["0"]
    raster[...] = np.roll(np.asarray(raster), 1, axis=2)


def _change_a_cell(folder):
    raster = _values(folder)["0"]
    values = np.asarray(raster)
    values[0, 2, 2] += 0.5
    raster[...] = values


def _scale_the_sum(folder):
    raster = _values(folder)["0"]
    values = np.asarray(raster)
    values[-1] *= 1.5
    raster[...] = values


def _move_the_places(folder):
    places = _values(folder)["tiles/places"]
    places[...] = np.asarray(places) + 112.0


def _change_the_table(folder):
    table = _values(folder)["tiles/values"]
    values = np.asarray(table)
    values[2] += 1
    table[...] = values


MANIPULATIONS = {
    f.__name__.strip("_"): f
    for f in (_swap_two_tiles, _move_the_raster, _change_a_cell, _scale_the_sum, _move_the_places,
              _change_the_table)
}  # fmt: skip


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_validate_finds_raster_and_table_that_differ(good, tmp_path, capsys, name):
    shutil.copytree(good, tmp_path / "out", ignore=shutil.ignore_patterns(".cache"))
    MANIPULATIONS[name](tmp_path / "out" / "a")
    capsys.readouterr()
    assert cli.main(["validate", str(tmp_path / "out")]) == 1
    assert "values-tiles" in "".join(capsys.readouterr())


def test_info_describes_maps_that_were_given(good, capsys):
    folder = good / "a"
    assert cli.main(["info", str(folder)]) == 0
    printed = capsys.readouterr().out
    for title in ("maps", "drawn hot", "tiles"):
        assert f"\n  {title} " in printed
    for title in ("model", "extractor", "prediction"):
        assert f"\n  {title} " not in printed


def test_validate_finds_a_missing_table(good, tmp_path, capsys):
    shutil.copytree(good, tmp_path / "out", ignore=shutil.ignore_patterns(".cache"))
    shutil.rmtree(tmp_path / "out" / "a" / "a.values.ome.zarr" / "tiles")
    capsys.readouterr()
    assert cli.main(["validate", str(tmp_path / "out")]) == 1
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", [
    "trident-CMU-1-Small-Region-20x_256px_0px_overlap.h5",
    "stamp-2.5.0-CMU-1-Small-Region-56um_112px.h5",
])  # fmt: skip
def test_features_that_prove_their_place_are_found_there(shared_data, tmp_path, name):
    """The first of these features is the mean red of the tile, which the slide itself has."""
    path, slide = shared_data / "zoo" / "features" / name, "CMU-1-Small-Region"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    svs = shared_data / "slides" / f"{slide}.svs"
    with h5py.File(path) as file:
        dataset = next(key for key in ("features", "feats") if key in file)
    words = ["--dataset", dataset, "--map", f"red={dataset}_0:value", *FAST]
    assert export(path, "--slide", svs, "-o", tmp_path / "out", *words) == 0
    with openslide.OpenSlide(svs) as opened:
        mpp = [float(opened.properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
        image = np.asarray(opened.read_region((0, 0), 0, opened.dimensions))[..., 0] / 255
    readings = TileReadings(tmp_path / "out" / slide, mpp)
    assert len(readings.rows) > 50
    errors = []
    for (x, y), row in list(readings.rows.items())[::3]:
        left, top, width, height = (round(float(row[key])) for key in ("x", "y", "width", "height"))
        if max(left + width - image.shape[1], top + height - image.shape[0]) >= 0:
            # Beyond the slide each system has a colour of its own.
            continue
        mean = image[top : top + height, left : left + width].mean()
        value = float(readings.manifest_value("value-red", x, y))
        assert np.float32(row["value: red"]) == np.float32(value)
        errors.append(abs(value - mean))
    # Systems resample tiles in ways of their own; half a tile off, it would be 0.05 and more.
    assert len(errors) > 10
    assert np.mean(errors) < 0.012


def test_the_ground_truth_of_the_table_is_kept(world, tmp_path):
    table = tmp_path / "cohort.csv"
    scores, slide = world / "scores.csv", world / "a.svs"
    table.write_text(f"slide,scores,label\n{slide},{scores},nonMSIH\n", encoding="utf-8")
    assert export("--slides", table, "-o", tmp_path / "out", *KINDS, *FAST) == 0
    facts = json.loads((tmp_path / "out" / "a" / "maps.json").read_text(encoding="utf-8"))
    assert facts["label"] == "nonMSIH"
    assert heatmaps_ome.open(tmp_path / "out").labels == {"a": "nonMSIH"}
