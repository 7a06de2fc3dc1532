"""The measurements of a device run on a CPU with tiny sizes, and give all figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_small_sizes_give_a_row_for_cells_and_one_for_tiles(tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "bench_device.py"), "--small"]
    words = ["--device", "cpu", "--out", str(tmp_path)]
    done = subprocess.run([*script, *words], capture_output=True, text=True, check=True)
    cells, tiles = json.loads((tmp_path / "bench_device.json").read_text(encoding="utf-8"))
    assert (cells["tiles"], tiles["device"]) == (0, "cpu")
    assert tiles["tiles"] > 10
    for figures in (cells, tiles):
        assert figures["seconds"] > 0
        assert 0 < figures["busy"] <= 1
        assert figures["title"] in done.stdout
