"""Each slide has the covariates of its own patient, and missing ones are those of the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_files import make_parts, random_features, slide_logits, write_export

from heatmaps_ome.cli.info import describe
from heatmaps_ome.errors import ModelError
from heatmaps_ome.models import describe_model, read_model, read_stored
from heatmaps_ome.models.converted import write_converted
from heatmaps_ome.models.covariates import Covariate
from heatmaps_ome.models.model_set import ModelSet
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored import StoredModel

pytest.importorskip("sklearn")
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NAN = float("nan")
COLUMNS = (["SIDE", "ORGAN"], ["AGE", "CEA"])
FOLDS = {
    # Missing sides were seen in training, missing organs were not.
    0: ([["left", "colon"], ["right", "rectum"], [NAN, "rectum"], ["left", "colon"]],
        [["61", "1.5"], ["50", "2"], ["70.5", "nan"], ["33", "0.25"]]),
    1: ([["left", "colon"], ["right", "rectum"], ["left", "caecum"], ["right", NAN]],
        [["40", "3"], ["nan", "2.5"], ["80", "0.5"], ["75", "9"]]),
}  # fmt: skip
PATIENTS = (
    {"SIDE": "left", "ORGAN": "colon", "AGE": "63", "CEA": "1.25"},
    {"SIDE": "right", "ORGAN": "rectum", "AGE": "41.5", "CEA": ""},
    {"SIDE": "nan", "ORGAN": "NA", "AGE": "nan", "CEA": "2"},
    {"AGE": "5e1"},
    {},
)
TOLERANCE = 1e-6


def fitted(fold):
    """Return the pipelines of a fold, fitted as marugoto's mil/helpers.py does."""
    categories, numbers = FOLDS[fold]
    one_hot = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    imputer = SimpleImputer(fill_value=0)
    return (
        make_pipeline(one_hot, StandardScaler()).fit(np.array(categories, dtype=object)),
        make_pipeline(StandardScaler(), imputer).fit(np.array(numbers, dtype=object)),
    )


def by_scikit_learn(pipelines, patient):
    """Return the columns that the training itself would make of a patient."""
    categorical, continuous = pipelines
    rows = [[patient.get(name) for name in names] for names in COLUMNS]
    rows = [[NAN if value in (None, "", "nan", "NA") else value for value in row] for row in rows]
    return np.concatenate(
        [
            categorical.transform(np.array([rows[0]], dtype=object))[0],
            continuous.transform(np.array([rows[1]], dtype=object))[0],
        ]
    ).astype(np.float32)


def write_fold(folder, fold, pipelines=None):
    pipelines = pipelines or fitted(fold)
    n_columns = len(by_scikit_learn(pipelines, {}))
    path = folder / f"fold-{fold}.pkl"
    parts = write_export(
        path, parts=make_parts(n_inputs=8 + n_columns, seed=fold), covariates=pipelines,
        labels=COLUMNS,
    )  # fmt: skip
    return path, parts, pipelines


@pytest.fixture
def folds(tmp_path):
    return [write_fold(tmp_path, fold) for fold in FOLDS]


def model_set(folds):
    return ModelSet.of([(path, read_model(path)) for path, _parts, _pipelines in folds])


def logits_of(model):
    features = random_features(model)
    with torch.no_grad():
        embeddings = model.embed(features)
        weights = model.attention_logits(embeddings).softmax(0)[:, None]
        return model.class_logits((weights * embeddings).sum(0, keepdim=True))[0]


@pytest.mark.parametrize("patient", PATIENTS, ids=str)
def test_each_model_predicts_for_a_patient_what_its_training_would(folds, patient):
    models = model_set(folds).for_slide(patient)
    for model, (_path, parts, pipelines) in zip(models.models, folds, strict=True):
        columns = by_scikit_learn(pipelines, patient)
        np.testing.assert_allclose(model.covariate_columns, columns, atol=TOLERANCE)
        features = random_features(model)
        inputs = torch.cat([features, torch.tensor(columns).expand(len(features), -1)], dim=1)
        with torch.no_grad():
            expected = slide_logits(parts, inputs)
        torch.testing.assert_close(logits_of(model), expected, atol=1e-5, rtol=1e-5)


