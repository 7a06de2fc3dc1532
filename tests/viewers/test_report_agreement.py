"""Predictions of a cohort against the ground truth of the table of slides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, pearsonr

from heatmaps_ome.viewers.report.agreement import agreement, auroc, is_right

CLASSES = ("MSIH", "nonMSIH")


def row(label, share, classes=CLASSES):
    prediction = dict(zip(classes, (share, 1 - share), strict=True))
    predicted = max(prediction, key=prediction.__getitem__)
    return {
        "label": label, "prediction": prediction, "predicted": predicted, "task": "classification",
    }  # fmt: skip


SHARES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=20)


@given(SHARES, SHARES)
def test_the_area_is_the_rank_statistic_with_ties(positives, negatives):
    expected = mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert auroc(np.array(positives), np.array(negatives)) == pytest.approx(expected)


def test_two_classes_are_compared_with_the_labels():
    rows = [
        row("MSIH", 0.9), row("MSIH", 0.4), row("nonMSIH", 0.6), row("nonMSIH", 0.1),
        row("nonMSIH", 0.2), row(None, 0.99),
    ]  # fmt: skip
    found = agreement(rows, CLASSES)
    assert found["n"] == 5
    assert found["right"] == 3
    assert found["confusion"] == [[1, 1], [1, 2]]
    first, second = found["classes"]
    assert (first["positives"], first["negatives"]) == (2, 3)
    assert first["auroc"] == second["auroc"] == pytest.approx(5 / 6)


def test_labels_that_no_class_has_are_counted_apart():
    rows = [row("MSIH", 0.9), row("unknown", 0.9), row("unknown", 0.2), row("MSI-H", 0.9)]
    found = agreement(rows, CLASSES)
    assert found["n"] == 1
    assert found["others"] == {"MSI-H": 1, "unknown": 2}
    assert [entry["auroc"] for entry in found["classes"]] == [None, None]
    assert [is_right(each, CLASSES) for each in rows] == [True, None, None, None]


def test_a_slide_without_a_prediction_is_counted_and_not_wrong():
    failed = {"label": "MSIH", "status": "failed"}
    unknown = {**row("MSIH", 0.5), "prediction": dict.fromkeys(CLASSES), "predicted": None}
    found = agreement([failed, unknown, row("MSIH", 0.2)], CLASSES)
    assert found["unpredicted"] == 2
    assert found["n"] == 1
    assert is_right(failed, CLASSES) is None
    assert is_right(row("MSIH", 0.2), CLASSES) is False


def test_a_single_output_counts_every_other_label_as_no():
    rows = [
        {"label": label, "prediction": {"tumour": share}, "predicted": None,
         "task": "classification"}
        for label, share in (("tumour", 0.7), ("normal", 0.2), ("fat", 0.8))
    ]  # fmt: skip
    found = agreement(rows, ("tumour",))
    assert found["classes"][0]["auroc"] == 0.5
    assert found["others"] == {"fat": 1, "normal": 1}
    assert found["confusion"] is None


def test_values_are_correlated_with_labels_that_are_numbers():
    values, truth = np.array([1.0, 2.5, 2.0, 4.0]), ["1.5", "2", "3", "3.5"]
    rows = [
        {"label": label, "prediction": {"age": value}, "predicted": None, "task": "regression"}
        for label, value in zip([*truth, "n/a", "inf"], [*values, 1.0, 1.0], strict=True)
    ]
    found = agreement(rows, ("age",))
    numbers = np.array(truth, float)
    assert found["values"]["r"] == pytest.approx(pearsonr(values, numbers)[0])
    assert found["values"]["mae"] == pytest.approx(np.abs(values - numbers).mean())
    assert (found["n"], found["others"]) == (4, {"inf": 1, "n/a": 1})


@pytest.mark.parametrize("task", ["survival", "multilabel", "none"])
def test_nothing_is_made_up_where_a_label_does_not_compare(task):
    found = agreement([{**row("MSIH", 0.9), "task": task}], CLASSES)
    assert set(found) == {"unpredicted", "left_out"}


def test_a_cohort_without_labels_has_no_comparison():
    assert agreement([row(None, 0.9)], CLASSES) is None
    assert "no slide" in agreement([{"label": "MSIH"}], CLASSES)["left_out"]
