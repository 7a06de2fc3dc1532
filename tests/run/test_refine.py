"""`--refine`: finer tiles where contributions are largest; held against formulas in NumPy."""

import io
import json
import math
import shutil
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from checkpoint_files import clam, gated, linear, relu, softmax
from model_files import make_parts, write_export
from network_files import stamp_vit, write_lightning
from slide_files import speckled, write_slide
from stripes import N_FEATURES, SIDE, Stripes, by_hand

from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.validate.result import validate

STRIDE = SIDE // 4
SHAPE = (700, 900)
BASE = ("--extractor", "stripes", "--device", "cpu", "--tile-px", SIDE, "--target-mpp", 0.5)
FAST = ("--formats", "cells,regions", "--top-tiles", 0, "--class-names", "low,high", "-t", "high")


def make_world(folder, patch):
    """Make a folder with a slide and a CLAM model the current one; return the model's sample."""
    patch.chdir(folder)
    patch.setitem(extractors.REGISTRY, "stripes", "stripes:load_stripes")
    patch.setenv("XDG_CACHE_HOME", str(folder / "home"))
    patch.setattr(Stripes, "calls", [])
    patch.setattr(Stripes, "fails_after", math.inf)
    write_slide(folder / "a.svs", speckled(*SHAPE))
    sample = clam(n_features=N_FEATURES, n_classes=2)
    save(sample, folder / "clam.pt")
    return sample


def save(sample, path):
    state = {key: torch.tensor(np.asarray(value)) for key, value in sample.state.items()}
    torch.save(state, path)


