"""Writes model files for tests: exports of stub classes, hand-made archives, and altered copies.

The stub classes bear the names that marugoto's exports ask for. They exist only while a file is
written or, as stand-ins of marugoto, while another program loads one.
"""

from __future__ import annotations

import pickletools
import sys
import types
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

REAL_MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
REAL_EXPORTS = (
    "katherlab-crc2022-isMSIH-export-0.pkl",
    "katherlab-crc2022-isMSIH-export-1.pkl",
    "katherlab-crc2022-BRAF-export-0.pkl",
)
SECRET_PATHS = ("/hospital/features/PATIENT-0001.h5", "/hospital/features/PATIENT-0002.h5")
SECRET_LABEL = "private-diagnosis"

TOLERANCE = 1e-5

STAND_INS = (
    "marugoto.data.EncodedDataset",
    "marugoto.data.MapDataset",
    "marugoto.mil.data.BagDataset",
    "marugoto.mil.data._attach_add_to_bag_and_zip_with_targ",
    "marugoto.mil.data._splat_concat",
    "marugoto.mil.data.zip_bag_targ",
    "marugoto.mil.model.MILModel",
)
_LEARNER = (
    "fastai.learner.Learner",
    "fastai.data.core.DataLoaders",
    "fastai.data.load.DataLoader",
)
_SKLEARN = ("sklearn.preprocessing._encoders.OneHotEncoder",)


@contextmanager
def stub_classes(*qualnames):
    """Make classes importable under these names, and put back what was there before."""
    modules: dict[str, types.ModuleType] = {}
    classes = {}
    for qualname in qualnames:
        module, _, name = qualname.rpartition(".")
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            parent = ".".join(parts[:end])
            modules.setdefault(parent, types.ModuleType(parent))
        base = nn.Module if name == "MILModel" else object
        members = {"__module__": module, "_unsqueeze_to_float32": lambda self, x: x}
        classes[name] = type(name, (base,), members)
        setattr(modules[module], name, classes[name])
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def make_parts(*, n_inputs=8, n_hidden=16, n_out=2, bn=True, deep=False, seed=0):
    """Return encoder, attention and head with a BatchNorm state far from its initial one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = [nn.Linear(n_inputs, 2 * n_hidden), nn.ReLU(), nn.Linear(2 * n_hidden, n_hidden)]
        encoder = nn.Sequential(*(first if deep else [nn.Linear(n_inputs, n_hidden)]), nn.ReLU())
        attention = nn.Sequential(
            nn.Linear(n_hidden, n_hidden // 2), nn.Tanh(), nn.Linear(n_hidden // 2, 1)
        )
        norm = nn.BatchNorm1d(n_hidden)
        norm.running_mean = torch.rand(n_hidden) * 0.3
        norm.running_var = 0.03 + torch.rand(n_hidden) * 0.05
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
        head = nn.Sequential(
            nn.Flatten(), *([norm] if bn else []), nn.Dropout(), nn.Linear(n_hidden, n_out)
        )
    return {"encoder": encoder, "attention": attention, "head": head.eval()}


def write_export(
    path, *, parts=None, classes=("MSIH", "nonMSIH"), covariates=(), labels=(), root=None
):
    """Write an export.pkl of stub classes.

    `classes` is the encoder's array, or a sequence of names, or None for no encoder (regression);
    `covariates` holds (fitted scikit-learn pipeline, names) with `labels` the Learner's names of
    categorical and continuous columns. Returns encoder, attention and head.
    """
    parts = make_parts() if parts is None else parts
    with stub_classes(*_LEARNER, *STAND_INS, *(_SKLEARN if not covariates else ())) as stub:
        learner = _learner(stub, parts, classes, covariates)
        learner.cat_labels, learner.cont_labels = labels or ([], [])
        torch.save(learner if root is None else root(learner), path, pickle_protocol=2)
    return parts


def _learner(stub, parts, classes, covariates):
    def make(name, **attributes):
        thing = stub[name]()
        vars(thing).update(attributes)
        return thing

    model = stub["MILModel"]()
    for name, part in parts.items():
        setattr(model, name, part)
    bags = np.empty(len(SECRET_PATHS), dtype=object)
    bags[:] = [[Path(file)] for file in SECRET_PATHS]
    datasets = [make("BagDataset", bags=bags, bag_size=512)]
    if covariates:
        encoded = [make("EncodedDataset", encode=encoder) for encoder in covariates]
        datasets.append(make("MapDataset", _datasets=tuple(encoded)))
    labels = np.array([SECRET_LABEL] * len(bags), dtype=object)
    if classes is None:
        datasets.append(labels)
    else:
        encoder = _one_hot_encoder(stub)
        is_tuple = isinstance(classes, tuple)
        encoder.categories_ = [np.array(classes, dtype=object) if is_tuple else classes]
        datasets.append(make("EncodedDataset", encode=encoder, _datasets=(labels,)))
    loader = make("DataLoader", dataset=make("MapDataset", _datasets=tuple(datasets)))
    loaders = make("DataLoaders", loaders=[loader, loader], path=Path("/hospital"))
    return make("Learner", dls=loaders, model=model, target_label="isMSIH")


def _one_hot_encoder(stub):
    if "OneHotEncoder" in stub:
        return stub["OneHotEncoder"]()
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder()


def write_archive(path, pickle, entries=(), *, compression=zipfile.ZIP_STORED):
    """Write a torch-like archive around any bytes; `entries` are (name, bytes)."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickle)
        for name, data in entries:
            file.writestr(f"archive/{name}", data)


