"""Sets of models of any family: alike in target and features, and recorded as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoint_files import clam, dsmil, marugoto, tensors, weights, xmil

import heatmaps_ome
from heatmaps_ome.errors import ModelError, OptionError
from heatmaps_ome.models import read_model
from heatmaps_ome.models.model_facts import ModelFacts
from heatmaps_ome.models.model_set import ModelSet

NAMES = ModelFacts(class_names=("a", "b", "c"))


def model(path, sample, facts=None, **more):
    torch.save(tensors({**sample.state, **more}), path)
    return path, read_model(path, facts or ModelFacts(**sample.facts))


def test_folds_of_a_network_are_a_set(tmp_path):
    sample = clam(n_features=30, n_classes=3, multi=True)
    other = weights(99, ("classifiers.0", 48, 1))
    folds = ModelSet.of(
        [
            model(tmp_path / "0.pt", sample, NAMES),
            model(tmp_path / "1.pt", sample, NAMES, **other),
            model(tmp_path / "2.pt", sample, NAMES),
        ]
    )
    assert len(folds.models) == 2  # the third is the first
    assert folds.classes == ("a", "b", "c")
    assert folds.is_additive
    assert folds.cache_digests == folds.digests
    assert folds.covariates == ()
    assert folds.for_slide({"AGE": "60"}).models == folds.models
    record = folds.record()
    assert record["family"] == "CLAM multi-branch"
    assert "target" not in record  # classes with names
    assert [member["digest"] for member in record["members"]] == folds.digests


def test_models_of_two_families_can_be_averaged(tmp_path):
    """The target counts, not the way to it."""
    both = ModelSet.of(
        [
            model(tmp_path / "clam.pt", clam(n_features=13, n_classes=3), NAMES),
            model(tmp_path / "xmil.pt", xmil(13, 3, 1, "classifier", n_out=1), NAMES),
        ]
    )
    assert not both.is_additive


def test_a_network_takes_no_covariates(tmp_path):
    folds = ModelSet.of([model(tmp_path / "0.pt", dsmil(15, 2))])
    with pytest.raises(ModelError, match="it takes none"):
        folds.require_covariates(["AGE"])


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (marugoto(12, 1, task="survival"), marugoto(12, 1, "head.1", task="regression"),
         "the task regression here, survival there"),
        (clam(n_features=12, n_classes=3), dsmil(12, 3), "the task multilabel here"),
        (clam(n_features=12, n_classes=3), clam(n_features=13, n_classes=3),
         "features per tile 13 here, 12 there"),
        (marugoto(12, 1, "head.3", task="regression", family="marugoto"),
         marugoto(12, 1, "head.1", task="regression"), "predictions by sigmoid here, identity"),
    ],
)  # fmt: skip
def test_models_of_other_targets_cannot_be_averaged(tmp_path, one, other, message):
    pair = [model(tmp_path / "0.pt", one), model(tmp_path / "1.pt", other)]
    with pytest.raises(OptionError, match=message):
        ModelSet.of(pair)


def test_unnamed_classes_are_not_others_names(tmp_path):
    sample = clam(n_features=12, n_classes=3)
    pair = [model(tmp_path / "0.pt", sample), model(tmp_path / "1.pt", sample, NAMES)]
    with pytest.raises(OptionError, match="the classes a, b, c here, 0, 1, 2 there"):
        ModelSet.of(pair)


def test_values_and_numbers_are_recorded(tmp_path):
    path, risk = model(tmp_path / "0.pt", marugoto(12, 1, task="survival"))
    record = ModelSet.of([(path, risk)]).record()
    assert record["target"]["task"] == "survival"
    assert record["classes"] == ["risk"]
    numbered = ModelSet.of([model(tmp_path / "1.pt", clam(n_features=12, n_classes=2))])
    assert numbered.record()["target"]["numbered"]


def test_records_of_exports_are_as_they_always_were():
    path = Path(heatmaps_ome.__file__).parent / "demo" / "data" / "demo-export.pkl"
    assert ModelSet.of([(path, read_model(path))]).record() == {
        "digest": "e4ad97a9bce17eafdaa2206198a0e05159465d32dd2e4e3dc91c196e298a19a5",
        "classes": ["normal", "tumour"],
        "target_label": None,
        "features": 96,
    }


def test_checkpoints_are_described_without_torch(tmp_path):
    torch.save(tensors(clam(n_features=12, n_classes=2).state), tmp_path / "a.pt")
    torch.save(tensors(dsmil(12, 2).state), tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    code = (
        "import sys\nfrom heatmaps_ome.models import describe_model\n"
        "print([describe_model(path).kind for path in sys.argv[1:]])\n"
        "assert 'torch' not in sys.modules"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.pt"), str(tmp_path / "b.pt")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "['CLAM single-branch', 'DSMIL']\n", done.stderr
