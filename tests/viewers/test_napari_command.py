"""`view --napari`: what it says where it cannot open napari; `test_napari` opens it."""

import json
import sys
from pathlib import Path

import pytest

from heatmaps_ome.cli.main import main
from heatmaps_ome.exporters.manifest import MANIFEST, MAPS_FORMAT
from heatmaps_ome.options import ViewOptions


@pytest.fixture
def run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "provenance.json").write_text("{}")
        (tmp_path / name / MANIFEST).write_text(json.dumps({"format": MAPS_FORMAT}))
    return tmp_path


def said_by(capsys, *words):
    """Return the sentence of a command that fails."""
    assert main(["view", "--napari", *map(str, words)]) != 0
    return capsys.readouterr().err


def test_without_napari_it_says_how_to_install_it(run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    sentence = said_by(capsys, run)
    assert 'napari is not installed here; install it with pip install "napari[all]"' in sentence


def test_a_slide_that_is_not_there_is_named_with_those_that_are(run, capsys):
    assert "--slide is 'c'" in (sentence := said_by(capsys, run, "--slide", "c"))
    assert "a, b" in sentence


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert "holds no slide's results" in said_by(capsys, tmp_path)


def test_options_that_do_nothing_beside_it_are_told():
    path = Path("a")
    assert not list(ViewOptions(path, napari=True, slide="x").notes())
    [note] = ViewOptions(path, napari=True, port=9).notes()
    assert "options of the server have no effect" in note
    [note] = ViewOptions(path, slide="x").notes()
    assert "no effect without --napari" in note
