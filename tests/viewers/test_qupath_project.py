"""The project for QuPath: what QuPath 0.5-0.7 reads, and nothing of the user's lost.

The facts are those of QuPath's DefaultProject.loadProject and loadPathClasses.
"""

import json
import os
import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import odd_slides
import pytest
from czi_files import tiles_of, write_pyramid
from PIL import Image
from slide_files import speckled, write_slide
from zarr_slides import by_hand

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.qupath_project import ProjectSlide, signed_argb, write_project

CLASSES = ("MSIH", "nonMSIH")
NOW = 1_700_000_000_000


@pytest.fixture
def slides(tmp_path):
    """Two slides in a folder with a name that addresses must encode."""
    folder = tmp_path / "Fälle 100%#2"
    folder.mkdir()
    (folder / "a 1.svs").touch()
    (folder / "b.svs").touch()
    return [
        ProjectSlide(folder / "a 1.svs", "a 1", {"MSIH": 0.8342, "nonMSIH": 0.1658}, "MSIH"),
        ProjectSlide(folder / "b.svs", "b", {"MSIH": float("nan"), "nonMSIH": 0.5}, "MSIH"),
    ]


def written(output, slides, classes=CLASSES, now_ms=NOW):
    """Write a project; return what it says."""
    return json.loads(write_project(output, slides, classes, now_ms).read_text(encoding="utf-8"))


def classes_of(output):
    path = output / "viewers" / "qupath" / "classifiers" / "classes.json"
    return json.loads(path.read_text(encoding="utf-8"))["pathClasses"]


def test_a_new_project_is_what_qupath_reads(tmp_path, slides):
    project = written(tmp_path, slides)
    assert project["version"] == "0.6.0"
    assert (project["createTimestamp"], project["modifyTimestamp"]) == (NOW, NOW)
    path = tmp_path / "viewers" / "qupath" / "project.qpproj"
    assert Path(unquote(urlparse(project["uri"]).path)) == path
    assert project["lastID"] == 2
    for entry, slide, number in zip(project["images"], slides, (1, 2), strict=True):
        builder = entry["serverBuilder"]
        assert builder["builderType"] == "uri"
        assert builder["providerClassName"].endswith("openslide.OpenslideServerBuilder")
        # Frames agree only if QuPath shows the whole canvas.
        assert builder["args"] == ["--no-crop"]
        assert builder["uri"].isascii()
        assert " " not in builder["uri"]
        assert Path(unquote(urlparse(builder["uri"]).path)) == slide.path
        assert (entry["entryID"], entry["imageName"]) == (number, slide.path.name)
    assert project["images"][0]["metadata"] == {
        "heatmaps-ome results": "a 1", "drawn hot": "MSIH",
        "prediction: MSIH": "0.834", "prediction: nonMSIH": "0.166",
    }  # fmt: skip
    assert "prediction: MSIH" not in project["images"][1]["metadata"]
    values = {type(v) for entry in project["images"] for v in entry["metadata"].values()}
    assert values == {str}


def test_classes_have_the_colours_of_the_tiles_as_java_packs_them(tmp_path, slides):
    write_project(tmp_path, slides, CLASSES, NOW)
    for each, (name, colour) in zip(
        classes_of(tmp_path), class_colours(CLASSES).items(), strict=True
    ):
        assert each == {"name": name, "color": signed_argb(colour)}
        assert -(2**31) <= each["color"] < 0
        assert f"#{each['color'] & 0xFFFFFF:06x}" == colour


def test_names_of_strangers_classes_are_such_as_qupath_takes(tmp_path, slides):
    classes = ("MSI: high", "two\nlines", " ", "two lines")
    write_project(tmp_path, slides, classes, NOW)
    names = [each["name"] for each in classes_of(tmp_path)]
    assert names == ["MSI\u2236 high", "two lines", "class"]


