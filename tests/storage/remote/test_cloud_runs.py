"""Runs on slides in a bucket, with results in a bucket, equal local ones through all faults."""

import json
import threading
from pathlib import Path

import pytest
from beside_runs import content, run_options, work
from model_files import make_parts, write_export
from object_storage import client_of, objects_of
from slide_files import speckled, write_slide

from heatmaps_ome.options import CreateOptions, DrawOptions, MapsOptions
from heatmaps_ome.run import pipeline, slide_urls, staged
from heatmaps_ome.run.fitting import fit
from heatmaps_ome.run.forecast.dry_run import dry_run
from heatmaps_ome.run.progress import silent
from heatmaps_ome.run.remote_output import collect_there
from heatmaps_ome.storage.remote import outputs

NAMES = ("s0", "s1")
FEW = ("cells", "report")
"""Formats of few files."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A folder with two slides, a model, and the results of a local run."""
    folder = tmp_path_factory.mktemp("cohort")
    for seed, name in enumerate(NAMES):
        write_slide(folder / f"{name}.svs", speckled(300, 400, seed))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    work(run_options(folder, NAMES))
    return folder


@pytest.fixture
def bucket(s3, client, cohort, monkeypatch):
    """The server, with the slides in a bucket."""
    for module in (slide_urls, staged, outputs):
        monkeypatch.setattr(module, "remote_client", lambda: client)
    for name in NAMES:
        client_of(s3).upload_file(str(cohort / f"{name}.svs"), "slides", f"in/{name}.svs")
    s3.forget()
    yield s3
    outputs.close_outputs()


def run(cohort, scratch, **changed):
    """Return the options of a run on the bucket's slides, to the bucket."""
    given = run_options(cohort, NAMES, output_path="s3://slides/out", scratch=scratch, **changed)
    return {**given, "slides": [f"s3://slides/in/{name}.svs" for name in NAMES]}


def downloaded(s3, folder):
    """Put the results of a bucket into a folder, by boto3, and return what they hold."""
    for key, data in objects_of(s3, "slides", "out/").items():
        path = folder / key.removeprefix("out/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return content(folder)


def without_project(there):
    """Leave out the project, which has slides on disks alone, and the cache."""
    return {**there, "project": [], "entries": set(there["entries"]) - {".cache"}}


def test_a_run_in_a_bucket_through_faults_equals_a_local_one(bucket, cohort, tmp_path):
    peak = []
    is_done = threading.Event()
    scratch = tmp_path / "scratch"
    size = max((cohort / f"{name}.svs").stat().st_size for name in NAMES)

    def watch():
        while not is_done.wait(0.002):
            files = scratch.glob(".heatmaps-ome.*.scratch/*/s?.svs")
            peak.append(sum(path.stat().st_size for path in files if path.exists()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with bucket.failing(busy=7, dropped=11):
            work(run(cohort, scratch, scratch_size=f"{2 * size}B"))
    finally:
        is_done.set()
        thread.join()
    there = downloaded(bucket, tmp_path / "copy")
    assert without_project(there) == without_project(content(cohort / "out"))
    assert 0 < max(peak) <= 2 * size
    outputs.close_outputs()
    assert list(scratch.iterdir()) == []


def test_finished_slides_are_recognised_without_a_download(bucket, cohort, tmp_path):
    work(run(cohort, tmp_path, formats=FEW))
    before = objects_of(bucket, "slides", "out/")
    bucket.forget()
    work(run(cohort, tmp_path, formats=FEW))
    assert not [path for method, path in bucket.log if method == "GET" and "/in/" in path]
    after = objects_of(bucket, "slides", "out/")
    own = {key for key in before if key.split("/")[1] in NAMES}
    assert {key: after[key] for key in own} == {key: before[key] for key in own}
    # A slide that was replaced by another one is not taken for the same.
    client_of(bucket).upload_file(str(cohort / "s1.svs"), "slides", "in/s0.svs")
    with pytest.raises(SystemExit):
        failing_work(run(cohort, tmp_path, formats=FEW))


def failing_work(options):
    """Run create as `work`, which ends the process where a slide fails."""
    import os

    def leave(code):
        raise SystemExit(code)

    before, os._exit = os._exit, leave
    try:
        work(options)
    finally:
        os._exit = before


def test_stages_of_several_jobs_work_in_a_bucket(bucket, cohort, tmp_path):
    given = run(cohort, tmp_path)
    paths = {"model_path": Path(given["model_path"]), "output_path": Path(given["output_path"])}
    told = {**given, **paths, "slides": tuple(map(Path, given["slides"]))}
    out = Path("s3://slides/out")
    for shard in ("2/2", "1/2"):
        pipeline.maps(MapsOptions(**told, shard=shard), silent)
        outputs.close_outputs()
    fit((out,), {})
    outputs.close_outputs()
    for shard in ("1/2", "2/2"):
        done = pipeline.draw(DrawOptions(path=out, shard=shard, scratch=tmp_path), silent)
        assert {outcome.status for outcome in done} == {"done"}
        outputs.close_outputs()
    counted = collect_there(out)
    assert (counted.done, counted.failed) == (2, 0)
    there = downloaded(bucket, tmp_path / "copy")
    assert without_project(there) == without_project(content(cohort / "out"))


def test_dry_runs_know_what_lies_in_the_bucket_and_write_nothing(bucket, cohort, tmp_path):
    out = Path("s3://slides/out")
    given = run(cohort, tmp_path, formats=FEW)
    paths = {"model_path": Path(given["model_path"]), "output_path": out}
    told = {**given, **paths, "slides": tuple(map(Path, given["slides"]))}

    def foreseen(options):
        before = objects_of(bucket, "slides")
        slides = dry_run(options).slides
        assert objects_of(bucket, "slides") == before
        outputs.close_outputs()
        return [slide.work for slide in slides]

    assert foreseen(MapsOptions(**told)) == ["maps", "maps"]
    assert foreseen(CreateOptions(**told)) == ["maps and files"] * 2
    pipeline.maps(MapsOptions(**told), silent)
    outputs.close_outputs()
    assert foreseen(MapsOptions(**told)) == ["unchanged", "unchanged"]
    fit((out,), {})
    outputs.close_outputs()
    assert foreseen(DrawOptions(path=out, scratch=tmp_path)) == ["files", "files"]
    pipeline.draw(DrawOptions(path=out, scratch=tmp_path), silent)
    outputs.close_outputs()
    assert foreseen(DrawOptions(path=out, scratch=tmp_path)) == ["unchanged", "unchanged"]
    assert foreseen(CreateOptions(**told)) == ["unchanged", "unchanged"]


def test_a_slide_that_is_not_there_is_one_slides_fault(bucket, cohort, tmp_path):
    options = run(cohort, tmp_path, formats=FEW)
    options["slides"].insert(1, "s3://slides/in/none.svs")
    with pytest.raises(SystemExit):
        failing_work(options)
    listed = json.loads(objects_of(bucket, "slides", "out/run.json")["out/run.json"])["slides"]
    assert {(slide["slide"], slide["status"]) for slide in listed} == {
        ("none.svs", "failed"), ("s0.svs", "done"), ("s1.svs", "done"),
    }  # fmt: skip
    [message] = [slide["message"] for slide in listed if slide["status"] == "failed"]
    assert "there is nothing of this name; check the URL" in message
