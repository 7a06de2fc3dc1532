"""Closed or full streams undo no work, and control characters reach no terminal."""

import functools
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.cli.guard import guarded, log_to_stderr
from heatmaps_ome.cli.streams import Guarded, OneLineFormatter, escaped, guarded_streams, one_line

ROOT = Path(__file__).parents[2]
COMMAND = f"{sys.executable} -m heatmaps_ome.cli.main"
EVIL = "a\x1b[31m\x07\r\x9b2J\u202e\nheatmaps-ome: b"


def shell(line, folder, **env):
    """Run a line of bash and return its result; it sees the exit codes of all parts of a pipe."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


@pytest.fixture
def model(tmp_path):
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))
    return tmp_path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize(
    ("redirection", "code", "sentence"),
    [
        (">&-", 1, b"the standard output cannot be written (it is closed)"),
        (">/dev/full", 1, b"the standard output cannot be written (No space left on device)"),
        ("| true", 0, b""),
        ("2>&-", 0, b""),
        ("2>/dev/full", 0, b""),
        (">&- 2>&-", 1, b""),
        ("<&- >&- 2>&-", 1, b""),
    ],
)
def test_work_stays_done_and_the_exit_code_is_true(model, redirection, code, sentence):
    done = shell(f"{COMMAND} convert-model export.pkl m.safetensors {redirection}", model)
    assert done.returncode == code, done.stderr
    assert cli.main(["info", str(model / "m.safetensors")]) == 0
    assert sentence in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.stderr.count(b"\n") == (1 if sentence else 0)


@pytest.fixture(scope="module")
def exit_code(tmp_path_factory):
    """A function that returns the exit code of words whose output is read."""
    folder = tmp_path_factory.mktemp("read")
    return functools.cache(lambda words: shell(f"{COMMAND} {words}", folder).returncode)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize("words", ["info nothing", "create --zzz", "--help", "craete"])
def test_what_fails_fails_as_ever(tmp_path, exit_code, redirection, words):
    done = shell(f"{COMMAND} {words} {redirection}", tmp_path)
    printed = words == "--help" and redirection[0] == ">"
    assert done.returncode == (1 if printed else exit_code(words))
    assert b"Traceback" not in done.stderr + done.stdout


def test_a_run_is_complete_without_a_standard_output(tmp_path, monkeypatch):
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    monkeypatch.chdir(tmp_path)
    write_slide(tmp_path / "a.svs", speckled(300, 400))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))
    monkeypatch.setattr(sys, "stdout", None)
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    words = ["-m", "export.pkl", "-o", "out", "-t", CLASSES[0], "--extractor", "mean-colour"]
    assert cli.main(["create", "a.svs", *words, "--formats", "cells"]) == 1
    assert "files that were written are complete" in err.getvalue().splitlines()[-1]
    outcome = json.loads((tmp_path / "out" / "run.json").read_text())
    assert outcome["slides"][0]["status"] == "done"


def test_closed_descriptors_are_not_given_to_files(tmp_path):
    code = (
        "import os\nfrom heatmaps_ome.cli.streams import guarded_streams\n"
        "with guarded_streams():\n"
        "    with open('result', 'w') as file: number = file.fileno()\n"
        "    open('number', 'w').write(str(number))\n"
    )
    done = shell(f'{sys.executable} -c "{code}" <&- >&- 2>&-', tmp_path)
    assert done.returncode == 0
    assert int((tmp_path / "number").read_text()) > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
@pytest.mark.parametrize("name", ["猫é.svs", "b\udce9.svs", "c\x1b[2J.svs"])
def test_every_name_can_be_printed_in_every_encoding(tmp_path, encoding, name):
    (tmp_path / name).write_text("no slide")
    done = shell(f"{COMMAND} info ./*", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    text = done.stderr.decode(encoding)
    assert text.startswith("heatmaps-ome: ")
    assert text.rstrip("\n").isprintable()
    assert "Traceback" not in text


NARROW = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""A locale that has ASCII alone."""


def test_a_locale_without_utf_8_prints_escapes(tmp_path):
    (tmp_path / "猫.svs").write_text("no slide")
    done = shell(f"{COMMAND} info ./*", tmp_path, **NARROW)
    assert done.returncode == 1
    assert rb": \u732b.svs ends in .svs" in done.stderr


