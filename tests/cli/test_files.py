"""Whatever is named as a file and is none is refused at once, in a sentence, by every command."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import make_parts, write_export

from heatmaps_ome.cli import main as cli
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import ExtractorError, ModelError, OutputError, ScalingError
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.models import read_model
from heatmaps_ome.storage.result_folder import require_writable

ROOT = Path(__file__).parents[2]
NO_FILES = ["fifo", "folder", "socket", "/dev/zero", "to-fifo", "to-folder", "loop", "missing"]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """All kinds of things that are no regular file, and a model; nothing may take a minute."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("folder").mkdir()
    for name, target in (("to-fifo", "fifo"), ("to-folder", "folder"), ("loop", "loop")):
        Path(name).symlink_to(target)
    write_export(Path("export.pkl"), parts=make_parts(n_inputs=3))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

        def too_long(*_):
            raise AssertionError("it waits")

        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(60)
        yield tmp_path
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(capsys, words, code=1):
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("heatmaps-ome: ")
    assert "fault of the program" not in line
    return line


@pytest.mark.parametrize("path", NO_FILES)
def test_convert_model_reads_models_only(world, capsys, path):
    assert path in refusal(capsys, ["convert-model", path, "m.safetensors"])
    assert not Path("m.safetensors").exists()


@pytest.mark.parametrize("path", [name for name in NO_FILES if "folder" not in name])
def test_info_reads_files_only(world, capsys, path):
    assert path in refusal(capsys, ["info", path])


@pytest.mark.parametrize("name", ["provenance.json", "run.json", ".zattrs", "zarr.json"])
def test_info_reads_records_that_are_regular_files_only(world, capsys, name):
    os.mkfifo(world / "folder" / name)
    assert "it is a FIFO" in refusal(capsys, ["info", "folder"])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', "[" * 500_000, '{"a":' * 500_000, "\x00", "\xff{}"]
)
@pytest.mark.parametrize("name", ["provenance.json", "run.json", "zarr.json"])
def test_info_takes_no_harm_from_damaged_records(world, capsys, name, text):
    (world / "folder" / name).write_text(text, encoding="latin-1")
    assert "damaged" in refusal(capsys, ["info", "folder"])


def test_info_reads_no_record_of_gigabytes(world, capsys):
    with (world / "folder" / "run.json").open("wb") as file:
        file.truncate(1 << 34)
    assert "it has more than 64 MiB" in refusal(capsys, ["info", "folder"])


@pytest.mark.parametrize("path", NO_FILES)
def test_models_scalings_and_weights_are_files_only(world, path):
    with pytest.raises(ModelError, match=path):
        read_model(path)
    with pytest.raises(ScalingError, match=f"{path} cannot be read"):
        CohortScaling.load(Path(path))
    with pytest.raises(ExtractorError, match=path):
        load_extractor("retccl", Path(path), "cpu", "float32")


def test_weights_of_gigabytes_are_not_read(world):
    with Path("huge").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(ExtractorError, match="too many for the encoder"):
        load_extractor("retccl", Path("huge"), "cpu", "float32")
    with pytest.raises(ScalingError, match="more than 8 MiB"):
        CohortScaling.load(Path("huge"))
    with pytest.raises(ModelError, match="huge"):
        read_model("huge")


