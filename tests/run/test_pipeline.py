"""Whole runs on small slides, with an extractor that needs no weights."""

import csv
import json
import math
import os
import re
import shutil
import threading
from dataclasses import replace

import numpy as np
import psutil
import pytest
import tifffile
import zarr
from earlier_scalings import in_an_earlier_format
from fake_extractors import CLASSES, MeanColourTiles, load_mean_colour
from model_files import make_parts, write_export
from slide_files import speckled, write_slide
from torch import nn

from heatmaps_ome import extractors
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.errors import OptionError
from heatmaps_ome.maps.artefact_evidence import artefact_sentences, evidence_on_artefacts
from heatmaps_ome.maps.faithfulness import faithfulness
from heatmaps_ome.maps.numbers import number
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import FORMATS, CreateOptions
from heatmaps_ome.run import planning
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.slides.artefacts import KINDS, MEASURES
from heatmaps_ome.slides.opened_slide import OpenedSlide
from heatmaps_ome.storage.digests import file_digests
from heatmaps_ome.validate.result import validate

NO_PICTURES = tuple(name for name in FORMATS if name != "png")
"""Drawing pictures takes half of so small a run: tests that do not concern them leave them out."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with two slides and a model, and the means to run create there."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    load_mean_colour.calls = 0
    for seed, name in enumerate(("a", "b")):
        write_slide(tmp_path / f"{name}.svs", speckled(500, 700, seed))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))

    class World:
        path = tmp_path
        slides = (tmp_path / "a.svs", tmp_path / "b.svs")

        def options(self, *slides, **changed):
            given = {
                "slides": slides or self.slides,
                "model_path": tmp_path / "export.pkl",
                "output_path": tmp_path / "out",
                "true_class": CLASSES[0],
                "extractor": "mean-colour",
                "block_size": 256,
                "formats": NO_PICTURES,
            }
            return CreateOptions(**(given | changed))

        def run(self, *slides, **changed):
            return create(self.options(*slides, **changed), silent)

    return World()


def bent_parts():
    """Return a model's parts with a head that is not affine."""
    parts = make_parts(n_inputs=3)
    return parts | {"head": nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))}


def tree(folder):
    return {path for path in folder.rglob("*") if ".cache" not in path.parts}


def test_a_run_leaves_everything_it_promises(world):
    outcomes = world.run(formats=FORMATS)
    assert [(o.slide, o.status) for o in outcomes] == [("a.svs", "done"), ("b.svs", "done")]
    out = world.path / "out"
    assert {p.name for p in out.iterdir()} == {
        ".cache", ".maps", "a", "b", "index.html", "predictions.csv", "run.json", "runs",
        "scaling.json", "viewers",
    }  # fmt: skip
    names = {p.name for p in (out / "a").iterdir()}
    assert names == {
        "a.ome.zarr", "a.values.ome.zarr", "previews", "provenance.json", "maps.json",
        "a.cells.csv", "a.cells.geojson", "a.regions.csv", "a.regions.geojson",
        "a.tiles.csv", "tiles", "a.report.json",
        "a.attention.ome.tiff", "a.values.ome.tiff", "a.winner.ome.tiff",
        *(
            f"a.{kind}-{c}.ome.tiff"
            for kind in ("score", "contribution", "evidence")
            for c in CLASSES
        ),
    }  # fmt: skip
    labels = zarr.open_group(out / "a" / "a.ome.zarr" / "labels", mode="r").attrs["labels"]
    assert set(labels) == {
        "attention", "tissue", "winner", "artefacts",
        *(f"{kind}-{c}" for kind in ("score", "contribution", "evidence") for c in CLASSES),
    }  # fmt: skip


def test_provenance_names_what_was_used_and_nothing_private(world):
    world.run(formats=FORMATS)
    record = json.loads((world.path / "out" / "a" / "provenance.json").read_text())
    assert record["slide"]["mpp"] == [0.5, 0.5]
    assert record["model"]["classes"] == list(CLASSES)
    assert record["extractor"]["name"] == "mean-colour"
    assert record["extractor"]["precision"] == "float32"
    folder = world.path / "out" / "a"
    digests = file_digests(folder)
    digests.pop("provenance.json")
    assert record["files"] == digests
    assert len(digests) > 20
    for text in (json.dumps(record), (world.path / "out" / "run.json").read_text()):
        assert str(world.path) not in text
    assert json.loads((world.path / "out" / "run.json").read_text())["slides"][0]["folder"] == "a"


