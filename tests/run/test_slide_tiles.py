"""`create` with tiles of the slide, each through the encoder alone; read by other programs."""

import csv
import json
import math
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr
from fake_extractors import MeanColourTiles
from model_files import make_parts, slide_logits, write_export
from network_files import stamp_vit, write_lightning
from slide_files import speckled, write_slide
from stripes import N_FEATURES, SIDE, Stripes, by_hand

from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.validate.result import validate

SHAPE = (700, 900)
FAST = ("--formats", "cells", "--top-tiles", "0")
TILES = ("--tile-px", str(SIDE), "--target-mpp", "0.5")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with a slide and models, and the means to run commands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(extractors.REGISTRY, "stripes", "stripes:load_stripes")
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Stripes, "calls", [])
    monkeypatch.setattr(Stripes, "fails_after", math.inf)
    write_slide(tmp_path / "a.svs", speckled(*SHAPE))
    write_export(tmp_path / "m.pkl", parts=make_parts(n_inputs=N_FEATURES))
    return tmp_path


def run(command, *words, extractor="stripes"):
    given = ["--extractor", extractor, "--device", "cpu"] if extractor else []
    return cli.main([command, "a.svs", *given, *map(str, words)])


def create(*words, out="out", extractor="stripes"):
    return run("create", "-m", "m.pkl", "-t", "MSIH", "-o", out, *FAST, *words, extractor=extractor)


def record(out="out"):
    return json.loads((Path(out) / "a" / "provenance.json").read_text(encoding="utf-8"))


def rows(out="out"):
    """Return the tiles of cells.csv by their corners in level-0 pixels."""
    with (Path(out) / "a" / "a.cells.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    return {(round(float(row["x"])), round(float(row["y"]))): row for row in table}


def cached_features(out="out"):
    """Return the features in the cache of a run, (rows, cols, channels), by zarr alone."""
    [folder] = (Path(out) / ".cache" / "features").iterdir()
    return np.asarray(zarr.open_array(folder, mode="r")[...])


def test_features_and_prediction_are_those_of_each_tile_by_hand(world):
    assert create(*TILES, "--overlap", "32") == 0
    stride, tiles = SIDE - 32, rows()
    features = cached_features()
    there = np.argwhere(~np.isnan(features[..., 0]))
    assert {(col * stride, row * stride) for row, col in there} == set(tiles)
    expected = by_hand([(col * stride, row * stride) for row, col in there])
    np.testing.assert_allclose(features[tuple(there.T)], expected, rtol=0, atol=1e-5)
    parts, inputs = make_parts(n_inputs=N_FEATURES), torch.from_numpy(expected.astype(np.float32))
    predicted = slide_logits(parts, inputs).softmax(-1).detach().numpy()
    found = record()
    assert list(found["prediction"].values()) == pytest.approx(predicted, abs=1e-5)
    assert found["tiles"]["count"] == len(there) > 60
    sizes = [found["tiles"][name] for name in ("side_px", "stride_px", "mpp")]
    assert sizes == [SIDE, stride, 0.5]
    assert (found["extractor"]["name"], found["pooling"]) == ("stripes", None)
    assert validate(world / "out" / "a", (world / "a.svs",)).problems == ()


def test_features_are_those_of_extract_and_give_the_same_maps(world):
    words = ("--tile-um", "60", "--stride-um", "45", "--mask-threshold", "220")
    assert create(*words) == 0
    assert run("extract", "-o", "h5", *words) == 0
    assert create("--features", "h5/a.h5", out="given", extractor=None) == 0
    with h5py.File("h5/a.h5") as file:
        stored, coords = file["features"][:], file["coords"][:]
    features = cached_features()
    there = ~np.isnan(features[..., 0])
    assert there.sum() == len(stored)
    order = np.lexsort(coords.T)  # reading order, as boolean masks have it
    np.testing.assert_allclose(features[there], stored[order], rtol=0, atol=1e-6)
    own, given = record(), record("given")
    assert own["prediction"] == pytest.approx(given["prediction"], abs=1e-5)
    assert own["tiles"]["count"] == given["tiles"]["count"]
    assert own["extractor"]["encoder_digest"] == "stripes 1"


def test_models_of_tiles_take_tiles_without_any_option(world, capsys):
    write_lightning(world / "vit.ckpt", stamp_vit(n_features=3))
    words = ("-m", "vit.ckpt", "-t", "high", "-o", "out", *FAST, "--no-pool", "--block-size", "64")
    assert run("create", *words, extractor="mean-colour") == 0
    told = capsys.readouterr().err
    assert "tiles are 224 px of 1.143 µm, 256 µm, as no option states the size" in told
    for flag in ("--no-pool", "--block-size"):
        assert f"{flag} has no effect: each tile goes through the encoder alone" in told
    assert record()["tiles"]["encoder"] == "mean-colour"


def test_a_run_that_was_stopped_goes_on_with_the_tiles_that_lack(world, monkeypatch):
    limit = "heatmaps_ome.features.lattice_features._WRITTEN_AFTER_S"
    monkeypatch.setattr(limit, -1.0)
    monkeypatch.setattr("heatmaps_ome.features.block_size._MOST_TILES", {"cpu": 7})
    monkeypatch.setattr(Stripes, "fails_after", 4)
    assert create(*TILES) == 1
    assert Stripes.calls == [7] * 5
    monkeypatch.setattr(Stripes, "fails_after", math.inf)
    assert create(*TILES) == 0
    n_tiles = record()["tiles"]["count"]
    assert sum(Stripes.calls) == n_tiles + 7  # the batch that failed
    assert create(*TILES, out="again", extractor="stripes") == 0
    assert record("again")["prediction"] == pytest.approx(record()["prediction"], abs=1e-6)


def test_damaged_features_are_computed_again_and_another_choice_takes_those_there(world):
    assert create(*TILES) == 0
    first, prediction = sum(Stripes.calls), record()["prediction"]
    [folder] = (world / "out" / ".cache" / "features").iterdir()
    chunks = [
        path for path in folder.rglob("*") if path.parent.parent.name == "c" or "/c/" in str(path)
    ]
    chunk = next(path for path in chunks if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])
    shutil.rmtree(world / "out" / ".cache" / "bags")
    shutil.rmtree(world / "out" / ".maps")
    shutil.rmtree(world / "out" / "a")
    assert create(*TILES) == 0
    assert first < sum(Stripes.calls) <= 2 * first
    assert record()["prediction"] == pytest.approx(prediction, abs=1e-7)
    computed = sum(Stripes.calls)
    # Cells of lower brightness alone are tissue: fewer tiles, all of which are in the cache.
    assert create(*TILES, "--mask-threshold", "190", "--overwrite") == 0
    assert sum(Stripes.calls) == computed
    assert 0 < record()["tiles"]["count"] <= first


