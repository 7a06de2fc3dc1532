"""A model converts to safetensors without loss, and what is not such a file is refused."""

import json

import numpy as np
import pytest
import torch
from model_files import assert_same, make_parts, random_features, write_export
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from heatmaps_ome.errors import ModelError, OutputError
from heatmaps_ome.models import describe_model, read_model
from heatmaps_ome.models.converted import METADATA_KEY, write_converted


@pytest.fixture
def export(tmp_path):
    """An export of stub classes, with its own encoder, attention and head."""
    path = tmp_path / "export.pkl"
    return path, write_export(path)


def test_a_converted_model_is_the_same_model(tmp_path, export):
    path, parts = export
    model = read_model(path)
    target = tmp_path / "model.safetensors"
    write_converted(model, target)
    again = read_model(target)
    assert again.digest == model.digest
    assert (again.classes, again.target_label) == (model.classes, "isMSIH")
    assert_same(again, parts)
    cells = random_features(model)
    torch.testing.assert_close(again.embed(cells), model.embed(cells), rtol=0, atol=0)
    described, original = describe_model(target), describe_model(path)
    assert described.kind == "heatmaps-ome safetensors"
    assert described.n_private_bags == 0
    assert (described.encoder, described.head) == (original.encoder, original.head)


def test_different_models_have_different_digests(tmp_path):
    digests = set()
    for index, changes in enumerate([{}, {"seed": 1}, {"bn": False}, {"deep": True}]):
        path = tmp_path / f"{index}.pkl"
        write_export(path, parts=make_parts(**changes))
        digests.add(read_model(path).digest)
    write_export(tmp_path / "classes.pkl", classes=("a", "b"))
    digests.add(read_model(tmp_path / "classes.pkl").digest)
    assert len(digests) == 5


def test_conversion_does_not_overwrite_unasked(tmp_path, export):
    target = tmp_path / "model.safetensors"
    target.write_bytes(b"precious")
    model = read_model(export[0])
    with pytest.raises(OutputError, match="exists"):
        write_converted(model, target)
    assert target.read_bytes() == b"precious"
    write_converted(model, target, overwrite=True)
    assert read_model(target).digest == model.digest
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_that_cannot_be_written_is_named(tmp_path, export):
    target = tmp_path / "absent" / "model.safetensors"
    with pytest.raises(OutputError, match=r"model\.safetensors cannot be written"):
        write_converted(read_model(export[0]), target)


@pytest.fixture
def converted(tmp_path, export):
    path = tmp_path / "model.safetensors"
    write_converted(read_model(export[0]), path)
    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()[METADATA_KEY])
    return path, description, load_file(path)


def test_the_description_holds_nothing_else(converted):
    _path, description, _tensors = converted
    assert set(description) == {
        "format_version", "encoder", "attention", "head", "classes", "target_label",
        "covariates", "digest",
    }  # fmt: skip


def rewrite(path, description, tensors):
    save_file(tensors, path, {METADATA_KEY: json.dumps(description)})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format_version", 4, "format version 4.*upgrade"),
        ("classes", ["a", "b"], "digest"),
        ("classes", "ab", "damaged"),
        ("classes", [1, 2], "damaged"),
        ("classes", ["a"], "names 1 classes"),
        ("target_label", 3, "target label"),
        ("covariates", None, "damaged"),
        ("covariates", [3], "damaged"),
        ("covariates", [{"name": "AGE", "means": [1], "scales": [0]}], "scaling"),
        ("covariates", [{"name": 3, "means": [1], "scales": [1]}], "covariate"),
        ("encoder", [{"layer": "Softmax"}], "upgrade"),
        ("encoder", [{"layer": ".Linear"}], "upgrade"),
        ("encoder", ["Linear"], "damaged"),
        ("encoder", {}, "damaged"),
        ("encoder", [{"layer": "ReLU"}] * 100, "too many"),
        ("head", [{"layer": "BatchNorm1d", "eps": "x"}], "impossible eps|without"),
        ("digest", "0" * 64, "digest"),
    ],
)
def test_an_altered_description_is_refused(converted, field, value, message):
    path, description, tensors = converted
    rewrite(path, {**description, field: value}, tensors)
    with pytest.raises(ModelError, match=rf"model\.safetensors .*({message})"):
        read_model(path)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("encoder.0.weight", None, "Linear without its weight"),
        ("more", np.zeros(1, np.float32), "belong to no layer"),
        ("more", np.zeros(1), "not float32"),
        ("encoder.0.bias", np.zeros(3, np.float32), "do not fit together"),
        ("encoder.0.bias", np.zeros(16, np.float32), "digest"),
        ("encoder.0.bias", np.full(16, np.nan, np.float32), "not finite"),
    ],
)
def test_altered_tensors_are_refused(converted, name, tensor, message):
    path, description, tensors = converted
    tensors[name] = tensor
    rewrite(path, description, {key: value for key, value in tensors.items() if value is not None})
    with pytest.raises(ModelError, match=rf"model\.safetensors .*{message}"):
        read_model(path)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "nonsense", " " * (2 << 20)])
def test_a_conversion_with_another_description_is_refused(converted, text):
    path, _description, tensors = converted
    save_file(tensors, path, {METADATA_KEY: text})
    with pytest.raises(ModelError, match="descri"):
        read_model(path)


def test_other_safetensors_are_refused(converted):
    path, _description, tensors = converted
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        read_model(path)
    save_file(tensors, path)
    # Without our description it is the checkpoint of another program.
    with pytest.raises(ModelError, match="more than one family; give --family marugoto"):
        read_model(path)
    save_file({"other.weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(ModelError, match=r"no known family; its keys are other\.weight; known"):
        read_model(path)
