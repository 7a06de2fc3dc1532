"""Stages are charged with what is done in them, also when they fail."""

import os
import time

import psutil
import pytest

from heatmaps_ome.run.stopwatch import Stopwatch


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
