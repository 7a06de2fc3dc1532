"""Tabular inputs of a model become the columns that its training made of them."""

import numpy as np
import pytest
import torch
from model_files import (
    STAND_INS,
    assert_same,
    load_with_fastai,
    make_parts,
    stub_classes,
    write_export,
)

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models import describe_model, read_model, read_stored
from heatmaps_ome.models.converted import write_converted

ROWS = [["male", "left"], ["female", "right"], ["male", "rectum"], ["male", "left"]]
AGES = [["61", "1.5"], ["50", "2"], ["70.5", "nan"], ["33", "0.25"]]
VALUES = {"SEX": "female", "SIDE": "rectum", "AGE": "61", "CEA": "0.5"}


@pytest.fixture
def pipelines():
    """Fitted as marugoto's mil/helpers.py does."""
    pytest.importorskip("sklearn")
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    categorical = make_pipeline(one_hot, StandardScaler()).fit(np.array(ROWS, dtype=object))
    continuous = make_pipeline(StandardScaler(), SimpleImputer(fill_value=0))
    return categorical, continuous.fit(np.array(AGES, dtype=object))


@pytest.fixture
def strict_pipelines():
    """Fitted like marugoto's, but without any value for missing ones."""
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categorical = make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler())
    continuous = make_pipeline(StandardScaler())
    return (
        categorical.fit(np.array(ROWS, dtype=object)),
        continuous.fit(np.array(AGES, dtype=object)),
    )


@pytest.fixture
def strict(tmp_path, strict_pipelines):
    path = tmp_path / "strict.pkl"
    parts = write_export(
        path,
        parts=make_parts(n_inputs=8 + 5 + 2),
        covariates=strict_pipelines,
        labels=(["SEX", "SIDE"], ["AGE", "CEA"]),
    )
    return path, parts


@pytest.fixture
def multi_input(tmp_path, pipelines):
    path = tmp_path / "export.pkl"
    parts = write_export(
        path,
        parts=make_parts(n_inputs=8 + 5 + 2),
        covariates=pipelines,
        labels=(["SEX", "SIDE"], ["AGE", "CEA"]),
    )
    return path, parts


def test_covariates_become_the_columns_that_scikit_learn_makes(multi_input, pipelines):
    path, parts = multi_input
    model = read_model(path, covariates=VALUES)
    categorical, continuous = pipelines
    expected = np.concatenate(
        [
            categorical.transform(np.array([["female", "rectum"]], dtype=object))[0],
            continuous.transform(np.array([["61", "0.5"]], dtype=object))[0],
        ]
    )
    np.testing.assert_allclose(model.covariate_columns, expected, rtol=1e-6)
    assert model.n_features == 8
    assert_same(model, parts, model.covariate_columns)


def test_covariates_follow_the_formula(multi_input):
    model = read_model(multi_input[0], covariates=VALUES)
    share = 3 / 4  # of men
    deviation = (share * (1 - share)) ** 0.5
    ages = np.array([61, 50, 70.5, 33])
    expected = ((1 - (1 - share)) / deviation, (0 - share) / deviation)
    np.testing.assert_allclose(model.covariate_columns[:2], expected, rtol=1e-6)
    np.testing.assert_allclose(
        model.covariate_columns[5], (61 - ages.mean()) / ages.std(), rtol=1e-6
    )


@pytest.mark.parametrize("fixture", ["multi_input", "strict"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**VALUES, "HEIGHT": "1"}, r"has no covariate HEIGHT; it takes only SEX"),
        ({**VALUES, "SEX": "other"}, r"knows no 'other' of the covariate SEX; .*female, male"),
        ({**VALUES, "AGE": "old"}, r"needs a number for the covariate AGE, not 'old'"),
        ({**VALUES, "AGE": "inf"}, "needs a number"),
        ({**VALUES, "AGE": "1e999"}, "needs a number"),
    ],
)
def test_other_covariates_are_refused(request, fixture, values, message):
    path, _parts = request.getfixturevalue(fixture)
    with pytest.raises(ModelError, match=rf"\.pkl {message}"):
        read_model(path, covariates=values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"needs the covariates SEX \(female, male\), SIDE .*AGE \(a number\).*--covariate"),
        ({**VALUES, "AGE": None}, r"needs the covariates AGE \(a number\); give"),
        ({**VALUES, "AGE": "nan"}, r"needs the covariates AGE \(a number\); give"),
        ({**VALUES, "SEX": ""}, r"needs the covariates SEX \(female, male\); give.*--slides"),
    ],
)
def test_missing_covariates_are_refused_if_training_imputed_none(strict, values, message):
    given = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(ModelError, match=rf"strict\.pkl {message}"):
        read_model(strict[0], covariates=given)


def test_values_may_be_given_later_and_must_be_given_before_the_model_is_used(multi_input):
    model = read_model(multi_input[0])
    with pytest.raises(ModelError, match=r"needs values of SEX \(female, male\).*with_covariates"):
        model.embed(torch.zeros(1, model.n_features))
    later = model.with_covariates(VALUES)
    assert (
        later.covariate_columns == read_model(multi_input[0], covariates=VALUES).covariate_columns
    )
    with pytest.raises(ModelError, match="the model knows no 'other'"):
        model.with_covariates({**VALUES, "SEX": "other"})


def test_covariates_for_a_model_without_any_are_refused(tmp_path):
    write_export(tmp_path / "export.pkl")
    with pytest.raises(ModelError, match="has no covariate AGE; it takes none"):
        read_model(tmp_path / "export.pkl", covariates={"AGE": "61"})


def test_numbers_alone_are_named_by_their_own_labels(tmp_path, pipelines):
    path = tmp_path / "export.pkl"
    write_export(
        path,
        parts=make_parts(n_inputs=10),
        covariates=pipelines[1:],
        labels=([], ["AGE", "CEA"]),
    )
    assert [each.name for each in describe_model(path).covariates] == ["AGE", "CEA"]


def test_covariates_survive_conversion(tmp_path, multi_input):
    path, parts = multi_input
    target = tmp_path / "model.safetensors"
    write_converted(read_stored(path), target)
    one, other = (read_model(file, covariates=VALUES) for file in (path, target))
    assert one.digest == other.digest
    assert one.covariate_columns == other.covariate_columns
    older = read_model(path, covariates={**VALUES, "AGE": "62"})
    assert one.digest == older.digest == read_model(path).digest
    assert one.cache_digest == other.cache_digest != older.cache_digest
    assert_same(other, parts, other.covariate_columns)
    assert describe_model(target).covariates == describe_model(path).covariates


@pytest.mark.slow
def test_fastai_and_the_safe_reader_agree_on_covariates(multi_input):
    path, parts = multi_input
    load_with_fastai(path)
    from heatmaps_ome.models.fastai_export import read_with_fastai

    with stub_classes(*STAND_INS):
        model = read_with_fastai(path).with_covariates(VALUES)
    assert model.covariates == describe_model(path).covariates
    assert model.digest == read_model(path, covariates=VALUES).digest
    assert_same(model, parts, model.covariate_columns)
