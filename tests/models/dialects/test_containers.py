"""The same model in each container is the same model; hostile containers run and say nothing."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from checkpoint_files import clam, millab_abmil, tensors, weights
from model_files import SECRET_PATHS, altered_copy, calls, stub_classes, write_archive
from safetensors.torch import save_file
from torch import nn

from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import ModelError, UnsafeModelError
from heatmaps_ome.models import describe_model, read_model
from heatmaps_ome.models.checkpoint import MOST_TENSORS, read_checkpoint
from heatmaps_ome.models.refusals import Unusable

SAMPLE = clam(n_features=30, n_classes=3)
STATE = tensors(SAMPLE.state)
TRAINED_ON = {"train_patients": ["PATIENT-0001", "PATIENT-0002"], "feature_dir": SECRET_PATHS[0]}


def legacy(thing, path):
    torch.save(thing, path, _use_new_zipfile_serialization=False)


def scalar(thing, path):
    torch.save({"epoch": np.float64(0.5), "model_state_dict": thing}, path)


def whole_module(thing, path):
    """Save a module as a whole, of a class that cannot be imported."""
    with stub_classes("vendor.models.MILModel") as stub:
        module = stub["MILModel"]()
        module.attention_net = nn.ModuleDict({"0": nn.Linear(30, 48), "3": nn.Module()})
        attention = module.attention_net["3"]
        attention.attention_a, attention.attention_b = (
            nn.Sequential(nn.Linear(48, 24)) for _ in range(2)
        )
        attention.attention_c = nn.Linear(24, 1)
        module.classifiers = nn.Linear(48, 3)
        module.instance_classifiers = nn.ModuleList([nn.Linear(48, 2) for _ in range(3)])
        module.load_state_dict(thing)
        torch.save(module, path)


WRITERS = {
    "plain": torch.save,
    "legacy": legacy,
    "ordered": lambda state, path: torch.save(OrderedDict(state), path),
    "state_dict": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "model_state_dict": scalar,
    "model": lambda state, path: torch.save({"model": state, "optimizer": {}}, path),
    "legacy wrapper": lambda state, path: legacy({"state_dict": state}, path),
    "lightning": lambda state, path: torch.save(
        {"state_dict": state, "hyper_parameters": TRAINED_ON}, path
    ),
    "several GPUs": lambda state, path: torch.save(
        {f"module.{key}": tensor for key, tensor in state.items()}, path
    ),
    "parameters": lambda state, path: torch.save(
        {key: nn.Parameter(tensor) for key, tensor in state.items()}, path
    ),
    "protocol 4": lambda state, path: torch.save(state, path, pickle_protocol=4),
    "safetensors": save_file,
    "whole module": whole_module,
}


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "model.pt"
    torch.save(STATE, path)
    return read_model(path).digest


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_each_container_holds_the_same_model(tmp_path, digest, write):
    path = tmp_path / "model"
    write(STATE, path)
    assert read_model(path).digest == digest
    assert describe_model(path).kind.startswith("CLAM")


@pytest.mark.parametrize("write", [torch.save, legacy, save_file], ids=["zip", "legacy", "safe"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers_are_read_as_float32(tmp_path, write, dtype):
    path = tmp_path / "model"
    state = tensors(SAMPLE.state, dtype)
    write(state, path)
    checkpoint = read_checkpoint(path)
    for key, tensor in state.items():
        found = checkpoint.values(key)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, tensor.float().numpy())
    assert read_model(path).n_features == 30


def test_views_of_a_tensor_are_read(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    torch.save({"a.weight": base.T, "b.weight": base[1:3, ::2]}, tmp_path / "zip.pt")
    legacy({"a.weight": base.T, "b.weight": base[1:3, ::2]}, tmp_path / "legacy.pt")
    for name in ("zip.pt", "legacy.pt"):
        checkpoint = read_checkpoint(tmp_path / name)
        np.testing.assert_array_equal(checkpoint.values("a.weight"), base.T.numpy())
        np.testing.assert_array_equal(checkpoint.values("b.weight"), base[1:3, ::2].numpy())


def test_files_of_the_hub_have_a_prefix(tmp_path):
    sample = millab_abmil(18, 3, depth=2, prefix="model.")
    save_file(tensors(sample.state), tmp_path / "model.safetensors")
    bag = torch.randn(7, 18)
    found = read_model(tmp_path / "model.safetensors").logits(bag, torch.zeros(7, 2))
    np.testing.assert_allclose(found, sample.logits(bag.numpy().astype("f8")), atol=1e-5)


def test_nothing_of_patients_gets_out(tmp_path, capsys, caplog):
    path, converted = tmp_path / "model.ckpt", tmp_path / "model.safetensors"
    private = {**TRAINED_ON, "task": "classification", "clini_table": SECRET_PATHS[1]}
    torch.save({"state_dict": STATE, "hyper_parameters": private}, path)
    assert cli.main(["info", str(path)]) == 0
    assert cli.main(["convert-model", str(path), str(converted)]) == 0
    checkpoint = read_checkpoint(path)
    assert checkpoint.hyper_parameters == {"task": "classification"}
    assert checkpoint.n_private == 2
    out, err = capsys.readouterr()
    assert "2 patients" in out
    texts = [
        out,
        err,
        caplog.text,
        repr(checkpoint),
        repr(read_model(path)),
        repr(checkpoint.tensors),
    ]
    texts.append(converted.read_bytes().decode("latin-1"))
    for text in texts:
        assert "PATIENT" not in text
        assert "hospital" not in text


class Touches:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


def outcome(path):
    """Return the description of a model, or the sentence that refuses it."""
    try:
        return describe_model(path)
    except ModelError as error:
        return str(error)


HOSTILE = {
    "zip": lambda attack: {"state_dict": STATE, "extra": attack},
    "root": lambda attack: attack,
    "in a wrapper": lambda attack: {"state_dict": attack},
    "as a tensor": lambda attack: {**STATE, "classifiers.weight": attack},
    "as a hyper-parameter": lambda attack: {"state_dict": STATE, "hyper_parameters": attack},
    "in a hyper-parameter": lambda attack: {
        "state_dict": STATE, "hyper_parameters": {"categories": [attack], "task": attack}
    },
    "as a key": lambda attack: {"state_dict": STATE, (attack,): 1},
}  # fmt: skip


@pytest.mark.parametrize("write", [torch.save, legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("build", HOSTILE.values(), ids=HOSTILE)
def test_an_attack_is_never_run(tmp_path, write, build):
    path, marker = tmp_path / "model.pt", tmp_path / "ran"
    write(build(Touches(marker)), path)
    before = set(sys.modules)
    found = outcome(path)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert any(name.endswith(".system") for name in found.suspicious_globals)
    assert not marker.exists()
    assert not {"fastai", "marugoto"} & (set(sys.modules) - before)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_bare_pickles_are_refused(tmp_path, allow_pickle):
    path, marker = tmp_path / "model.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": Touches(marker)}))
    if not allow_pickle:
        with pytest.raises(UnsafeModelError, match="bare pickle"):
            read_model(path)
    assert not marker.exists()


def legacy_bytes():
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


LEGACY = legacy_bytes()
STEPS = range(16, len(LEGACY) - 1, max(1, len(LEGACY) // 60))


@pytest.mark.parametrize("end", STEPS)
def test_legacy_files_that_are_cut_short_are_refused(tmp_path, end):
    (tmp_path / "model.pt").write_bytes(LEGACY[:end])
    with pytest.raises(ModelError, match=r"model\.pt .*(damaged|format)"):
        read_model(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"little_endian", b"LITTLE_endian", "big-endian"),
        (b"M\xe9\x03.", b"M\xea\x03.", "not known"),
        (b"FloatStorage", b"FloatStorafe", "storage that the file lacks"),
        (b"storage", b"storafe", "storage that the file lacks"),
    ],
)
def test_altered_legacy_files_are_refused(tmp_path, old, new, message):
    assert old in LEGACY
    (tmp_path / "model.pt").write_bytes(LEGACY.replace(old, new))
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path / "model.pt")


def test_random_damage_of_legacy_files_gives_a_sentence_or_a_model(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.pt"
    sentences = []
    for _ in range(300):
        data = bytearray(LEGACY)
        for place in rng.integers(0, 3500, 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        found = outcome(path)
        sentences += [found] if isinstance(found, str) else []
    assert len(sentences) > 50
    assert not any("\n" in sentence for sentence in sentences)


def test_bombs_are_refused_within_seconds(tmp_path):
    bomb = b"(" + b"l" * 1 + b"0" + b"]" * 3_000_000 + b"."
    write_archive(tmp_path / "deep.pt", bomb)
    compressed = tmp_path / "compressed.pt"
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(1 << 26))
    many = {f"layer.{index}.weight": torch.zeros(1) for index in range(MOST_TENSORS + 1)}
    torch.save(many, tmp_path / "many.pt")
    save_file(many, tmp_path / "many.safetensors")
    for name in ("deep.pt", "compressed.pt", "many.pt", "many.safetensors"):
        with pytest.raises(ModelError):
            read_model(tmp_path / name)


def test_a_module_that_contains_itself_is_refused(tmp_path):
    with stub_classes("vendor.models.MILModel") as stub:
        module = stub["MILModel"]()
        module.layer = nn.Linear(2, 2)
        module._modules["itself"] = module
        torch.save(module, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="too many layers"):
        read_model(tmp_path / "model.pt")


def test_weights_that_share_a_storage_cannot_outgrow_the_file(tmp_path):
    shared = torch.randn(1000, 30)
    torch.save({f"x.{index}.weight": shared for index in range(200)}, tmp_path / "model.pt")
    checkpoint = read_checkpoint(tmp_path / "model.pt")
    with pytest.raises(Unusable, match="more weights than the file"):
        _ = [checkpoint.values(key) for key in checkpoint.tensors]


def test_a_spliced_call_is_reported_and_not_run(tmp_path):
    path, marker = tmp_path / "model.pt", tmp_path / "ran"
    torch.save(STATE, tmp_path / "plain.pt")
    attack = calls("os", "system", f"touch {marker}")
    altered_copy(tmp_path / "plain.pt", path, lambda data: data[:2] + attack + data[2:])
    assert describe_model(path).suspicious_globals == ("os.system",)
    assert not marker.exists()


def test_ordinary_checkpoints_are_not_suspicious(tmp_path):
    for name, write in WRITERS.items():
        if name != "whole module":
            write(STATE, tmp_path / "model")
            assert describe_model(tmp_path / "model").suspicious_globals == ()


def test_checkpoints_without_tensors_are_refused(tmp_path):
    for thing in ({}, {"state_dict": {}}, [STATE], {"a": 1}, 3, None):
        torch.save(thing, tmp_path / "model.pt")
        with pytest.raises(ModelError, match=r"model\.pt holds no .*state dict"):
            read_model(tmp_path / "model.pt")


def test_empty_tensors_are_refused(tmp_path):
    state = clam(n_features=30, n_classes=3).state | weights(1, ("classifiers", 48, 3))
    state["classifiers.weight"] = np.zeros((0, 48), "f4")
    torch.save(tensors(state), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="not floating numbers"):
        read_model(tmp_path / "model.pt")
