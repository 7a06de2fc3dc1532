"""A dry run tells what a run would do, and writes nothing."""

import shutil
from dataclasses import replace

import pytest
from fake_extractors import CLASSES, load_mean_colour
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli.main import main
from heatmaps_ome.errors import OutputError, ResultError, ScalingError
from heatmaps_ome.options import CreateOptions, DrawOptions, MapsOptions
from heatmaps_ome.run import making, pipeline
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.fitting import fit
from heatmaps_ome.run.forecast import machine
from heatmaps_ome.run.forecast.costs import Costs, Sum
from heatmaps_ome.run.forecast.dry_run import dry_run
from heatmaps_ome.run.progress import silent

STATUSES = {
    "maps and files": "done", "maps": "done", "files": "done", "unchanged": "unchanged",
    "refused": "failed",
}  # fmt: skip
"""Work in a forecast → status of the outcome of the run."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two slides, a file that is none, and a model."""
    path = tmp_path_factory.mktemp("dry")
    for seed, name in enumerate("ab"):
        write_slide(path / f"{name}.svs", speckled(300, 420, seed))
    (path / "text.svs").write_text("no slide")
    write_export(path / "export.pkl", parts=make_parts(n_inputs=3))
    return path


@pytest.fixture
def world(folder, tmp_path, monkeypatch):
    """Return options of runs with slides of the folder, in an output of their own."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    def options(names="a", kind=CreateOptions, **changed):
        given = {
            "slides": tuple(folder / f"{name}.svs" for name in names.split()),
            "model_path": folder / "export.pkl", "output_path": tmp_path / "out",
            "true_class": CLASSES[0], "extractor": "mean-colour", "formats": ("cells",),
        }  # fmt: skip
        return kind(**(given | changed))

    return options


def works(forecast):
    return [slide.work for slide in forecast.slides]


def tree(path):
    """Return everything below a folder with its size and time."""
    return {(found, found.lstat().st_size, found.lstat().st_mtime_ns) for found in path.rglob("*")}


def test_nothing_is_written_and_no_network_is_built(world, tmp_path, monkeypatch):
    load_mean_colour.calls = 0
    monkeypatch.setattr(making.Making, "_prepare", None)
    before = tree(tmp_path)
    forecast = dry_run(world("a b text missing"))
    assert works(forecast) == ["maps and files", "maps and files", "refused", "refused"]
    assert "text.svs" in forecast.slides[2].message
    assert "missing.svs" in forecast.slides[3].message
    assert forecast.seconds is None
    assert forecast.results is None
    assert tree(tmp_path) == before


def words(options, command="create"):
    return [
        command, *map(str, options.slides), "-m", str(options.model_path), "-t", CLASSES[0],
        "-o", str(options.output_path), "--extractor", "mean-colour", "--formats", "cells",
        "--dry-run",
    ]  # fmt: skip


def test_the_command_prints_a_line_for_each_slide_and_the_sums(world, capsys):
    assert main(words(world("a text"))) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a.svs: maps and files"
    assert lines[1].startswith("text.svs: refused (")
    assert lines[2] == "2 slides: 1 maps and files, 1 refused"
    assert lines[3] == "time: not known yet; the first slide will tell"
    assert lines[4].startswith("disk: results not known yet, cache not known yet (")
    assert "are free there" in lines[4]
    assert lines[5:] == ["nothing was written"]
    assert main(words(world("b"), "maps")) == 0
    assert capsys.readouterr().out.startswith("b.svs: maps\n1 slide: 1 maps\n")


def test_errors_of_the_whole_run_are_those_of_the_run(world):
    options = world("a")
    options.output_path.write_text("no folder")
    with pytest.raises(PreflightError, match="is not a folder") as dry:
        dry_run(options)
    with pytest.raises(PreflightError) as real:
        pipeline.create(options, silent)
    assert str(real.value) == str(dry.value)


def test_a_run_does_what_the_dry_run_told(world):
    for names, changed, expected in (
        ("a", {}, ["maps and files"]),
        ("a", {}, ["unchanged"]),
        ("a text b", {}, ["unchanged", "refused", "maps and files"]),
        ("a b", {"verify": True}, ["unchanged", "unchanged"]),
        ("a", {"att_cmap": "viridis"}, ["refused"]),
        ("a b", {"att_cmap": "viridis", "overwrite": True}, ["files", "files"]),
        ("a b", {"att_cmap": "viridis", "refit": True}, ["files", "files"]),
    ):
        options = world(names, **changed)
        assert works(dry_run(options)) == expected
        outcomes = pipeline.create(options, silent)
        told = [STATUSES[work] for work in expected]
        if not changed.get("refit"):  # the same scaling may be fitted again
            assert [outcome.status for outcome in outcomes] == told


def test_stages_are_forecast_from_what_the_earlier_ones_left(world):
    options = world("a b", MapsOptions)
    output = options.output_path
    assert works(dry_run(replace(options, shard="2/2"))) == ["maps"]
    pipeline.maps(replace(options, shard="2/2"), silent)
    assert works(dry_run(options)) == ["maps", "unchanged"]
    assert works(dry_run(world("a b"))) == ["maps and files", "files"]
    with pytest.raises(ScalingError, match="has no scaling yet; run heatmaps-ome fit"):
        dry_run(DrawOptions(output))
    fit((output,), {})
    before = tree(output)
    assert works(dry_run(DrawOptions(output))) == ["files"]
    assert tree(output) == before
    pipeline.draw(DrawOptions(output), silent)
    assert works(dry_run(DrawOptions(output))) == ["unchanged"]
    assert works(dry_run(world("a b"))) == ["maps and files", "unchanged"]


def test_slides_that_a_run_remembers_are_not_opened(world, monkeypatch):
    pipeline.create(world("a b"), silent)

    def refused(*_):
        raise AssertionError("opened")

    monkeypatch.setattr(making, "planned_slide", refused)
    assert works(dry_run(world("a b"))) == ["unchanged", "unchanged"]
    assert works(dry_run(world("a b", verify=True))) == ["refused", "refused"]


def test_time_and_disk_follow_from_slides_that_are_done(world, tmp_path):
    pipeline.create(world("a"), silent)
    # In the same output, and in any other by what this machine has noted.
    elsewhere = world("b", output_path=tmp_path / "other")
    kept = machine._path()
    assert kept is not None
    assert str(kept).startswith(str(tmp_path / "home"))
    text = kept.read_text()
    assert not any(name in text for name in ("a.svs", str(tmp_path), "dry"))
    forecasts = [dry_run(world("b")), dry_run(elsewhere)]
    kept.unlink()
    forecasts.append(dry_run(world("b")))
    for forecast in forecasts:
        assert forecast.measured_on == 1
        assert 0 < forecast.seconds < 60
        # Both slides have one size.
        files = [path for path in (tmp_path / "out/a").rglob("*") if path.is_file()]
        left = sum(max(path.stat().st_size, 512 * path.stat().st_blocks) for path in files)
        assert forecast.results == pytest.approx(left, rel=0.01)
        assert forecast.cache > 0
    assert dry_run(elsewhere).seconds is None
    # Another network takes another time, and other files another space.
    other = dry_run(world("b", formats=("png",), output_path=tmp_path / "out"))
    assert (other.seconds, other.results) == (None, None)


def test_features_from_the_cache_are_no_measure_of_time(world, tmp_path):
    pipeline.create(world("a", cache_dir=tmp_path / "cache"), silent)
    machine._path().unlink()
    again = world("a", cache_dir=tmp_path / "cache", output_path=tmp_path / "again", no_pool=True)
    pipeline.create(again, silent)
    forecast = dry_run(replace(again, slides=world("b").slides))
    assert forecast.seconds is None
    assert forecast.results > 0


def test_a_run_that_cannot_fit_is_warned_of_and_done(world, caplog, monkeypatch):
    pipeline.create(world("a b"), silent)
    assert "too small" not in caplog.text
    usage = type("Usage", (), {"free": 1000, "total": 10_000})
    monkeypatch.setattr("heatmaps_ome.run.forecast.space.shutil.disk_usage", lambda _: usage)
    pipeline.create(world("a b"), silent)
    assert "too small" not in caplog.text  # nothing is left to do
    shutil.rmtree(world().output_path / "b")
    assert works(dry_run(world("a b"))) == ["unchanged", "maps and files"]
    outcomes = pipeline.create(world("a b"), silent)
    assert [outcome.status for outcome in outcomes] == ["unchanged", "done"]
    assert "is too small for these slides: they leave at least" in caplog.text
    assert "1.00 kB of 10.0 kB are free there" in caplog.text


def test_costs_that_cannot_be_kept_stop_no_run(world, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("no folder")
    assert pipeline.create(world("a"), silent)[0].status == "done"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(machine.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    assert machine._path() is None
    assert dry_run(world("b")).seconds > 0


def test_a_damaged_file_of_costs_is_none(world):
    path = machine._path()
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"format": "heatmaps-ome costs 1", "kinds": 3}'):
        path.write_text(text)
        assert dry_run(world("a")).seconds is None


def test_costs_are_sums_per_megapixel_in_which_later_slides_count_more():
    costs = Costs({"making": Sum(10, 2, 1)}).plus(Costs({"making": Sum(2, 1, 1)}, 0.5))
    assert costs.of("making", [1, 3]) == pytest.approx(16)
    assert costs.slides("making") == 2
    assert (costs.of("drawing", [1]), costs.least_share) == (None, 0.5)
    assert Costs.from_record(costs.record()) == costs
    many = Costs({"making": Sum(1000, 100, 100)})
    later = many.plus(Costs({"making": Sum(2000, 50, 50)}))
    assert later.slides("making") == 100
    assert later.of("making", [1]) == pytest.approx((500 + 2000) / (50 + 50))
    for record in ({}, {"sums": {"making": [1, 0, 1]}, "least_share": None}, {"sums": 3}):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            Costs.from_record(record)


def test_the_output_is_not_made_by_a_refusal(world, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        dry_run(DrawOptions(tmp_path / "file"))
    with pytest.raises(ResultError, match="has no maps to go on with"):
        dry_run(DrawOptions(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
