"""Runs beside one another in one output folder: whole, killed, and started again."""

import json
import os
import signal

import pytest
from beside_runs import content, run_beside, run_options, started, work
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome.errors import ResultError
from heatmaps_ome.run.collect import collect
from heatmaps_ome.storage.result_folder import ResultFolder, remove_leftovers


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A folder with six slides, a model, and the scaling and results of one run with them all."""
    folder = tmp_path_factory.mktemp("cohort")
    for seed in range(6):
        write_slide(folder / f"s{seed}.svs", speckled(300, 400, seed))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    serial = run_options(folder, [f"s{n}" for n in range(6)], output_path=str(folder / "serial"))
    [code] = run_beside([serial])
    assert code == 0
    return folder


def test_runs_that_are_killed_and_restarted_end_like_one_run(cohort, tmp_path):
    scaling = str(cohort / "serial" / "scaling.json")
    runs = [
        run_options(cohort, names, output_path=str(tmp_path / "out"), scaling=scaling)
        for names in (["s0", "s1", "s2", "s3"], ["s2", "s3", "s4", "s5"], ["s5", "s0", "s4"])
    ]
    assert run_beside(runs, kills=6, seed=7) == [0, 0, 0]
    assert content(tmp_path / "out") == content(cohort / "serial")


def test_the_same_slides_at_once_are_done_by_whichever_run_is_first(cohort, tmp_path):
    run = run_options(cohort, ["s0", "s1"], output_path=str(tmp_path / "out"))
    assert run_beside([run, run]) == [0, 0]
    assert content(tmp_path / "out")["list"] == [("s0.svs", "done", "s0"), ("s1.svs", "done", "s1")]
    assert len(list((tmp_path / "out" / "runs").glob("*.json"))) == 2


def test_other_slides_at_once_share_one_scaling_and_are_all_listed(cohort, tmp_path):
    runs = [
        run_options(cohort, names, output_path=str(tmp_path / "out"))
        for names in (["s0", "s1"], ["s2"], ["s3"])
    ]
    assert run_beside(runs) == [0, 0, 0]
    there = content(tmp_path / "out")
    assert [name for name, *_ in there["list"]] == [f"s{n}.svs" for n in range(4)]
    assert [name for name, *_ in there["rows"]] == [f"s{n}.svs" for n in range(4)]
    assert [name for name, *_ in there["project"]] == [f"s{n}.svs" for n in range(4)]
    applied = [slide["scaling"]["ranges"] for slide in there["slides"].values()]
    assert applied == [there["scaling"]["ranges"]] * 4


def test_collect_rebuilds_all_that_runs_share(cohort, tmp_path):
    out = tmp_path / "out"
    work(run_options(cohort, ["s0", "s1"], output_path=str(out)))
    before = content(out)
    (out / "index.html").unlink()
    (out / "viewers" / "qupath" / "project.qpproj").unlink()
    (out / "scaling.json").write_text('{"cut')
    (out / "run.json").write_text("")
    counted = collect(out)
    assert (counted.done, counted.failed) == (2, 0)
    assert content(out) == before
    # A slide whose folder the user removes leaves the list; its records of runs stay.
    (out / "s1").rename(tmp_path / "s1")
    collect(out)
    assert content(out)["list"] == [("s0.svs", "done", "s0")]
    (tmp_path / "s1").rename(out / "s1")
    collect(out)
    assert content(out)["list"] == before["list"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultError, match="holds no results"):
        collect(tmp_path / "empty")
    with pytest.raises(ResultError, match="there is no folder"):
        collect(tmp_path / "nothing")


def test_the_report_has_the_slides_of_the_newest_models_alone(cohort, tmp_path):
    out = tmp_path / "out"
    work(run_options(cohort, ["s0", "s1"], output_path=str(out)))
    path = out / "s0" / "provenance.json"
    record = json.loads(path.read_text())
    record["model"]["digest"], record["created"] = "x" * 64, "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(record))
    counted = collect(out)
    assert (counted.done, counted.failed) == (2, 0)
    assert [name for name, *_ in content(out)["rows"]] == ["s1.svs"]
    # One damaged record takes nothing from the others.
    path.write_text(json.dumps({**record, "model": {}}))
    collect(out)
    assert content(out)["list"] == [("s1.svs", "done", "s1")]


def test_folders_of_dead_processes_are_removed_and_those_of_live_ones_stay(cohort, tmp_path):
    out = tmp_path / "out"
    work(run_options(cohort, ["s0"], output_path=str(out)))
    dead = started(run_options(cohort, ["s1"], output_path=str(out)))
    while not list(out.glob(".s1.*.partial")):
        assert dead.is_alive(), "the run ended before it could be killed"
    os.kill(dead.pid, signal.SIGKILL)
    dead.join()
    [left] = out.glob(".s1.*.partial")
    # As if it had been killed between the two renames that replace results.
    old = left.with_name(left.name.replace(".s1.", ".s0.").replace(".partial", ".old"))
    (out / "s0").rename(old)
    mine = ResultFolder(out, "s2").start()
    remove_leftovers(out)
    assert not left.exists()
    assert not old.exists()
    assert json.loads((out / "s0" / "provenance.json").read_text())["name"] == "s0"
    assert mine.is_dir()
