"""Damage to provenance.json and maps.json is found, field by field."""

import copy
import json
import os
import shutil

import numpy as np
import pytest
from broken_results import MANIFEST, NAME, VALUES, edited, rehash, shared_good_run

from heatmaps_ome.cli import main as cli
from heatmaps_ome.validate.manifest import LISTED_FILES, Listed
from heatmaps_ome.validate.ngff import open_pyramid
from heatmaps_ome.validate.problems import problems_of
from heatmaps_ome.validate.raw_values import Values
from heatmaps_ome.validate.record import RECORD, Recorded, record_digest
from heatmaps_ome.validate.result import validate

HARMLESS = ("versions", "options", "stages", "maps_left_out", "parts", "extractor", "pooling")
"""Fields that may hold less, so that only the digest shows that one is missing."""
OTHERS = (None, True, -7, 1e9, "x", "", [], {}, [[]])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return shared_good_run(tmp_path_factory) / NAME


@pytest.fixture(scope="module")
def values(good):
    return Values(open_pyramid(good / VALUES))


@pytest.fixture(scope="module")
def record(good):
    return json.loads((good / "provenance.json").read_text(encoding="utf-8"))


def places(content, place=()):
    """Yield the place of every field and item, except the many files."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, part in items:
        yield (*place, key)
        if isinstance(part, dict | list) and (*place, key) != ("files",):
            yield from places(part, (*place, key))


def holder(content, place):
    for key in place[:-1]:
        content = content[key]
    return content


def problems(record, values):
    return problems_of(Recorded(record, values), "provenance.json", RECORD)


def test_every_change_of_any_field_is_found(record, values):
    """Seeded: each place loses its content, or has one of another type."""
    rng = np.random.default_rng(0)
    every = list(places(record))
    assert len(every) > 500
    for place in (every[n] for n in rng.permutation(len(every))[:300]):
        for other in ("delete", OTHERS[rng.integers(len(OTHERS))]):
            broken = copy.deepcopy(record)
            inside = holder(broken, place)
            if other == "delete":
                del inside[place[-1]]
            elif (type(inside[place[-1]]), inside[place[-1]]) == (type(other), other):
                continue
            else:
                inside[place[-1]] = other
            assert problems(broken, values), (place, other)


EARLIER_LACK = {
    ("slide", name) for name in ("pixels", "reader", "mpp_origin", "icc", "notes")
}  # fmt: skip
"""Facts that results of earlier versions, which are valid, do not have."""


def test_every_missing_field_of_the_form_is_found_even_with_a_new_digest(record, values):
    # Results of earlier versions have no target and no explanation: theirs are of dense grids. Nor
    # do they name the raw maps that they were drawn from.
    optional = (("sha256",), ("target",), ("explanation",), ("maps",))
    top = [place for place in places(record) if len(place) == 1 and place not in optional]
    deep = [
        place
        for place in places(record)
        if len(place) == 2 and place[0] not in (*HARMLESS, "files")
        and place not in (("scaling", "cohort"), ("scaling", "slides"), ("scaling", "cells"))
        and place not in EARLIER_LACK
    ]  # fmt: skip
    assert len(deep) > 30
    for place in [*top, *deep]:
        broken = copy.deepcopy(record)
        del holder(broken, place)[place[-1]]
        broken["sha256"] = record_digest(broken)
        assert {problem.rule for problem in problems(broken, values)} & {
            "record-form",
            "record-agrees",
        }, place


DAMAGES = {
    "no model": lambda r: r.pop("model"),
    "no pixel size": lambda r: r["slide"].update(mpp=[0, 0]),
    "negative pixel size": lambda r: r["slide"].update(mpp=[-0.5, 0.5]),
    "absurd pixel size": lambda r: r["slide"].update(mpp=[5000.0, 5000.0]),
    "one pixel size": lambda r: r["slide"].update(mpp=[0.5]),
    "negative size": lambda r: r["slide"].update(shape=[-1, -1]),
    "size of text": lambda r: r["slide"].update(shape=["805", "2107"]),
    "other size": lambda r: r["slide"].update(shape=[805, 2108]),
    "no fingerprint": lambda r: r["slide"].pop("fingerprint"),
    "no digest of the model": lambda r: r["model"].pop("digest"),
    "cut digest": lambda r: r["model"].update(digest="abc"),
    "other digest": lambda r: r["model"].update(digest="0" * 64),
    "other classes": lambda r: r["model"].update(classes=["x", "y"]),
    "classes swapped": lambda r: r["model"]["classes"].reverse(),
    "one class": lambda r: r["model"].update(classes=["x"]),
    "prediction off": lambda r: r.update(prediction=dict.fromkeys(r["prediction"], 0.9)),
    "prediction swapped": lambda r: r.update(
        prediction=dict(zip(r["prediction"], [*r["prediction"].values()][::-1], strict=True))
    ),
    "negative probability": lambda r: r.update(prediction=dict.fromkeys(r["prediction"], -0.5)),
    "prediction of text": lambda r: r.update(prediction=dict.fromkeys(r["prediction"], "0.5")),
    "no prediction": lambda r: r.update(prediction={}),
    "another true class": lambda r: r.update(true_class="other"),
    "true for cells": lambda r: r.update(tissue_cells=True),
    "other cells": lambda r: r.update(tissue_cells=r["tissue_cells"] - 1),
    "other grid": lambda r: r["grid"].update(shape=[2, 2]),
    "shifted grid": lambda r: r["grid"].update(l0_origin=[9.0, 9.0]),
    "grid of other pixels": lambda r: r["grid"].update(mpp=[1.0, 1.0]),
    "no files": lambda r: r.update(files={}),
    "digests missing": lambda r: r.update(files=dict.fromkeys(r["files"], "")),
    "files as a list": lambda r: r.update(files=[*r["files"]]),
    "no scaling": lambda r: r.update(scaling=None),
    "ranges upside down": lambda r: r["scaling"]["ranges"]["attention"][0].update(lower=1e9),
    "no ranges": lambda r: r["scaling"].update(ranges={}),
    "no options": lambda r: r.update(options={}),
    "other format": lambda r: r.update(format="heatmaps-ome result 9"),
    "not a number": lambda r: r["grid"].update(l0_cell=[float("nan"), 1.0]),
    "no date": lambda r: r.update(created="yesterday"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_with_a_new_digest_is_found(record, values, damage):
    broken = copy.deepcopy(record)
    DAMAGES[damage](broken)
    broken["sha256"] = record_digest(broken)
    found = problems(broken, values)
    assert {problem.rule for problem in found} <= {"record-form", "record-agrees"}
    assert found
    assert all(len(problem.message) < 500 for problem in found)


def test_a_removed_file_of_the_list_is_found(good, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(good, folder)
    with edited(folder / "provenance.json") as said:
        del said["files"][MANIFEST]
        said["sha256"] = record_digest(said)
    assert "files-complete" in {problem.rule for problem in validate(folder).problems}


def test_new_fields_are_no_damage(record, values):
    newer = copy.deepcopy(record) | {"covariates": {"AGE": 60}, "label": "MSIH"}
    newer["slide"]["bad_tiles"] = 3
    newer["sha256"] = record_digest(newer)
    assert problems(newer, values) == ()


def test_every_missing_field_and_wrong_type_of_maps_json_is_found(good, values, tmp_path):
    facts = json.loads((good / MANIFEST).read_text(encoding="utf-8"))
    folder = tmp_path / NAME
    folder.mkdir()
    for path in good.iterdir():
        if path.name != MANIFEST:
            (folder / path.name).symlink_to(path)
    rng = np.random.default_rng(0)
    every = [place for place in places(facts) if "colours" not in place and "derived" not in place]
    assert len(every) > 200
    for place in (every[n] for n in rng.permutation(len(every))[:250]):
        for other in ("delete", OTHERS[rng.integers(len(OTHERS))]):
            broken = copy.deepcopy(facts)
            inside = holder(broken, place)
            if other == "delete":
                del inside[place[-1]]
            elif isinstance(other, str) and isinstance(inside[place[-1]], str | None):
                continue  # Titles and notes are free.
            elif type(inside[place[-1]]) is type(other) or (other is None and place[0] == "maps"):
                continue
            else:
                inside[place[-1]] = other
            (folder / MANIFEST).write_text(json.dumps(broken), encoding="utf-8")
            listed = Listed(folder / MANIFEST, None, {})
            if other != "delete" or place[-1] not in ("lower", "upper"):
                assert problems_of(listed, folder, LISTED_FILES), (place, other)


def test_the_answer_names_the_parts_that_were_not_checked(good, capsys, tmp_path):
    assert cli.main(["validate", str(good)]) == 0
    text = capsys.readouterr().out
    assert "not checked: the slide itself was not given (--slide)" in text
    assert "not checked: there is no run.json" in text
    slides = [good.parent.parent / f"{name}.svs" for name in "ab"]
    assert validate(good.parent, slides).unchecked == ()
    assert cli.main(["validate", "--json", str(good / VALUES)]) == 0
    [sentence] = json.loads(capsys.readouterr().out)["unchecked"]
    assert "only this store was checked" in sentence


def test_a_pipe_or_link_in_a_result_is_reported_and_not_opened(good, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(good, folder)
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    os.mkfifo(folder / "b.ome.tiff")
    (folder / "c.values.ome.tiff").symlink_to("/dev/zero")
    (folder / f"{NAME}.ome.zarr" / "OME" / "METADATA.ome.xml").unlink()
    os.mkfifo(folder / f"{NAME}.ome.zarr" / "OME" / "METADATA.ome.xml")
    rules = {problem.rule for problem in validate(folder).problems}
    assert {"files-complete", "readable", "ome-xml", "manifest-form"} <= rules


def test_a_rehashed_result_stays_valid(good, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(good, folder)
    rehash(folder)
    assert validate(folder).problems == ()
