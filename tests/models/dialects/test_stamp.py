"""STAMP's checkpoints: those of the original code, refusals, and the privacy of patients."""

from __future__ import annotations

import itertools
from dataclasses import replace

import network_files as files
import numpy as np
import pytest
import torch

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models.checkpoint import read_checkpoint
from heatmaps_ome.models.dialects import millab_transformers, stamp, stamp_v1
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.refusals import Unusable

ORIGINALS = (
    ("stamp-2.3.0-vit-3class.ckpt", None),
    ("stamp-2.5.0-barspoon-multitarget.ckpt", "grade"),
    ("stamp-2.5.0-barspoon-multitarget.ckpt", "bright"),
    ("stamp-2.5.0-linear-2class.ckpt", None),
    ("stamp-2.5.0-mlp-2class.ckpt", None),
    ("stamp-2.5.0-trans_mil-3class.ckpt", None),
    ("stamp-2.5.0-vit-3class.ckpt", None),
    ("stamp-2.5.0-vit-alibi-2class.ckpt", None),
    ("stamp-2.5.0-vit-regression.ckpt", None),
    ("stamp-2.5.0-vit-survival.ckpt", None),
)
MIL_LAB = ("transformer", "transmil")
N_DROPPED = 8
needs_originals = pytest.mark.skipif(
    not files.ZOO.is_dir(), reason="the originals' models are not here"
)


def zoo_bag(name: str, dataset: str, places: str):
    h5py = pytest.importorskip("h5py")
    with h5py.File(files.ZOO / "features" / name) as file:
        return (
            torch.from_numpy(file[dataset][:].astype("f4")),
            torch.from_numpy(file[places][:].astype("f4")),
        )


def without_each(features, um_places, n_tiles):
    others = [[j for j in range(len(features)) if j != i] for i in range(n_tiles)]
    return [(features[indices], um_places[indices]) for indices in others]


def assert_close(values, expected):
    error = np.abs(np.asarray(values) - expected).max() / np.abs(expected).max()
    assert error <= 1e-5


@needs_originals
@pytest.mark.parametrize(("name", "head"), ORIGINALS)
def test_models_of_stamp_give_its_own_numbers(name, head):
    version = name.split("-")[1]
    features, um_places = zoo_bag(
        f"stamp-{version}-CMU-1-Small-Region-56um_112px.h5", "feats", "coords"
    )
    model = files.model_of(files.ZOO / "models" / name, stamp, replace(NO_FACTS, head=head))
    oracle = np.load(files.ZOO / "oracles" / name.replace(".ckpt", ".npz"))
    ending = "" if head is None else f"_{head}"
    assert_close(model.logits(features, um_places), oracle[f"logits{ending}"])
    assert_close(model.tile_logits(features, um_places), oracle[f"tile_logits{ending}"])
    dropped = oracle[f"drop_one_logits{ending}"][:N_DROPPED]
    bags = without_each(features, um_places, len(dropped))
    assert_close(torch.stack([model.logits(*bag) for bag in bags]), dropped)


@needs_originals
@pytest.mark.parametrize("name", MIL_LAB)
def test_models_of_mil_lab_give_its_own_numbers(name):
    features, um_places = zoo_bag(
        "clam-CMU-1-Small-Region-224px-step224-features.h5", "features", "coords"
    )
    path = files.ZOO / "models" / f"millab-{name}-3class-pytorch_model.bin"
    model = files.model_of(path, millab_transformers)
    oracle = np.load(files.ZOO / "oracles" / f"millab-{name}.npz")
    assert_close(model.logits(features, um_places), oracle["logits"])
    assert_close(model.tile_logits(features, um_places), oracle["tile_logits"])
    bags = without_each(features, um_places, N_DROPPED)
    dropped = oracle["drop_one_logits"][:N_DROPPED]
    assert_close(torch.stack([model.logits(*bag) for bag in bags]), dropped)
    attention = oracle["attention"][0]
    # The class token's row without itself; or a square of tiles, the last of them repeated.
    expected = attention[0, 1:] if attention.ndim == 2 else attention[: len(features)]
    assert_close(model.attention(features, um_places), expected)


@needs_originals
def test_a_risk_has_the_median_of_its_training():
    model = files.model_of(files.ZOO / "models" / "stamp-2.5.0-vit-survival.ckpt", stamp)
    assert model.target.task == "survival"
    assert model.target.middle == pytest.approx(0.9478805661201477)


def write(tmp_path, state=None, **changes):
    return files.write_lightning(
        tmp_path / "a.ckpt", files.stamp_vit() if state is None else state, **changes
    )


def read(path, facts=NO_FACTS):
    return stamp.read(read_checkpoint(path), facts)


@pytest.mark.parametrize("prefix", ["model.", "vision_transformer.", ""])
def test_each_prefix_of_stamp_is_known(tmp_path, prefix):
    path = files.write_lightning(tmp_path / "a.ckpt", files.stamp_vit(), prefix)
    stored = read(path)
    assert stored.target.outputs == ("high", "low", "mid", "none")
    assert stored.target.label == "grade"
    assert stored.digest == read(write(tmp_path)).digest


def test_a_plain_state_dict_needs_the_number_of_heads(tmp_path):
    path = files.write_plain(tmp_path / "a.pth", files.stamp_vit(), "model.")
    with pytest.raises(Unusable, match=r"lacks the number of its attention heads.*--heads"):
        read(path)
    stored = read(path, replace(NO_FACTS, heads=3, class_names=("a", "b", "c", "d")))
    assert stored.arguments == read(write(tmp_path)).arguments
    assert stored.target.outputs == ("a", "b", "c", "d")
    assert read(path, replace(NO_FACTS, heads=3)).target.numbered


