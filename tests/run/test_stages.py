"""A run in stages, as clusters call them: equal to one run of create, in any split."""

import json
import shutil

import numpy as np
import pytest
import zarr
from fake_extractors import CLASSES, load_mean_colour
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.cli.main import main
from heatmaps_ome.errors import HeatmapsError, OptionError
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.run.attempts import PreflightError

NAMES = tuple("abcde")
OPTIONS = {
    "extractor": "mean-colour", "block_size": 256,
    "formats": ("ome-zarr", "cells", "regions", "report"),
}  # fmt: skip


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Return five small slides and a model in a folder."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(NAMES):
        write_slide(folder / f"{name}.svs", speckled(330, 300, seed))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    return folder


@pytest.fixture(autouse=True)
def mean_colour(monkeypatch):
    """Know an extractor that needs no weights."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")


@pytest.fixture(scope="module")
def whole(slides, tmp_path_factory):
    """Return what one run of create makes of all slides."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        create(slides, out)
    return out


def paths(folder, names=NAMES):
    return [folder / f"{name}.svs" for name in names]


def create(folder, out, names=NAMES, **options):
    return heatmaps_ome.create(
        paths(folder, names), folder / "export.pkl", CLASSES[0], out, **{**OPTIONS, **options}
    )


def make_maps(folder, out, names=NAMES, **options):
    return heatmaps_ome.make_maps(
        paths(folder, names), folder / "export.pkl", CLASSES[0], out, **{**OPTIONS, **options}
    )


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


def assert_equal(out, whole):
    """Demand the same values, scaling, labels, report rows and project as another run's."""
    one, other = (json.loads((folder / "scaling.json").read_text()) for folder in (out, whole))
    assert one == other
    for name in NAMES:
        here, there = (folder / name for folder in (out, whole))
        values, wanted = (read_values(f / f"{name}.values.ome.zarr") for f in (here, there))
        for kind, maps in wanted.maps.items():
            np.testing.assert_array_equal(values.maps[kind], maps)
        labels = zarr.open_group(there / f"{name}.ome.zarr" / "labels", mode="r")
        for label in labels.attrs["labels"]:
            drawn = zarr.open_array(here / f"{name}.ome.zarr" / "labels" / label / "0", mode="r")
            np.testing.assert_array_equal(drawn[...], labels[label]["0"][...])
        record, wanted = (json.loads((f / "provenance.json").read_text()) for f in (here, there))
        assert record["request"] == wanted["request"]
    rows, wanted = (_without_times(json.loads((f / "run.json").read_text())) for f in (out, whole))
    assert rows == wanted
    assert _project(out) == _project(whole)


def _without_times(run):
    return [
        {key: value for key, value in slide.items() if key not in ("stages", "status")}
        for slide in run["slides"]
    ]


def _project(out):
    project = json.loads((out / "viewers" / "qupath" / "project.qpproj").read_text())
    return [(entry["imageName"], entry["metadata"]) for entry in project["images"]]


def test_shards_of_maps_and_of_drawing_equal_one_run(slides, whole, tmp_path):
    out = tmp_path / "out"
    first = make_maps(slides, out, shard="1/2")
    second = make_maps(slides, out, shard="2/2")
    assert [outcome.name for outcome in first + second] == ["a", "c", "e", "b", "d"]
    assert not (out / "scaling.json").exists()
    scaling = heatmaps_ome.fit(out)
    assert scaling.slides == 5
    shutil.rmtree(out / ".cache")
    calls = load_mean_colour.calls
    drawn = [heatmaps_ome.draw(out, shard=f"{number}/3") for number in (1, 2, 3)]
    assert load_mean_colour.calls == calls  # no network is needed to draw
    assert [status for part in drawn for status in statuses(part)] == ["done"] * 5
    assert heatmaps_ome.collect(out).done == 5
    assert_equal(out, whole)


def test_each_stage_leaves_what_is_there_as_it_is(slides, tmp_path, monkeypatch):
    out = tmp_path / "out"
    make_maps(slides, out, "ab")
    heatmaps_ome.fit(out)
    heatmaps_ome.draw(out)

    def unwanted(*_):
        raise AssertionError("the slide was opened")

    # Neither maps nor finished results need the slide.
    monkeypatch.setattr("heatmaps_ome.run.maker.open_slide", unwanted)
    before = (out / "scaling.json").read_bytes()
    assert statuses(make_maps(slides, out, "ab")) == ["unchanged"] * 2
    heatmaps_ome.fit(out)
    assert (out / "scaling.json").read_bytes() == before
    assert statuses(heatmaps_ome.draw(out)) == ["unchanged"] * 2
    assert create(slides, out, "ab").failed == {}


def test_results_that_were_removed_are_made_again(slides, tmp_path):
    out = tmp_path / "out"
    create(slides, out, "a")
    before = json.loads((out / "a" / "provenance.json").read_text())["files"]
    # The cache may be deleted at any time, too.
    shutil.rmtree(out / "a")
    shutil.rmtree(out / ".cache")
    assert create(slides, out, "a").failed == {}
    after = json.loads((out / "a" / "provenance.json").read_text())["files"]
    values = [name for name in before if ".values.ome.zarr/0/" in name]
    assert values
    assert {name: after[name] for name in values} == {name: before[name] for name in values}


def test_a_slide_that_changed_is_read_again(slides, tmp_path):
    for name in "ab":
        shutil.copy(slides / f"{name}.svs", tmp_path)
    shutil.copy(slides / "export.pkl", tmp_path)
    out = tmp_path / "out"
    make_maps(tmp_path, out, "ab")
    write_slide(tmp_path / "a.svs", speckled(330, 310, 7))
    assert statuses(make_maps(tmp_path, out, "ab")) == ["done", "unchanged"]