def test_tiles_on_artefacts_are_left_out(world):
    rgb = speckled(*SHAPE)
    rgb[:300] = rgb[:300] // 8  # as dark as no tissue is
    write_slide(world / "a.svs", rgb)
    assert create(*TILES) == 0
    assert create(*TILES, "--exclude-artefacts", "dark", out="without") == 0
    assert any(y < 200 for _, y in rows())
    assert not any(y + SIDE // 2 < 300 - 32 for _, y in rows("without"))
    assert any(
        "artefacts that are no tissue: dark" in one for one in record("without")["tiles"]["notes"]
    )


def test_stages_go_on_from_one_another(world):
    model = ("-m", "m.pkl", "-t", "MSIH", "-o", "out", *FAST, "--tile-um", "48")
    assert run("maps", *model) == 0
    assert cli.main(["fit", "out"]) == 0
    assert cli.main(["draw", "out"]) == 0
    assert len(list((world / "out" / ".cache" / "pixels").iterdir())) == 1
    assert validate(world / "out" / "a", (world / "a.svs",)).problems == ()
    calls = len(Stripes.calls)
    assert run("create", *model) == 0
    assert len(Stripes.calls) == calls


def test_other_tiles_are_other_maps(world, capsys):
    assert create(*TILES) == 0
    for words in (("--tile-px", "64", "--target-mpp", "0.5"), (*TILES, "--overlap", "16")):
        assert create(*words) == 1
        assert "add --overwrite to replace the results" in capsys.readouterr().err
    assert create(*TILES, "--mask-threshold", "200") == 1
    assert "another --mask-threshold (224, not 200)" in capsys.readouterr().err
    assert create("--tile-px", "40") == 1
    assert "takes multiples of 16 px" in capsys.readouterr().err


def test_tile_options_have_no_effect_on_given_features(world, capsys):
    assert run("extract", "-o", "h5", *TILES) == 0
    assert create("--features", "h5", "--tile-px", "96", out="given", extractor=None) == 0
    told = capsys.readouterr().err
    assert "--tile-px has no effect: the features are given, and no encoder runs" in told


def test_a_dense_encoder_takes_cells_unless_tiles_are_asked_for(world):
    write_export(world / "m.pkl", parts=make_parts(n_inputs=3))
    assert isinstance(MeanColourTiles().centre_px, float)
    assert create(out="cells", extractor="mean-colour") == 0
    assert create("--tile-px", "96", out="tiles", extractor="mean-colour") == 0
    assert "tiles" not in record("cells")
    assert record("tiles")["tiles"]["count"] > 0