def test_every_format_holds_the_same_value_at_the_same_place(world):
    world.run(world.slides[0])
    folder = world.path / "out" / "a"
    heatmaps = read_values(folder / "a.values.ome.zarr")
    ranges = json.loads((world.path / "out" / "scaling.json").read_text())["ranges"]
    [scaling] = ranges["attention"]
    labels = zarr.open_group(folder / "a.ome.zarr" / "labels" / "attention", mode="r")
    properties = {
        each["label-value"]: each["attention"]
        for each in labels.attrs["image-label"]["properties"]
        if "attention" in each
    }
    step = (scaling["upper"] - scaling["lower"]) / 254
    um_label = labels.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0][
        "scale"
    ]
    with tifffile.TiffFile(folder / "a.attention.ome.tiff") as file:
        overlay = file.series[0].levels[0].asarray()
        per_um = file.pages[0].get_resolution("micrometer")[::-1]
    for row, col in np.argwhere(heatmaps.tissue):
        place = heatmaps.grid.um_from_g((type(heatmaps.grid.l0_cell))(row + 0.5, col + 0.5))
        index = tuple(int(p / s) for p, s in zip(place, um_label, strict=True))
        if index[0] >= labels["0"].shape[0] or index[1] >= labels["0"].shape[1]:
            continue
        value = np.clip(heatmaps.attention[row, col], scaling["lower"], scaling["upper"])
        assert properties[int(labels["0"][index])] == pytest.approx(value, abs=step * 0.51)
        assert overlay[tuple(int(p * s) for p, s in zip(place, per_um, strict=True))][3] == 128


def test_slides_of_a_run_share_a_scaling_but_keep_their_raw_values(world):
    world.run()
    world.run(world.slides[0], output_path=world.path / "alone")
    together = read_values(world.path / "out" / "a" / "a.values.ome.zarr")
    alone = read_values(world.path / "alone" / "a" / "a.values.ome.zarr")
    assert np.array_equal(together.attention, alone.attention, equal_nan=True)
    assert np.array_equal(together.scores, alone.scores, equal_nan=True)
    assert np.array_equal(together.contributions, alone.contributions, equal_nan=True)
    shared, own = (
        json.loads((world.path / folder / "scaling.json").read_text())
        for folder in ("out", "alone")
    )
    assert (shared["slides"], own["slides"]) == (2, 1)
    assert shared["ranges"]["attention"] != own["ranges"]["attention"]


def test_a_scaling_is_applied_to_a_later_slide(world):
    world.run(world.slides[0])
    scaling = world.path / "out" / "scaling.json"
    world.run(world.slides[1], output_path=world.path / "later", scaling=scaling)
    assert (world.path / "later" / "scaling.json").read_text() == scaling.read_text()
    record = json.loads((world.path / "later" / "b" / "provenance.json").read_text())
    assert record["scaling"]["ranges"] == json.loads(scaling.read_text())["ranges"]


def test_other_colours_and_classes_need_no_network(world):
    world.run(world.slides[0], formats=FORMATS)
    calls = load_mean_colour.calls
    assert calls > 0
    outcomes = world.run(
        world.slides[0], overwrite=True, att_cmap="viridis", att_lower_threshold=0.2,
        true_class=CLASSES[1], classes=(CLASSES[1],), no_pool=True, formats=FORMATS,
    )  # fmt: skip
    assert {o.status for o in outcomes} == {"done"}
    assert load_mean_colour.calls == calls


def test_other_colours_read_no_slide_and_build_no_network(world, monkeypatch):
    # Previews of so small a slide are finer than the network's pixels, and so read from it.
    formats = ("ome-zarr", "ome-tiff", "cells", "tiles")
    world.run(formats=formats)
    folder = world.path / "out" / "a"
    values = read_values(folder / "a.values.ome.zarr")
    image = (folder / "a.ome.zarr" / "0" / "0" / "0" / "0").read_bytes()

    def unwanted(*_):
        raise AssertionError("the cache has it")

    monkeypatch.setattr(OpenedSlide, "read", unwanted)
    monkeypatch.setattr(MeanColourTiles, "prepare", unwanted)
    outcomes = world.run(overwrite=True, att_cmap="viridis", score_threshold=0.8, formats=formats)
    assert {o.status for o in outcomes} == {"done"}
    again = read_values(folder / "a.values.ome.zarr")
    assert np.array_equal(again.attention, values.attention, equal_nan=True)
    assert np.array_equal(again.artefacts, values.artefacts)
    assert (folder / "a.ome.zarr" / "0" / "0" / "0" / "0").read_bytes() == image


