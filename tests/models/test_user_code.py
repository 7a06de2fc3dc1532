"""Models of the user's own."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace

import network_files as files
import numpy as np
import pytest
import torch

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models import user_code
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.reading import read_model

MODULE = "my_models_of_the_tests"
FACTS = replace(NO_FACTS, code=f"{MODULE}:MeanPool")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop(MODULE, None)


def example() -> str:
    """Return the code in the docstring, as a user copies it."""
    _, _, rest = user_code.__doc__.partition("::\n\n")
    indented = rest[: rest.index("\n``logits``")]
    return textwrap.dedent(indented)


def write(folder, source=None):
    """Write the user's module and the file with its weights."""
    sys.modules.pop(MODULE, None)
    (folder / f"{MODULE}.py").write_text(example() if source is None else source, encoding="utf-8")
    rng = np.random.default_rng(0)
    layer = {"weight": rng.normal(size=(2, 6)), "bias": rng.normal(size=2)}
    path = folder / "weights.pt"
    torch.save({name: torch.from_numpy(value).float() for name, value in layer.items()}, path)
    return path, layer


def test_the_example_of_the_docstring_is_a_model(folder):
    path, layer = write(folder)
    model = read_model(path, FACTS)
    features, um_places = files.bag(9)
    tiles = features.numpy().astype("f8") @ layer["weight"].T + layer["bias"]
    np.testing.assert_allclose(model.logits(features, um_places), tiles.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.tile_logits(features, um_places), tiles, rtol=1e-4, atol=1e-6)
    assert model.attention(features, um_places) is None
    assert model.contributions(features, um_places) is None
    assert model.target.outputs == ("MSS", "MSI")
    assert model.n_features == 6
    assert model.family == f"own model {MODULE}:MeanPool"


def test_gradients_reach_the_features(folder):
    path, layer = write(folder)
    features, um_places = files.bag(4)
    inputs = features.requires_grad_(True)
    read_model(path, FACTS).logits(inputs, um_places)[1].backward()
    assert inputs.grad is not None
    np.testing.assert_allclose(inputs.grad[0], layer["weight"][1] / 4, rtol=1e-5)


def test_attention_is_that_of_the_code(folder):
    path, _ = write(folder, example().replace("return None", "return features[:, 0] #"))
    features, um_places = files.bag(4)
    model = read_model(path, FACTS)
    np.testing.assert_array_equal(model.attention(features, um_places), features[:, 0])


def test_the_digest_is_of_file_source_and_classes(folder):
    path, _ = write(folder)
    digest = read_model(path, FACTS).digest
    assert read_model(path, FACTS).digest == digest
    named = replace(FACTS, class_names=("a", "b"))
    assert read_model(path, named).digest != digest
    write(folder, example() + "\n# changed\n")
    assert read_model(path, FACTS).digest != digest
    write(folder)
    torch.save({"weight": torch.ones(2, 6), "bias": torch.zeros(2)}, path)
    assert read_model(path, FACTS).digest != digest


def test_facts_give_names_and_tasks_that_the_class_lacks(folder):
    source = example().replace("self.classes", "self.others")
    path, _ = write(folder, source)
    with pytest.raises(ModelError, match="no attribute classes; add it, or give --class-names"):
        read_model(path, FACTS)
    model = read_model(path, replace(FACTS, class_names=("no", "yes")))
    assert model.target.outputs == ("no", "yes")
    assert read_model(path, replace(FACTS, task="survival")).target.link == "identity"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("import torch\n", "import torch_of_tomorrow\n", "failed in importing it: ModuleNotFound"),
        ("torch.load", "torch.lod", "failed in building it: AttributeError"),
        ("class MeanPool", "class Pool", "names no class of the module"),
        ("self.n_features", "self.n", "has no attribute n_features, a whole number above 0"),
        ("def logits", "def predict", r"has no method logits\(features, um_places\)"),
    ],
)
def test_faults_of_the_code_are_one_sentence_that_names_the_class(folder, old, new, message):
    path, _ = write(folder, example().replace(old, new))
    with pytest.raises(ModelError, match=message) as caught:
        read_model(path, FACTS)
    assert f"{MODULE}:MeanPool" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("mean.missing", "failed in logits: AttributeError"),
        ("mean", r"returns \(6,\) numbers from logits where \(2,\) are expected"),
        ("'text'", "returns no numbers from logits, but a str"),
        ("mean[:2] / 0 - mean[:2] / 0", "from logits that are not finite"),
    ],
)
def test_faults_of_its_methods_are_one_sentence(folder, new, message):
    old = 'self.layer["weight"] @ mean + self.layer["bias"]'
    path, _ = write(folder, example().replace(old, new))
    model = read_model(path, FACTS)
    with pytest.raises(ModelError, match=message):
        model.logits(*files.bag(3))


def test_logits_without_gradients_are_refused_where_they_are_needed(folder):
    path, _ = write(folder, example().replace("features.mean", "features.detach().mean"))
    model = read_model(path, FACTS)
    features, um_places = files.bag(3)
    assert model.logits(features, um_places).shape == (2,)
    with pytest.raises(ModelError, match="without gradients"):
        model.logits(features.requires_grad_(True), um_places)


@pytest.mark.parametrize("code", ["MeanPool", "a.py:MeanPool", "a:b:c", "a: b", "a:B()"])
def test_other_forms_of_the_option_are_refused(folder, code):
    path, _ = write(folder)
    with pytest.raises(ModelError, match="not of the form module:Class"):
        read_model(path, replace(NO_FACTS, code=code))


def test_a_missing_file_is_refused_before_code_runs(folder):
    write(folder, "raise SystemError")
    with pytest.raises(ModelError, match=r"absent\.pt cannot be read"):
        read_model(folder / "absent.pt", FACTS)


def test_the_path_of_imports_stays_as_it_was(folder):
    path, _ = write(folder)
    before = list(sys.path)
    read_model(path, FACTS)
    assert sys.path == before
