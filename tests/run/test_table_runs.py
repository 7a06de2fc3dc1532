"""Runs of a table of slides: one scaling, and each slide has its own patient's covariates."""

import json
import logging

import numpy as np
import pytest
import torch
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.models import read_model
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

SEXES = [["male"], ["female"], ["male"], ["male"]]
AGES = [["61"], ["50"], ["70.5"], ["33"]]
N_FEATURES = 3


def pipelines():
    """Return the encoders of a training, fitted as marugoto's mil/helpers.py does."""
    pytest.importorskip("sklearn")
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    return (
        make_pipeline(one_hot, StandardScaler()).fit(np.array(SEXES, dtype=object)),
        make_pipeline(StandardScaler(), SimpleImputer()).fit(np.array(AGES, dtype=object)),
    )


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with slides, a model with covariates, and the means to run create there."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    for seed, name in enumerate(("a", "b", "c")):
        write_slide(tmp_path / f"{name}.svs", speckled(300, 400, seed))

    class World:
        path = tmp_path
        parts = write_export(
            tmp_path / "export.pkl", parts=make_parts(n_inputs=N_FEATURES + 3),
            covariates=pipelines(), labels=(["SEX"], ["AGE"]),
        )  # fmt: skip

        def run(self, text=None, **changed):
            if text is not None:
                (self.path / "cohort.csv").write_text(text)
            given = {
                "table": None if text is None else self.path / "cohort.csv",
                "model_path": self.path / "export.pkl",
                "output_path": self.path / "out",
                "true_class": CLASSES[0],
                "extractor": "mean-colour",
                "formats": ("cells",),
            }
            return create(CreateOptions(**(given | changed)), silent)

        def record(self, name):
            return json.loads((self.path / "out" / name / "provenance.json").read_text())

    return World()


def by_hand(world, slide, sex, age):
    """Return the maps of a plain model that has a patient's covariates in its first bias."""
    categorical, continuous = pipelines()
    columns = np.concatenate([
        categorical.transform(np.array([[sex]], dtype=object))[0],
        continuous.transform(np.array([[age]], dtype=object))[0],
    ]).astype(np.float32)  # fmt: skip
    first, *others = world.parts["encoder"]
    plain = torch.nn.Linear(N_FEATURES, first.out_features)
    with torch.no_grad():
        plain.weight.copy_(first.weight[:, :N_FEATURES])
        plain.bias.copy_(first.bias + first.weight[:, N_FEATURES:] @ torch.tensor(columns))
    path = world.path / f"plain-{slide}.pkl"
    write_export(path, parts={**world.parts, "encoder": torch.nn.Sequential(plain, *others)})
    out = world.path / f"plain-{slide}"
    (done,) = world.run(slides=(world.path / f"{slide}.svs",), model_path=path, output_path=out)
    assert done.status == "done"
    return read_values(out / slide / f"{slide}.values.ome.zarr")


def test_each_slide_has_the_maps_of_its_own_patient_and_all_have_one_scaling(world):
    outcomes = world.run("slide,AGE,sex\na.svs,63,male\nb.svs,41.5,female\n")
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    for slide, sex, age in (("a", "male", "63"), ("b", "female", "41.5")):
        maps = read_values(world.path / "out" / slide / f"{slide}.values.ome.zarr")
        expected = by_hand(world, slide, sex, age)
        np.testing.assert_allclose(maps.prediction, expected.prediction, atol=1e-5)
        for kind, values in expected.maps.items():
            np.testing.assert_allclose(maps.maps[kind], values, atol=1e-4, err_msg=str(kind))
    scaling = CohortScaling.load(world.path / "out" / "scaling.json")
    assert scaling.model_digest == read_model(world.path / "export.pkl").digest
    assert world.record("a")["model"]["covariates"] == {
        "SEX": {"value": "male", "imputed": False}, "AGE": {"value": 63.0, "imputed": False},
    }  # fmt: skip
    assert world.record("b")["scaling"] == world.record("a")["scaling"]


