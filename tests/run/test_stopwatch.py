"""Stages are charged with what is done in them, also when they fail."""

import os
import time

import psutil
import pytest

from heatmaps_ome.run import stopwatch
from heatmaps_ome.run.stopwatch import Stages, Stopwatch


def test_seconds_and_bytes_of_a_stage_add_up(tmp_path):
    stages = {}
    watch = Stopwatch(stages)
    data = os.urandom(3_000_000)
    for name in ("a", "b"):
        with watch("writing"):
            (tmp_path / name).write_bytes(data)
    with watch("waiting"):
        time.sleep(0.2)
    with watch("reading"):
        (tmp_path / "a").read_bytes()
    assert list(stages) == ["writing", "waiting", "reading"]
    assert stages["waiting"]["seconds"] >= 0.2
    assert stages["waiting"]["cpu_seconds"] < 0.15
    if hasattr(psutil.Process(), "io_counters"):
        assert 6_000_000 <= stages["writing"]["bytes_written"] < 6_200_000
        assert 3_000_000 <= stages["reading"]["bytes_read"] < 3_200_000
        assert stages["waiting"]["bytes_read"] < 100_000


def test_a_stage_that_fails_is_charged_too():
    stages = {}
    watch = Stopwatch(stages)

    def work():
        with watch("work"):
            time.sleep(0.05)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        work()
    assert stages["work"]["seconds"] >= 0.05


class Slide:
    """Only forgets."""

    def __init__(self, log):
        self.log = log

    def forget(self):
        self.log.append("forgotten")


@pytest.fixture
def log(monkeypatch):
    log = []
    monkeypatch.setattr(stopwatch, "give_back", lambda: log.append("given back"))
    return log


@pytest.mark.parametrize("forgets", [False, True])
def test_a_stage_counts_shows_its_steps_and_gives_its_memory_back(log, forgets):
    spent = {}
    stages = Stages(spent, lambda *told: log.append(told))
    with stages("work", forget=Slide(log) if forgets else None) as progress:
        time.sleep(0.05)
        progress(1, 3)
        assert log == [("work", 1, 3)]
    assert log[1:] == (["forgotten"] if forgets else []) + ["given back"]
    assert spent["work"]["seconds"] >= 0.05
    assert "cpu_seconds" in spent["work"]


def test_a_stage_beside_others_counts_seconds_alone_and_gives_its_memory_back(log):
    spent = {}
    with Stages(spent).beside("png", forget=Slide(log)):
        time.sleep(0.05)
    assert log == ["forgotten", "given back"]
    assert list(spent["png"]) == ["seconds"]
    assert spent["png"]["seconds"] >= 0.05


def test_a_stage_that_fails_is_counted_and_its_error_goes_on(log):
    spent = {}
    with pytest.raises(ValueError, match="wrong"), Stages(spent)("work", forget=Slide(log)):
        raise ValueError("wrong")
    assert "seconds" in spent["work"]
    assert log == []