@pytest.fixture
def world(tmp_path, monkeypatch):
    return make_world(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results without and with finer tiles: their folder, the model's sample and the messages."""
    folder = tmp_path_factory.mktemp("refined")
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as told:
        sample = make_world(folder, patch)
        patch.setattr("heatmaps_ome.maps.finer_maps._MEASURED_S", 0)
        patch.setattr("heatmaps_ome.features.block_size._MOST_TILES", {"cpu": 16})
        assert create(out="plain") == 0
        assert create("--refine", 0.25) == 0
    return folder, sample, told.getvalue()


@pytest.fixture
def refined(runs, monkeypatch):
    """Go to the folder of the results; return the model's sample and the messages."""
    monkeypatch.chdir(runs[0])
    return runs[1:]


def create(*words, out="out", model=("-m", "clam.pt"), fast=FAST, command="create"):
    given = [command, "a.svs", *model, "-o", out, "--cache-dir", "cache", *BASE, *fast, *words]
    return cli.main([*map(str, given)])


def values(out="out"):
    return Path(out) / "a" / "a.values.ome.zarr"


def table(path):
    """Return the places and the values by channel of a table, read by zarr alone."""
    group = zarr.open_group(path, mode="r")
    names = [one["name"] for one in group.attrs["heatmaps_ome"]["channels"]]
    return group["places"][:], dict(zip(names, group["values"][:], strict=True))


def record(out="out"):
    return json.loads((Path(out) / "a" / "provenance.json").read_text(encoding="utf-8"))


def read_clam(sample, places, *, multi=False):
    """Return attention, (n,) or (n, 2), and logits (n, 2) of tiles by CLAM's formula."""
    state = sample.state
    h = relu(linear(by_hand(places[:, :2].astype(int).tolist()), state, "attention_net.0"))
    at = "attention_net.3"
    names = (f"{at}.attention_a.0", f"{at}.attention_b.0", f"{at}.attention_c")
    attention = gated(h, state, *names)
    if multi:
        logits = [linear(h, state, f"classifiers.{index}") for index in (0, 1)]
        return attention, np.concatenate(logits, axis=1)
    return attention[:, 0], linear(h, state, "classifiers")


def test_finer_tiles_are_what_they_would_contribute_and_nothing_else_changes(refined):
    sample, told = refined
    places, coarse = table(values() / "tiles")
    finer_places, finer = table(values() / "tiles" / "finer")
    assert f"refine: {len(finer_places)} finer tiles" in told.replace(",", "")
    assert "(as measured on the first 16)" in told
    # The bag and all that follows from it are as without.
    plain_places, plain = table(values("plain") / "tiles")
    np.testing.assert_array_equal(places, plain_places)
    for name, own in coarse.items():
        np.testing.assert_array_equal(own, plain[name])
    for name in ("a.cells.csv", "a.regions.csv", "a.regions.geojson"):
        assert Path("out/a", name).read_bytes() == Path("plain/a", name).read_bytes()
    for key in ("prediction", "regions", "faithfulness", "scaling", "explanation"):
        assert record()[key] == record("plain")[key]
    # Each finer tile by the model's formula, weighted against the bag.
    attention, logits = read_clam(sample, places)
    own_attention, own_logits = read_clam(sample, finer_places)
    weights = np.exp(own_attention - attention.max()) / np.exp(attention - attention.max()).sum()
    shares = weights[:, None] * own_logits
    np.testing.assert_allclose(finer["attention"], own_attention, atol=1e-5)
    for index, name in enumerate(("low", "high")):
        np.testing.assert_allclose(finer[f"contribution-{name}"], shares[:, index], atol=1e-6)
        probability = softmax(own_logits.T)[index]
        np.testing.assert_allclose(finer[f"score-{name}"], probability, atol=1e-5)
    # They lie on the quarter of the tiles that contributes most.
    contributions = softmax(attention[:, None]) * logits
    most = np.argsort(-np.abs(contributions[:, 1]), kind="stable")[: math.ceil(len(places) / 4)]
    centres = (finer_places[:, :2] + finer_places[:, 2:]) / 2
    boxes = places[most]
    inside = (centres[:, None] >= boxes[:, :2]) & (centres[:, None] < boxes[:, 2:])
    assert inside.all(axis=2).any(axis=1).all()
    assert (finer_places[:, :2] % STRIDE == 0).all()
    assert (finer_places[:, 2:] - finer_places[:, :2] == SIDE).all()
    assert not {*map(tuple, places)} & {*map(tuple, finer_places)}
    refine = record()["tiles"]["refine"]
    assert refine == {
        "share": 0.25, "class": "high", "stride_px": STRIDE, "around": len(most),
        "count": len(finer_places),
    }  # fmt: skip
    assert validate(Path("out/a"), (Path("a.svs"),)).problems == ()


def test_the_raster_shows_each_finer_tile_around_its_centre(refined):
    places, coarse = table(values() / "tiles")
    finer_places, finer = table(values() / "tiles" / "finer")
    group = zarr.open_group(values(), mode="r")
    names = [one["name"] for one in group.attrs["heatmaps_ome"]["channels"]]
    stack = dict(zip(names, group["0"][:], strict=True))
    cell = STRIDE // 2
    rows, cols = stack["attention"].shape
    y, x = ((np.arange(n) + 0.5) * cell for n in (rows, cols))
    expected = {name: np.full((rows, cols), np.nan) for name in names}
    for boxes, own in ((places, coarse), (finer_places, finer)):
        for place, box in enumerate(boxes):
            # The whole of a tile; the square of its stride around the centre of a finer one.
            reach = SIDE / 2 if own is coarse else STRIDE / 2
            middle = (box[:2] + box[2:]) / 2
            at = np.ix_(np.abs(y - middle[1]) < reach, np.abs(x - middle[0]) < reach)
            known = ~np.isnan(expected["attention"][at]) | (own is coarse)
            for name in set(names) & set(own):
                expected[name][at] = np.where(known, own[name][place], expected[name][at])
    n_cells = np.count_nonzero(~np.isnan(expected["attention"]))
    for name in names:
        summed = name.startswith(("contribution", "evidence"))
        scale = len(places) / n_cells if summed else 1
        np.testing.assert_allclose(stack[name], expected[name] * scale, rtol=1e-5, atol=1e-8)


def test_a_share_of_1_reaches_every_tile_and_features_are_computed_once(world):
    assert create("--refine", 1) == 0
    places, _ = table(values() / "tiles")
    finer_places, _ = table(values() / "tiles" / "finer")
    centres = (finer_places[:, :2] + finer_places[:, 2:]) / 2
    inside = (centres[:, None] >= places[:, :2]) & (centres[:, None] < places[:, 2:])
    counts = inside.all(axis=2).sum(axis=0)
    # No finer tile begins beyond the slide's edges, and on glass there are none.
    whole = (places[:, :2] > 0).all(axis=1) & (places[:, 2] <= SHAPE[1] * 2 // 3 - SIDE / 2)
    whole &= places[:, 3] <= SHAPE[0] - SIDE / 2
    assert whole.sum() > 10
    assert (counts[whole] == 15).all()
    assert (counts > 0).all()
    assert sum(Stripes.calls) == len(places) + len(finer_places)
    # Less of the same needs the encoder no more, though the maps are others.
    assert create("--refine", 0.5, out="half") == 0
    assert sum(Stripes.calls) == len(places) + len(finer_places)
    assert create("--refine", 0.5) == 1


def test_a_run_that_was_stopped_goes_on_with_the_finer_tiles_that_lack(world, monkeypatch):
    monkeypatch.setattr("heatmaps_ome.features.lattice_features._WRITTEN_AFTER_S", -1.0)
    monkeypatch.setattr("heatmaps_ome.features.block_size._MOST_TILES", {"cpu": 16})
    assert create() == 0
    first = len(Stripes.calls)
    monkeypatch.setattr(Stripes, "fails_after", first + 3)
    assert create("--refine", 0.5, out="finer") == 1
    monkeypatch.setattr(Stripes, "fails_after", math.inf)
    assert create("--refine", 0.5, out="finer") == 0
    n_finer = record("finer")["tiles"]["refine"]["count"]
    assert sum(Stripes.calls[first:]) == n_finer + 16  # the batch that failed


def test_stages_and_a_dry_run(world, capsys):
    assert create("--refine", 0.25, "--dry-run") == 0
    assert "refine: at most 4 finer tiles for each of a slide's" in capsys.readouterr().out
    maps = ("--class-names", "low,high", "-t", "high")
    assert create("--refine", 0.25, fast=(*maps, *FAST[:4]), command="maps") == 0
    assert cli.main(["fit", "out"]) == 0
    assert cli.main(["draw", "out"]) == 0
    assert validate(Path("out/a"), (Path("a.svs"),)).problems == ()
    assert record()["tiles"]["refine"]["count"] > 0


def test_tiles_on_another_lattice_than_the_finer_ones_keep_their_centres(world):
    sample = clam(n_features=N_FEATURES, n_classes=2, multi=True)
    save(sample, "clam.pt")
    assert create("--refine", 0.5, "--overlap", 31) == 0
    places, coarse = table(values() / "tiles")
    finer_places, finer = table(values() / "tiles" / "finer")
    group = zarr.open_group(values(), mode="r")
    facts = group.attrs["heatmaps_ome"]
    cell = [facts["l0_cell"][axis] for axis in "yx"]
    at = np.floor((places[:, :2] + places[:, 2:])[:, ::-1] / 2 / cell).astype(int)
    names = [one["name"] for one in facts["channels"]]
    attention = group["0"][names.index("class-attention-high")]
    there = (at < attention.shape).all(axis=1)
    np.testing.assert_array_equal(
        attention[tuple(at[there].T)], coarse["class-attention-high"][there]
    )
    # Each class has an attention, and so a weight, of its own.
    known, _ = read_clam(sample, places, multi=True)
    own, logits = read_clam(sample, finer_places, multi=True)
    shares = np.exp(own) / np.exp(known).sum(axis=0) * logits
    for index, name in enumerate(("low", "high")):
        np.testing.assert_allclose(finer[f"contribution-{name}"], shares[:, index], atol=1e-6)
    assert len(finer_places) > 10
    assert validate(Path("out/a"), (Path("a.svs"),)).problems == ()


@pytest.mark.parametrize("name", ["values", "finer/values", "finer/places"])
def test_damaged_tables_are_noticed(refined, tmp_path, name):
    result = shutil.copytree("out/a", tmp_path / "a")
    damaged = zarr.open_group(result / "a.values.ome.zarr" / "tiles", mode="r+")[name]
    damaged[...] = damaged[...][::-1] if name == "finer/places" else damaged[...] * 1.5
    problems = validate(result, (Path("a.svs"),)).problems
    assert any(problem.rule == "values-tiles" for problem in problems)


def test_models_without_contributions_of_tiles_are_refused(world, capsys):
    write_lightning(Path("vit.ckpt"), stamp_vit(n_features=N_FEATURES))
    second = torch.load("clam.pt")
    second["classifiers.bias"] += 1
    torch.save(second, "second.pt")
    fast = (*FAST[:4], "-t", "high")
    assert create("--refine", 0.25, model=("-m", "vit.ckpt"), fast=fast) == 2
    assert "--refine: a tile of a STAMP vit model has no contribution" in capsys.readouterr().err
    assert create("--refine", 0.25, model=("-m", "clam.pt", "second.pt")) == 2
    assert "--refine: each model has its own" in capsys.readouterr().err
    assert create("--refine", 0.25, "--explain", "ig") == 2
    assert "--explain ig gives no exact contributions" in capsys.readouterr().err
    assert create("--refine", 0) == 2
    assert "--refine is 0; give a value from 0.0001 to 1" in capsys.readouterr().err
    write_export(Path("m.pkl"), parts=make_parts(n_inputs=N_FEATURES))
    fast = (*FAST[:4], "-t", "MSIH")
    assert create("--refine", 0.25, model=("-m", "m.pkl"), fast=fast) == 0