def test_leave_one_out_is_drawn_when_asked_for_and_always_among_the_values(world):
    world.run(world.slides[0], formats=FORMATS)
    world.run(
        world.slides[0], output_path=world.path / "drawn", leave_one_out=True, formats=FORMATS
    )
    names = [f"leave-one-out-{c}" for c in CLASSES]
    for folder, drawn in (("out", False), ("drawn", True)):
        slide = world.path / folder / "a"
        said = json.loads((slide / "maps.json").read_text())
        channels = {each["name"]: each["channel"] for each in said["maps"]}
        values = zarr.open_group(slide / "a.values.ome.zarr", mode="r")
        labels = [channel["label"] for channel in values.attrs["omero"]["channels"]]
        assert set(names) <= set(labels)
        for name in names:
            assert channels.get(name) == (labels.index(name) if drawn else None)
            assert (slide / "a.ome.zarr" / "labels" / name).exists() == drawn
            assert (slide / f"a.{name}.ome.tiff").exists() == drawn
            assert (slide / "previews" / f"{name}-overlay.png").exists() == drawn
    assert validate(world.path / "drawn").problems == ()


def test_tiles_for_and_against_the_true_class_are_shown_as_many_as_asked_for(world):
    world.run(world.slides[0])
    world.run(world.slides[0], output_path=world.path / "one", top_tiles=1)
    world.run(world.slides[0], output_path=world.path / "none", top_tiles=0)
    for folder, most in (("out", 8), ("one", 1), ("none", 0)):
        slide = world.path / folder / "a"
        text = (slide / "a.tiles.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        assert (len(rows) > 0) == (most > 0)
        for kind in ("top", "bottom"):
            assert sum(row["kind"] == kind for row in rows) <= most
        assert all(row["class"] == CLASSES[0] for row in rows)
        drawn = {f"tiles/{path.name}" for path in (slide / "tiles").glob("*-*.jpg")}
        assert drawn == {row["picture"] for row in rows}
        assert (slide / "tiles" / "tiles.jpg").exists() == bool(rows)
        assert json.loads((slide / "maps.json").read_text())["tiles"] == "a.tiles.csv"
        assert validate(world.path / folder).problems == ()


def test_leave_one_out_is_refused_where_it_cannot_be_drawn(world):
    world.run(world.slides[0])
    scaling = world.path / "old.json"
    said = json.loads((world.path / "out" / "scaling.json").read_text())
    scaling.write_text(json.dumps(in_an_earlier_format(said, 1)))
    later = {"output_path": world.path / "later", "scaling": scaling}
    assert world.run(world.slides[1], **later)[0].status == "done"
    with pytest.raises(PreflightError, match="no ranges"):
        world.run(world.slides[1], leave_one_out=True, overwrite=True, **later)
    write_export(world.path / "export.pkl", parts=bent_parts())
    with pytest.raises(PreflightError, match="not affine"):
        world.run(output_path=world.path / "bent", leave_one_out=True)


MAPS = ["contribution", "attention", "score", "random"]


def test_how_faithful_maps_are_is_recorded_drawn_and_told(world):
    [outcome] = world.run(world.slides[0], formats=FORMATS)
    folder = world.path / "out" / "a"
    heatmaps = read_values(folder / "a.values.ome.zarr")
    said = json.loads((folder / "provenance.json").read_text())["faithfulness"]
    assert (said["left_out"], said["random_orders"]) == ("", 10)
    assert list(said["classes"]) == list(CLASSES)
    for name, found in said["classes"].items():
        assert list(found["aupc"]) == list(found["curves"]) == MAPS
        expected = faithfulness(heatmaps, name)
        assert found["aupc"] == pytest.approx(expected.aupc, abs=1e-6)
        assert found["removed"] == pytest.approx(expected.removed.tolist(), abs=1e-6)
        for each in MAPS:
            assert found["curves"][each] == pytest.approx(expected.curves[each].tolist(), abs=1e-6)
        assert (folder / "previews" / f"faithfulness-{name}.png").is_file()
    areas = {name: found["aupc"] for name, found in said["classes"].items()}
    [slide] = json.loads((world.path / "out" / "run.json").read_text())["slides"]
    assert slide["faithfulness"] == areas == outcome.faithfulness
    [again] = world.run(world.slides[0], formats=FORMATS)
    assert (again.status, again.faithfulness) == ("unchanged", areas)
    assert again.true_class == outcome.true_class == CLASSES[0]
    told = of_run([replace(again, true_class=CLASSES[1])], world.path / "out")
    numbers = ", ".join(f"{each} {number(areas[CLASSES[1]][each])}" for each in MAPS)
    assert f"  faithfulness (AUPC of {CLASSES[1]}, lower is better): {numbers}\n" in told


def test_what_is_left_out_of_a_model_that_is_not_additive_is_said(world):
    write_export(world.path / "export.pkl", parts=bent_parts())
    [outcome] = world.run(world.slides[0], formats=FORMATS)
    assert outcome.status == "done"
    folder = world.path / "out" / "a"
    said = json.loads((folder / "provenance.json").read_text())["faithfulness"]
    assert (said["left_out"], said["classes"]) == ("the model's head is not affine", {})
    assert not list((folder / "previews").glob("faithfulness*"))
    told = of_run([outcome], world.path / "out")
    assert "  faithfulness: left out, as the model's head is not affine\n" in told
    assert validate(world.path / "out").problems == ()


def test_results_of_the_first_versions_say_nothing_of_faithfulness(world):
    world.run(world.slides[0])
    path = world.path / "out" / "a" / "provenance.json"
    record = json.loads(path.read_text())
    del record["faithfulness"]
    path.write_text(json.dumps(record))
    [outcome] = world.run(world.slides[0])
    assert (outcome.status, outcome.faithfulness) == ("unchanged", {})
    assert "faithfulness" not in of_run([outcome], world.path / "out")


def test_artefacts_and_the_evidence_on_them_are_told_everywhere(world):
    rgb = speckled(500, 700)
    rgb[:250, :300] = (10, 130, 60)
    path = write_slide(world.path / "pen.svs", rgb)
    [outcome] = world.run(path, formats=FORMATS)
    folder = world.path / "out" / "pen"
    heatmaps = read_values(folder / "pen.values.ome.zarr")
    grid = heatmaps.grid
    on_pen = heatmaps.artefacts == 1 + KINDS.index("pen")
    assert on_pen[: int(230 / grid.l0_cell.y), : int(280 / grid.l0_cell.x)].all()
    said = json.loads((folder / "provenance.json").read_text())
    assert said["artefacts"]["measures"] == MEASURES
    assert said["artefacts"]["cells"]["pen"] > 0.1
    assert set(said["maps_left_out"]) == {"margin"}
    [slide] = json.loads((world.path / "out" / "run.json").read_text())["slides"]
    assert slide["artefacts"]["evidence"] == said["artefacts"]["evidence"]
    [again] = world.run(path, formats=FORMATS)
    assert (again.status, again.artefacts) == ("unchanged", outcome.artefacts)
    for name in CLASSES:
        expected = evidence_on_artefacts(heatmaps, name)
        told = said["artefacts"]["evidence"][name]
        shares = [math.nan if each is None else each for each in told.values()]
        found = [each["evidence"] for each in expected.values()]
        assert shares == pytest.approx(found, nan_ok=True)
        assert said["artefacts"]["cells"] == {k: each["cells"] for k, each in expected.items()}
        summary = of_run([replace(again, true_class=name)], world.path / "out")
        for sentence in artefact_sentences(again.artefacts, name):
            assert f"  {sentence}\n" in summary
        assert (f"of the evidence for {name}\n" in summary) is (None not in told.values())
    assert any(None not in each.values() for each in said["artefacts"]["evidence"].values())
    rows = (folder / "pen.cells.csv").read_text().splitlines()
    assert rows[0].endswith(",artefact")
    assert sum(row.endswith(",pen") for row in rows) == on_pen.sum()
    assert validate(world.path / "out").problems == ()


def test_results_of_the_first_versions_know_no_artefacts(world):
    world.run(world.slides[0])
    folder = world.path / "out" / "a"
    record = json.loads((folder / "provenance.json").read_text())
    del record["artefacts"]
    (folder / "provenance.json").write_text(json.dumps(record))
    store = zarr.open_group(folder / "a.values.ome.zarr")
    facts = dict(store.attrs["heatmaps_ome"])
    del facts["artefacts"]
    store.attrs["heatmaps_ome"] = facts
    [outcome] = world.run(world.slides[0])
    assert (outcome.status, outcome.artefacts) == ("unchanged", {})
    assert "artefacts" not in of_run([outcome], world.path / "out")


def test_a_damaged_cache_of_maps_is_made_anew(world):
    world.run()
    [path] = (world.path / "out" / ".cache" / "maps").glob("*/a.values.ome.zarr")
    for chunk in (path / "0").rglob("[0-9]"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    outcomes = world.run(overwrite=True, att_cmap="viridis")
    assert {o.status for o in outcomes} == {"done"}


def test_maps_are_made_anew_for_another_threshold_of_tissue(world):
    world.run()
    before = read_values(world.path / "out" / "a" / "a.values.ome.zarr")
    world.run(overwrite=True, mask_threshold=150)
    after = read_values(world.path / "out" / "a" / "a.values.ome.zarr")
    assert 0 < after.tissue_cells < before.tissue_cells
    kept = after.tissue & before.tissue
    assert kept.sum() == after.tissue_cells


def test_every_stage_is_recorded_with_what_it_took(world):
    world.run(world.slides[0], formats=FORMATS)
    said = json.loads((world.path / "out" / "run.json").read_text())
    for slide in said["slides"]:
        stages = slide["stages"]
        formats = {"ome-zarr", "ome-tiff", "png", "cells", "regions", "tiles", "report"}
        assert set(stages) == formats | {
            "reading", "tissue", "features", "consistency", "artefacts", "model", "maps",
            "files", "network",
        }  # fmt: skip
        assert all(stage["seconds"] >= 0 for stage in stages.values())
        if hasattr(psutil.Process(), "io_counters"):
            assert stages["reading"]["bytes_read"] > 10_000
            assert stages["features"]["bytes_written"] > 1000
            assert stages["files"]["bytes_written"] > 100_000


def test_weights_that_do_not_fit_end_the_run_before_a_slide_is_read(world):
    weights = world.path / "weights.pth"
    weights.write_bytes(b"no weights")
    write_export(world.path / "wide.pkl", parts=make_parts(n_inputs=2048))
    with pytest.raises(PreflightError, match=r"weights\.pth is no plain file of weights"):
        world.run(extractor="retccl", extractor_weights=weights, model_path=world.path / "wide.pkl")
    assert not (world.path / "out" / ".cache").exists()


def test_the_same_run_again_changes_nothing(world):
    world.run(world.slides[0], formats=FORMATS)
    before = {p: p.stat().st_mtime_ns for p in (world.path / "out" / "a").rglob("*")}
    assert {o.status for o in world.run(world.slides[0], formats=FORMATS)} == {"unchanged"}
    assert before == {p: p.stat().st_mtime_ns for p in (world.path / "out" / "a").rglob("*")}


def test_results_in_formats_of_an_earlier_version_are_made_anew_if_asked(world, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(planning, "MAPS_FORMAT", "heatmaps-ome maps 1")
        world.run()
    outcomes = world.run()
    assert {o.status for o in outcomes} == {"failed"}
    assert "an earlier version; add --overwrite" in outcomes[0].message
    assert {o.status for o in world.run(overwrite=True)} == {"done"}
    assert {o.status for o in world.run(overwrite=True)} == {"unchanged"}


def test_other_results_are_not_overwritten_unasked(world):
    world.run()
    before = {p: p.stat().st_mtime_ns for p in (world.path / "out").rglob("*")}
    for changed in ({}, {"scaling": world.path / "out" / "scaling.json"}):
        outcomes = world.run(att_cmap="viridis", **changed)
        assert {o.status for o in outcomes} == {"failed"}
        assert "--overwrite" in outcomes[0].message
    listed = json.loads((world.path / "out" / "run.json").read_text())["slides"]
    assert [(s["status"], s["folder"]) for s in listed] == [("done", "a"), ("done", "b")]
    assert "--overwrite" in listed[0]["message"]
    after = {p: p.stat().st_mtime_ns for p in (world.path / "out").rglob("*")}
    changed = {p.name for p in before if before[p] != after.get(p) and "viewers" not in p.parts}
    lists = {"run.json", "predictions.csv", ".runs.index", ".slides.index", "index.html"}
    assert changed <= {*lists, "runs", "out"}


def test_a_cohort_grows_by_the_scaling_that_its_folder_has(world):
    world.run(world.slides[0])
    before = (world.path / "out" / "scaling.json").read_text()
    for scaling in (None, world.path / "out" / "scaling.json"):
        outcomes = world.run(*world.slides, scaling=scaling)
        done = "done" if scaling is None else "unchanged"
        assert [o.status for o in outcomes] == ["unchanged", done]
    assert (world.path / "out" / "scaling.json").read_text() == before
    # The scaling is told by its numbers, wherever it comes from.
    copied = world.path / "copied.json"
    facts = json.loads(before)
    copied.write_text(json.dumps({**facts, "cohort": "another", "slides": 7}))
    assert {o.status for o in world.run(scaling=copied)} == {"unchanged"}
    facts["ranges"]["attention"][0]["upper"] *= 2
    copied.write_text(json.dumps(facts))
    with pytest.raises(PreflightError, match=r"another scaling than .*copied\.json"):
        world.run(scaling=copied)


def test_a_new_scaling_is_fitted_when_asked_for_and_then_for_all_slides(world):
    world.run(world.slides[0])
    calls = load_mean_colour.calls
    before = (world.path / "out" / "scaling.json").read_text()
    with pytest.raises(PreflightError, match=r"other quantiles .* --refit"):
        world.run(score_threshold=0.5)
    with pytest.raises(PreflightError, match=r"not in this run .*\(a\); name these slides too"):
        world.run(world.slides[1], refit=True)
    assert (world.path / "out" / "scaling.json").read_text() == before
    assert [o.status for o in world.run(refit=True)] == ["done", "done"]
    assert (world.path / "out" / "scaling.json").read_text() != before
    assert load_mean_colour.calls == calls + 1, "the slide that is drawn anew is in the cache"
    assert {o.status for o in world.run()} == {"unchanged"}
    # Fitted to both at once, it is the same.
    again = create(world.options(output_path=world.path / "both", formats=("cells",)), silent)
    assert {o.status for o in again} == {"done"}
    ranges = [
        json.loads((world.path / out / "scaling.json").read_text())["ranges"]
        for out in ("out", "both")
    ]
    assert ranges[0] == ranges[1]


def test_another_slides_results_are_never_replaced(world):
    world.run(world.slides[0])
    (world.path / "other").mkdir()
    namesake = shutil.copy(world.slides[1], world.path / "other" / "a.svs")
    outcomes = world.run(namesake, overwrite=True)
    assert outcomes[0].status == "failed"
    assert "another slide of the name a" in outcomes[0].message


def test_a_folder_that_is_not_ours_is_left_alone(world):
    (world.path / "out" / "a").mkdir(parents=True)
    (world.path / "out" / "a" / "thesis.docx").write_text("years of work")
    outcomes = world.run(overwrite=True)
    assert [o.status for o in outcomes] == ["failed", "done"]
    assert (world.path / "out" / "a" / "thesis.docx").read_text() == "years of work"


def test_two_slides_of_one_name_are_both_refused(world):
    (world.path / "other").mkdir()
    namesake = shutil.copy(world.slides[1], world.path / "other" / "A.svs")
    outcomes = world.run(*world.slides, namesake)
    assert [o.status for o in outcomes] == ["failed", "done", "failed"]
    assert "is called a too" in outcomes[0].message


def test_a_slide_given_twice_is_done_once(world):
    assert len(world.run(world.slides[0], world.path / "." / "a.svs")) == 1


def test_bad_slides_do_not_sink_the_cohort(world):
    (world.path / "text.svs").write_text("not a slide")
    write_slide(world.path / "unknown.tiff", speckled(300, 300), mpp=None)
    outcomes = world.run(
        world.path / "text.svs", *world.slides, world.path / "unknown.tiff",
        world.path / "missing.svs",
    )  # fmt: skip
    assert [o.status for o in outcomes] == ["failed", "done", "done", "failed", "failed"]
    said = json.loads((world.path / "out" / "run.json").read_text())["slides"]
    assert [s["status"] for s in said] == [o.status for o in outcomes]
    assert "--mpp" in said[3]["message"]
    assert "missing.svs" in said[4]["message"]
    assert str(world.path) not in json.dumps(said)
    assert not any(".partial" in p.name for p in tree(world.path / "out"))


def test_mpp_is_that_of_all_slides(world):
    unknown = write_slide(world.path / "unknown.tiff", speckled(300, 300), mpp=None)
    world.run(world.slides[0], unknown, mpp=0.25)
    records = {
        name: json.loads((world.path / "out" / name / "provenance.json").read_text())["slide"]
        for name in ("a", "unknown")
    }
    assert [records[name]["own_mpp"] for name in records] == [[0.5, 0.5], None]
    for record in records.values():
        assert (record["mpp"], record["mpp_source"]) == ([0.25, 0.25], "--mpp")


def test_a_slide_of_glass_is_done_and_has_no_prediction(world):
    glass = write_slide(world.path / "glass.svs", np.full((400, 400, 3), 245, np.uint8))
    outcomes = world.run(glass, formats=FORMATS)
    assert outcomes[0].status == "done"
    run = json.loads((world.path / "out" / "run.json").read_text())
    assert set(run["slides"][0]["prediction"].values()) == {None}


def test_a_tiny_slide_is_done(world):
    small = write_slide(world.path / "tiny.svs", np.full((20, 30, 3), 99, np.uint8))
    outcomes = world.run(small, formats=FORMATS)
    assert outcomes[0].status == "done", outcomes[0].message
    assert read_values(world.path / "out/tiny/tiny.values.ome.zarr").grid.shape == (1, 1)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(world):
    with pytest.raises(PreflightError) as caught:
        world.run(
            model_path=world.path / "missing.pkl", extractor="nosuch", att_cmap="magmaa",
            scaling=world.path / "missing.json",
        )  # fmt: skip
    said = str(caught.value)
    for each in ("missing.pkl", "nosuch", "magmaa"):
        assert each in said
    assert tree(world.path / "out") == set()


def test_a_class_that_the_model_does_not_know_is_refused_with_its_classes(world):
    with pytest.raises(PreflightError, match=f"{CLASSES[0]}, {CLASSES[1]}") as caught:
        world.run(true_class="nonsense")
    assert isinstance(caught.value.problems[0], OptionError)


def test_a_model_of_other_features_is_refused(world):
    write_export(world.path / "wide.pkl", parts=make_parts(n_inputs=8))
    with pytest.raises(PreflightError, match="8 features per tile"):
        world.run(model_path=world.path / "wide.pkl")


def test_the_extractors_weights_are_asked_for_by_name(world):
    with pytest.raises(PreflightError, match=r"RetCCL authors .* --extractor-weights"):
        world.run(extractor="retccl")


def test_another_models_scaling_is_refused(world):
    world.run(world.slides[0])
    write_export(world.path / "other.pkl", parts=make_parts(n_inputs=3, seed=5))
    with pytest.raises(PreflightError, match="another model"):
        world.run(
            model_path=world.path / "other.pkl", output_path=world.path / "o2",
            scaling=world.path / "out" / "scaling.json",
        )  # fmt: skip


def test_an_output_that_cannot_be_written_is_refused_before_any_work(world):
    (world.path / "file").write_text("in the way")
    with pytest.raises(PreflightError, match="--output-path"):
        world.run(output_path=world.path / "file" / "out")
    assert load_mean_colour.calls == 0


def test_slides_come_from_a_file_too(world):
    (world.path / "list.txt").write_text("# a comment\n\na.svs\n" + str(world.slides[1]) + "\n")
    options = world.options(slides=(), from_file=world.path / "list.txt")
    assert [o.slide for o in create(options, silent)] == ["a.svs", "b.svs"]


def test_a_list_of_slides_may_come_from_a_pipe(world):
    os.mkfifo(world.path / "pipe")
    text = "".join(f"{slide}\n" for slide in world.slides)
    writer = threading.Thread(target=(world.path / "pipe").write_text, args=(text,), daemon=True)
    writer.start()
    options = world.options(slides=(), from_file=world.path / "pipe")
    found = []
    runner = threading.Thread(
        target=lambda: found.extend(o.status for o in create(options, silent)), daemon=True
    )
    runner.start()
    runner.join(timeout=120)
    assert found == ["done", "done"]


def test_no_slides_at_all_is_a_usage_error(world):
    with pytest.raises(PreflightError, match="no slides"):
        create(world.options(slides=(), from_file=None), silent)


def test_a_run_killed_while_writing_leaves_nothing_half_done_and_goes_on(world, monkeypatch):
    from heatmaps_ome.exporters.png import PngExporter

    def killed(self, result, folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PngExporter, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            world.run(formats=("cells", "png"))
    assert not (world.path / "out" / "a").exists()
    calls = load_mean_colour.calls
    assert {o.status for o in world.run(formats=("cells", "png"))} == {"done"}
    assert load_mean_colour.calls == calls
    assert not any(".partial" in p.name for p in tree(world.path / "out"))


def test_a_slide_whose_export_fails_is_reported_and_leaves_no_files(world, monkeypatch):
    from heatmaps_ome.exporters.tiff import TiffExporter

    write = TiffExporter.write

    def full_disk_for_a(self, result, folder):
        if result.slide.name == "a":
            raise OSError(28, "No space left on device")
        return write(self, result, folder)

    monkeypatch.setattr(TiffExporter, "write", full_disk_for_a)
    outcomes = world.run()
    assert [o.status for o in outcomes] == ["failed", "done"]
    assert re.search(r"no space is left on the disk .* are free", outcomes[0].message)
    assert not (world.path / "out" / "a").exists()
    assert not any(".partial" in p.name for p in tree(world.path / "out"))


def test_only_the_formats_asked_for_are_written(world):
    world.run(world.slides[0], formats=("png",))
    names = {p.name for p in (world.path / "out" / "a").iterdir()}
    assert names == {"a.values.ome.zarr", "previews", "maps.json", "provenance.json"}


def project_of(out):
    return json.loads((out / "viewers" / "qupath" / "project.qpproj").read_text(encoding="utf-8"))


def test_qupaths_project_gets_the_slides_that_have_results(world):
    (world.path / "text.svs").write_text("not a slide")
    world.run(world.path / "text.svs", *world.slides)
    out = world.path / "out"
    names = [entry["imageName"] for entry in project_of(out)["images"]]
    assert names == ["a.svs", "b.svs"]
    run = json.loads((out / "run.json").read_text())["slides"]
    first = project_of(out)["images"][0]["metadata"]
    assert first[f"prediction: {CLASSES[0]}"] == f"{run[1]['prediction'][CLASSES[0]]:.3f}"
    before = project_of(out)
    world.run(*world.slides, scaling=out / "scaling.json")
    assert project_of(out) == before


def test_a_project_that_is_damaged_costs_no_results(world, caplog):
    project = world.path / "out" / "viewers" / "qupath" / "project.qpproj"
    project.parent.mkdir(parents=True)
    project.write_text("{")
    assert {o.status for o in world.run()} == {"done"}
    assert "project.qpproj is damaged" in caplog.text
    assert project.read_text() == "{"


def test_a_slide_may_not_take_the_viewers_folder(world):
    named = shutil.copy(world.slides[1], world.path / "Viewers.svs")
    outcomes = world.run(world.slides[0], named)
    assert [o.status for o in outcomes] == ["done", "done"]
    assert outcomes[1].folder == world.path / "out" / "Viewers_slide"


def test_the_report_has_all_slides_and_no_paths(world):
    (world.path / "text.svs").write_text("not a slide")
    world.run(world.path / "text.svs", *world.slides)
    text = (world.path / "out" / "index.html").read_text(encoding="utf-8")
    assert str(world.path) not in text
    rows = json.loads(text.split('id="run">')[1].split("</script>")[0])["rows"]
    assert [(row["slide"], row["status"]) for row in rows] == [
        ("text.svs", "failed"), ("a.svs", "done"), ("b.svs", "done"),
    ]  # fmt: skip
    assert "text.svs" in rows[0]["message"]
    world.run(scaling=world.path / "out" / "scaling.json", overwrite=True)
    world.run(scaling=world.path / "out" / "scaling.json")
    text = (world.path / "out" / "index.html").read_text(encoding="utf-8")
    rows = json.loads(text.split('id="run">')[1].split("</script>")[0])["rows"]
    # The slide that no later run was given stays as its last run left it.
    assert [(row["slide"], row["status"]) for row in rows] == [
        ("a.svs", "done"), ("b.svs", "done"), ("text.svs", "failed"),
    ]  # fmt: skip


def test_a_report_that_cannot_be_written_costs_no_results(world, caplog):
    (world.path / "out" / "index.html").mkdir(parents=True)
    assert {o.status for o in world.run()} == {"done"}
    assert "only the report is missing" in caplog.text


def test_no_report_is_written_where_none_is_asked_for(world):
    world.run(world.slides[0], formats=("cells",))
    assert not (world.path / "out" / "index.html").exists()