SCALING = {
    "format": "heatmaps-ome scaling 4", "cohort": "", "model_digest": "", "extractor_digest": "",
    "quantiles": {"attention_lower": 0.01, "attention_upper": 1.0, "score": 0.95},
    "classes": ["a", "b"], "ranges": {"attention": [{"lower": 0, "upper": 1}]},
    "slides": 1, "cells": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"format": "heatmaps-ome scaling 99"}, {"format": []}, {"classes": 5}, {"ranges": []},
        {"ranges": {}}, {"ranges": {"attention": [{"lower": 1, "upper": 1}]}},
        {"ranges": {"attention": [{"lower": "0", "upper": 1}]}}, {"ranges": {"attention": [7]}},
        {"ranges": {**SCALING["ranges"], "score": [{"lower": 0, "upper": 1}] * 3}},
        {"quantiles": {}}, {"quantiles": {"score": 2}}, {"quantiles": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_scaling_is_whole_or_refused(tmp_path, change):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps(SCALING))
    assert CohortScaling.load(path).classes == ("a", "b")
    path.write_text(json.dumps({**SCALING, **change}))
    with pytest.raises(ScalingError, match=r"is no scaling\.json of heatmaps-ome"):
        CohortScaling.load(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "[" * 500_000, '{"a":' * 500_000])
def test_json_that_is_no_scaling_is_refused(tmp_path, text):
    path = tmp_path / "scaling.json"
    path.write_text(text)
    with pytest.raises(ScalingError, match=r"is no scaling\.json of heatmaps-ome"):
        CohortScaling.load(path)


NO_FOLDERS = ["fifo", "socket", "/dev/null", "export.pkl", "export.pkl/x", "loop", "x" * 300]


@pytest.mark.parametrize("path", NO_FOLDERS)
@pytest.mark.parametrize("option", ["--output-path", "--cache-dir"])
def test_folders_to_write_to_are_folders(world, path, option):
    before = sorted(world.rglob("*"))
    with pytest.raises(OutputError, match=option):
        require_writable(Path(path), option)
    assert sorted(world.rglob("*")) == before


def test_a_cache_that_cannot_be_a_folder_is_refused_before_the_work(world, capsys):
    words = ["-m", "export.pkl", "-o", "out", "-t", "MSIH", "--extractor", "tiny"]
    assert cli.main(["create", "a.svs", *words, "--cache-dir", "fifo"]) == 1
    assert "fifo is not a folder; choose another --cache-dir" in capsys.readouterr().err
    assert not Path("out").exists()


TAKEN = ["fifo", "folder", "socket", "/dev/null", "to-fifo", "to-folder", "loop"]
NOWHERE = ["export.pkl/m", "missing/m", "x" * 300]


@pytest.mark.parametrize("target", [*TAKEN, *NOWHERE])
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_convert_model_replaces_files_only(world, capsys, target, more):
    before = {path: path.lstat().st_mode for path in world.iterdir()}
    line = refusal(capsys, ["convert-model", "export.pkl", target, *more])
    assert f"{target} cannot be written: " in line
    assert {path: path.lstat().st_mode for path in world.iterdir()} == before
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("target", ["export.pkl", "./export.pkl", "hard", "soft"])
def test_convert_model_never_replaces_its_source(world, capsys, target):
    Path("hard").hardlink_to("export.pkl")
    Path("soft").symlink_to("export.pkl")
    before = Path("export.pkl").read_bytes()
    line = refusal(capsys, ["convert-model", "export.pkl", target, "--overwrite"])
    assert "is the model to convert" in line
    assert Path("export.pkl").read_bytes() == before


def test_convert_model_replaces_a_file_only_if_it_may(world, capsys):
    Path("m").write_text("old")
    Path("dangling").symlink_to("nowhere")
    for target in ("m", "dangling"):
        assert "add --overwrite" in refusal(capsys, ["convert-model", "export.pkl", target])
        assert cli.main(["convert-model", "export.pkl", target, "--overwrite"]) == 0
        assert cli.main(["info", target]) == 0
        capsys.readouterr()
    assert not Path("nowhere").exists()
    assert not list(world.glob(".*"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file size limit")
def test_a_conversion_that_fails_leaves_nothing(world):
    command = f"{sys.executable} -m heatmaps_ome.cli.main convert-model export.pkl m.safetensors"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; {command}"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "m.safetensors cannot be written" in done.stderr
    assert not Path("m.safetensors").exists()
    assert not list(world.glob(".*"))