def test_patients_differ_in_the_cache_and_not_in_the_models_identity(folds):
    models = model_set(folds)
    slides = [models.for_slide(patient) for patient in PATIENTS]
    assert {bound.digest for bound in slides} == {models.digest}
    assert len({bound.first.cache_digest for bound in slides}) == len(PATIENTS)
    assert models.first.cache_digest == models.first.digest
    again = models.for_slide({**PATIENTS[0], "AGE": "63.0"})
    assert again.first.cache_digest == slides[0].first.cache_digest
    assert again.covariates_used == slides[0].covariates_used


def test_the_values_used_are_recorded_with_what_was_imputed(folds):
    used = model_set(folds).for_slide({"ORGAN": "colon", "CEA": "2"}).covariates_used
    assert used["ORGAN"] == {"value": "colon", "imputed": False}
    assert used["CEA"] == {"value": 2.0, "imputed": False}
    # The first fold saw missing sides, the second ignores them; each has a mean age of its own.
    assert used["SIDE"] == {"value": ["nan", ""], "imputed": True}
    assert used["AGE"]["imputed"] is True
    ages = [np.mean([61, 50, 70.5, 33]), np.mean([40, 80, 75])]
    np.testing.assert_allclose(used["AGE"]["value"], ages, rtol=1e-12)


def test_one_sentence_names_all_imputed_covariates(folds):
    models = model_set(folds)
    assert models.for_slide(PATIENTS[0]).imputation == ""
    assert models.for_slide({**PATIENTS[0], "AGE": "", "SIDE": ""}).imputation == (
        "covariates are missing and imputed as in training, which can change the prediction much: "
        "SIDE (nan), AGE (53.62)"
    )


def test_models_without_covariates_need_and_record_none(tmp_path):
    write_export(tmp_path / "plain.pkl")
    models = ModelSet.of([(tmp_path / "plain.pkl", read_model(tmp_path / "plain.pkl"))])
    bound = models.for_slide({"AGE": "63", "anything": "x"})
    assert bound.covariates_used == {}
    assert "covariates" not in bound.record()
    assert bound.first.cache_digest == models.first.digest


def test_columns_are_found_by_their_name_or_its_only_other_case(folds):
    models = model_set(folds)
    used = models.for_slide({"age": "50", "Side": "left", "Note": "a lab's own"}).covariates_used
    assert used["AGE"] == {"value": 50.0, "imputed": False}
    assert used["SIDE"] == {"value": "left", "imputed": False}
    exact = models.for_slide({"Age": "50", "AGE": "60"}).covariates_used
    assert exact["AGE"] == {"value": 60.0, "imputed": False}
    with pytest.raises(ModelError, match="columns age and Age could both be the covariate AGE"):
        models.for_slide({"age": "50", "Age": "60"})


def test_values_for_all_slides_fill_gaps_and_must_not_contradict(folds):
    models = model_set(folds)
    used = models.for_slide({"CEA": "2", "AGE": ""}, {"age": "50", "CEA": "2.0"}).covariates_used
    assert used["AGE"] == {"value": 50.0, "imputed": False}
    assert used["CEA"] == {"value": 2.0, "imputed": False}
    with pytest.raises(ModelError, match=r"AGE is '61' in the table .* and '50' in --covariate"):
        models.for_slide({"AGE": "61"}, {"AGE": "50"})


def test_a_covariate_of_the_command_line_that_no_model_takes_is_refused(folds):
    models = model_set(folds)
    models.require_covariates(["AGE", "side"])
    with pytest.raises(ModelError, match=r"fold-0\.pkl has no covariate HEIGHT; it takes only"):
        models.require_covariates(["AGE", "HEIGHT"])
    with pytest.raises(ModelError, match="takes the covariate AGE once; give it in one spelling"):
        models.require_covariates(["AGE", "age"])