def altered_copy(source, target, alter):
    """Copy an archive with its pickle replaced by ``alter(pickle)``."""
    with zipfile.ZipFile(source) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    (name,) = [name for name in entries if name.endswith("/data.pkl")]
    entries[name] = alter(entries[name])
    with zipfile.ZipFile(target, "w") as file:
        for entry, data in entries.items():
            file.writestr(entry, data)


def pickle_of(path) -> bytes:
    """Return an archive's pickle."""
    with zipfile.ZipFile(path) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/data.pkl")]
        return file.read(name)


def calls(module: str, function: str, argument: str) -> bytes:
    """Return pickle instructions that call a function with a text, and drop the result."""
    return f"c{module}\n{function}\n(V{argument}\ntR0".encode()


def private_texts(path) -> set[str]:
    """Return the long texts of an archive's pickle that name patients: path parts and labels."""
    texts: set[str] = set()
    operations: list[Any] = list(pickletools.genops(pickle_of(path)))
    for opcode, argument, _position in operations:
        if opcode.name in ("BINUNICODE", "SHORT_BINUNICODE") and isinstance(argument, str):
            texts.add(argument)
    return {text for text in texts if ".h5" in text or "TCGA" in text or "PATIENT" in text}


def slide_logits(parts, features):
    """Return a slide's logits by the formula: head(Σ softmax(attention(e)) e)."""
    embeddings = parts["encoder"](features)
    weights = torch.softmax(parts["attention"](embeddings), dim=0)
    return parts["head"]((weights * embeddings).sum(0, keepdim=True))[0]


def random_features(model, n_cells=37):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(n_cells, model.n_features, generator=generator)


def assert_same(model, parts, columns=()):
    """Compare attention logits, cells' logits and the slide's logits."""
    features = random_features(model)
    constant = torch.tensor(columns).expand(len(features), -1)
    with torch.no_grad():
        inputs = torch.cat([features, constant], dim=1)
        embeddings = parts["encoder"](inputs)
        found = model.embed(features)
        attention = model.attention_logits(found)
        logits = model.class_logits(found)
        assert (attention - parts["attention"](embeddings)[:, 0]).abs().max() <= TOLERANCE
        assert (logits - parts["head"](embeddings)).abs().max() <= TOLERANCE
        slide = model.class_logits((attention.softmax(0)[:, None] * found).sum(0, keepdim=True))[0]
        expected = slide_logits(parts, inputs)
        assert (slide.softmax(0) - expected.softmax(0)).abs().max() <= TOLERANCE
        return slide, attention, logits


def load_with_fastai(path):
    """Load an export with fastai itself, or torch where fastai is missing."""
    with stub_classes(*STAND_INS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_learner = pytest.importorskip("fastai.learner", exc_type=ImportError).load_learner
        return load_learner(path)
