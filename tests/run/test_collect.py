"""The files that all runs share, from an index of the slides: equal to a new look at each."""

import csv
import json
import shutil
import tracemalloc
from pathlib import Path

import pytest
from report_world import made_maps, made_result, write_slide_folder

from heatmaps_ome.cli import main as cli
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import OutputError
from heatmaps_ome.geometry import Shape
from heatmaps_ome.run.applied_scaling import own_scaling, require_all_slides
from heatmaps_ome.run.collect import collect
from heatmaps_ome.run.run_history import history
from heatmaps_ome.run.slide_index import index_path, indexed_slides
from heatmaps_ome.validate.prediction_table import table_faults
from heatmaps_ome.viewers.slide_places import note_place

CLASSES = ("MSIH", "nonMSIH")
NAMES = ("a", "b", "=c")


def record(name, fit, **changed):
    """Return a provenance as far as collect reads it."""
    known = {
        "format": "heatmaps-ome result 1",
        "created": "2026-01-02T03:04:05+00:00",
        "slide": {"name": f"{name}.svs"},
        "true_class": "MSIH",
        "tissue_cells": 1234,
        "prediction": {"MSIH": 0.75, "nonMSIH": 0.25},
        "target": {"task": "classification", "link": "softmax"},
        "label": "nonMSIH",
        "model": {"digest": "m" * 64, "classes": list(CLASSES)},
        "extractor": {"digest": "e" * 64, "name": "made-up"},
        "scaling": fit.record(),
    }
    return known | changed


def run_record(out, stamp, entries, **changed):
    """Write the record of a run: (name, status, message) of each slide."""
    (out / "runs").mkdir(exist_ok=True)
    slides = [
        {"slide": f"{name}.svs", "name": name, "status": status, "message": message,
         "folder": None if status == "failed" else name}
        for name, status, message in entries
    ]  # fmt: skip
    facts = {"format": "heatmaps-ome run 1", "slides": slides, "model": {"digest": "m" * 64}}
    path = out / "runs" / f"{stamp}.json"
    path.write_text(json.dumps({**facts, "options": {"model_path": "export.pkl"}, **changed}))


@pytest.fixture(scope="module")
def scaling():
    fit = ScalingFit(Quantiles())
    fit.add(made_maps("fit", Shape(12, 16)))
    return fit.fit("", "m" * 64, "e" * 64)


@pytest.fixture(scope="module")
def world(tmp_path_factory, scaling):
    """Three slides with results, one that failed, and one with raw maps alone."""
    out = tmp_path_factory.mktemp("out")
    write_slide_folder(out, made_result(made_maps("a", Shape(12, 16))))
    for name in NAMES:
        (out / name).mkdir(exist_ok=True)
        if name != "a":
            shutil.copyfile(out / "a" / "a.report.json", out / name / f"{name}.report.json")
        (out / name / "provenance.json").write_text(json.dumps(record(name, scaling)))
        note_place(out, name, Path("/slides") / f"{name}.svs")
    (out / ".maps" / "raw").mkdir(parents=True)
    (out / ".maps" / "a").mkdir()
    run_record(out, "1", [(name, "done", "") for name in NAMES] + [("bad", "failed", "no such")])
    return out


@pytest.fixture
def out(world, tmp_path):
    return Path(shutil.copytree(world, tmp_path / "out"))


def shared(out):
    """Return the content of all shared files, without times."""
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    page = (out / "index.html").read_text(encoding="utf-8")
    facts = json.loads(page.split('id="run">')[1].split("</script>")[0])
    del run["created"], facts["created"]
    project = json.loads((out / "viewers/qupath/project.qpproj").read_text(encoding="utf-8"))
    return run, facts, project["images"], (out / "predictions.csv").read_bytes()


def table(out):
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reads(monkeypatch):
    """Return the list of records that are read from now on."""
    paths = []

    def watched(folder):
        paths.append(folder.name)
        return real(folder)

    from heatmaps_ome.run import slide_index

    real = slide_index.record_of
    monkeypatch.setattr(slide_index, "record_of", watched)
    return paths


def test_a_record_is_read_once_until_it_changes(out, scaling, monkeypatch):
    read = reads(monkeypatch)
    counted = collect(out)
    assert (counted.done, counted.failed, counted.undrawn) == (3, 1, ("raw",))
    assert sorted(read) == sorted(NAMES)
    before = shared(out)
    read.clear()
    collect(out)
    assert read == []
    assert shared(out) == before
    changed = record("b", scaling, prediction={"MSIH": 0.5, "nonMSIH": 0.5})
    (out / "b" / "provenance.json").write_text(json.dumps(changed))
    collect(out)
    assert read == ["b"]
    assert {row["folder"]: row["prediction: MSIH"] for row in table(out)}["b"] == "0.5"