def test_a_category_that_only_some_folds_saw_is_none_of_those_of_the_others(folds):
    models = model_set(folds)
    patient = {**PATIENTS[0], "ORGAN": "caecum"}
    for model, (_path, _parts, pipelines) in zip(
        models.for_slide(patient).models, folds, strict=True
    ):
        np.testing.assert_allclose(
            model.covariate_columns, by_scikit_learn(pipelines, patient), atol=TOLERANCE
        )
    with pytest.raises(ModelError, match=r"knows no 'caecum' of the covariate ORGAN"):
        model_set(folds[:1]).for_slide(patient)
    with pytest.raises(ModelError, match=r"fold-0\.pkl knows no 'lung'"):
        models.for_slide({**PATIENTS[0], "ORGAN": "lung"})


IMPUTERS = {
    "after the scaler": lambda: (StandardScaler(), SimpleImputer(strategy="median")),
    "before the scaler": lambda: (SimpleImputer(strategy="median"), StandardScaler()),
    "a constant": lambda: (SimpleImputer(strategy="constant", fill_value=7), StandardScaler()),
}


@pytest.mark.parametrize(
    ("steps", "value"), [("after the scaler", 55.5), ("before the scaler", 55.5), ("a constant", 7)]
)
def test_missing_numbers_are_those_of_the_trainings_own_imputer(tmp_path, steps, value):
    numbers = np.array(FOLDS[0][1], dtype=float)
    pipelines = (fitted(0)[0], make_pipeline(*IMPUTERS[steps]()).fit(numbers))
    path, _parts, _ = write_fold(tmp_path, 0, pipelines)
    model = read_model(path, covariates={})
    np.testing.assert_allclose(
        model.covariate_columns, by_scikit_learn(pipelines, {}), atol=TOLERANCE
    )
    ages = [given.value for given in model.covariate_values if given.name == "AGE"]
    np.testing.assert_allclose(ages, [value])


@pytest.mark.parametrize("other", [{"add_indicator": True}, {"missing_values": -1.0}], ids=str)
def test_other_ways_to_impute_are_refused(tmp_path, other):
    numbers = np.array([[61, 1], [50, 2], [33, 3]], dtype=float)
    steps = make_pipeline(StandardScaler(), SimpleImputer(**other))
    path = tmp_path / "export.pkl"
    write_export(path, parts=make_parts(n_inputs=10), covariates=(steps.fit(numbers),),
                 labels=([], ["AGE", "CEA"]))  # fmt: skip
    with pytest.raises(ModelError, match="imputed in a way that is not known"):
        read_stored(path)


@pytest.mark.parametrize(
    ("step", "attribute", "value"),
    [
        (1, "statistics_", [10**400]), (1, "statistics_", [NAN]), (1, "statistics_", ["x"]),
        (1, "statistics_", None), (1, "missing_values", [1]), (0, "mean_", [10**400]),
        (0, "scale_", [-(10**400)]),
    ],
    ids=str,
)  # fmt: skip
def test_impossible_encoders_are_refused(tmp_path, step, attribute, value):
    steps = make_pipeline(StandardScaler(), SimpleImputer()).fit(np.array([[1.0], [2.0]]))
    setattr(steps.steps[step][1], attribute, value)
    path = tmp_path / "export.pkl"
    write_export(path, parts=make_parts(n_inputs=9), covariates=(steps,), labels=([], ["AGE"]))
    with pytest.raises(ModelError, match=r"export\.pkl (has covariates|stores an array)"):
        read_stored(path)


def test_a_scaler_that_does_not_centre_is_followed(tmp_path):
    numbers = np.array(FOLDS[0][1], dtype=float)
    pipelines = (
        fitted(0)[0],
        make_pipeline(StandardScaler(with_mean=False), SimpleImputer()).fit(numbers),
    )
    path, _parts, _ = write_fold(tmp_path, 0, pipelines)
    for patient in PATIENTS:
        np.testing.assert_allclose(
            read_model(path, covariates=patient).covariate_columns,
            by_scikit_learn(pipelines, patient), atol=TOLERANCE,
        )  # fmt: skip