def test_the_scripts_are_there_with_what_they_share(tmp_path, slides):
    write_project(tmp_path, slides, CLASSES, NOW)
    scripts = tmp_path / "viewers" / "qupath" / "scripts"
    assert {p.name for p in scripts.iterdir()} == {
        "show_heatmap.groovy", "import_tiles.groovy", "import_regions.groovy",
    }  # fmt: skip
    source = viewer_files() / "qupath"
    shared = (source / "prelude.groovy").read_bytes()
    for path in scripts.iterdir():
        assert path.read_bytes() == (source / path.name).read_bytes() + shared


def test_thumbnails_are_made_of_previews_and_never_replaced(tmp_path, slides):
    (tmp_path / "a 1" / "previews").mkdir(parents=True)
    Image.fromarray(np.zeros((300, 900, 3), np.uint8)).save(tmp_path / "a 1/previews/slide.png")
    write_project(tmp_path, slides, CLASSES, NOW)
    data = tmp_path / "viewers" / "qupath" / "data"
    assert [p.relative_to(data) for p in data.rglob("*") if p.is_file()] == [
        Path("1/thumbnail.jpg")
    ]
    with Image.open(data / "1" / "thumbnail.jpg") as image:
        assert max(image.size) == 256
    (data / "1" / "thumbnail.jpg").write_bytes(b"QuPath's own")
    write_project(tmp_path, slides, CLASSES, NOW)
    assert (data / "1" / "thumbnail.jpg").read_bytes() == b"QuPath's own"


@pytest.fixture
def used(tmp_path, slides):
    """A project that a user has worked with in QuPath."""
    project = written(tmp_path, slides[:1])
    folder = tmp_path / "viewers" / "qupath"
    ours = project["images"][0]
    ours |= {"imageName": "Case 7", "description": "seen by A.", "tags": ["done"]}
    ours["metadata"] |= {"stain": "H&E", "prediction: oldclass": "0.5", "true class": "x"}
    # As QuPath writes it: Java's way of addresses, and the server's metadata added.
    ours["serverBuilder"]["uri"] = ours["serverBuilder"]["uri"].replace("file:///", "file:/")
    ours["serverBuilder"]["metadata"] = {"width": 5}
    theirs = {
        "serverBuilder": {
            "builderType": "rotated",
            "builder": {"builderType": "uri", "uri": "file:/x/own.tif", "args": []},
        },
        "entryID": 9,
        "imageName": "own",
        "metadata": {},
    }
    project["images"].insert(0, theirs)
    project |= {"lastID": 9, "future": {"kept": True}}
    (folder / "project.qpproj").write_text(json.dumps(project), encoding="utf-8")
    classes = [{"name": "Stroma", "color": -5}, {"name": "MSIH", "color": -7}]
    (folder / "classifiers" / "classes.json").write_text(
        json.dumps({"pathClasses": classes, "other": 1})
    )
    (folder / "data" / "1").mkdir(parents=True)
    (folder / "data" / "1" / "data.qpdata").write_bytes(b"annotations")
    return project