@pytest.mark.parametrize("heads", [5, 24])
def test_heads_that_do_not_divide_a_token_are_refused(tmp_path, heads):
    path = files.write_plain(tmp_path / "a.pth", files.stamp_vit())
    with pytest.raises(Unusable, match=f"12 numbers, which {heads} attention heads"):
        read(path, replace(NO_FACTS, heads=heads))


def test_alibi_tells_its_heads_by_its_keys(tmp_path):
    path = files.write_plain(tmp_path / "a.pth", files.stamp_alibi())
    assert read(path).arguments["n_heads"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"supported_features": "slide"}, "STAMP model of slide features"),
        ({"supported_features": "patient"}, "STAMP model of patient features"),
        ({"n_heads": 5}, "which 5 attention heads cannot divide"),
        ({"categories": ["a", "b"]}, "has 4 outputs, and 2 names"),
    ],
)
def test_hyper_parameters_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(Unusable, match=message):
        read(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"task": "survival"}, "is a model of classification, and --task is survival"),
        ({"head": "stage"}, "has a single target, and --head is stage"),
        ({"heads": 4}, "has 3 attention heads, and --heads is 4"),
        ({"class_names": ("low", "high", "mid", "none")}, "names its outputs itself, high, low"),
    ],
)
def test_facts_against_the_file_are_refused(tmp_path, facts, message):
    with pytest.raises(Unusable, match=message):
        read(write(tmp_path), replace(NO_FACTS, **facts))


def test_an_mlp_of_stamp_2_3_is_one_of_patients(tmp_path):
    drawing = files.Drawing()
    drawing.linear("mlp.0", 6, 5)
    drawing.linear("mlp.3", 5, 2)
    changes = {"categories": ["no", "yes"], "stamp_version": "2.3.0"}
    with pytest.raises(Unusable, match="STAMP model of patient features"):
        read(write(tmp_path, drawing.state, **changes))
    later = read(write(tmp_path, drawing.state, **{**changes, "stamp_version": "2.4.0"}))
    assert later.architecture == "stamp-mlp"


def test_one_output_without_a_record_of_its_meaning_needs_a_task(tmp_path):
    state = files.stamp_vit(n_outputs=1)
    path = files.write_plain(tmp_path / "a.pth", state)
    with pytest.raises(Unusable, match="--task classification, regression or survival"):
        read(path, replace(NO_FACTS, heads=3))
    stored = read(path, replace(NO_FACTS, heads=3, task="regression"))
    assert stored.target.link == "identity"


def test_layers_that_stamp_does_not_have_are_refused(tmp_path):
    state = {**files.stamp_vit(), "pos_embedding": np.ones((1, 5, 12), "f4")}
    with pytest.raises(Unusable, match=r"tensors that .* \(pos_embedding\)"):
        read(write(tmp_path, state))


def test_a_file_without_a_layer_is_refused(tmp_path):
    state = {
        key: value
        for key, value in files.stamp_vit().items()
        if not key.startswith("transformer.layers.1.")
    }
    with pytest.raises(Unusable, match="lacks a layer"):
        read(write(tmp_path, state))


def test_every_missing_tensor_is_refused(tmp_path):
    states = (files.stamp_vit(n_layers=1), files.stamp_alibi(n_layers=1), files.stamp_trans_mil())
    for state in states:
        for key in state:
            path = write(tmp_path, {k: v for k, v in state.items() if k != key},
                         categories=list("abcd")[: 4 if state is states[0] else 2])  # fmt: skip
            checkpoint = read_checkpoint(path)
            if stamp.recognises(checkpoint) and not key.endswith("items_so_far"):
                with pytest.raises((Unusable, ModelError)):
                    files.model_of(path, stamp)


def test_the_dialects_do_not_take_one_anothers_files(tmp_path):
    states = {
        stamp: (files.stamp_vit(), files.stamp_alibi(), files.stamp_trans_mil()),
        stamp_v1: (files.marugoto_vit(), files.stamp_1_1()),
        millab_transformers: (files.mil_lab_transformer(), files.mil_lab_trans_mil()),
    }
    dialects = list(states)
    for own, prefix in itertools.product(dialects, ("", "model.")):
        for state in states[own]:
            path = files.write_plain(tmp_path / "a.pth", state, prefix)
            checkpoint = read_checkpoint(path)
            assert [each for each in dialects if each.recognises(checkpoint)] == [own]


def test_a_layer_called_fc_among_others_is_not_stamps(tmp_path):
    state = {**files.stamp_trans_mil(), "fc.weight": np.ones((2, 6), "f4")}
    del state["_fc1.0.weight"]
    path = files.write_plain(tmp_path / "a.pth", state)
    assert not stamp.recognises(read_checkpoint(path))


def test_patients_and_folders_reach_neither_models_nor_messages(tmp_path):
    path = write(tmp_path)
    checkpoint = read_checkpoint(path)
    texts = [repr(checkpoint), repr(dict(checkpoint.hyper_parameters)), repr(checkpoint.notes)]
    stored = stamp.read(checkpoint, NO_FACTS)
    texts += [
        repr(stored),
        repr(stored.arguments),
        repr(stored.target.record()),
        repr(stored.notes),
    ]
    for changes in ({"supported_features": files.PATIENT}, {"task": files.PATIENT}, {"n_heads": 7}):
        try:
            read(write(tmp_path, **changes))
        except Unusable as reason:
            texts.append(str(reason))
    assert len(texts) > 6
    assert checkpoint.n_private == 3
    for text in texts:
        assert files.PATIENT not in text
        assert files.FOLDER not in text