def test_a_scaling_fits_other_patients(world):
    world.run("slide,AGE,SEX\na.svs,63,male\n")
    scaling = world.path / "out" / "scaling.json"
    (other,) = world.run("slide,AGE,SEX\nb.svs,20,female\n", scaling=scaling,
                         output_path=world.path / "later")  # fmt: skip
    assert other.status == "done"


def test_missing_covariates_are_imputed_with_a_warning_and_recorded(world, caplog):
    with caplog.at_level(logging.WARNING):
        outcomes = world.run("slide,AGE,SEX\na.svs,,male\nb.svs,41.5,female\n")
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    warnings = [r.message for r in caplog.records if "imputed as in training" in r.message]
    assert len(warnings) == 1
    assert "a.svs" in warnings[0]
    assert "AGE (53.62)" in warnings[0]
    assert world.record("a")["model"]["covariates"]["AGE"] == {
        "value": pytest.approx(np.mean([61, 50, 70.5, 33])), "imputed": True,
    }  # fmt: skip


def test_a_wrong_covariate_fails_its_own_slide(world):
    table = "slide,AGE,SEX\na.svs,63,male\nb.svs,old,male\nc.svs,50,other\n"
    good, old, other = world.run(table)
    assert (good.status, old.status, other.status) == ("done", "failed", "failed")
    assert old.message.startswith("cohort.csv, line 3: ")
    assert "needs a number for the covariate AGE, not 'old'" in old.message
    assert "knows no 'other' of the covariate SEX; give one of: female, male" in other.message


def test_a_wrong_row_fails_its_own_slide(world):
    good, bad, last = world.run("slide,mpp,AGE,SEX\na.svs,,63,male\nb.svs,abc,,\nc.svs,,50,male\n")
    assert (good.status, bad.status, last.status) == ("done", "failed", "done")
    assert "cohort.csv, line 3: mpp is abc" in bad.message


def test_another_value_is_another_result_and_the_others_stay(world):
    table = "slide,AGE,SEX\na.svs,63,male\nb.svs,41.5,female\n"
    world.run(table)
    assert [outcome.status for outcome in world.run(table)] == ["unchanged", "unchanged"]
    same, changed = world.run(table.replace("41.5", "42"))
    assert (same.status, changed.status) == ("unchanged", "failed")
    assert "--overwrite" in changed.message


def test_covariates_of_the_command_line_hold_for_all_slides_and_contradict_none(world):
    table = "slide,AGE,SEX\na.svs,63,\nb.svs,41.5,female\n"
    given, contradicted = world.run(table, covariate=(("SEX", "male"),))
    assert (given.status, contradicted.status) == ("done", "failed")
    assert world.record("a")["model"]["covariates"]["SEX"] == {"value": "male", "imputed": False}
    assert "'female' in the table of --slides and 'male' in --covariate" in contradicted.message
    with pytest.raises(PreflightError, match="has no covariate HEIGHT; it takes only SEX"):
        world.run(table, covariate=(("HEIGHT", "1"),))


def test_names_of_the_table_name_the_results(world):
    (row,) = world.run("slide,name,AGE,SEX\na.svs,patient 1,63,male\n")
    assert row.status == "done"
    assert (world.path / "out" / "patient 1" / "provenance.json").is_file()


def test_a_slide_that_fails_is_named_by_its_line_and_keeps_its_label(world):
    good, bad = world.run("slide,label,AGE,SEX\na.svs,MSIH,63,male\nnone.svs,nonMSIH,41,male\n")
    assert (good.status, bad.status) == ("done", "failed")
    assert bad.message.startswith("cohort.csv, line 3: ")
    run = json.loads((world.path / "out" / "run.json").read_text())
    labels = {slide["slide"]: slide["label"] for slide in run["slides"]}
    assert labels == {"a.svs": "MSIH", "none.svs": "nonMSIH"}
    assert world.record("a")["label"] == "MSIH"
