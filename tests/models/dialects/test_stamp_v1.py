"""The ViT of marugoto and STAMP 1, in plain state dicts and in exports of fastai."""

from __future__ import annotations

import importlib
from dataclasses import replace

import network_files as files
import network_forwards as forwards
import numpy as np
import pytest
import torch
from model_files import SECRET_LABEL, SECRET_PATHS, stub_classes, write_export
from torch import nn

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models import describe_model, read_model
from heatmaps_ome.models.model_facts import NO_FACTS

VIT = "marugoto.mil.ViT.ViT"
TRANSMIL = "stamp.modeling.marugoto.transformer.TransMIL.TransMIL"


class Tree(nn.Module):
    """A module that holds the tensors of a state dict at their names, and nothing else."""

    def __init__(self, state) -> None:
        super().__init__()
        for key, value in state.items():
            *folders, name = key.split(".")
            module: nn.Module = self
            for folder in folders:
                if folder not in module._modules:
                    module.add_module(folder, nn.Sequential())
                module = module._modules[folder]
            module.register_parameter(name, nn.Parameter(torch.from_numpy(value)))


def export(path, qualname, state, **options):
    """Write the export.pkl of a Learner whose model has the class of a name."""
    module, _, name = qualname.rpartition(".")
    kind = type(name, (Tree,), {"__module__": module})

    def with_model(learner):
        learner.model = kind(state)
        return learner

    with stub_classes(qualname):
        setattr(importlib.import_module(module), name, kind)
        write_export(path, root=with_model, **options)
    return path


@pytest.mark.parametrize(
    ("qualname", "state", "forward"),
    [
        (VIT, files.marugoto_vit(), forwards.marugoto_vit),
        (TRANSMIL, files.stamp_1_1(), forwards.stamp_1_1),
    ],
)
def test_exports_are_read_with_their_classes(tmp_path, qualname, state, forward):
    path = export(tmp_path / "export.pkl", qualname, state)
    model = read_model(path)
    features, um_places = files.bag(11)
    expected = forward(state, features.numpy())
    np.testing.assert_allclose(model.logits(features, um_places), expected, rtol=1e-5, atol=1e-6)
    assert model.target.outputs == ("MSIH", "nonMSIH")
    assert model.target.label == "isMSIH"


def test_an_export_is_described_without_its_patients(tmp_path):
    path = export(tmp_path / "export.pkl", VIT, files.marugoto_vit())
    description = describe_model(path)
    assert description.suspicious_globals == ()
    assert description.n_private_bags == 4
    for private in (*SECRET_PATHS, SECRET_LABEL):
        assert private not in repr(description)


def test_a_regression_of_marugoto_needs_its_task(tmp_path):
    state = files.marugoto_vit(n_outputs=1)
    path = export(tmp_path / "export.pkl", VIT, state, classes=None)
    with pytest.raises(ModelError, match=r"single output.*--task"):
        read_model(path)
    model = read_model(path, replace(NO_FACTS, task="regression"))
    features, um_places = files.bag(11)
    expected = forwards.marugoto_vit(state, features.numpy())
    np.testing.assert_allclose(model.logits(features, um_places), expected, rtol=1e-5, atol=1e-6)
    assert model.target.outputs == ("isMSIH",)


def test_class_names_of_a_state_dict_come_from_the_user(tmp_path):
    path = files.write_plain(tmp_path / "best_valid.pth", files.stamp_1_1())
    assert read_model(path).target.numbered
    named = read_model(path, replace(NO_FACTS, class_names=("wild type", "mutated")))
    assert named.target.outputs == ("wild type", "mutated")


def test_heads_that_do_not_divide_are_refused(tmp_path):
    path = files.write_plain(tmp_path / "a.pth", files.marugoto_vit(inner=20))
    with pytest.raises(ModelError, match="20 numbers, which 8 attention heads cannot divide"):
        read_model(path)


def test_a_single_missing_tensor_is_refused(tmp_path):
    for state in (files.marugoto_vit(n_layers=1), files.stamp_1_1(n_layers=1)):
        for key in state:
            others = {name: value for name, value in state.items() if name != key}
            path = files.write_plain(tmp_path / "a.pth", others)
            with pytest.raises(ModelError):
                read_model(path)