def test_what_people_did_in_a_project_stays(tmp_path, slides, used):
    project = written(tmp_path, slides, now_ms=NOW + 5)
    own, first, second = project["images"]
    assert own == used["images"][0]
    assert (first["entryID"], second["entryID"], project["lastID"]) == (1, 10, 10)
    before = used["images"][1]
    changed = {"metadata"}
    assert {k: v for k, v in first.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    assert first["metadata"]["stain"] == "H&E"
    assert first["metadata"]["prediction: MSIH"] == "0.834"
    assert not {"prediction: oldclass", "true class"} & set(first["metadata"])
    assert project["future"] == {"kept": True}
    assert (project["createTimestamp"], project["modifyTimestamp"]) == (NOW, NOW + 5)
    assert classes_of(tmp_path)[:2] == [
        {"name": "Stroma", "color": -5},
        {"name": "MSIH", "color": -7},
    ]
    assert [each["name"] for each in classes_of(tmp_path)] == ["Stroma", "MSIH", "nonMSIH"]
    folder = tmp_path / "viewers" / "qupath"
    assert json.loads((folder / "classifiers/classes.json").read_text())["other"] == 1
    assert (folder / "data" / "1" / "data.qpdata").read_bytes() == b"annotations"


def test_slides_of_earlier_runs_stay_and_nothing_is_doubled(tmp_path, slides):
    written(tmp_path, slides[:1])
    again = written(tmp_path, slides[1:])
    assert [entry["imageName"] for entry in again["images"]] == ["a 1.svs", "b.svs"]
    assert written(tmp_path, slides) == again


def test_a_run_without_news_does_not_touch_the_project(tmp_path, slides):
    path = write_project(tmp_path, slides, CLASSES, NOW)
    os.utime(path, (1, 1))
    write_project(tmp_path, slides, CLASSES, NOW + 9)
    assert path.stat().st_mtime == 1


def test_a_slide_that_moved_keeps_its_annotations(tmp_path, slides):
    written(tmp_path, slides)
    moved = tmp_path / "archive"
    shutil.move(slides[0].path.parent, moved)
    there = ProjectSlide(moved / "a 1.svs", "a 1", {"MSIH": 1.0}, "MSIH")
    project = written(tmp_path, [there])
    assert [entry["entryID"] for entry in project["images"]] == [1, 2]
    place = urlparse(project["images"][0]["serverBuilder"]["uri"]).path
    assert Path(unquote(place)) == there.path


def test_annotations_of_a_lost_project_are_not_given_to_other_slides(tmp_path, slides):
    write_project(tmp_path, slides, CLASSES, NOW)
    folder = tmp_path / "viewers" / "qupath"
    (folder / "data" / "7").mkdir(parents=True)
    (folder / "project.qpproj").unlink()
    assert [entry["entryID"] for entry in written(tmp_path, slides)["images"]] == [8, 9]


@pytest.mark.parametrize("name", ["project.qpproj", "classifiers/classes.json"])
@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"images": [1], "pathClasses": 5}', b"null"],
    ids=["empty", "cut", "a list", "no text", "other", "null"],
)
def test_a_damaged_project_is_left_alone(tmp_path, slides, name, damage):
    write_project(tmp_path, slides[:1], CLASSES, NOW)
    folder = tmp_path / "viewers" / "qupath"
    (folder / name).write_bytes(damage)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ResultError, match="left as it is"):
        write_project(tmp_path, slides, CLASSES, NOW + 5)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_project_that_cannot_be_written_is_told_in_a_sentence(tmp_path, slides):
    (tmp_path / "viewers").write_text("in the way")
    with pytest.raises(OutputError, match="the results are complete"):
        write_project(tmp_path, slides, CLASSES, NOW)


def test_addresses_do_not_resolve_links_to_slides(tmp_path, slides):
    """A store of files by their content has names without suffix behind its links."""
    (tmp_path / "c.svs").symlink_to(slides[0].path)
    link = ProjectSlide(tmp_path / "x" / ".." / "c.svs", "c", {}, "MSIH")
    (tmp_path / "x").mkdir()
    uri = written(tmp_path, [link])["images"][0]["serverBuilder"]["uri"]
    assert Path(unquote(urlparse(uri).path)) == tmp_path / "c.svs"


