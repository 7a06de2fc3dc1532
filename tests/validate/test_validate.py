"""Good results are valid; each rule finds what breaks it, and nothing else does."""

import json
import re
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from broken_results import (
    BROKEN,
    FLAT,
    IMAGE,
    LABEL,
    MANIFEST,
    NAME,
    OVERLAY,
    UNHASHED,
    VALUE_TIFF,
    VALUES,
    each_level,
    edited,
    good_run,
    multiscale,
    rehash,
    replace_bytes,
    rewrite_array,
    rewrite_value_tiff,
    roll_label,
    shared_good_run,
    transposed,
)
from fake_extractors import CLASSES
from fakes import FakeSlide, covering_grid, heatmap_set, noise_rgb, slide_result
from made_once import demo_run
from slide_files import speckled, write_slide
from viewer_results import write_results

from heatmaps_ome.cli import main as cli
from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import OptionError, ResultError
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.tiff import TiffExporter
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.options import CreateOptions, ValidateOptions, flags_of
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.storage.digests import file_digests, write_json
from heatmaps_ome.validate.result import RULES, validate

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "heatmaps_ome"


OF_TILES = {"values-tiles"}
"""Rules that maps of a dense grid cannot break; tests/run/test_export_scores.py breaks them."""


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """The folder of a good run."""
    return shared_good_run(tmp_path_factory)


@pytest.fixture
def copy(good, tmp_path):
    """A slide's results, to be broken; the whole run lies around it."""
    shutil.copytree(good, tmp_path / "out", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "out" / "a"


def rules_of(verdict):
    return {problem.rule for problem in verdict.problems}


def test_a_good_run_is_valid(good):
    verdict = validate(good, [good.parent / "a.svs", good.parent / "b.svs"])
    assert verdict.problems == ()
    assert verdict.n_rules == len(RULES)
    assert verdict.n_files > 100


@pytest.mark.parametrize("store", ["", IMAGE, FLAT, VALUES, OVERLAY, VALUE_TIFF])
def test_each_part_of_a_good_result_is_valid_alone(good, store):
    verdict = validate(good / "a" / store)
    assert verdict.problems == ()
    assert verdict.n_rules > len(RULES) // 16


def test_every_rule_has_its_broken_fixture_and_says_what_it_demands():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) == {*BROKEN, *OF_TILES}
    assert all(rule.demands for rule in RULES)


@pytest.mark.parametrize("rule", BROKEN)
def test_what_breaks_a_rule_is_told_by_that_rule_alone(good, copy, rule):
    BROKEN[rule](copy)
    if rule not in UNHASHED:
        rehash(copy)
    whole_run = rule in ("run-complete", "prediction-table")
    with_slide = rule.startswith("slide-")
    slides = [good.parent / "a.svs"] if with_slide else []
    verdict = validate(copy.parent if whole_run else copy, slides)
    assert rules_of(verdict) == {rule}, verdict.problems
    assert all(len(problem.message) < 500 for problem in verdict.problems)


PLACEMENT = {"placement-labels", "placement-values", "placement-overlay", "placement-image"}


def half_a_cell_right(folder):
    roll_label(folder / LABEL, axis=1, pixels=4)


def half_a_cell_down(folder):
    roll_label(folder / LABEL, axis=0, pixels=4)


def one_pixel_right(folder):
    roll_label(folder / LABEL, axis=1, pixels=1)


def x_and_y_swapped(folder):
    for path in each_level(folder / LABEL):
        rewrite_array(path, transposed)


