"""One bad slide between two good ones: both good ones are done, and the record has its reason."""

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run import delivery, drawing, maker
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.slides.opened_slide import OpenedSlide

TILE_WIDTH = 322
"""Tag of a TIFF, TIFF 6.0 section 15."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with two good slides and a model; returns what runs create there."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    for seed, name in enumerate(("good-1", "good-2")):
        write_slide(tmp_path / f"{name}.svs", speckled(300, 400, seed))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))

    def run(bad):
        options = CreateOptions(
            slides=(tmp_path / "good-1.svs", bad, tmp_path / "good-2.svs"),
            model_path=tmp_path / "export.pkl",
            output_path=tmp_path / "out",
            true_class=CLASSES[0],
            extractor="mean-colour",
            formats=("cells", "report"),
        )
        return create(options, silent)

    run.folder = tmp_path
    return run


def absurd_tiles(folder):
    """A slide whose tiles are 2 gigapixels wide, for which GLib would abort the process."""
    path = write_slide(folder / "absurd.svs", speckled(300, 400))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[TILE_WIDTH].overwrite(0x7FFFFFF0, dtype="I")
    return path


def loop(folder):
    (folder / "loop.svs").symlink_to(folder / "loop.svs")
    return folder / "loop.svs"


def overlong(folder):
    return folder / f"{'x' * 300}.svs"


def fifo(folder):
    os.mkfifo(folder / "fifo.svs")
    return folder / "fifo.svs"


def device(folder):
    return Path("/dev/zero")


def empty(folder):
    (folder / "empty.svs").touch()
    return folder / "empty.svs"


def text(folder):
    (folder / "text.svs").write_text("not a slide")
    return folder / "text.svs"


def missing(folder):
    return folder / "missing.svs"


def truncated(folder):
    path = write_slide(folder / "truncated.svs", speckled(300, 400))
    path.write_bytes(path.read_bytes()[:3000])
    return path


def garbage(folder):
    (folder / "garbage.tiff").write_bytes(struct.pack("<2sHI", b"II", 42, 8) + os.urandom(5000))
    return folder / "garbage.tiff"


def folder_of_texts(folder):
    (folder / "texts.svs").mkdir()
    (folder / "texts.svs" / "a.txt").write_text("no slide")
    return folder / "texts.svs"


def picture(folder):
    tifffile.imwrite(folder / "picture.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    return folder / "picture.tif"


BAD = [
    absurd_tiles, loop, overlong, fifo, device, empty, text, missing, truncated,
    garbage, picture, folder_of_texts,
]  # fmt: skip


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_bad_slide_ends_alone(world, make):
    first, bad, last = world(make(world.folder))
    assert (first.status, bad.status, last.status) == ("done", "failed", "done")
    assert bad.message.isprintable()
    assert len(bad.message) > 20
    run = json.loads((world.folder / "out" / "run.json").read_text())
    assert {slide["slide"]: slide["status"] for slide in run["slides"]} == {
        "good-1.svs": "done", bad.slide: "failed", "good-2.svs": "done",
    }  # fmt: skip
    assert not list((world.folder / "out").glob(".*.partial"))


NAMES = {
    "not UTF-8": (os.fsdecode(b"latin1-\xe9.svs"), "latin1-%E9"),
    "the list of slides": ("run.json.svs", "run.json_slide"),
    "the report": ("index.html.svs", "index.html_slide"),
    "the scaling": ("scaling.json.svs", "scaling.json_slide"),
    "the cache": (".cache.svs", "%2Ecache"),
    "dots": ("...svs", "%2E."),
    "records of runs": ("RUNS.svs", "RUNS_slide"),
    "control characters": ("a\x1b[31m\nb.svs", "a%1B[31m%0Ab"),
    "long": (f"{'病' * 80}.svs", None),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_slide_of_an_odd_name_is_done_under_a_safe_one(world, kind):
    name, expected = NAMES[kind]
    odd = world.folder / name
    shutil.copy(write_slide(world.folder / "template.svs", speckled(300, 400, 9)), odd)
    outcomes = world(odd)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    folder = outcomes[1].folder
    assert expected is None or folder.name == expected
    assert (folder / "provenance.json").is_file()
    run = json.loads((world.folder / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["slides"][1]["folder"] == folder.name
    assert (world.folder / "out" / "scaling.json").is_file()
    assert (world.folder / "out" / "index.html").is_file()
    assert {outcome.status for outcome in world(odd)} == {"unchanged"}


STAGES = {
    "opening": (maker, "open_slide"),
    "reading": (OpenedSlide, "read"),
    "drawing": (drawing, "slide_result"),
    "writing": (drawing, "write_formats"),
    "recording": (drawing, "slide_record"),
    "digests": (delivery, "file_digests"),
}


@pytest.mark.parametrize("error", [ValueError("odd"), RecursionError("deep"), AssertionError()])
@pytest.mark.parametrize("stage", STAGES)
def test_whatever_a_slide_raises_ends_this_slide_alone(world, monkeypatch, stage, error):
    owner, name = STAGES[stage]
    work = getattr(owner, name)

    def fails_for_the_bad(*values, **named):
        if any("bad" in path.name for value in values for path in _paths_of(value)):
            raise error
        return work(*values, **named)

    bad = shutil.copy(world.folder / "good-1.svs", world.folder / "bad.svs")
    monkeypatch.setattr(owner, name, fails_for_the_bad)
    outcomes = world(bad)
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert type(error).__name__ in outcomes[1].message
    assert not list((world.folder / "out").glob(".*.partial"))


def _paths_of(value):
    """Yield the paths that an argument is, or has, or its slide has."""
    for one in (value, getattr(value, "path", None), getattr(value, "slide", None)):
        path = getattr(one, "path", one)
        if isinstance(path, Path):
            yield path
