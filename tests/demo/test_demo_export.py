"""The demo's export.pkl: fastai reads it back, and it tells nothing of where it was made."""

from __future__ import annotations

import pickletools
import sys
import zipfile
from importlib.resources import files

import marugoto_like
import pytest

EXPORT = files("heatmaps_ome") / "demo" / "data" / "demo-export.pkl"


def pickled_strings() -> list[str]:
    with EXPORT.open("rb") as file, zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        return [
            argument
            for operation, argument, _ in pickletools.genops(archive.read(name))
            if isinstance(argument, str) and "UNICODE" in operation.name
        ]


def test_it_names_marugotos_classes_and_no_place():
    with EXPORT.open("rb") as file, zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        instructions = archive.read(name)
    for wanted in (b"marugoto.mil.model\nMILModel\n", b"marugoto.mil.data\nBagDataset\n"):
        assert wanted in instructions
    for unwanted in (b"/home", b"/work", b"/tmp", b"/root", b"Users", b"__main__"):
        assert unwanted not in instructions
    bags = [text for text in pickled_strings() if text.startswith("demo-bag-")]
    assert len(bags) == len(set(bags)) > 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_fastai_reads_it_back_with_its_classes():
    torch = pytest.importorskip("torch")
    learner = pytest.importorskip("fastai.learner")
    with marugoto_like.installed(), EXPORT.open("rb") as file:
        learn = learner.load_learner(file)
    encoder = learn.dls.loaders[0].dataset._datasets[-1].encode
    assert list(encoder.categories_[0]) == ["normal", "tumour"]
    logits = learn.model.eval()(torch.zeros(2, 5, 96), torch.tensor([5, 3]))
    assert logits.shape == (2, 2)


def test_the_stand_ins_leave_no_trace():
    before = set(sys.modules)
    with marugoto_like.installed():
        from marugoto.mil.model import MILModel  # pyright: ignore[reportMissingImports]

        assert MILModel.__module__ == "marugoto.mil.model"
    assert not any(name.startswith("marugoto") for name in set(sys.modules) - before - {
        "marugoto_like"
    })  # fmt: skip
    assert marugoto_like.MILModel.__module__ == "marugoto_like"