def test_a_locale_without_utf_8_names_any_file(model):
    done = shell(f"{COMMAND} convert-model export.pkl 猫é.safetensors", model, **NARROW)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"\\u732b\\xe9.safetensors\n"
    assert (model / "猫é.safetensors").is_file()
    script = f"{sys.executable} {ROOT / 'scripts' / 'create_heatmaps.py'}"
    done = shell(f"{script} --猫", model, **NARROW)
    assert done.returncode == 2
    assert done.stderr.startswith(b"create_heatmaps.py: --\\u732b: there is no such option")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain, é 猫 🔬 ×…\n\ta", "plain, é 猫 🔬 ×…\n\ta"),
        ("\x00\x07\x08\x0b\x0c\r\x1b\x7f", r"\x00\x07\x08\x0b\x0c\x0d\x1b\x7f"),
        ("\x80\x9b\x9f\xa0", "\\x80\\x9b\\x9f\xa0"),
        ("\u2028\u2029\u202a\u202e\u2066\u2069\u061c", None),
        ("\udc80\udcff\ud800", r"\x80\xff\ud800"),
    ],
)
def test_control_characters_are_escaped(text, safe):
    assert escaped(text).replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable()
    if safe is not None:
        assert escaped(text) == safe


def test_a_line_is_one():
    assert one_line("a\nb\tc\r") == r"a\nb\tc\x0d"
    assert one_line(Path("a\nb")) == r"a\nb"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bars_move_but_names_in_them_do_not():
    stream = Terminal()
    guard = Guarded(stream)
    guard.write(f"\r{EVIL}  10 %")
    guard.write("\r      \r")
    guard.write("\r")
    assert stream.getvalue() == f"\r{escaped(EVIL)}  10 %\r      \r\r"
    plain = io.StringIO()
    Guarded(plain).write("\rname")
    assert plain.getvalue() == r"\x0dname"


def test_a_stream_that_fails_is_left_alone():
    class Broken(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    guard = Guarded(Broken())
    assert guard.write("text") == 4
    assert guard.error is not None
    assert guard.error.errno == 28
    guard.write("more")
    guard.flush()
    closed = io.StringIO()
    closed.close()
    assert Guarded(closed).isatty() is False
    Guarded(closed).write("text")


def test_log_messages_are_one_line_each():
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "%s", (EVIL,), None)
    text = OneLineFormatter("%(levelname)s: %(message)s").format(record)
    assert text == f"ERROR: {one_line(EVIL)}"
    assert text.isprintable()


def test_streams_are_given_back(capsys):
    before = sys.stdout, sys.stderr
    try:
        with guarded_streams():
            assert isinstance(sys.stdout, Guarded)
            raise KeyError
    except KeyError:
        pass
    assert (sys.stdout, sys.stderr) == before


def test_names_of_strangers_do_not_reach_the_terminal_raw(tmp_path, capsys):
    record = {
        "slide": {"name": EVIL}, "prediction": {EVIL: 0.5}, "true_class": EVIL,
        "model": {"digest": EVIL, "classes": [EVIL]}, "extractor": {"name": EVIL, "digest": EVIL},
        "tissue_cells": EVIL, "created": EVIL, "versions": {"heatmaps-ome": EVIL}, "files": [],
    }  # fmt: skip
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    assert cli.main(["info", str(tmp_path)]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert line.isprintable()
        assert not line.startswith("heatmaps-ome: b")


@pytest.mark.parametrize("words", [["validate"], ["validate", "--json"], ["info"], ["view"]])
def test_names_of_files_do_not_reach_the_terminal_raw(tmp_path, capsys, words):
    folder = tmp_path / EVIL
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    assert cli.main([*words, str(folder)]) != 0
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert not any(line.startswith("heatmaps-ome: b") for line in err.splitlines())
    if "--json" in words and out:
        assert json.loads(out)["valid"] is False


def fails(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (MemoryError("Unable to allocate 931 GiB"), 1, "memory does not suffice (Unable to alloc"),
        (PermissionError(13, "Permission denied", "x.svs"), 1, "x.svs: Permission denied"),
        (KeyError("x"), 1, "a fault of the program: KeyError: 'x'; please report it"),
        (RecursionError("deep"), 1, "a fault of the program: RecursionError: deep"),
        (KeyboardInterrupt(), 130, "stopped"),
        (SystemExit("text"), 1, ""),
    ],
)
def test_an_unforeseen_error_is_a_sentence(capsys, error, code, sentence):
    assert guarded(fails(error)) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err


def test_the_traceback_of_an_unforeseen_error_is_there_for_those_who_ask(capsys):
    def work():
        log_to_stderr(verbose=True)
        raise KeyError("x")

    assert guarded(work) == 1
    assert "Traceback" in capsys.readouterr().err
