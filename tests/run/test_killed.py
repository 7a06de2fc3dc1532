"""A run that is killed outright, as a cluster's scheduler does it, goes on where it stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_extractors import CLASSES, load_mean_colour
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

CHILD = """
import sys, time
sys.path[:0] = {paths!r}
import fake_extractors
from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
class Slow(fake_extractors.MeanColourTiles):
    def __call__(self, pixels, keep=None):
        time.sleep(0.3)
        return super().__call__(pixels, keep)
fake_extractors.load_mean_colour = lambda weights, device, precision: Slow()
extractors.REGISTRY["mean-colour"] = "fake_extractors:load_mean_colour"
cli.main({words!r})
"""


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_blocks_it_has(tmp_path, monkeypatch):
    slide = write_slide(tmp_path / "a.svs", speckled(1200, 1500))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))
    words = [
        "create", str(slide), "-m", str(tmp_path / "export.pkl"), "-o", str(tmp_path / "out"),
        "-t", CLASSES[0], "--extractor", "mean-colour", "--block-size", "128", "--formats", "cells",
    ]  # fmt: skip
    root = Path(__file__).parents[2]
    code = CHILD.format(paths=[str(root / "tests" / "support"), str(root)], words=words)
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    kept = _wait_for_blocks(tmp_path / "out" / ".cache", child)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "out" / "a").exists()

    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    load_mean_colour.calls = 0
    options = CreateOptions(
        slides=(slide,), model_path=tmp_path / "export.pkl", output_path=tmp_path / "out",
        true_class=CLASSES[0], extractor="mean-colour", block_size=128, formats=("cells",),
    )  # fmt: skip
    assert create(options, silent)[0].status == "done"
    resumed = load_mean_colour.calls
    undisturbed = CreateOptions(**{**vars(options), "output_path": tmp_path / "fresh"})
    create(undisturbed, silent)
    assert resumed <= load_mean_colour.calls - resumed - kept
    maps = [
        read_values(tmp_path / out / "a" / "a.values.ome.zarr").attention.tobytes()
        for out in ("out", "fresh")
    ]
    assert maps[0] == maps[1]


def _wait_for_blocks(cache: Path, child: subprocess.Popen) -> int:
    """Wait until a few blocks are in the cache; return how many."""
    for _ in range(600):
        blocks = [path for path in cache.glob("features/*/c/*/*/0") if path.is_file()]
        if len(blocks) >= 3:
            return len(blocks)
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.1)
    raise AssertionError("no blocks within a minute")