@pytest.mark.parametrize(
    ("make", "builder"),
    [
        (lambda folder: write_slide(folder / "a.svs", speckled(60, 80)), "OpenslideServerBuilder"),
        (lambda folder: odd_slides.jpeg_slide(folder / "a.tif"), "OpenslideServerBuilder"),
        (lambda folder: odd_slides.with_subifds(folder / "a.ome.tif"), "BioFormatsServerBuilder"),
        (
            lambda folder: odd_slides.plain_tiff(folder / "a.tif", odd_slides.rgb(), tile=None),
            "BioFormatsServerBuilder",
        ),
        (
            lambda folder: by_hand(folder / "a.zarr", [odd_slides.planes(speckled(60, 80))]),
            "BioFormatsServerBuilder",
        ),
        (lambda folder: write_pyramid(folder / "a.czi", tiles_of(speckled(60, 80))),
         "BioFormatsServerBuilder"),
        (lambda folder: picture(folder / "a.png"), "ImageIoImageServerBuilder"),
        (lambda folder: picture(folder / "a.jp2"), "BioFormatsServerBuilder"),
    ],
    ids=["SVS", "JPEG TIFF", "OME-TIFF", "strips", "OME-Zarr", "CZI", "PNG", "JPEG 2000"],
)  # fmt: skip
def test_each_kind_of_slide_has_the_server_of_qupath_that_reads_it(tmp_path, make, builder):
    path = make(tmp_path)
    server = written(tmp_path, [ProjectSlide(path, "a", {}, "MSIH")])["images"][0]["serverBuilder"]
    assert server["providerClassName"].rsplit(".", 1)[1] == builder
    assert server["args"] == (["--no-crop"] if builder == "OpenslideServerBuilder" else [])
    # The folder of a store, as Bio-Formats reads it.
    assert Path(unquote(urlparse(server["uri"]).path)) == path


def picture(path):
    Image.fromarray(speckled(60, 80)).save(path)
    return path


def test_names_that_are_no_text_are_shown_as_far_as_they_are(tmp_path):
    path = tmp_path / os.fsdecode(b"gr\xfcn.svs")
    slide = ProjectSlide(path, path.stem, {}, "MSIH")
    entry = written(tmp_path, [slide])["images"][0]
    assert entry["imageName"] == "gr?n.svs"
    assert entry["serverBuilder"]["uri"].endswith("/gr%FCn.svs")
    assert len(written(tmp_path, [slide])["images"]) == 1


def test_slides_that_change_places_keep_their_annotations(tmp_path, slides):
    """A file that moved leaves its place to the next slide of the same call."""
    written(tmp_path, slides)
    first, second = slides
    changed = [
        ProjectSlide(first.path.with_name("archived.svs"), first.name, {}, "MSIH"),
        ProjectSlide(first.path, "c", {}, "MSIH"),
        second,
    ]
    images = written(tmp_path, changed)["images"]
    assert [entry["metadata"]["heatmaps-ome results"] for entry in images] == ["a 1", "b", "c"]
    places = [unquote(urlparse(entry["serverBuilder"]["uri"]).path) for entry in images]
    assert [Path(place).name for place in places] == ["archived.svs", "b.svs", "a 1.svs"]
    assert [entry["entryID"] for entry in images] == [1, 2, 3]


def test_slides_of_a_large_cohort_are_not_searched_for_one_by_one(tmp_path):
    """Comparing each slide with each entry took half a minute of a core for as many."""
    many = [ProjectSlide(tmp_path / f"{i}.svs", str(i), {"MSIH": 0.5}, "MSIH") for i in range(2000)]
    began = time.process_time()
    assert len(written(tmp_path, many)["images"]) == 2000
    assert written(tmp_path, many, now_ms=NOW + 1)["modifyTimestamp"] == NOW
    assert time.process_time() - began < 3


def test_no_run_waits_long_for_thumbnails(tmp_path, monkeypatch):
    """QuPath makes those that are missing when they come into view."""
    monkeypatch.setattr("heatmaps_ome.viewers.qupath_project._MOST_THUMBNAILS", 2)
    for name in "abc":
        (tmp_path / name / "previews").mkdir(parents=True)
        Image.new("RGB", (30, 20)).save(tmp_path / name / "previews" / "slide.png")
    three = [ProjectSlide(tmp_path / f"{name}.svs", name, {}, "MSIH") for name in "abc"]
    data = tmp_path / "viewers" / "qupath" / "data"
    for count in (2, 3):
        written(tmp_path, three)
        assert len(list(data.glob("*/thumbnail.jpg"))) == count
