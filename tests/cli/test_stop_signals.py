"""A run that is stopped by a batch system ends cleanly and goes on when it is started again."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.cli import stop_signals
from heatmaps_ome.cli.guard import guarded

ROOT = Path(__file__).parents[2]
LINE = "heatmaps-ome: stopped by {}; the same command goes on from here\n"


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_the_work_with_one_line_and_its_exit_code(capsys, name, code):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(20)
        finally:
            cleaned.append(True)
        return 0

    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        assert guarded(work) == code
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert cleaned == [True]
    assert capsys.readouterr().err == LINE.format(name)


def test_a_signal_that_the_caller_ignores_stays_ignored():
    code = (
        "import os, signal; from heatmaps_ome.cli.guard import guarded\n"
        "guarded(lambda: os.kill(os.getpid(), signal.SIGHUP) or 0); print('alive')"
    )
    done = subprocess.run(
        ["nohup", sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "alive\n", done.stderr


def test_threads_that_do_not_end_hold_a_stop_up_for_some_seconds_only():
    code = """
import os, signal, time
from concurrent.futures import ThreadPoolExecutor
from heatmaps_ome.cli import stop_signals
from heatmaps_ome.cli.guard import guarded
stop_signals._LONGEST_S = 0.2
def work():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 60)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
guarded(work)
"""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 143
    assert done.stderr == LINE.format("SIGTERM")
    assert time.monotonic() - begin < 30


def test_work_in_another_thread_is_left_as_it_is():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(guarded(lambda: 5)))
    thread.start()
    thread.join()
    assert codes == [5]


def test_engines_wait_longer_than_a_stop_takes():
    assert stop_signals._LONGEST_S < 10  # docker stop


def test_a_run_that_is_stopped_while_writing_leaves_nothing_half_done_and_goes_on(
    tmp_path, monkeypatch, capsys
):
    from heatmaps_ome.exporters.cells import CellsExporter

    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    for name in ("a", "b"):
        write_slide(tmp_path / f"{name}.svs", speckled(300, 400), mpp=0.5)
    write_export(tmp_path / "m.pkl", parts=make_parts(n_inputs=3))
    words = [
        "create", *(str(tmp_path / f"{name}.svs") for name in "ab"), "-m", str(tmp_path / "m.pkl"),
        "-t", CLASSES[0], "-o", str(tmp_path / "out"), "--extractor", "mean-colour",
        "--formats", "cells,report",
    ]  # fmt: skip

    def stopped(self, result, folder):
        write(self, result, folder)
        if result.slide.name == "b":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)

    write = CellsExporter.write
    with monkeypatch.context() as patch:
        patch.setattr(CellsExporter, "write", stopped)
        assert cli.main(words) == 143
    assert capsys.readouterr().err.endswith(LINE.format("SIGTERM"))
    assert [path.parent.name for path in (tmp_path / "out").glob("*/provenance.json")] == ["a"]
    assert not list((tmp_path / "out").glob(".*partial*"))
    assert cli.main(words) == 0
    assert (tmp_path / "out" / "b" / "provenance.json").is_file()
