"""Whole runs of several models: the command line, what is written, and what is refused."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from fake_extractors import CLASSES, load_mean_colour
from make_test_weights import seeded_resnet50
from model_files import REAL_MODELS, make_parts, write_export
from slide_files import speckled, write_slide
from torch import nn

from heatmaps_ome import extractors
from heatmaps_ome.cli import arguments
from heatmaps_ome.cli import main as cli
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.maps.ensemble import in_class_order
from heatmaps_ome.maps.faithfulness import faithfulness_of
from heatmaps_ome.maps.numbers import probability
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.models.model_set import model_files
from heatmaps_ome.options import FORMATS, CreateOptions
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.validate.result import validate

ROOT = Path(__file__).parents[2]
FOLDS = ("fold-0.pkl", "fold-1.pkl", "fold-2.pkl")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A slide, three models, the second with its classes the other way round, and no weights."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    load_mean_colour.calls = 0
    write_slide(tmp_path / "a.svs", speckled(500, 700))
    for seed, name in enumerate(FOLDS):
        classes = CLASSES[::-1] if seed == 1 else CLASSES
        write_export(tmp_path / name, parts=make_parts(n_inputs=3, seed=seed), classes=classes)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*models, **changed):
    given = {
        "slides": (Path("a.svs"),), "model_path": tuple(map(Path, models or FOLDS)),
        "output_path": Path("out"), "true_class": "MSIH", "extractor": "mean-colour",
        "cache_dir": Path("cache"), "formats": ("cells",),
    }  # fmt: skip
    return CreateOptions(**(given | changed))


def run(*models, **changed):
    [outcome] = create(options(*models, **changed), silent)
    return outcome


def values_in(folder):
    return read_values(Path(folder) / "a" / "a.values.ome.zarr")


def record_in(folder):
    return json.loads((Path(folder) / "a" / "provenance.json").read_text())


def tree(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and path.name not in ("provenance.json", "run.json")
    }


def test_means_and_deviations_are_those_of_each_model_run_alone(here):
    alone = []
    for fold in FOLDS:
        assert (
            run(fold, output_path=Path(f"alone-{fold}"), cache_dir=Path(f"cache-{fold}")).status
            == "done"
        )
        alone.append(values_in(f"alone-{fold}"))
    n_calls = load_mean_colour.calls
    assert run().status == "done"
    # The three runs alone had caches of their own; three models together compute features once.
    assert load_mean_colour.calls - n_calls == n_calls // 3 > 0
    found = values_in("out")
    assert found.classes == CLASSES
    for name in CLASSES:
        scores = np.stack([each.score(name) for each in alone]).astype(np.float64)
        index = CLASSES.index(name)
        np.testing.assert_allclose(found.scores[index], scores.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            found.spread["score"][index], scores.std(axis=0, ddof=1), rtol=1e-4, atol=1e-7
        )
        shares, falls = (
            np.stack([each.map(kind, name) for each in alone])
            for kind in ("contribution", "leave-one-out")
        )
        np.testing.assert_allclose(found.contributions[index], shares.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(
            found.values("leave-one-out")[index], falls.mean(axis=0), rtol=1e-3, atol=1e-8
        )
        said = [each.prediction[each.classes.index(name)] for each in alone]
        assert found.prediction[index] == pytest.approx(np.mean(said), rel=1e-9)
        assert [each.prediction[index] for each in found.members] == pytest.approx(said, rel=1e-9)
    assert [each.name for each in found.members] == list(FOLDS)


def test_faithfulness_in_the_record_is_the_mean_of_the_models_curves(here):
    outcome = run()
    found, parts = values_in("out"), []
    for fold in FOLDS:
        run(fold, output_path=Path(f"alone-{fold}"))
        parts.append(values_in(f"alone-{fold}"))
    parts = [in_class_order(each, CLASSES) for each in parts]
    for each in faithfulness_of(found, CLASSES, parts):
        said = record_in("out")["faithfulness"]["classes"][each.class_name]
        assert said == each.record()
        assert outcome.faithfulness[each.class_name] == said["aupc"]


def test_every_file_says_how_the_models_differ_and_validate_passes(here):
    outcome = run(leave_one_out=True, formats=FORMATS)
    verdict = validate(Path("out"), (Path("a.svs"),))
    assert verdict.problems == ()
    folder = Path("out/a")
    found, record = values_in("out"), record_in("out")
    ran = json.loads(Path("out/run.json").read_text())
    names = [
        "attention",
        *(
            f"{k}-{c}"
            for k in ("score", "contribution", "leave-one-out", "evidence")
            for c in CLASSES
        ),
    ]
    names += [f"sd-{name}" for name in names]
    group = zarr.open_group(folder / "a.values.ome.zarr", mode="r")
    facts = group.attrs["heatmaps_ome"]
    assert [each["label"] for each in group.attrs["omero"]["channels"]] == names
    assert [said["unit"] for said in facts["channels"]] == 2 * [
        "log ratio",
        *2 * ["probability"],
        *2 * ["logit"],
        *2 * ["probability"],
        *2 * ["logit"],
    ]
    with tifffile.TiffFile(folder / "a.values.ome.tiff") as file:
        # QuPath has the artefacts from here.
        assert re.findall('<Channel [^>]*Name="([^"]+)"', file.ome_metadata) == [
            *names,
            "artefacts",
        ]
        assert len(file.pages) == len(names) + 1
    drawn = {each["name"]: each for each in json.loads((folder / "maps.json").read_text())["maps"]}
    for name in CLASSES:
        assert drawn[f"sd-score-{name}"]["channel"] == names.index(f"sd-score-{name}")
        assert drawn[f"sd-score-{name}"]["measurement"] == f"SD of score: {name}"
        assert (folder / "previews" / f"sd-score-{name}-overlay.png").is_file()
    assert sum(name.startswith("sd-") for name in drawn) == 2
    header = (folder / "a.cells.csv").read_text().splitlines()[0].split(",")
    assert header[-3:] == [*(f"SD of score: {name}" for name in CLASSES), "artefact"]
    for said in (record["members"], ran["slides"][0]["members"], facts["members"]):
        assert [each["name"] for each in said] == list(FOLDS)
        assert [each["digest"] for each in said] == [each.digest for each in found.members]
        for each, member in zip(said, found.members, strict=True):
            assert list(each["prediction"].values()) == list(member.prediction)
    assert [each["name"] for each in ran["model"]["members"]] == list(FOLDS)
    assert ran["options"]["model_path"] == list(FOLDS)
    sd = np.std([each.prediction[0] for each in found.members], ddof=1)
    assert record["prediction_sd"]["MSIH"] == pytest.approx(sd)
    assert str(here) not in json.dumps([record, ran])
    text = of_run([outcome], Path("out"))
    assert f"MSIH {probability(found.prediction[0])} ± {probability(sd)} over 3 models (" in text
    assert " of 3 predict " in text


def test_slides_without_tissue_and_models_without_contributions_are_no_crash(here):
    write_slide(here / "white.svs", np.full((300, 300, 3), 255, np.uint8))
    bent = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))
    write_export(Path("bent.pkl"), parts=make_parts(n_inputs=3) | {"head": bent})
    asked = {"slides": (Path("a.svs"), Path("white.svs")), "formats": FORMATS, "ngff": "0.5",
             "compat": "reference"}  # fmt: skip
    for models in (FOLDS, ("fold-0.pkl", "bent.pkl")):
        outcomes = create(options(*models, **asked, output_path=Path(models[-1] + "-out")), silent)
        assert [outcome.status for outcome in outcomes] == ["done", "done"]
        assert validate(Path(models[-1] + "-out"), ()).problems == ()
        text = of_run(outcomes, Path("out"))
        assert "white.svs: done (no tissue found, so no prediction)" in text
        assert text.count(f"over {len(models)} models") == 1
        assert outcomes[1].members[0]["prediction"] == dict.fromkeys(CLASSES)
    with pytest.raises(PreflightError, match=r"the head of bent\.pkl is not affine"):
        run("fold-0.pkl", "bent.pkl", leave_one_out=True)


def test_a_single_model_leaves_no_trace_of_several(here):
    run("fold-0.pkl", formats=FORMATS)
    alone = options(model_path=Path("fold-0.pkl"), output_path=Path("out2"), formats=FORMATS)
    create(alone, silent)
    assert tree("out/a") == tree("out2/a")
    for path in ("out/a/provenance.json", "out/run.json", "out/scaling.json", "out/a/maps.json"):
        assert not {"members", "prediction_sd", "spread"} & set(json.loads(Path(path).read_text()))
    ran = json.loads(Path("out/run.json").read_text())
    assert ran["options"]["model_path"] == "fold-0.pkl"
    assert "members" not in ran["slides"][0]
    assert "members" not in ran["model"]
    assert not any("sd-" in path.name for path in Path("out/a").rglob("*"))


def test_a_second_run_changes_nothing_and_needs_no_cache(here):
    first = run()
    shutil.rmtree("cache")
    n_calls = load_mean_colour.calls
    again = run()
    assert again.status == "unchanged"
    assert load_mean_colour.calls == n_calls
    assert (again.members, again.prediction) == (first.members, first.prediction)
    assert again.faithfulness == first.faithfulness
    before = tree("out/a")
    assert run(overwrite=True, att_cmap="viridis").status == "done"
    run(overwrite=True)
    assert tree("out/a") == before


def test_other_colours_read_the_models_maps_from_the_cache(here):
    run()
    n_calls = load_mean_colour.calls
    assert len(list(Path("cache/maps").iterdir())) == 3
    assert run(overwrite=True, score_cmap="bwr").status == "done"
    assert load_mean_colour.calls == n_calls
    # A model that was run alone before is found as well, and only the new one is applied.
    write_export(Path("fold-3.pkl"), parts=make_parts(n_inputs=3, seed=3))
    assert run(*FOLDS, "fold-3.pkl", overwrite=True).status == "done"
    assert load_mean_colour.calls == n_calls
    assert len(list(Path("cache/maps").iterdir())) == 4


def test_a_cache_lost_between_the_stages_changes_nothing(here, monkeypatch):
    from heatmaps_ome.run import pipeline

    fitted = pipeline.fitted

    def losing(*values):
        shutil.rmtree("cache")
        return fitted(*values)

    monkeypatch.setattr(pipeline, "fitted", losing)
    assert run().status == "done"
    monkeypatch.undo()
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    monkeypatch.chdir(here)
    assert run(output_path=Path("out2")).status == "done"
    assert tree("out/a") == tree("out2/a")


def test_results_of_other_models_are_not_taken_for_these(here):
    run()
    with pytest.raises(PreflightError, match="fitted with another model"):
        run("fold-0.pkl", "fold-2.pkl")
    run("fold-0.pkl", "fold-2.pkl", overwrite=True)


def test_a_scaling_belongs_to_its_set_of_models(here):
    run()
    scaling = Path("out/scaling.json")
    turned = (FOLDS[2], FOLDS[1], FOLDS[0])
    assert run(*turned, scaling=scaling, output_path=Path("again")).status == "done"
    for others in (("fold-0.pkl",), FOLDS[:2]):
        with pytest.raises(PreflightError, match="another model"):
            run(*others, scaling=scaling, output_path=Path("others"))


@pytest.mark.parametrize(
    "words",
    [
        ["-m", *FOLDS, "-o", "out", "-t", "MSIH", "a.svs"],
        ["a.svs", "-o", "out", "-t", "MSIH", "-m", *FOLDS],
        ["-o", "out", "-t", "MSIH", "-m", *FOLDS, "a.svs"],
        ["-m", FOLDS[0], "-m", FOLDS[1], "--model-path", FOLDS[2], "a.svs", "-oout", "-t", "MSIH"],
        [f"--model-path={FOLDS[0]}", *FOLDS[1:], "a.svs", "-t", "MSIH", "-o", "out"],
        [f"-m{FOLDS[0]}", *FOLDS[1:], "-t", "MSIH", "-o", "out", "--", "a.svs"],
        ["-m", "fold-*.pkl", "-o", "out", "-t", "MSIH", "a.svs"],
    ],
    ids=str,
)  # fmt: skip
def test_models_of_a_glob_belong_to_their_option(here, words):
    found = arguments.OptionsParser(CreateOptions, "create", "").parse_args(words)
    assert found.slides == (Path("a.svs"),)
    assert [path.name for path in model_files(found.model_paths)] == list(FOLDS)


@pytest.mark.parametrize("at", [0, 2, 4, 6])
def test_a_single_model_may_stand_anywhere_on_the_references_command_line(at):
    words = ["-o", "out", "-t", "MSIH", "--no-pool", "--att-cmap", "viridis"]
    words = [*words[:at], "-m", "export.pkl", *words[at:]] if at != 6 else [
        *words, "-m", "export.pkl",
    ]  # fmt: skip
    found = arguments.OptionsParser(CreateOptions, "x", "").parse_args([*words, "s1.svs", "s2.tif"])
    assert found.model_paths == (Path("export.pkl"),)
    assert found.slides == (Path("s1.svs"), Path("s2.tif"))
    assert found.no_pool


def test_the_command_line_runs_several_models(here, capsys):
    words = ["-m", *FOLDS, "-o", "out", "-t", "MSIH", "--extractor", "mean-colour", "a.svs"]
    words += ["--formats", "cells"]
    assert cli.main(["create", *words]) == 0
    assert "over 3 models" in capsys.readouterr().out
    assert cli.main(["info", "out", "out/a"]) == 0
    assert cli.main(["validate", "out"]) == 0


def test_a_pattern_without_a_match_is_a_usage_error(here, capsys):
    words = ["create", "-m", "flod-*.pkl", "-o", "out", "-t", "MSIH", "a.svs"]
    assert cli.main([*words, "--extractor", "mean-colour"]) == 2
    assert "no file matches flod-*.pkl" in capsys.readouterr().err
    shutil.copy("fold-0.pkl", "flod-*.pkl")
    shutil.copy("fold-1.pkl", "flod-1.pkl")
    assert model_files([Path("flod-*.pkl")]) == [Path("flod-*.pkl")]


def test_in_the_originals_script_a_later_model_takes_the_place_of_an_earlier(here):
    spec = importlib.util.spec_from_file_location("script", ROOT / "scripts/create_heatmaps.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    parser = arguments.OptionsParser(CreateOptions, "x", "")
    before = ["--model-path", "/model/export.pkl", "--output-path", "out", "-t", "MSIH"]
    for words, models in (
        (["a.svs"], ["/model/export.pkl"]),
        (["-m", *FOLDS, "a.svs"], FOLDS),
        (["a.svs", f"--model-path={FOLDS[0]}"], FOLDS[:1]),
        (["-m", "old.pkl", "older.pkl", "a.svs", "-m", FOLDS[0], FOLDS[1]], FOLDS[:2]),
    ):
        found = parser.parse_args(script.translated([*before, *words]))
        assert found.model_paths == tuple(map(Path, models))
        assert found.slides == (Path("a.svs"),)


def test_a_model_given_twice_counts_once_and_is_told(here, caplog):
    shutil.copy("fold-0.pkl", "copy.pkl")
    outcome = run("fold-0.pkl", "fold-1.pkl", "copy.pkl", "./fold-0.pkl")
    assert [each["name"] for each in outcome.members] == ["fold-0.pkl", "fold-1.pkl"]
    assert caplog.text.count("copy.pkl is the same model as fold-0.pkl and counts once") == 1
    outcome = run("fold-0.pkl", "copy.pkl", output_path=Path("out2"))
    assert outcome.members == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"classes": ("MSIH", "MSS")}, "the classes MSIH, MSS here, MSIH, nonMSIH there"),
        ({"parts": {"n_inputs": 5}}, "features per tile 5 here, 3 there"),
    ],
)
def test_models_that_cannot_be_averaged_are_refused_in_a_sentence(here, capsys, given, said):
    parts = make_parts(**({"n_inputs": 3, "seed": 9} | given.pop("parts", {})))
    write_export(Path("other.pkl"), parts=parts, **given)
    words = ["create", "a.svs", "-m", "fold-0.pkl", "other.pkl", "-o", "out", "-t", "MSIH"]
    assert cli.main([*words, "--extractor", "mean-colour"]) == 2
    err = capsys.readouterr().err
    assert err.count("heatmaps-ome: ") == 1
    assert f"other.pkl and fold-0.pkl cannot be averaged: {said}" in err
    assert not Path("out/a").exists()


def test_every_unreadable_model_is_told_before_the_first_block(here):
    Path("broken.pkl").write_text("no model")
    with pytest.raises(PreflightError) as caught:
        run("fold-0.pkl", "broken.pkl", "missing.pkl")
    told = str(caught.value).splitlines()
    assert len(told) == 2
    assert "broken.pkl" in told[0]
    assert "missing.pkl" in told[1]
    assert load_mean_colour.calls == 0


def test_validate_tells_means_that_are_not_the_models(here):
    run()
    path = Path("out/a/a.values.ome.zarr/.zattrs")
    said = json.loads(path.read_text())
    said["heatmaps_ome"]["members"][0]["prediction"]["MSIH"] += 0.2
    path.write_text(json.dumps(said))
    rules = {problem.rule for problem in validate(Path("out/a/a.values.ome.zarr"), ()).problems}
    assert rules == {"values-members"}
    del said["heatmaps_ome"]["members"]
    path.write_text(json.dumps(said))
    rules = {problem.rule for problem in validate(Path("out/a/a.values.ome.zarr"), ()).problems}
    assert "values-members" in rules


def test_validate_tells_deviations_that_cannot_be(here):
    run()
    array = zarr.open_array("out/a/a.values.ome.zarr/0", mode="r+")
    stack = array[...]
    tissue = ~np.isnan(stack[0])
    for channel, value in ((10, 0.9), (9, -1.0)):
        changed = stack.copy()
        changed[channel][tissue] = value
        array[...] = changed
        [problem] = validate(Path("out/a/a.values.ome.zarr"), ()).problems
        assert problem.rule == "values-members"
        assert f"deviations from {value:g} to {value:g}" in problem.message


@pytest.mark.skipif(
    not (REAL_MODELS / "katherlab-crc2022-isMSIH-export-1.pkl").exists(), reason="no real models"
)
def test_published_folds_on_a_real_slide(tmp_path, monkeypatch):
    import torch

    from heatmaps_ome.extractors.dense import DenseExtractor

    torch.save(seeded_resnet50(0), tmp_path / "w.pth")
    calls = []
    compute = DenseExtractor.__call__
    monkeypatch.setattr(DenseExtractor, "__call__", lambda *args: calls.append(1) or compute(*args))
    models = sorted(REAL_MODELS.glob("katherlab-crc2022-isMSIH-export-*.pkl"))
    asked = {
        "slides": (REAL_MODELS.parent / "slides" / "CMU-1-Small-Region.svs",),
        "true_class": "MSIH", "extractor": "retccl", "extractor_weights": tmp_path / "w.pth",
        "cache_dir": tmp_path / "cache", "formats": ("cells",),
    }  # fmt: skip
    alone = []
    n_calls = 0
    for index, model in enumerate([models[0], tuple(models), models[1]]):
        folder = tmp_path / f"out{index}"
        [outcome] = create(CreateOptions(**asked, model_path=model, output_path=folder), silent)
        assert outcome.status == "done", outcome.message
        alone.append(read_values(next(folder.glob("*/*.values.ome.zarr"))))
        n_calls = n_calls or len(calls)
    # The second model computes no features, nor does the set of both.
    assert len(calls) == n_calls > 0
    first, found, second = alone
    np.testing.assert_allclose(
        found.scores, (first.scores.astype(float) + second.scores) / 2, rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(
        found.spread["score"],
        np.abs(first.scores - second.scores) / np.sqrt(2),
        rtol=1e-4,
        atol=1e-7,
    )
    assert [each.name for each in found.members] == [path.name for path in models]
    assert found.prediction == pytest.approx((first.prediction + second.prediction) / 2)
