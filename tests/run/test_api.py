"""The package as Python users import it: what loads when, and whole runs from Python."""

import importlib
import json
import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide
from value_places import assert_values_at_places

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.errors import OptionError, PixelSizeError
from heatmaps_ome.geometry import Grid
from heatmaps_ome.models import read_model
from heatmaps_ome.run.attempts import PreflightError

ROOT = Path(__file__).parents[2]
TUNING = ("THP_MEM_ALLOC_ENABLE", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
HEAVY = ("torch", "zarr", "matplotlib", "openslide", "numpy", "pyvips")


def in_python(code):
    """Run code in a process of its own, whose environment nobody has tuned; return its output."""
    env = {key: value for key, value in os.environ.items() if key not in TUNING}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_nothing_heavy_and_leaves_the_environment():
    code = f"""
import json, os, sys
before = dict(os.environ)
import heatmaps_ome
heavy = [name for name in {HEAVY} if name in sys.modules]
names = dir(heatmaps_ome)
heatmaps_ome.open, heatmaps_ome.Grid, heatmaps_ome.create, heatmaps_ome.read_model
print(json.dumps([heavy, dict(os.environ) == before, names, "torch" in sys.modules]))
"""
    heavy, same, names, torch = json.loads(in_python(code))
    assert heavy == []
    assert same
    assert not torch
    assert set(heatmaps_ome.__all__) <= set(names)


def test_the_public_names_are_those_promised():
    assert set(heatmaps_ome.__all__) == {
        "Grid", "__version__", "collect", "compare", "create", "draw", "export", "extract", "fit",
        "make_maps", "open", "open_slide", "read_model",
    }  # fmt: skip
    assert heatmaps_ome.Grid is Grid
    assert heatmaps_ome.read_model is read_model
    for name in heatmaps_ome.__all__:
        assert getattr(importlib.import_module("heatmaps_ome"), name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = heatmaps_ome.nonsense


def test_type_checkers_find_the_types_of_an_installed_package():
    assert (ROOT / "heatmaps_ome" / "py.typed").is_file()
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in setup["tool"]["setuptools"]["package-data"]["heatmaps_ome"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a slide, a file that is none, and two models; runs need no weights."""
    folder = tmp_path_factory.mktemp("api")
    write_slide(folder / "a.svs", speckled(300, 400))
    write_slide(folder / "unknown.svs", speckled(300, 400), mpp=None)
    (folder / "b.svs").write_text("no slide")
    for seed in (0, 1):
        write_export(folder / f"m{seed}.pkl", parts=make_parts(n_inputs=3, seed=seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        yield folder


@pytest.fixture(scope="module")
def run(world):
    """What create returned of a slide, one that fails, and two models."""
    steps = []
    handlers = list(logging.getLogger("heatmaps_ome").handlers)
    results = heatmaps_ome.create(
        [str(world / "a.svs"), world / "b.svs"],
        (world / "m0.pkl", world / "m1.pkl"),
        CLASSES[0],
        str(world / "out"),
        progress=lambda *step: steps.append(step),
        extractor="mean-colour",
        block_size=np.int64(256),
        formats=["cells"],
        cache_dir=str(world / "cache"),
    )
    assert logging.getLogger("heatmaps_ome").handlers == handlers
    return results, steps


def test_create_returns_the_results_and_lists_what_failed(world, run):
    results, steps = run
    assert list(results) == ["a"]
    assert list(results.failed) == ["b.svs"]
    assert "b.svs" in results.failed["b.svs"]
    assert str(world) not in results.failed["b.svs"]
    assert results["a"].path == world / "out" / "a"
    assert abs(sum(results["a"].prediction.values()) - 1) < 1e-6
    assert {step[:2] for step in steps} >= {("a", "features"), ("a", "files")}


def test_open_gives_what_create_returned(world, run):
    results, _ = run
    opened = heatmaps_ome.open(world / "out")
    assert list(opened) == list(results)
    assert opened.failed == results.failed
    assert opened.predictions == results.predictions
    assert opened["a"].maps == results["a"].maps


def test_maps_of_several_models_have_the_values_another_reader_finds(world, run):
    results, _ = run
    stated = json.loads((world / "out" / "a" / "maps.json").read_text(encoding="utf-8"))
    kinds = assert_values_at_places(results["a"], world / "out" / "a", stated)
    assert {"sd-score", "winner", "artefacts"} < kinds
    assert results["a"].map("attention").unit == "log ratio"


def test_create_returns_the_slides_of_this_run_alone(world, run):
    write_slide(world / "c.svs", speckled(300, 400, seed=3))
    again = heatmaps_ome.create(
        world / "c.svs", [world / "m0.pkl", world / "m1.pkl"], CLASSES[0], world / "out",
        extractor="mean-colour", formats="cells", cache_dir=world / "cache",
        scaling=world / "out" / "scaling.json",
    )  # fmt: skip
    assert list(again) == ["c"]
    assert list(heatmaps_ome.open(world / "out")) == ["a", "c"]


def test_a_slide_without_tissue_has_maps_of_nothing(world):
    write_slide(world / "glass.svs", np.full((300, 400, 3), 243, np.uint8))
    results = heatmaps_ome.create(
        world / "glass.svs", world / "m0.pkl", CLASSES[0], world / "glass",
        extractor="mean-colour", formats=["png"],
    )  # fmt: skip
    slide = results["glass"]
    assert np.isnan(list(slide.prediction.values())).all()
    assert not slide.tissue.any()
    for kind, class_name in slide.maps:
        shown = slide.map(kind, class_name)
        assert np.isnan(shown.values).all()
        assert np.isnan(shown.at(x_um=50, y_um=50))
        assert "0 cells of tissue" in shown._repr_html_()
    assert "nan" not in results._repr_html_() + slide._repr_html_().split("<img")[0]


def test_create_leaves_the_environment_as_it_is(world):
    code = f"""
import json, os
import heatmaps_ome
from heatmaps_ome import extractors
extractors.REGISTRY["mean-colour"] = "fake_extractors:load_mean_colour"
before = dict(os.environ)
results = heatmaps_ome.create(
    {str(world / "a.svs")!r}, {str(world / "m0.pkl")!r}, {CLASSES[0]!r},
    {str(world / "alone")!r}, extractor="mean-colour", formats=["cells"],
)
print(json.dumps([list(results), sorted(set(os.environ) - set(before))]))
"""
    lines = in_python(code).splitlines()
    # torch and others may set variables of their own.
    names, added = json.loads(lines[-1])
    assert names == ["a"]
    assert not set(TUNING) & set(added)
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"att_cmapp": "magma"}, "create has no option 'att_cmapp'; did you mean att_cmap"),
        ({"model_path": "m.pkl"}, "no option 'model_path'; did you mean model"),
        ({"zzzz": 1}, "no option 'zzzz'; it has features, explain, coords"),
        ({"verbose": True}, "no option 'verbose'"),
        ({"att_alpha": 2}, "--att-alpha is 2; give a value from 0 to 1"),
        ({"att_alpha": "0.5"}, "att_alpha is '0.5'; give a number"),
        ({"top_tiles": 1.5}, "top_tiles is 1.5; give a whole number"),
        ({"top_tiles": None}, "top_tiles is None; give a whole number"),
        ({"no_pool": 1}, "no_pool is 1; give True or False"),
        ({"ngff": "0.6"}, "--ngff: unknown '0.6'; did you mean 0.5? It takes 0.4, 0.5"),
        ({"formats": ["gif"]}, "unknown 'gif'; it takes ome-zarr"),
        ({"formats": 3}, "formats is 3; give names"),
        ({"covariate": ["AGE"]}, "give a dict of names and values"),
        ({"extractor": 3}, "extractor is 3; give a text"),
        ({"extractor_weights": 3}, "extractor_weights is 3; give a path"),
        ({"extractor_weights": ""}, "extractor_weights is ''; give a path"),
        ({"cache_dir": ""}, "cache_dir is ''; give a path"),
        ({"threads": 10**5000}, "--threads is beyond 1e+18; give a value from 1 to 256"),
        ({"mpp": float("nan")}, "--mpp is nan; give a value from 0.05 to 20"),
        ({"scaling": "s.json", "score_threshold": 0.95}, "--score-threshold contradicts --scaling"),
        ({"flat_mpp": 1.0}, "--flat-mpp needs --flattened"),
    ],
)
def test_options_that_are_none_are_refused_in_a_sentence(tmp_path, options, said):
    with pytest.raises(OptionError) as caught:
        heatmaps_ome.create([], "m.pkl", "A", tmp_path / "out", **options)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("slides", "model", "output", "name"),
    [
        ("", "m.pkl", "out", "slides"), ([""], "m.pkl", "out", "slides"),
        (5, "m.pkl", "out", "slides"), ([], "", "out", "model"),
        ([], "m.pkl", "", "output"), ([], "m.pkl", b"out", "output"),
    ],
)  # fmt: skip
def test_a_path_that_is_none_is_refused(slides, model, output, name):
    with pytest.raises(OptionError, match=rf"{name} is .*; give a path, \. for the current folder"):
        heatmaps_ome.create(slides, model, "A", output)


def test_options_without_effect_are_warned_of(tmp_path, caplog):
    with pytest.raises(PreflightError):
        heatmaps_ome.create([], "m.pkl", "A", tmp_path, formats=["png"], overlay_px=8)
    assert "--overlay-px has no effect: only ome-tiff uses it" in caplog.text


def test_a_run_that_cannot_be_done_is_refused_with_all_reasons(world, tmp_path):
    with pytest.raises(PreflightError) as caught:
        heatmaps_ome.create(
            [], world / "m0.pkl", "nonsense", tmp_path / "out", extractor="mean-colour",
            covariate={"AGE": 63}, mpp=0.5,
        )  # fmt: skip
    assert "no slides are given" in str(caught.value)


def test_progress_is_shown_where_it_is_asked_for(world, capsys):
    given = (world / "a.svs", world / "m0.pkl", CLASSES[0])
    more = {"extractor": "mean-colour", "formats": ["cells"], "cache_dir": world / "cache"}
    heatmaps_ome.create(*given, world / "quiet", **more)
    assert capsys.readouterr() == ("", "")
    heatmaps_ome.create(*given, world / "loud", progress=True, **more)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "a: maps\na: files\n"


def test_open_slide_reads_pixels_and_asks_for_a_pixel_size(world):
    slide = heatmaps_ome.open_slide(str(world / "a.svs"))
    try:
        assert slide.shape == (300, 400)
        assert slide.mpp == (0.5, 0.5)
    finally:
        slide.close()
    with pytest.raises(PixelSizeError):
        heatmaps_ome.open_slide(world / "unknown.svs")
    slide = heatmaps_ome.open_slide(world / "unknown.svs", mpp=0.25)
    assert slide.mpp == (0.25, 0.25)
    slide.close()
