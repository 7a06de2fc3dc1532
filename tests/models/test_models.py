"""Models are read faithfully, safely and privately, and convert without loss."""

import importlib.util
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from model_files import (
    REAL_EXPORTS,
    REAL_MODELS,
    SECRET_LABEL,
    STAND_INS,
    altered_copy,
    assert_same,
    calls,
    load_with_fastai,
    make_parts,
    private_texts,
    random_features,
    stub_classes,
    write_export,
)
from torch import nn

from heatmaps_ome.errors import ModelError, UnsafeModelError
from heatmaps_ome.models import describe_model, read_model, read_stored
from heatmaps_ome.models.converted import write_converted
from heatmaps_ome.models.safe_pickle.known_globals import suspicious_names


@pytest.fixture(params=REAL_EXPORTS)
def real_export(request):
    path = REAL_MODELS / request.param
    if not path.exists():
        pytest.skip("the published exports are not here")
    return path


@pytest.fixture
def export(tmp_path):
    """An export of stub classes, with its own encoder, attention and head."""
    path = tmp_path / "export.pkl"
    return path, write_export(path)


@pytest.mark.slow
def test_real_exports_give_what_fastai_gives(real_export):
    pytest.importorskip("sklearn")
    learner = load_with_fastai(real_export)
    model = read_model(real_export)
    loaded = learner.model.eval()
    parts = {"encoder": loaded.encoder, "attention": loaded.attention, "head": loaded.head}
    assert_same(model, parts)
    categories = learner.dls.loaders[0].dataset._datasets[-1].encode.categories_[0]
    assert model.classes == tuple(categories)
    assert model.target_label == learner.target_label


def test_real_exports_are_described(real_export):
    found = describe_model(real_export)
    assert found.kind == "marugoto export.pkl"
    assert found.classes == (("MUT", "WT") if "BRAF" in real_export.name else ("MSIH", "nonMSIH"))
    assert found.target_label == ("BRAF" if "BRAF" in real_export.name else "isMSIH")
    assert found.n_features == 2048
    assert found.encoder == ("Linear(2048, 256)", "ReLU()")
    assert found.attention == ("Linear(256, 128)", "Tanh()", "Linear(128, 1)")
    assert found.head == ("Flatten()", "BatchNorm1d(256)", "Dropout()", "Linear(256, 2)")
    assert found.suspicious_globals == ()
    assert found.n_private_bags > 1000
    assert len(found.sha256) == 64


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("bn", [False, True])
def test_an_export_gives_what_its_own_modules_give(tmp_path, bn, deep):
    path = tmp_path / "export.pkl"
    parts = write_export(path, parts=make_parts(bn=bn, deep=deep))
    model = read_model(path)
    slide, attention, logits = assert_same(model, parts)
    assert model.is_additive
    torch.testing.assert_close((attention.softmax(0)[:, None] * logits).sum(0), slide)
    assert model.n_features == 8
    assert model.covariate_columns == ()
    assert not any(part.training for part in (model.encoder, model.attention_net, model.head))


def test_the_learned_batchnorm_is_part_of_the_scores(export):
    path, parts = export
    model = read_model(path)
    cells = model.embed(random_features(model))
    norm = next(module for module in model.head.modules() if isinstance(module, nn.BatchNorm1d))
    torch.testing.assert_close(norm.running_var, parts["head"][1].running_var)
    with_state = model.class_logits(cells)
    norm.reset_parameters()
    assert (with_state - model.class_logits(cells)).abs().max() > 0.1


def test_nested_sequences_and_half_precision_are_read(tmp_path):
    parts = make_parts()
    parts["encoder"] = nn.Sequential(
        nn.Sequential(parts["encoder"], nn.Identity()), nn.LayerNorm(16)
    )
    parts["attention"] = nn.Sequential(
        nn.Linear(16, 8, bias=False), nn.GELU("tanh"), nn.Linear(8, 1)
    )
    write_export(tmp_path / "export.pkl", parts=parts)
    assert_same(read_model(tmp_path / "export.pkl"), parts)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        for part in parts.values():
            part.to(dtype)
        write_export(tmp_path / "export.pkl", parts=parts)
        model = read_model(tmp_path / "export.pkl")
        for part in parts.values():
            part.float()
        assert_same(model, parts)


def test_a_bare_linear_part_and_transposed_weights_are_read(tmp_path):
    parts = make_parts()
    parts["attention"] = nn.Linear(16, 1)
    parts["encoder"][0].weight = nn.Parameter(torch.rand(8, 16).t())
    write_export(tmp_path / "export.pkl", parts=parts)
    assert_same(read_model(tmp_path / "export.pkl"), parts)


