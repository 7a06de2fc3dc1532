"""The example for SLURM runs a cohort, as far as a stand-in for SLURM can tell."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_server import served_command
from fake_slurm import Slurm
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome.extractors.tiny import CHANNELS

ROOT = Path(__file__).parents[2]
SUBMIT = ROOT / "scripts" / "cluster" / "slurm" / "submit.sh"
STAGE = SUBMIT.with_name("stage.sbatch")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs bash scripts of Linux")


@pytest.fixture
def slurm(tmp_path):
    return Slurm(tmp_path / "slurm")


def recorded(slurm, code="exit 0"):
    """Have the program write its words to a file, and end as some shell code does."""
    log = slurm.folder / "calls"
    slurm.command("heatmaps-ome", f'echo "$*" >> "{log}"\n{code}')
    return lambda: sorted(log.read_text().splitlines()) if log.exists() else []


def submitted(slurm, tmp_path):
    return slurm.submit(SUBMIT, "out put", 3, "a b.svs", "-m", "m.pkl", "-t", "A", cwd=tmp_path)


def test_the_stages_follow_one_another_and_each_shard_is_done_once(slurm, tmp_path):
    calls = recorded(slurm)
    done = submitted(slurm, tmp_path)
    assert done.returncode == 0, done.stderr
    assert calls() == []  # submission runs nothing
    assert set(slurm.run().values()) == {"COMPLETED"}
    assert slurm.started == ["maps"] * 3 + ["fit"] + ["draw"] * 3 + ["collect"]
    assert calls() == sorted(
        [f"maps a b.svs -m m.pkl -t A -o out put --shard {i}/3" for i in (1, 2, 3)]
        + [f"draw out put --shard {i}/3" for i in (1, 2, 3)]
        + ["fit out put", "collect out put"]
    )
    logs = {path.name for path in tmp_path.glob("heatmaps-*.log")}
    assert "heatmaps-maps-100_2.log" in logs


def test_slides_that_fail_do_not_stop_the_others(slurm, tmp_path):
    recorded(slurm, "case $1 in maps|draw) exit 1;; esac")
    submitted(slurm, tmp_path)
    assert set(slurm.run().values()) == {"COMPLETED"}


@pytest.mark.parametrize("code", [2, 137, 143])
def test_a_shard_that_is_killed_holds_back_the_scaling_but_not_the_report(slurm, tmp_path, code):
    recorded(slurm, f'[[ "$*" == maps*2/3 ]] && exit {code}; exit 0')
    submitted(slurm, tmp_path)
    assert slurm.run() == {
        "maps": "FAILED", "fit": "CANCELLED", "draw": "CANCELLED", "collect": "COMPLETED"
    }  # fmt: skip


def test_a_shard_that_is_submitted_again_is_the_same_one(slurm, tmp_path):
    calls = recorded(slurm)
    words = ("--array=2", "--export=ALL,SHARDS=3", STAGE, "maps", "a.svs")
    slurm.submit("sbatch", *words, cwd=tmp_path)
    slurm.run()
    assert calls() == ["maps a.svs --shard 2/3"]


def test_a_stop_reaches_the_program_and_the_script_waits_for_it(slurm, tmp_path):
    recorded(slurm, "trap 'sleep 0.5; touch cleaned; exit 143' TERM; touch up; sleep 30 & wait")
    slurm.submit("sbatch", STAGE, "fit", "out", cwd=tmp_path)
    (job,) = (slurm.folder / "jobs").glob("*.json")
    process = slurm.start(json.loads(job.read_text()), None)
    deadline = time.monotonic() + 20
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    slurm.cancel(process)
    assert process.wait(20) == 143
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--no-such-option", STAGE),
        ("--dependency=afterok:7", STAGE),
        ("--dependency=later:100", STAGE),
        ("--array=5-1", STAGE),
        ("missing.sbatch",),
    ],
)
def test_the_stand_in_refuses_what_slurm_refuses(slurm, words):
    done = slurm.submit("sbatch", *words)
    assert done.returncode != 0
    assert "sbatch: error" in done.stderr


def raw(folder):
    """Return the raw values of a slide, as zarr alone reads them."""
    return zarr.open_group(folder / f"{folder.name}.values.ome.zarr", mode="r")["0"][:]


def test_two_shards_make_what_one_run_makes_and_again_do_nothing(slurm, tmp_path):
    for seed, name in enumerate("ab"):
        write_slide(tmp_path / f"{name}.svs", speckled(300, 400, seed), mpp=0.5)
    write_export(tmp_path / "m.pkl", parts=make_parts(n_inputs=CHANNELS), classes=("A", "B"))
    making = [
        *(f"{name}.svs" for name in "ab"), "-m", "m.pkl", "-t", "A", "--extractor", "tiny",
        "--formats", "ome-zarr,cells",
    ]  # fmt: skip
    with served_command(tmp_path) as command:
        slurm.command("heatmaps-ome", command)
        single = slurm.submit("heatmaps-ome", "create", *making, "-o", "single", cwd=tmp_path)
        assert single.returncode == 0, single.stdout
        for _ in range(2):
            done = slurm.submit(SUBMIT, "out", 2, *making, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            logs = "\n".join(path.read_text() for path in tmp_path.glob("heatmaps-*.log"))
            assert set(slurm.run().values()) == {"COMPLETED"}, logs
            times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in "ab"}
            shutil.rmtree(slurm.folder / "jobs")
            (slurm.folder / "jobs").mkdir()
    assert times == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in "ab"}
    for name in "ab":
        both = [raw(tmp_path / run / name) for run in ("single", "out")]
        assert np.array_equal(*both, equal_nan=True)
    scalings = [
        json.loads((tmp_path / run / "scaling.json").read_text()) for run in ("single", "out")
    ]
    assert scalings[0]["ranges"] == scalings[1]["ranges"]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [slide["status"] for slide in record["slides"]] == ["done"] * 2
