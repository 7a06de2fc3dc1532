"""Ground truth of the table of slides is shown as such, and the class drawn hot never as truth."""

import json

import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.exporters.figures import framed as figures
from heatmaps_ome.validate.result import validate

FORMATS = ("png", "cells")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Run create on a table whose labels are the two given, with the pictures' words noted."""
    path = tmp_path_factory.mktemp("truth")
    write_slide(path / "a.svs", speckled(300, 400, 0))
    write_slide(path / "b.svs", speckled(300, 400, 1))
    write_export(path / "export.pkl", parts=make_parts(n_inputs=3))
    written: list[str] = []
    draw = figures.Layout.text

    def noted(layout, left, top, line, align="left"):
        written.append(line.text.replace("\u00a0", " "))
        draw(layout, left, top, line, align)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        patch.setattr(figures.Layout, "text", noted)

        def run(*labels):
            rows = [f"{name}.svs,{label}\n" for name, label in zip("ab", labels, strict=True)]
            (path / "cohort.csv").write_text("slide,label\n" + "".join(rows))
            written.clear()
            return heatmaps_ome.create(
                [], path / "export.pkl", CLASSES[0], path / "out", table=path / "cohort.csv",
                extractor="mean-colour", formats=FORMATS, overwrite=True, cache_dir=path / "cache",
            )  # fmt: skip

        run.path, run.written = path, written
        yield run


def facts_of(world, name, file):
    return json.loads((world.path / "out" / name / file).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(world):
    return world(CLASSES[1], "")


def test_every_record_has_the_label_or_none(world, results):
    for name, label in (("a", CLASSES[1]), ("b", None)):
        for file in ("maps.json", "provenance.json"):
            assert facts_of(world, name, file)["label"] == label
            assert facts_of(world, name, file)["true_class"] == CLASSES[0]
        assert results[name].label == label
    assert results.labels == {"a": CLASSES[1], "b": None}
    run = json.loads((world.path / "out" / "run.json").read_text())
    assert [slide["label"] for slide in run["slides"]] == [CLASSES[1], None]
    assert not validate(world.path / "out").problems


def test_people_read_ground_truth_apart_from_the_class_drawn_hot(world, results, capsys):
    assert cli.main(["info", str(world.path / "out" / "a"), str(world.path / "out")]) == 0
    text = capsys.readouterr().out
    assert f"ground truth  {CLASSES[1]}" in text
    assert f"drawn hot     {CLASSES[0]}" in text
    assert f"; ground truth: {CLASSES[1]}" in text
    assert "true class" not in text.lower()
    html = results["a"]._repr_html_()
    assert f"drawn hot: {CLASSES[0]} · ground truth: {CLASSES[1]}" in html
    assert f"<td>{CLASSES[1]}</td>" in results._repr_html_()
    assert "<th>ground truth</th>" in results._repr_html_()
    assert "ground truth" not in results["b"]._repr_html_()


def test_another_label_draws_the_pictures_anew_and_changes_nothing_else(world):
    world(CLASSES[1], "")
    before = {path.name: path.read_bytes() for path in world.path.glob("out/a/**/*.png")}
    values = facts_of(world, "a", "maps.json")["maps"]
    world(CLASSES[0], "")
    drawn = [text for text in world.written if text.startswith("Prediction")]
    assert drawn
    assert all(text.endswith(f" · ground truth: {CLASSES[0]}") for text in drawn)
    assert facts_of(world, "a", "maps.json")["label"] == CLASSES[0]
    assert facts_of(world, "a", "maps.json")["maps"] == values
    after = {path.name: path.read_bytes() for path in world.path.glob("out/a/**/*.png")}
    changed = {name for name in before if before[name] != after[name]}
    told = {name for name in after if name.endswith(("-map.png", "-overlay.png"))}
    assert told <= changed <= told | {"regions.png"}