def test_a_head_with_an_activation_is_not_additive(tmp_path):
    parts = make_parts()
    parts["head"] = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))
    write_export(tmp_path / "export.pkl", parts=parts)
    assert not read_model(tmp_path / "export.pkl").is_additive


def test_moving_a_model_leaves_the_original(export):
    model = read_model(export[0])
    moved = model.to("meta")
    assert moved.encoder[0].weight.device.type == "meta"
    assert model.encoder[0].weight.device.type == "cpu"
    assert moved.digest == model.digest


@pytest.mark.parametrize(
    ("array", "names"),
    [
        (np.array(["MUT", "WT"]), ("MUT", "WT")),
        (np.array([0, 1]), ("0", "1")),
        (np.array([False, True]), ("False", "True")),
        (np.array(["a", "b"], dtype=object), ("a", "b")),
    ],
)
def test_classes_are_read_from_any_kind_of_array(tmp_path, array, names):
    write_export(tmp_path / "export.pkl", classes=array)
    assert read_model(tmp_path / "export.pkl").classes == names


def test_classes_are_read_from_a_pandas_array(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_export(tmp_path / "export.pkl", classes=pandas.array(["MUT", "WT"]))
    assert read_model(tmp_path / "export.pkl").classes == ("MUT", "WT")
    assert describe_model(tmp_path / "export.pkl").suspicious_globals == ()


@pytest.mark.parametrize("pickled", ["whole", "part", "chunks", "short"])
def test_classes_are_read_from_an_arrow_array(tmp_path, pickled):
    """As pandas keeps texts where pyarrow is installed: a slice has an offset."""
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    texts = ["Müller", "MUT", "WT"]
    kind = pyarrow.string() if pickled == "short" else pyarrow.large_string()
    array = pyarrow.array(texts, kind)[0 if pickled == "short" else 1 :]
    array = pyarrow.array(texts[1:], kind) if pickled == "whole" else array
    chunks = [array[:1], array[1:]] if pickled == "chunks" else [array]
    classes = pandas.array(["a"], dtype=pandas.StringDtype("pyarrow"))
    classes._pa_array = pyarrow.chunked_array(chunks)
    write_export(tmp_path / "export.pkl", classes=classes)
    wanted = ("Müller", "MUT", "WT") if pickled == "short" else ("MUT", "WT")
    if len(wanted) == 3:
        write_export(tmp_path / "export.pkl", classes=classes, parts=make_parts(n_out=3))
    assert read_model(tmp_path / "export.pkl").classes == wanted


def test_missing_classes_of_an_arrow_array_are_refused(tmp_path):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    classes = pandas.array(["a", "b"], dtype=pandas.StringDtype("pyarrow"))
    classes._pa_array = pyarrow.chunked_array([["a", None]], pyarrow.large_string())
    write_export(tmp_path / "export.pkl", classes=classes)
    with pytest.raises(ModelError, match="form that is not known"):
        read_model(tmp_path / "export.pkl")


@pytest.mark.parametrize(
    ("classes", "n_out", "message"),
    [
        (None, 1, "single output, .* give --task classification, regression or survival"),
        (None, 2, "stores no class names; give them with --class-names"),
        (("a", "b"), 1, "names 2 classes, but has a single output"),
        (("a", "b", "c"), 2, "names 3 classes, but its head has 2 outputs"),
        (("a",), 1, "names 1 classes"),
        (("a", "a"), 2, "same class name twice"),
        (("a", "b\x1b[2J"), 2, "unprintable"),
        (("a", "b" * 1000), 2, "200 characters"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path, classes, n_out, message):
    path = tmp_path / "export.pkl"
    write_export(path, classes=classes, parts=make_parts(n_out=n_out))
    with pytest.raises(ModelError, match=rf"export\.pkl .*{message}") as caught:
        read_model(path)
    assert "--allow-pickle" not in str(caught.value)


def test_other_architectures_are_refused(tmp_path):
    parts = make_parts()
    parts["mlp_head"] = parts.pop("head")
    write_export(tmp_path / "export.pkl", parts=parts)
    with pytest.raises(ModelError, match=r"MILModel, which is not an attention-MIL model"):
        read_model(tmp_path / "export.pkl")


@pytest.mark.parametrize("layer", [nn.Softmax(1), nn.Bilinear(2, 2, 2)], ids=["plain", "weighted"])
def test_unknown_layers_are_refused_with_a_way_out(tmp_path, layer):
    path = tmp_path / "export.pkl"
    write_export(path, parts={**make_parts(), "encoder": nn.Sequential(nn.Linear(8, 16), layer)})
    name = type(layer).__name__
    with pytest.raises(UnsafeModelError, match=rf"torch\.nn.*\.{name}, .*--allow-pickle"):
        read_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": nn.Linear(8, 12)}, "is given 12 values"),
        ({"attention": nn.Linear(16, 2)}, "one value per cell"),
        ({"head": nn.Sequential(nn.Flatten(0), nn.Linear(16, 2))}, "start_dim"),
        ({"head": nn.Sequential(nn.BatchNorm1d(16, track_running_stats=False))}, "running_mean"),
        ({"encoder": nn.Sequential(*[nn.ReLU() for _ in range(100)])}, "too many"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, changes, message):
    write_export(tmp_path / "export.pkl", parts={**make_parts(), **changes})
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path / "export.pkl")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    parts = make_parts()
    with torch.no_grad():
        parts["head"][-1].weight[0, 0] = torch.nan
    write_export(tmp_path / "export.pkl", parts=parts)
    with pytest.raises(ModelError, match="not finite"):
        read_model(tmp_path / "export.pkl")


def spliced(path, target, marker):
    """Copy an export with a call of os.system put before its first instruction."""
    attack = calls("os", "system", f"touch {marker}")
    altered_copy(path, target, lambda pickle: pickle[:2] + attack + pickle[2:])


def test_a_spliced_real_export_is_read_and_reported(tmp_path, real_export):
    target, marker = tmp_path / "export.pkl", tmp_path / "ran"
    spliced(real_export, target, marker)
    assert describe_model(target).suspicious_globals == ("os.system",)
    assert read_model(target).digest == read_model(real_export).digest
    assert not marker.exists()


def test_a_spliced_export_is_read_and_reported(tmp_path, export):
    target, marker = tmp_path / "spliced.pkl", tmp_path / "ran"
    spliced(export[0], target, marker)
    assert describe_model(target).suspicious_globals == ("os.system",)
    assert_same(read_model(target), export[1])
    assert not marker.exists()


def test_an_ordinary_export_has_nothing_suspicious(export):
    assert describe_model(export[0]).suspicious_globals == ()
    assert describe_model(export[0]).n_private_bags == 4


class Touches:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_an_attack_in_place_of_a_learner_is_never_run(tmp_path, allow_pickle):
    path, marker = tmp_path / "export.pkl", tmp_path / "ran"
    write_export(path, root=lambda _learner: Touches(marker))
    with pytest.raises(ModelError, match=r"holds a \w+\.system, not the fastai Learner"):
        read_model(path, allow_pickle=allow_pickle)
    assert not marker.exists()


def test_a_sequence_that_contains_itself_is_refused(tmp_path):
    parts = make_parts()
    parts["encoder"] = nn.Sequential(nn.ReLU())
    parts["encoder"]._modules["1"] = parts["encoder"]
    write_export(tmp_path / "export.pkl", parts=parts)
    with pytest.raises(ModelError, match="too many layers"):
        read_model(tmp_path / "export.pkl")


def test_layers_with_hooks_are_refused(tmp_path):
    parts = make_parts()
    parts["encoder"]._forward_hooks[0] = len
    write_export(tmp_path / "export.pkl", parts=parts)
    with pytest.raises(UnsafeModelError, match="code of its own"):
        read_model(tmp_path / "export.pkl")


def test_allow_pickle_is_not_used_where_the_safe_reader_does(export, caplog):
    with caplog.at_level(logging.WARNING):
        read_model(export[0], allow_pickle=True)
    assert not caplog.records


@pytest.fixture
def custom_layers(tmp_path):
    path = tmp_path / "export.pkl"
    parts = make_parts()
    parts["encoder"] = nn.Sequential(nn.Linear(8, 16), nn.Softplus())
    return path, write_export(path, parts=parts)


@pytest.mark.slow
def test_allow_pickle_reads_other_layers_after_a_warning(tmp_path, custom_layers, caplog):
    pytest.importorskip("sklearn")
    path, parts = custom_layers
    with pytest.raises(UnsafeModelError, match=r"Softplus.*--allow-pickle"):
        read_model(path)
    load_with_fastai(path)  # its own warnings of import are out of the way
    with stub_classes(*STAND_INS), caplog.at_level(logging.WARNING):
        model = read_model(path, allow_pickle=True)
    assert "code in the file runs" in caplog.text
    assert_same(model, parts)
    assert model.classes == ("MSIH", "nonMSIH")
    assert model.n_features == 8
    with pytest.raises(ModelError, match=r"is not written, as the model .*Softplus"):
        write_converted(model, tmp_path / "model.safetensors")


@pytest.mark.slow
def test_fastai_and_the_safe_reader_agree_on_the_digest(real_export):
    pytest.importorskip("sklearn")
    load_with_fastai(real_export)
    from heatmaps_ome.models.fastai_export import read_with_fastai

    with stub_classes(*STAND_INS):
        model = read_with_fastai(real_export)
    assert model.digest == read_model(real_export).digest


def test_without_fastai_the_way_to_get_it_is_said(custom_layers, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastai", None)
    monkeypatch.setitem(sys.modules, "fastai.learner", None)
    with pytest.raises(ModelError, match=r'pip install "heatmaps-ome\[fastai\]"'):
        read_model(custom_layers[0], allow_pickle=True)


@pytest.mark.slow
def test_what_fastai_cannot_load_is_one_error(tmp_path, custom_layers):
    pytest.importorskip("fastai")
    load_with_fastai(custom_layers[0])
    with pytest.raises(ModelError, match="cannot be loaded by fastai"):
        read_model(custom_layers[0], allow_pickle=True)  # no marugoto to import


@pytest.mark.parametrize("source", ["stub", *REAL_EXPORTS])
def test_nothing_private_leaves_an_export(tmp_path, caplog, source):
    path = tmp_path / "export.pkl" if source == "stub" else REAL_MODELS / source
    if source == "stub":
        write_export(path)
    elif not path.exists():
        pytest.skip("the published exports are not here")
    private = private_texts(path)
    assert private
    with caplog.at_level(logging.DEBUG):
        described = repr(describe_model(path))
        model = read_model(path)
        write_converted(model, tmp_path / "model.safetensors")
    converted = (tmp_path / "model.safetensors").read_bytes().decode("latin-1")
    shown = "\n".join([described, repr(model), repr(read_stored(path)), caplog.text, converted])
    shown = shown.replace(str(path), "")
    assert not [text for text in private | {SECRET_LABEL, "/hospital"} if text in shown]


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_nothing_private_is_in_a_refusal(tmp_path, export, kept):
    path = tmp_path / "broken.pkl"
    altered_copy(
        export[0], path, lambda pickle: pickle[: int(kept * len(pickle))] + b"I/hospital\n"
    )
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert "hospital" not in str(caught.value)
    assert "PATIENT" not in str(caught.value)


def modules_after(code, *arguments):
    """Return the names of all modules that a fresh interpreter has after running code."""
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(found.stdout.split())


def test_reading_imports_none_of_the_programs_that_wrote_it(export):
    code = "import sys\nfrom heatmaps_ome.models import read_model\nread_model(sys.argv[1])"
    found = modules_after(code, export[0])
    assert "torch" in found
    assert not found & {"fastai", "fastcore", "marugoto", "sklearn", "pandas"}


def test_describing_imports_no_torch(tmp_path, export):
    converted = tmp_path / "model.safetensors"
    write_converted(read_model(export[0]), converted)
    code = (
        "import sys\nfrom heatmaps_ome.models import describe_model\n"
        "for path in sys.argv[1:]: describe_model(path)"
    )
    found = modules_after(code, export[0], converted)
    assert not found & {"torch", "timm", "fastai", "marugoto", "sklearn", "pandas"}


def test_the_tests_leave_no_stub_modules_behind():
    assert "marugoto" not in sys.modules
    assert importlib.util.find_spec("marugoto") is None


def test_names_of_other_versions_are_ordinary_too(tmp_path, export):
    """Paths of Python 3.13, and a function that marugoto renamed (e0a576d to 554c43a)."""
    target = tmp_path / "other.pkl"
    names = {
        b"cpathlib\nPosixPath\n": b"cpathlib._local\nPosixPath\n",
        b"cmarugoto.mil.data\n_splat_concat\n": b"cmarugoto.mil.data\n_splatter_concat\n",
    }

    def renamed(pickle):
        for old, new in names.items():
            pickle = pickle.replace(old, new)
        return pickle

    altered_copy(export[0], target, renamed)
    description = describe_model(target)
    assert description.suspicious_globals == ()
    assert description.n_private_bags == 4
    assert_same(read_model(target), export[1])
    contents = target.read_bytes()
    assert b"pathlib._local" in contents
    assert suspicious_names(["marugoto.mil.data._splatter_concat"]) == ()
    assert suspicious_names(["pathlib._local.WindowsPath", "pathlib._local.x"]) == (
        "pathlib._local.x",
    )