def origin_dropped(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        moves = multiscale(said)["datasets"][0]["coordinateTransformations"]
        del moves[1]
        said["heatmaps_ome"]["l0_origin"] = {"y": 0.0, "x": 0.0}


def pixel_size_of_x_for_y(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        for dataset in multiscale(said)["datasets"]:
            dataset["coordinateTransformations"][0]["scale"][1] *= 1.01


@pytest.mark.parametrize(
    "mutate",
    [half_a_cell_right, half_a_cell_down, one_pixel_right, x_and_y_swapped, origin_dropped,
     pixel_size_of_x_for_y],
)  # fmt: skip
def test_misplaced_maps_are_found(copy, mutate):
    mutate(copy)
    rehash(copy)
    assert rules_of(validate(copy)) & PLACEMENT


def test_a_hole_in_the_tissue_is_found(copy):
    def with_hole(stack):
        stack[1][tuple(np.argwhere(~np.isnan(stack[0]))[3])] = np.nan
        return stack

    rewrite_array(copy / VALUES / "0", with_hole)
    rehash(copy)
    assert "values-finite-where-tissue" in rules_of(validate(copy))


def test_swapped_colours_of_an_overlay_are_found(copy):
    with edited(copy / LABEL / ".zattrs") as said:
        for entry in said["image-label"]["colors"]:
            entry["rgba"][:3] = entry["rgba"][2::-1]
    rehash(copy)
    assert rules_of(validate(copy)) == {"placement-overlay", "flat-blend", "manifest-agrees"}


def test_values_of_a_tiff_at_another_place_are_found(copy):
    path = copy / VALUE_TIFF
    with tifffile.TiffFile(path) as file:
        [(old, x)] = set(re.findall(rb'(PositionX="([^"]*)")', file.pages[0].description.encode()))
    new = f'PositionX="{float(x) + 1:.{len(x)}f}'[: len(old) - 1].encode() + b'"'
    replace_bytes(path, old, new)
    rehash(copy)
    assert rules_of(validate(copy)) == {"placement-value-tiff"}


def test_kinds_of_artefacts_in_a_tiff_are_compared_with_those_of_the_values(copy):
    with tifffile.TiffFile(copy / VALUE_TIFF) as file:
        last = iter([False] * (len(file.pages) - 1) + [True])
    rewrite_value_tiff(copy / VALUE_TIFF, lambda c: np.where(c >= 0, 2, c) if next(last) else c)
    rehash(copy)
    [problem] = validate(copy).problems
    assert (problem.rule, problem.message[:9]) == ("placement-value-tiff", "artefacts")


def shifted(folder, by):
    """Shift the map of a picture, not the slide under it: blend anew from the rolled difference."""
    for level, path in enumerate(each_level(folder / FLAT)):
        slide = zarr.open_array(folder / IMAGE / str(level), mode="r")[...].astype(int)

        def moved(pixels, slide=slide, by=by >> level):
            return np.clip(slide + np.roll(pixels - slide, by, axis=2), 0, 255).astype(np.uint8)

        rewrite_array(path, moved)


def of_another_opacity(folder):
    for level, path in enumerate(each_level(folder / FLAT)):
        slide = zarr.open_array(folder / IMAGE / str(level), mode="r")[...].astype(int)
        rewrite_array(path, lambda p, s=slide: (s + (p - s) * 0.9).round().astype(np.uint8))


def of_another_map(folder):
    shutil.rmtree(folder / FLAT)
    (folder / f"{NAME}.score-{CLASSES[0]}.flat.ome.zarr").rename(folder / FLAT)
    with edited(folder / MANIFEST) as said:
        said["maps"][1]["flat"] = None


@pytest.mark.parametrize(
    ("mutate", "rules"),
    [
        (lambda folder: shifted(folder, 40), {"flat-blend"}),
        (of_another_opacity, {"flat-blend"}),
        (of_another_map, {"flat-blend", "flat-named"}),
    ],
)
def test_pictures_of_something_else_are_found(copy, mutate, rules):
    mutate(copy)
    rehash(copy)
    found = rules_of(validate(copy))
    assert rules <= found <= rules | {"levels-agree"}


def test_a_manifest_that_names_what_is_not_there_is_found(copy):
    shutil.rmtree(copy / FLAT)
    rehash(copy)
    verdict = validate(copy)
    assert rules_of(verdict) == {"manifest-agrees"}
    assert "'a.attention.flat.ome.zarr' where None is there" in verdict.problems[0].message


def moved_grid(said):
    said["grid"]["l0_origin"]["x"] += 5


def other_colour(said):
    said["maps"][0]["colours"][99] = "#010203"


def other_channel(said):
    said["maps"][0]["channel"] = 2


def of_the_future(said):
    said["format"] = "heatmaps-ome maps 4"


def of_an_earlier_version(said):
    said["format"] = "heatmaps-ome maps 2"


def of_another_class(said):
    next(each for each in said["maps"] if each["class"] == CLASSES[0])["class"] = CLASSES[1]


def of_kind(said, kind):
    return next(each for each in said["maps"] if each["kind"] == kind)


def with_raw_contributions(said):
    of_kind(said, "contribution").update(factor=1, raw=None)


def without_its_raw_quantity(said):
    of_kind(said, "evidence")["raw"] = None


def hiding_that_it_clips(said):
    of_kind(said, "contribution")["range"]["clips"] = [False, False]


def fading_otherwise(said):
    fading = next(each["opacity"]["fades_with"] for each in said["maps"] if each["class"])
    fading["lower"] -= 1


@pytest.mark.parametrize(
    "change",
    [
        moved_grid, other_colour, other_channel, of_the_future, of_an_earlier_version,
        of_another_class, fading_otherwise, with_raw_contributions, without_its_raw_quantity,
        hiding_that_it_clips,
    ],
)  # fmt: skip
def test_a_manifest_that_says_otherwise_than_the_stores_is_found(copy, change):
    with edited(copy / MANIFEST) as said:
        change(said)
    rehash(copy)
    assert rules_of(validate(copy)) == {"manifest-agrees"}


def unmarked(properties):
    del properties[1]["bound"], properties[255]["bound"]


def marked_inside(properties):
    properties[100]["bound"] = "at least"


@pytest.mark.parametrize("change", [unmarked, marked_inside])
def test_a_number_that_cells_lie_beyond_is_marked_as_a_bound(copy, change):
    label = f"{IMAGE}/labels/contribution-{CLASSES[0]}/.zattrs"
    with edited(copy / label) as said:
        properties = said["image-label"]["properties"]
        assert [each["bound"] for each in properties if "bound" in each] == ["at most", "at least"]
        change(properties)
    rehash(copy)
    assert rules_of(validate(copy)) == {"label-bounds"}


@pytest.mark.parametrize("broken", ["{", "[]", "{}", "null", '{"multiscales": 3}', ""])
def test_broken_metadata_is_a_problem_and_no_crash(copy, broken):
    for store in (IMAGE, VALUES, LABEL):
        (copy / store / ".zattrs").write_text(broken)
    (copy / "provenance.json").write_text(broken)
    (copy / OVERLAY).write_bytes(broken.encode())
    assert "readable" in rules_of(validate(copy))


def test_damaged_files_are_problems_and_no_crash(good, copy):
    for file in sorted(each for each in copy.rglob("*") if each.is_file()):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert len(rules_of(validate(copy, [good.parent / "a.svs"]))) > 1


def test_a_truncated_chunk_is_told_where_it_is_read(copy):
    chunk = next(each for each in (copy / IMAGE / "1").rglob("0") if each.is_file())
    chunk.write_bytes(chunk.read_bytes()[:40])
    rehash(copy)
    verdict = validate(copy)
    # Pictures with a map burnt in are compared with each level of the image.
    assert rules_of(verdict) == {"levels-agree", "flat-blend"}
    assert all("cannot be read" in problem.message for problem in verdict.problems)


def test_a_result_without_provenance_is_told(copy):
    (copy / "provenance.json").unlink()
    assert rules_of(validate(copy)) == {"files-complete", "hashes"}


def test_only_some_formats_and_reference_drawing_are_valid_too(tmp_path):
    for name, changed in (
        ("tiff", {"formats": ("ome-tiff",)}),
        ("reference", {"compat": "reference", "classes": ("MSIH",), "att_alpha": 0.0}),
    ):
        (tmp_path / name).mkdir()
        out = good_run(tmp_path / name, **changed)
        assert validate(out).problems == ()


def odd_slides(folder):
    write_slide(folder / "glass.svs", np.full((400, 410, 3), 245, np.uint8))
    write_slide(folder / "tiny.svs", np.full((20, 30, 3), 99, np.uint8))
    write_slide(folder / "slender.svs", speckled(2400, 40))
    write_slide(folder / "coarse.svs", speckled(30, 45), mpp=15.0)
    return tuple(sorted(folder.glob("*.svs")))


def test_results_of_odd_slides_are_valid(tmp_path):
    slides = odd_slides(tmp_path)
    out = good_run(tmp_path, slides=slides)
    assert validate(out, slides).problems == ()


def test_results_on_pixels_that_are_no_squares_are_valid(tmp_path):
    folder = tmp_path / "slide"
    folder.mkdir()
    slide = FakeSlide(noise_rgb(Shape(900, 1501)), YX(0.5, 0.23))
    cell = YX(36.57 / 0.5, 36.57 / 0.23)
    grid = covering_grid(slide.shape, cell, cell.times(-0.484), slide.mpp)
    heatmaps = heatmap_set(grid, slide.shape)
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    scaling = fit.fit("cohort", "model", "extractor")
    maps = display_maps(heatmaps, scaling, Style(), heatmaps.classes, heatmaps.classes[0])
    result = replace(slide_result(slide, grid, maps), heatmaps=heatmaps)
    for exporter in (OmeZarrExporter(), TiffExporter()):
        exporter.write(result, folder)
    write_values(heatmaps, folder, {})
    options = {"formats": ["ome-zarr", "ome-tiff"], "att_alpha": 0.5, "score_alpha": 1.0}
    record = {"options": options, "scaling": asdict(scaling), "files": file_digests(folder)}
    write_json(folder / "provenance.json", record)
    # This record has only the fields that other rules read.
    assert rules_of(validate(folder)) == {"record-form"}
    with edited(folder / "slide.ome.zarr" / "labels" / "attention" / ".zattrs") as said:
        for dataset in multiscale(said)["datasets"]:
            dataset["coordinateTransformations"][0]["scale"].reverse()
    found = rules_of(validate(folder))
    assert found == {"placement-labels", "placement-image", "hashes", "record-form"}


@pytest.mark.parametrize("name", ["winner", "artefacts"])
def test_a_cell_of_another_kind_is_found_out(copy, name):
    def changed(levels):
        return np.where(levels > 0, levels % 2 + 1, 0).astype(np.uint8)

    for path in sorted((copy / IMAGE / "labels" / name).glob("[0-9]")):
        rewrite_array(path, changed)
    rehash(copy)
    found = validate(copy)
    assert "placement-labels" in rules_of(found)
    assert {problem.path.name for problem in found.problems} == {name}


def test_results_with_three_classes_and_artefacts_are_valid(tmp_path):
    grid = covering_grid(Shape(900, 1501))
    folder, result = write_results(
        tmp_path, Shape(900, 1501), YX(0.5, 0.5), grid, classes=("a", "b / c", "=d"),
        formats=("ome-zarr", "ome-tiff", "png", "cells"),
    )  # fmt: skip
    assert {"winner", "margin-a", "artefacts"} <= {shown.name for shown in result.maps}
    options = {"formats": ["ome-zarr", "ome-tiff"], "att_alpha": 0.5, "score_alpha": 1.0}
    scaling = {"ranges": {"attention": [{"lower": -2.0, "upper": 2.0}]}}
    record = {"options": options, "scaling": scaling, "files": file_digests(folder)}
    del record["files"]["provenance.json"]
    write_json(folder / "provenance.json", record)
    # This record has only the fields that other rules read.
    assert rules_of(validate(folder)) == {"record-form"}


def test_what_is_no_result_is_refused(good, tmp_path):
    (tmp_path / "text").write_text("x")
    for path in (tmp_path, tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(ResultError):
            validate(path)
    with pytest.raises(OptionError, match="no result is called"):
        validate(good, [tmp_path / "stranger.svs"])
    with pytest.raises(OptionError, match="--slide"):
        validate(good / "a" / IMAGE, [good.parent / "a.svs"])


def test_another_slide_is_found_out(good):
    verdict = validate(good / "a", [good.parent / "b.svs"])
    assert {"slide-same", "slide-pixels"} == rules_of(verdict)


def test_the_command_says_valid_and_gives_0(good, capsys):
    assert cli.main(["validate", str(good), str(good / "a" / IMAGE)]) == 0
    first, _, second, only = capsys.readouterr().out.splitlines()
    assert only.startswith("  not checked: the result that it belongs to was not given")
    assert first.startswith(f"{good}: valid (")
    assert second.startswith(f"{good / 'a' / IMAGE}: valid (")


def test_the_command_tells_problems_and_gives_1(copy, capsys):
    BROKEN["hashes"](copy)
    assert cli.main(["validate", str(copy)]) == 1
    line, *others = capsys.readouterr().out.splitlines()
    assert len(others) == 2
    assert all(other.startswith("  not checked: ") for other in others)
    assert line.startswith(f"{copy}: 1 files have changed")
    assert line.endswith("[hashes]")


def test_json_is_for_machines(good, copy, capsys):
    assert cli.main(["validate", "--json", str(good)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer.pop("unchecked")) == 1
    assert answer == {"valid": True, "problems": []}
    BROKEN["axes"](copy)
    assert cli.main(["validate", "--json", str(copy)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["valid"] is False
    assert {each["rule"] for each in said["problems"]} == {"axes", "hashes"}
    assert all(set(each) == {"path", "rule", "message"} for each in said["problems"])


def test_nothing_there_gives_1_and_no_path_gives_2(tmp_path, capsys):
    assert cli.main(["validate", str(tmp_path / "missing")]) == 1
    assert "no such result" in capsys.readouterr().err
    assert cli.main(["validate"]) == 2


def test_no_two_options_share_a_flag():
    flags = flags_of(ValidateOptions)
    assert len(flags) == len(set(flags))


def test_validate_needs_no_torch(good):
    code = (
        "import sys\nfrom heatmaps_ome.cli.main import main\n"
        "assert main(['validate', 'out/a', '--slide', 'a.svs']) == 0\n"
        "assert not {'torch', 'fastai', 'timm', 'pyvips', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=good.parent,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_readme_names_every_rule():
    readme = (PACKAGE / "validate" / "README.md").read_text(encoding="utf-8")
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in readme] == []


@pytest.mark.slow
def test_what_the_demo_writes_is_valid(tmp_path_factory, capsys):
    out = demo_run(tmp_path_factory)
    assert cli.main(["validate", str(out), "--slide", str(out / "demo-slide-2024.svs")]) == 0
    assert ": valid (" in capsys.readouterr().out


@pytest.mark.slow
def test_results_of_all_real_slides_are_valid(shared_data, tmp_path):
    slides = tuple(sorted(each for each in (shared_data / "slides").iterdir() if each.is_file()))
    options = CreateOptions(
        slides=slides, model_path=PACKAGE / "demo" / "data" / "demo-export.pkl",
        output_path=tmp_path / "out", true_class="tumour", extractor="tiny", mpp=0.5, threads=2,
    )  # fmt: skip
    assert {outcome.status for outcome in create(options, silent)} == {"done"}
    assert validate(tmp_path / "out", slides).problems == ()


def test_tiffs_that_would_fill_the_memory_are_not_unpacked(tmp_path):
    """A tile of one pixel's worth of bytes that unpacks to 200 MiB, and an absurd size."""
    bomb = zlib.compress(bytes(200 << 20), 9)
    path = tmp_path / "a.b.ome.tiff"
    with tifffile.TiffWriter(path) as file:
        tile = np.zeros((256, 256, 4), np.uint8)
        file.write(tile, tile=(256, 256), photometric="rgb", extrasamples=["unassalpha"],
                   compression="zlib", metadata=None)  # fmt: skip
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        places = {name: tags[name].valueoffset for name in ("TileOffsets", "TileByteCounts")}
        width = tags["ImageWidth"].valueoffset
    for name, value in (("TileOffsets", len(data)), ("TileByteCounts", len(bomb))):
        data[places[name] : places[name] + 4] = struct.pack("<I", value)
    path.write_bytes(bytes(data) + bomb)
    tracemalloc.start()
    try:
        [problem] = validate(path).problems
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    assert (problem.rule, "unpacks" in problem.message) == ("readable", True)
    data[width : width + 4] = struct.pack("<I", 1 << 30)
    path.write_bytes(bytes(data))
    assert "readable" in rules_of(validate(path))
