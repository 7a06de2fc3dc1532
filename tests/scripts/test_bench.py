"""The benchmarks measure what they say, and their baseline is the reference's algorithm."""

import os
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from benchmarks.__main__ import PAIRS, Pair, jobs, measure, row, table
from benchmarks.baseline import features_of, run_reference
from benchmarks.jobs import JOBS
from benchmarks.processes import JobError, measured
from benchmarks.slides import SMALL, SMALL_TENTH
from model_files import make_parts
from PIL import Image
from trunks import Resnet

from heatmaps_ome.demo.slide import write_demo_slide

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let the jobs' own processes find the benchmarks, as scripts/bench does."""
    folders = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "slide.svs"
    write_demo_slide(path, 1, l0_height=2400, l0_width=3000, mpp=0.5)
    return path


@pytest.mark.slow
def test_jobs_are_measured_in_turn_each_in_a_process_of_its_own(slide):
    wanted = {"theirs": ("read_reference", str(slide)), "ours": ("read", str(slide))}
    said = []
    turns = measure(lambda _: wanted, 2, said.append)
    assert [text.split(": ")[1] for text in said] == ["theirs", "ours"] * 2
    assert len(turns) == 2
    for turn in turns:
        for figures in turn.values():
            assert 0 < figures.wall_s < 60
            assert 0 < figures.cpu_s < 60
            assert 50 < figures.rss_mib < 4000
    summed = row(Pair("c", "reading", "ours", "theirs"), turns)
    ratios = sorted(turn["ours"].cpu_s / turn["theirs"].cpu_s for turn in turns)
    assert ratios[0] <= summed["ratio"]["cpu_s"] + 1e-4
    assert summed["ratio"]["cpu_s"] <= ratios[-1] + 1e-4
    lines = list(table([summed]))
    assert len({line.count("|") for line in lines}) == 1
    assert f"{summed['ratio']['wall_s']:.3f}" in lines[-1]


def test_every_pair_has_its_jobs_and_a_key_of_its_own():
    known = jobs(Path("folder"), Path("results"), SMALL, SMALL_TENTH)
    assert {words[0] for words in known.values()} <= JOBS.keys()
    for pair in PAIRS:
        assert {pair.ours, pair.other} <= known.keys()
    assert len({pair.key for pair in PAIRS}) == len(PAIRS)
    # What a second run finds must be what the first has just left.
    order = list(known)
    assert order.index("again") == order.index("whole") + 1


def test_a_job_that_fails_is_told():
    with pytest.raises(JobError, match="read nowhere"):
        measured("read", "nowhere.svs")


def test_the_baseline_sees_what_the_references_formulas_say():
    torch.manual_seed(0)
    trunk = torch.nn.Conv2d(3, 5, 7, 32, 3).eval()
    mosaic = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    expected = reference.features_in_slices(trunk, mosaic, 1)
    np.testing.assert_allclose(features_of(trunk, mosaic).numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_baseline_leaves_the_references_pictures(slide, tmp_path):
    run_reference(slide, Resnet().eval(), make_parts(n_inputs=2048, n_hidden=16), tmp_path)
    sizes = {}
    for name in ("slide.jpg", "attention_overlayed.jpg", "map_overlayed.jpg"):
        with Image.open(tmp_path / name) as picture:
            sizes[name] = picture.size
    assert len(set(sizes.values())) == 1
