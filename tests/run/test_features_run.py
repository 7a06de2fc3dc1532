"""`create --features`: every number at a tile follows from the model's weights by numpy alone."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from model_files import make_parts, write_export
from network_files import stamp_vit, write_lightning
from shapely.geometry import Point, shape
from slide_files import speckled, write_slide
from tile_files import write_trident
from tile_readings import TileReadings, assert_found_everywhere
from view_server import viewing

from heatmaps_ome.cli import main as cli

SHAPE, SIDE = (900, 1200), 112
XY = [(col * SIDE, row * SIDE) for row in range(7) for col in range(7)]
N, D = len(XY), 8
FAST = ["--formats", "cells", "--top-tiles", "0"]
CLASSES = ("MSIH", "nonMSIH")


def features(seed=0, d=D):
    return np.random.default_rng(seed).normal(size=(N, d)).astype(np.float32)


def write_features(path, x=None, name="a", xy=XY):
    return write_trident(
        path, xy, features() if x is None else x, patch_size=SIDE, patch_size_level0=SIDE,
        level0_width=SHAPE[1], level0_height=SHAPE[0], name=name,
    )  # fmt: skip


def write_state(path, parts):
    """Write a plain state dict of marugoto's model."""
    torch.save(
        {f"{a}.{k}": v for a, part in parts.items() for k, v in part.state_dict().items()}, path
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Slides, their features, and models of each kind of target."""
    folder = tmp_path_factory.mktemp("features")
    for seed, name in enumerate("ab"):
        write_slide(folder / f"{name}.svs", speckled(*SHAPE, seed=seed))
    (folder / "h5").mkdir()
    for seed, name in enumerate("ab"):
        write_features(folder / "h5" / f"{name}.h5", features(seed), name)
    for seed in (0, 3):
        write_export(folder / f"m{seed}.pkl", parts=make_parts(seed=seed))
    write_state(folder / "one.pth", make_parts(n_out=1))
    write_lightning(folder / "vit.ckpt", stamp_vit(n_features=D))
    return folder


@pytest.fixture
def here(world, monkeypatch):
    monkeypatch.chdir(world)
    return world


def create(*words):
    return cli.main(["create", *map(str, words)])


def a_run(world, out, *words):
    """Run once on slide a in the world's folder; return the readings."""
    given = [world / "a.svs", "--features", world / "h5" / "a.h5", "-o", out, *words]
    assert create(*given) == 0
    return TileReadings(out / "a", (0.5, 0.5))


class Numpy:
    """marugoto's model of tiles in float64, from the weights alone."""

    def __init__(self, parts, x):
        state = {
            f"{a}.{k}": v.detach().numpy().astype(np.float64)
            for a, part in parts.items() for k, v in part.state_dict().items()
        }  # fmt: skip
        e = np.maximum(
            x.astype(np.float64) @ state["encoder.0.weight"].T + state["encoder.0.bias"], 0
        )
        hidden = np.tanh(e @ state["attention.0.weight"].T + state["attention.0.bias"])
        self.attention = (hidden @ state["attention.2.weight"].T + state["attention.2.bias"])[:, 0]
        self._e, self._state = e, state
        self.tile_logits = self._head(e)
        self.weights = self._softmax(self.attention)
        self.logits = self._head(self.weights @ e)
        self.contributions = self.weights[:, None] * self.tile_logits

    @staticmethod
    def _softmax(logits):
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def _head(self, e):
        s = self._state
        normed = (e - s["head.1.running_mean"]) / np.sqrt(s["head.1.running_var"] + 1e-5)
        normed = normed * s["head.1.weight"] + s["head.1.bias"]
        return normed @ s["head.3.weight"].T + s["head.3.bias"]

    def predictions(self, logits, link):
        if link == "identity":
            return logits
        return self._softmax(logits) if link == "softmax" else 1 / (1 + np.exp(-logits))

    def without(self, tile):
        """Return the slide's logits when a tile is left out of the bag."""
        kept = np.arange(N) != tile
        return self._head(self._softmax(self.attention[kept]) @ self._e[kept])


@pytest.fixture(scope="module")
def two_classes(world):
    words = ["-m", world / "m0.pkl", "-t", "MSIH"]
    return a_run(world, world / "out-two", *words), Numpy(make_parts(seed=0), features())


def centres():
    return [(x + SIDE / 2, y + SIDE / 2) for x, y in XY]


def assert_follows(readings, expected, names, link, kind):
    """Check each row of cells.csv against numpy."""
    rows = readings.rows
    assert len(rows) == N
    whole = expected.predictions(expected.logits, link)
    for tile, centre in enumerate(centres()):
        row = rows[centre]
        assert float(row["attention"]) == pytest.approx(
            expected.attention[tile], rel=1e-5, abs=1e-6
        )
        alone = expected.predictions(expected.tile_logits[tile], link)
        fall = whole - expected.predictions(expected.without(tile), link)
        for index, name in enumerate(names):
            for column, wanted in (
                (f"{kind}: {name}", alone[index]),
                (f"contribution: {name}", expected.contributions[tile, index]),
                (f"leave-one-out: {name}", fall[index]),
            ):
                assert float(row[column]) == pytest.approx(wanted, rel=2e-4, abs=2e-6), column


def test_two_classes_follow_from_the_weights(two_classes):
    readings, expected = two_classes
    assert_follows(readings, expected, CLASSES, "softmax", "score")
    stated = readings.manifest["prediction"]
    wanted = expected.predictions(expected.logits, "softmax")
    assert [stated[name] for name in CLASSES] == pytest.approx(wanted, rel=1e-5)


def test_contributions_sum_to_the_logits(two_classes):
    readings, expected = two_classes
    planes, _, _ = readings.planes
    for index, name in enumerate(CLASSES):
        total = np.nansum(planes[f"contribution-{name}"], dtype=np.float64)
        assert total == pytest.approx(expected.logits[index], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("name", "measurement"), [
    ("attention", "attention"), ("score-MSIH", "score: MSIH"),
    ("contribution-nonMSIH", "contribution: nonMSIH"), ("evidence-MSIH", "evidence: MSIH"),
])  # fmt: skip
def test_every_file_has_a_tiles_number_at_its_centre(two_classes, name, measurement):
    readings, _ = two_classes
    for centre in centres()[::3]:
        value = float(np.float32(readings.rows[centre][measurement]))
        assert_found_everywhere(readings, name, measurement, centre, value)


def test_the_result_is_valid(two_classes):
    readings, _ = two_classes
    assert cli.main(["validate", str(readings.folder.parent)]) == 0


def test_info_describes_the_result(two_classes, capsys):
    readings, _ = two_classes
    for path in (readings.folder.parent, readings.folder):
        assert cli.main(["info", str(path)]) == 0
        text = capsys.readouterr().out
        assert "MSIH" in text
        assert "PATIENT" not in text


def test_a_transformer_has_no_attention_and_its_maps_do_not_fade(world, tmp_path, capsys):
    readings = a_run(world, tmp_path / "out", "-m", world / "vit.ckpt", "-t", "low")
    names = [entry["name"] for entry in readings.manifest["maps"]]
    assert "attention" not in names
    assert not [name for name in names if name.startswith("contribution")]
    assert all(entry["opacity"]["fades_with"] is None for entry in readings.manifest["maps"])
    for centre in centres()[::9]:
        assert readings.overlay_colours("leave-one-out-low", *centre)[0, 3] > 48
    assert "drop-one" in capsys.readouterr().out
    assert cli.main(["validate", str(tmp_path / "out")]) == 0


TASKS = {
    "classification": ("sigmoid", "score", "0", []),
    "named": ("sigmoid", "score", "MSIH", ["--class-names", "MSIH"]),
    "regression": ("identity", "prediction", "value", []),
    "survival": ("identity", "prediction", "risk", []),
}  # fmt: skip


@pytest.fixture(scope="module", params=TASKS)
def one_output(request, world):
    link, kind, name, words = TASKS[request.param]
    task = "classification" if request.param == "named" else request.param
    out = world / f"out-{request.param}"
    words = ["-m", world / "one.pth", "--family", "marugoto", "--task", task, *words]
    expected = Numpy(make_parts(n_out=1), features())
    return a_run(world, out, *words), expected, link, kind, name


def test_one_output_follows_from_the_weights(one_output):
    readings, expected, link, kind, name = one_output
    assert_follows(readings, expected, (name,), link, kind)
    wanted = expected.predictions(expected.logits, link)[0]
    assert readings.manifest["prediction"] == {name: pytest.approx(wanted, rel=1e-5)}


def texts_in(content):
    """Return all texts of JSON but its keys."""
    if isinstance(content, dict):
        return [text for entry in content.values() for text in texts_in(entry)]
    if isinstance(content, list):
        return [text for entry in content for text in texts_in(entry)]
    return [content] if isinstance(content, str) else []


def test_values_and_risks_are_nowhere_called_probabilities(one_output):
    readings, _, link, _, name = one_output
    out = readings.folder.parent
    assert cli.main(["validate", str(out)]) == 0
    if link != "identity":
        return
    maps = json.loads((readings.folder / "maps.json").read_text())
    assert "probab" not in json.dumps(maps).casefold()
    report = json.loads((readings.folder / "a.report.json").read_text())
    assert not [text for text in texts_in(report) if "probab" in text.casefold()]
    record = json.loads((readings.folder / "provenance.json").read_text())
    assert record["target"]["task"] in ("regression", "survival")
    for entry in maps["maps"]:
        assert entry["unit"] != "logit" or entry["kind"] == "attention"
    with (readings.folder / "a.tiles.csv").open(encoding="utf-8", newline="") as file:
        assert name in next(csv.DictReader(file))["class"]


def test_the_summary_names_value_and_risk(world, tmp_path, capsys):
    for task, name in (("regression", "value"), ("survival", "risk")):
        capsys.readouterr()
        words = ["-m", world / "one.pth", "--family", "marugoto", "--task", task, *FAST]
        a_run(world, tmp_path / task, *words)
        printed = capsys.readouterr().out
        assert f"done ({name} " in printed
        assert "probab" not in printed


def test_two_models_give_means_and_deviations(world, tmp_path, capsys):
    words = ["-m", world / "m0.pkl", "-m", world / "m3.pkl", "-t", "MSIH"]
    readings = a_run(world, tmp_path / "out", *words)
    models = [Numpy(make_parts(seed=seed), features()) for seed in (0, 3)]
    scores = np.stack([m.predictions(m.tile_logits, "softmax") for m in models])
    shares = np.stack([m.contributions for m in models])
    for tile, centre in enumerate(centres()):
        row = readings.rows[centre]
        assert float(row["score: MSIH"]) == pytest.approx(scores[:, tile, 0].mean(), rel=1e-4)
        assert float(row["SD of score: MSIH"]) == pytest.approx(
            scores[:, tile, 0].std(ddof=1), rel=1e-3, abs=1e-6
        )
        assert float(row["contribution: nonMSIH"]) == pytest.approx(
            shares[:, tile, 1].mean(), rel=1e-3, abs=1e-6
        )
    whole = np.mean([m.predictions(m.logits, "softmax") for m in models], axis=0)
    assert readings.manifest["prediction"]["MSIH"] == pytest.approx(whole[0], rel=1e-5)
    assert "over 2 models" in capsys.readouterr().out
    assert cli.main(["validate", str(tmp_path / "out")]) == 0


def test_the_class_to_draw_is_asked_for(here, tmp_path, capsys):
    words = ["a.svs", "-m", "m0.pkl", "--features", "h5/a.h5", "-o", tmp_path / "out"]
    assert create(*words) != 0
    text = "".join(capsys.readouterr())
    assert "--true-class is missing" in text
    assert "MSIH, nonMSIH" in text
    assert not (tmp_path / "out" / "a").exists()


def spoil(name):
    """Return the features of slide b as a fault, by its name, written into a folder."""

    def write(folder):
        path = folder / "b.h5"
        if name == "another dimension":
            write_features(path, features(1, 5), "b")
        elif name == "off the slide":
            write_features(path, features(1), "b", [(x + 5000, y) for x, y in XY])
        elif name == "two files":
            write_features(path, features(1), "b")
            write_features(folder / "b_features.h5", features(2), "b")
        elif name == "cut short":
            write_features(path, features(1), "b")
            path.write_bytes(path.read_bytes()[:3000])
        elif name == "not finite":
            x = features(1)
            x[5, 3] = np.nan
            write_features(path, x, "b")
        elif name == "tiles given twice":
            write_features(path, features(1), "b", [XY[0], *XY[:-1]])

    return write


FAULTS = ("missing", "another dimension", "off the slide", "two files", "cut short", "not finite",
          "tiles given twice")  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_one_slides_features_is_that_slides_alone(world, tmp_path, capsys, name):
    folder = tmp_path / "h5"
    folder.mkdir()
    shutil.copy(world / "h5" / "a.h5", folder)
    spoil(name)(folder)
    out = tmp_path / "out"
    words = ["-m", world / "m0.pkl", "-t", "MSIH", "--features", folder, "-o", out, *FAST]
    assert create(world / "a.svs", world / "b.svs", *words) == 1
    text = capsys.readouterr()
    assert (out / "a" / "maps.json").is_file()
    assert not (out / "b").exists()
    printed = text.out + text.err
    assert "Traceback" not in printed
    assert re.search(r"^b\.svs +failed$", text.out, re.MULTILINE)
    [_, rest] = text.out.split("\nFailed:\n  b.svs: ")
    # The only one, whose further lines are indented.
    [reason, after] = rest.split("\n\n", 1)
    assert all(line.startswith("    ") for line in reason.splitlines()[1:])
    assert str(folder) in reason
    assert after.startswith("View the results:")


def test_one_file_serves_one_slide(here, tmp_path, capsys):
    words = ["a.svs", "b.svs", "-m", "m0.pkl", "-t", "MSIH", "--features", "h5/a.h5"]
    assert create(*words, "-o", tmp_path / "out") != 0
    assert "2 slides" in "".join(capsys.readouterr())


def test_a_table_names_the_features_of_each_slide(world, tmp_path):
    shutil.copy(world / "h5" / "b.h5", tmp_path / "odd-name.h5")
    table = tmp_path / "t.csv"
    table.write_text(f"slide,features\n{world}/a.svs,{world}/h5/a.h5\n{world}/b.svs,odd-name.h5\n")
    out = tmp_path / "out"
    words = ["--slides", table, "-m", world / "m0.pkl", "-t", "MSIH", "-o", out, *FAST]
    assert create(*words) == 0
    expected = Numpy(make_parts(seed=0), features(1))
    readings = TileReadings(out / "b", (0.5, 0.5))
    assert_follows(readings, expected, CLASSES, "softmax", "score")


def written(folder):
    """Return the numbers of all stored arrays with the time at which they were written."""
    return {
        file: file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.is_file() and file.parent.parent.parent.name == "tiles"
    }


def test_a_second_run_takes_the_maps_from_the_cache(world, tmp_path, capsys):
    cache = ["--cache-dir", tmp_path / "cache"]
    words = ["-m", world / "m0.pkl", "-t", "MSIH", *FAST, *cache]
    a_run(world, tmp_path / "one", *words)
    pieces = written(tmp_path / "cache" / "bags")
    assert pieces
    first = TileReadings(tmp_path / "one" / "a", (0.5, 0.5)).rows
    capsys.readouterr()
    assert a_run(world, tmp_path / "two", *words).rows == first
    assert "model" not in capsys.readouterr().err
    assert written(tmp_path / "cache" / "bags") == pieces
    # A damaged piece is made anew.
    for file in pieces:
        file.write_bytes(b"damaged")
    assert a_run(world, tmp_path / "three", *words).rows == first
    assert written(tmp_path / "cache" / "bags") != pieces


def test_slides_share_their_colours(world, tmp_path):
    out = tmp_path / "out"
    words = ["-m", world / "m0.pkl", "-t", "MSIH", "--features", world / "h5", "-o", out, *FAST]
    assert create(world / "a.svs", world / "b.svs", *words) == 0
    ranges = [
        {m["name"]: m["range"] for m in json.loads((out / name / "maps.json").read_text())["maps"]}
        for name in "ab"
    ]
    assert ranges[0] == ranges[1]
    # A later slide is drawn with the same colours.
    alone = tmp_path / "later"
    words[words.index(out)] = alone
    assert create(world / "b.svs", *words, "--scaling", out / "scaling.json") == 0
    later = json.loads((alone / "b" / "maps.json").read_text())["maps"]
    assert {m["name"]: m["range"] for m in later} == ranges[0]


def test_the_viewers_server_serves_the_result(two_classes):
    readings, _ = two_classes
    run = json.loads((readings.folder.parent / "run.json").read_text())
    assert [slide["status"] for slide in run["slides"]] == ["done"]
    with viewing(readings.folder.parent) as server:
        assert server.json("/files/run.json") == run
        assert server.json("/files/a/maps.json") == readings.manifest
        status, _, page = server.get("/")
        assert (status, page[:15].lower()) == (200, b"<!doctype html>")
        for path in ("a.values.ome.zarr/.zattrs", "a.ome.zarr/labels/score-MSIH/.zattrs"):
            assert server.get(f"/files/a/{path}")[0] == 200


def test_regions_are_the_tiles_as_a_whole(two_classes):
    readings, _ = two_classes
    content = json.loads((readings.folder / "a.regions.geojson").read_text(encoding="utf-8"))
    with (readings.folder / "a.regions.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert len(content["features"]) == len(rows) > 0
    for feature in content["features"]:
        polygon, row = shape(feature["geometry"]), rows[feature["properties"]["name"]]
        assert polygon.area == pytest.approx(int(row["cells"]) * SIDE**2)
        assert float(row["area mm²"]) == pytest.approx(polygon.area * 0.25e-6)
        inside = [polygon.contains(Point(centre)) for centre in centres()]
        assert sum(inside) == int(row["cells"])