@pytest.mark.parametrize("damage", ["gone", "", "cut", "other", "stranger", "a line"])
def test_a_lost_or_damaged_index_is_made_anew(out, damage):
    collect(out)
    before = shared(out)
    for path in (index_path(out), out / "runs" / ".runs.index"):
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
            continue
        lines = data.splitlines(keepends=True)
        path.write_bytes({
            "": b"",
            "cut": data[: len(data) * 2 // 3],
            "other": data.replace(b"index 1", b"index 0").replace(b"history 1", b"history 0"),
            "stranger": b"\xff\x00{",
            "a line": b"".join([*lines[:1], b'["a",[1,2,3]]\t{}\n', *lines[2:]]),
        }[damage])  # fmt: skip
    (out / "run.json").unlink()
    collect(out)
    assert shared(out) == before


def test_slides_that_come_and_go_leave_no_trace_in_the_index(out):
    collect(out)
    before = shared(out)
    (out / "b").rename(out.parent / "b")
    assert collect(out).done == 2
    assert [slide.name for slide in indexed_slides(out)] == ["=c", "a"]
    (out.parent / "b").rename(out / "b")
    collect(out)
    assert shared(out) == before


def test_failures_are_those_of_the_newest_record_of_a_slide_in_any_order(out):
    collect(out)
    run_record(out, "3", [("bad", "done", ""), ("a", "failed", "disk full")])
    collect(out)
    run_record(out, "2", [("bad", "failed", "older"), ("new", "failed", "no tissue")])
    collect(out)
    known = history(out)
    for name in (".runs.index", ".slides.index"):
        (out / "runs" / name).unlink()
    assert history(out).failed == known.failed
    rows = {row["slide"]: row for row in table(out)}
    assert set(rows) == {"a.svs", "b.svs", "'=c.svs", "new.svs"}
    assert rows["new.svs"]["message"] == "no tissue"
    assert rows["a.svs"]["status"] == "done"
    assert "disk full" in rows["a.svs"]["message"]
    # A record that the user removes counts no more.
    (out / "runs" / "3.json").unlink()
    collect(out)
    assert {row["slide"] for row in table(out)} >= {"bad.svs", "new.svs"}


def test_the_table_of_predictions_is_for_statistics_and_spreadsheets(out):
    collect(out)
    data = (out / "predictions.csv").read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") == 5
    assert str(out).encode() not in data
    rows = {row["folder"]: row for row in table(out)}
    assert set(rows) == {"a", "b", "'=c", ""}
    first = rows["a"]
    assert float(first["prediction: MSIH"]) == 0.75
    wanted = {
        "slide": "a.svs", "status": "done", "label": "nonMSIH", "predicted": "MSIH",
        "drawn_hot": "MSIH", "tissue_cells": "1234", "model": "m" * 12, "trust": "unknown",
    }  # fmt: skip
    assert {key: first[key] for key in wanted} == wanted
    assert rows[""] | {"slide": "bad.svs", "status": "failed", "message": "no such"} == rows[""]
    assert list(table_faults(out)) == []
    for before, after in ((b"0.75", b"0.76"), (b"'=c.svs", b"=c.svs"), (b"a.svs", b"other.svs")):
        (out / "predictions.csv").write_bytes(data.replace(before, after, 1))
        assert list(table_faults(out))


def test_other_scalings_are_known_from_the_index(out, scaling, monkeypatch):
    collect(out)
    read = reads(monkeypatch)
    require_all_slides(out, ("a", "b", "=c"), None)
    require_all_slides(out, (), scaling)
    with pytest.raises(OutputError, match=r"not in this run.*\(=c\)"):
        require_all_slides(out, ("a", "b"), None)
    assert read == []
    (out / "scaling.json").unlink()
    assert own_scaling(out).numbers == scaling.numbers


def test_a_project_of_some_slides_is_kept_up_to_date_and_loses_nothing(out, capsys):
    def entries():
        path = out / "viewers" / "qupath-few" / "project.qpproj"
        return [entry["imageName"] for entry in json.loads(path.read_text())["images"]]

    words = ["collect", str(out), "--project", "few", "--slides", "a, x*"]
    assert cli.main(words) == 0
    assert "qupath-few" in capsys.readouterr().out
    assert entries() == ["a.svs"]
    shutil.copytree(out / "b", out / "x1")
    note_place(out, "x1", Path("/slides/x1.svs"))
    collect(out)
    assert entries() == ["a.svs", "x1.svs"]
    (out.parent / "list").write_text("# chosen\nb\n")
    assert cli.main([*words[:4], "--from-file", str(out.parent / "list")]) == 0
    assert entries() == ["a.svs", "x1.svs", "b.svs"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--slides", "a"], "--project NAME"),
        (["--project", "few"], "--slides NAMES"),
        (["--project", "../few", "--slides", "a"], "cannot be named"),
    ],
)
def test_a_selection_that_is_none_is_refused(out, capsys, words, text):
    assert cli.main(["collect", str(out), *words]) == 2
    assert text in capsys.readouterr().err


def test_info_counts_slides_by_state(out, capsys):
    collect(out)
    assert cli.main(["info", str(out)]) == 0
    text = capsys.readouterr().out
    for part in ("3 with results", "1: bad", "1 with raw maps alone: raw", "export.pkl", "MSIH"):
        assert part in text
    assert "predictions.csv" in text


def test_folders_that_hold_no_results_are_no_slides(out):
    (out / "mine").mkdir()
    (out / "mine" / "provenance.json").write_text("{")
    (out / "link").symlink_to(out / "a")
    assert collect(out).done == 3


def test_maps_that_nobody_drew_yet_are_counted_and_no_fault(tmp_path, capsys):
    (tmp_path / ".maps" / "raw").mkdir(parents=True)
    assert cli.main(["collect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "0 slides with results" in text
    assert "1 with raw maps, but not drawn (raw); then: heatmaps-ome draw" in text
    assert table(tmp_path) == []
    assert cli.main(["info", str(tmp_path)]) == 0
    assert "1 with raw maps alone: raw" in capsys.readouterr().out


def test_memory_hardly_grows_with_the_number_of_slides(out):
    """The entries of run.json are copied one by one, and a part is read to the end of its row."""
    peaks = []
    for count in (10, 300):
        for index in range(count):
            if not (out / f"x{index}").exists():
                shutil.copytree(out / "a", out / f"x{index}")
                part = out / f"x{index}" / "a.report.json"
                part.rename(part.with_name(f"x{index}.report.json"))
        tracemalloc.start()
        collect(out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 10 * 2**20