def test_verify_reads_a_slide_although_its_stamp_is_the_same(slides, tmp_path, monkeypatch):
    shutil.copy(slides / "a.svs", tmp_path)
    shutil.copy(slides / "export.pkl", tmp_path)
    out = tmp_path / "out"
    make_maps(tmp_path, out, "a")
    write_slide(tmp_path / "a.svs", speckled(330, 310, 7))
    record = out / ".maps" / "a" / "provenance.json"
    from heatmaps_ome.slides.stamps import stamp_of

    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "stamp": stamp_of(tmp_path / "a.svs")}))
    assert statuses(make_maps(tmp_path, out, "a")) == ["unchanged"]
    assert statuses(make_maps(tmp_path, out, "a", verify=True)) == ["done"]


def test_a_broken_slide_fails_alone_and_the_list_names_it(slides, tmp_path):
    for name in "ab":
        shutil.copy(slides / f"{name}.svs", tmp_path)
    shutil.copy(slides / "export.pkl", tmp_path)
    (tmp_path / "b.svs").write_bytes(b"no slide")
    out = tmp_path / "out"
    assert statuses(make_maps(tmp_path, out, "ab")) == ["done", "failed"]
    heatmaps_ome.fit(out)
    heatmaps_ome.draw(out)
    collected = heatmaps_ome.collect(out)
    assert (collected.done, collected.failed) == (1, 1)


def test_several_folders_share_a_scaling(slides, whole, tmp_path):
    make_maps(slides, tmp_path / "one", "abc")
    make_maps(slides, tmp_path / "two", "de")
    scaling = heatmaps_ome.fit([tmp_path / "one", tmp_path / "two"], tmp_path / "both.json")
    other = json.loads((whole / "scaling.json").read_text())
    assert json.loads((tmp_path / "both.json").read_text()) == other
    assert not (tmp_path / "one" / "scaling.json").exists()
    [outcome] = heatmaps_ome.draw(tmp_path / "one", scaling=tmp_path / "both.json", shard="1/3")
    record = json.loads((outcome.folder / "provenance.json").read_text())
    assert record["scaling"]["ranges"] == other["ranges"]
    assert scaling.slides == 5


def test_quantiles_are_told_to_maps_or_to_fit(slides, tmp_path):
    make_maps(slides, tmp_path / "one", "ab", score_threshold=0.5)
    make_maps(slides, tmp_path / "two", "ab")
    told = heatmaps_ome.fit(tmp_path / "one")
    given = heatmaps_ome.fit(tmp_path / "two", score_threshold=0.5)
    assert told.ranges == given.ranges
    assert heatmaps_ome.fit(tmp_path / "two").ranges != given.ranges


def test_quantiles_that_contradict_each_other_are_refused(slides, tmp_path):
    make_maps(slides, tmp_path / "out", "ab", att_lower_threshold=0.2)
    with pytest.raises(OptionError, match=r"quantile, 0\.2, must be below the upper one, 0\.1;"):
        heatmaps_ome.fit(tmp_path / "out", att_upper_threshold=0.1)


def test_maps_of_other_options_are_refused(slides, tmp_path):
    out = tmp_path / "out"
    make_maps(slides, out, "a")
    with pytest.raises(PreflightError, match=r"another --mask-threshold \(224, not 200\)"):
        make_maps(slides, out, "b", mask_threshold=200)
    make_maps(slides, out, "b", mask_threshold=200, overwrite=True)
    with pytest.raises(HeatmapsError, match="made with other options than the latest"):
        heatmaps_ome.fit(out)


def test_the_order_of_stages_is_told_in_a_sentence(slides, tmp_path, capsys):
    out = tmp_path / "out"
    for command in ("fit", "draw"):
        assert main([command, str(out)]) == 1
        assert "run heatmaps-ome maps, or create" in capsys.readouterr().err
    make_maps(slides, out, "a")
    assert main(["draw", str(out)]) == 1
    assert f"run heatmaps-ome fit {out} first" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_shard_is_refused(slides, tmp_path, shard):
    with pytest.raises(OptionError, match="give I/N, such as 2/8"):
        make_maps(slides, tmp_path / "out", "a", shard=shard)
    assert not (tmp_path / "out").exists()


def test_the_commands_print_a_line_for_each_slide(slides, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["-m", str(slides / "export.pkl"), "-o", str(out), "-t", CLASSES[0]]
    words += ["--extractor", "mean-colour", "--formats", "cells"]
    assert main(["maps", *map(str, paths(slides, "ab")), *words]) == 0
    assert "a.svs: done\nb.svs: done\n2 done; then: heatmaps-ome fit" in capsys.readouterr().out
    assert main(["fit", str(out)]) == 0
    assert "of 2 slides" in capsys.readouterr().out
    assert main(["draw", str(out)]) == 0
    assert "2 done; then: heatmaps-ome collect" in capsys.readouterr().out
    assert main(["collect", str(out)]) == 0


def test_maps_keep_nothing_of_a_patient_outside_their_folder(slides, tmp_path):
    out = tmp_path / "out"
    make_maps(slides, out, "a")
    [record] = (out / "runs").glob("*.json")
    assert str(slides) not in record.read_text()
    job = json.loads((out / ".maps" / "job.json").read_text())
    assert job["options"]["model_path"] == [str(slides / "export.pkl")]