def test_a_conversion_imputes_like_the_original(tmp_path, folds):
    path, _parts, _pipelines = folds[0]
    target = tmp_path / "model.safetensors"
    write_converted(read_stored(path), target)
    assert read_model(target).digest == read_model(path).digest
    for patient in PATIENTS:
        one, other = (read_model(file, covariates=patient) for file in (path, target))
        assert one.covariate_columns == other.covariate_columns
        assert one.covariate_values == other.covariate_values


def test_conversions_of_earlier_versions_are_read_and_impute_nothing(tmp_path, folds):
    stored = read_stored(folds[0][0])
    plain = [replace(each, imputed=None, takes_unseen=False) for each in stored.covariates]
    # Version 1 had neither field, and its digest came from the other four.
    assert set(plain[0].specification()) == {"name", "categories", "means", "scales"}
    parts = {part: getattr(stored, part) for part in ("encoder", "attention", "head")}
    older = StoredModel(**parts, classes=stored.classes, target_label=stored.target_label,
                        covariates=tuple(plain))  # fmt: skip
    target = tmp_path / "older.safetensors"
    write_converted(older, target)
    assert b'\\"format_version\\": 1,' in target.read_bytes()
    model = read_model(target)
    assert model.digest == older.digest
    full = {**PATIENTS[0]}
    assert (
        model.with_covariates(full).covariate_columns
        == read_model(folds[0][0], covariates=full).covariate_columns
    )
    with pytest.raises(ModelError, match=r"needs the covariates AGE \(a number\)"):
        model.with_covariates({**full, "AGE": ""})


@pytest.mark.parametrize("scaling", [((10**400,), (1.0,)), ((0.0,), (-(10**400),)), ((NAN,), (1,))])
def test_a_scaling_that_is_not_finite_is_refused(scaling):
    with pytest.raises(Unusable, match="not made of finite numbers"):
        Covariate("AGE", None, *scaling)


def test_a_value_without_a_finite_input_is_refused():
    covariate = Covariate("AGE", None, (0.0,), (1e-300,))
    assert covariate.columns(0.0) == (0.0,)
    with pytest.raises(Unusable, match=r"no finite input for 63\.0 of the covariate AGE"):
        covariate.columns(63.0)


@pytest.mark.parametrize("value", [NAN, "62", True, [1], 10**400])
def test_a_stand_in_that_is_no_number_is_refused(value):
    with pytest.raises(Unusable, match="impossible stand-in"):
        Covariate("AGE", None, (1.0,), (1.0,), imputed=value)


@pytest.mark.parametrize("value", ["other", 3, ["left"]])
def test_a_stand_in_that_is_no_category_is_refused(value):
    with pytest.raises(Unusable, match="impossible stand-in"):
        Covariate("SIDE", ("left", "right"), (0.0, 0.0), (1.0, 1.0), imputed=value)


def test_info_states_allowed_values_and_the_stand_ins_of_missing_ones(folds):
    text = describe(folds[0][0])
    assert "--covariate SIDE   left, right; if missing, the category nan, as in training" in text
    assert "--covariate ORGAN  colon, rectum; if missing, none of its values, as in train" in text
    assert "--covariate AGE    a number; if missing, 53.62, as in training" in text
    strict = Covariate("AGE", None, (1.0,), (1.0,))
    assert strict.if_missing == "must be given"


def test_names_that_historic_exports_ask_for_are_known(tmp_path):
    from model_files import altered_copy

    write_export(tmp_path / "export.pkl")
    for name in ("marugoto.mil.data\n_splatter_concat", "pathlib._local\nPosixPath"):
        altered_copy(
            tmp_path / "export.pkl", tmp_path / "other.pkl",
            lambda pickle, name=name: pickle[:2] + f"c{name}\n0".encode() + pickle[2:],
        )  # fmt: skip
        assert describe_model(tmp_path / "other.pkl").suspicious_globals == ()
    altered_copy(
        tmp_path / "export.pkl", tmp_path / "other.pkl",
        lambda pickle: pickle[:2] + b"cos\nsystem\n0" + pickle[2:],
    )  # fmt: skip
    assert describe_model(tmp_path / "other.pkl").suspicious_globals == ("os.system",)
