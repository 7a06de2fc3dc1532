"""Results in OME-Zarr 0.5 are valid; the rules find what breaks them as in 0.4."""

import json
import re
import shutil

import numpy as np
import pytest
import zarr
from broken_results import FLAT, IMAGE, LABEL, VALUES, edited, rehash, shared_good_run
from zarr.codecs import ZstdCodec

from heatmaps_ome.cli import main as cli
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.validate.result import RULES, validate


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return shared_good_run(tmp_path_factory, "0.5")


@pytest.fixture
def copy(good, tmp_path):
    shutil.copytree(good, tmp_path / "out", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "out" / "a"


def ome(said):
    return said["attributes"]["ome"]


def rewrite_array(path, change=lambda pixels: pixels, **settings):
    """Write a sharded array anew, with other pixels or settings."""
    array = zarr.open_array(path, mode="r")
    pixels = change(array[...])
    given = {
        "chunks": array.chunks, "shards": array.shards, "compressors": ZstdCodec(),
        "dimension_names": array.metadata.dimension_names, "fill_value": array.fill_value,
    }  # fmt: skip
    shutil.rmtree(path)
    new = zarr.create_array(
        path, shape=pixels.shape, dtype=pixels.dtype, zarr_format=3, **(given | settings)
    )
    new[...] = pixels


def test_a_good_run_is_valid_by_every_rule(good):
    verdict = validate(good, [good.parent / "a.svs", good.parent / "b.svs"])
    assert verdict.problems == ()
    assert verdict.n_rules == len(RULES)


@pytest.mark.parametrize("store", [IMAGE, FLAT, VALUES])
def test_each_store_is_valid_alone(good, store):
    assert validate(good / "a" / store).problems == ()


def test_it_has_far_fewer_files_for_the_same_values(good, tmp_path_factory):
    before = shared_good_run(tmp_path_factory, "0.4") / "a" / VALUES
    after = good / "a" / VALUES
    files = [sum(each.is_file() for each in store.rglob("*")) for store in (before, after)]
    assert files[1] < files[0]
    np.testing.assert_array_equal(read_values(before).scores, read_values(after).scores)


def version(folder):
    with edited(folder / IMAGE / "zarr.json") as said:
        ome(said)["version"] = "0.4"


def label_version(folder):
    with edited(folder / LABEL / "zarr.json") as said:
        ome(said)["image-label"]["version"] = "0.4"


def dimensions_without_names(folder):
    rewrite_array(folder / LABEL / "0", dimension_names=None)


def dimensions_of_other_names(folder):
    rewrite_array(folder / LABEL / "1", dimension_names=("x", "y"))


def list_of_labels_only_where_specified(folder):
    with edited(folder / IMAGE / "labels" / "zarr.json") as said:
        del said["attributes"]["labels"]


def label_not_listed(folder):
    with edited(folder / IMAGE / "labels" / "zarr.json") as said:
        for names in (ome(said)["labels"], said["attributes"]["labels"]):
            names.remove("tissue")


def strange_codec(folder, change):
    path = folder / LABEL / "0" / "zarr.json"
    shutil.rmtree(folder / LABEL / "0" / "c")
    with edited(path) as said:
        change(said["codecs"][0]["configuration"]["codecs"])


def chunks(folder):
    rewrite_array(folder / IMAGE / "0", chunks=(1, 512, 512))


def colours(folder):
    for path in sorted((folder / FLAT).glob("[0-9]")):
        rewrite_array(path, lambda pixels: 255 - pixels)


def misplaced_label(folder):
    for level, path in enumerate(sorted((folder / LABEL).glob("[0-9]"))):
        rewrite_array(path, lambda pixels, by=4 >> level: np.roll(pixels, by, axis=1))


def moved_label(folder):
    with edited(folder / LABEL / "zarr.json") as said:
        for dataset in ome(said)["multiscales"][0]["datasets"]:
            dataset["coordinateTransformations"].append(
                {"type": "translation", "translation": [4.0, 4.0]}
            )


BROKEN = {
    version: {"multiscales-complete", "ngff-model"},
    label_version: {"label-source", "ngff-model"},
    dimensions_without_names: {"axes", "ngff-model"},
    dimensions_of_other_names: {"axes", "ngff-model"},
    list_of_labels_only_where_specified: {"labels-listed"},
    label_not_listed: {"labels-listed"},
    chunks: {"chunks"},
    colours: {"flat-blend"},
    misplaced_label: {"placement-labels"},
    moved_label: {"no-translation"},
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda each: each.__name__)
def test_what_breaks_a_rule_is_told_by_it(copy, breaking):
    breaking(copy)
    rehash(copy)
    assert {problem.rule for problem in validate(copy).problems} == BROKEN[breaking]


def test_codecs_that_browsers_lack_are_found(copy):
    transpose = {"name": "transpose", "configuration": {"order": [1, 0]}}
    strange_codec(copy, lambda codecs: codecs.insert(0, transpose))
    rehash(copy)
    assert "codecs" in {problem.rule for problem in validate(copy).problems}


def test_arrays_of_codecs_that_are_not_plain_are_found_and_not_read(copy):
    zlib = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
    strange_codec(copy, lambda codecs: codecs.append(zlib))
    rehash(copy)
    messages = [
        problem.message for problem in validate(copy).problems if problem.rule == "readable"
    ]
    assert "numcodecs.zlib" in messages[0]


@pytest.mark.parametrize("broken", ["{", "[]", "{}", "null", '{"attributes": {"ome": 3}}', ""])
def test_broken_metadata_is_a_problem_and_no_crash(copy, broken):
    for store in (IMAGE, FLAT, VALUES, LABEL):
        (copy / store / "zarr.json").write_text(broken)
    assert "readable" in {problem.rule for problem in validate(copy).problems}


def test_info_describes_it(good, capsys):
    assert cli.main(["info", *(str(good / "a" / store) for store in (IMAGE, FLAT, VALUES))]) == 0
    said = capsys.readouterr().out
    assert said.count(": OME-Zarr\n") == 3
    assert said.count("0.5") >= 3
    assert "Red, Green, Blue" in said


def test_info_says_that_a_store_is_damaged(copy, capsys):
    for broken in ("{", json.dumps({"attributes": {}})):
        (copy / IMAGE / "zarr.json").write_text(broken)
        assert cli.main(["info", str(copy / IMAGE)]) == 1
        assert re.search("with damaged metadata|without an OME-Zarr", capsys.readouterr().err)
