"""The server composes the pictures that ``--flattened`` writes, and nothing else."""

import json
import shutil

import numpy as np
import pytest
import zarr
from fakes import covering_grid
from view_server import viewing
from viewer_results import write_results

from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.viewers.server.burnt_pictures import BurntPictures, DamagedResultError

MPP = YX(0.5, 0.25)
SHAPE = Shape(1501, 1903)
CELL, ORIGIN = YX(36.57, 73.1), YX(-17.7, -35.4)
CLASSES = ("A", "B / é", "C")
FIRST = "slide.attention.flat.ome.zarr"


def write(out, ngff="0.4", **settings):
    """Write a result of maps that fade, maps that do not, and categories; return its folder."""
    grid = covering_grid(SHAPE, CELL, ORIGIN, MPP)
    given = Settings(ngff=ngff, **settings)
    folder, _ = write_results(
        out, SHAPE, MPP, grid, formats=("ome-zarr",), settings=given, classes=CLASSES
    )
    return folder


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def both(request, tmp_path_factory):
    """A result without pictures, and the same one with them."""
    out = tmp_path_factory.mktemp("flats")
    bare = write(out / "bare", request.param)
    return bare, write(out / "flattened", request.param, flattened=True)


def saved(folder, name, target):
    """Save what is composed of a picture, as a viewer asks for it: metadata, levels, chunks."""
    pictures = BurntPictures()

    def save(*parts):
        file = pictures.file(folder, (name, *parts))
        assert file is not None, parts
        path = target.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        return file.content

    attributes = json.loads(save(".zattrs"))
    save(".zgroup"), save("OME", ".zgroup"), save("OME", "METADATA.ome.xml")
    for dataset in attributes["multiscales"][0]["datasets"]:
        level = dataset["path"]
        facts = json.loads(save(level, ".zarray"))
        rows, cols = (
            -(-size // chunk)
            for size, chunk in zip(facts["shape"][1:], facts["chunks"][1:], strict=True)
        )
        for row in range(rows):
            for col in range(cols):
                save(level, "0", str(row), str(col))
        assert pictures.file(folder, (name, level, "0", str(rows), "0")) is None
        assert pictures.file(folder, (name, level, "0", "0", str(cols))) is None
    return zarr.open_group(target, mode="r")


def plain(attributes):
    """Return the metadata of NGFF 0.4 or 0.5 without versions."""
    content = dict(attributes)
    content |= content.pop("ome", {})
    return json.loads(json.dumps(content), object_hook=lambda each: each | {"version": None})


def test_every_pixel_of_every_map_at_every_level_is_the_one_that_is_written(both, tmp_path):
    bare, flattened = both
    names = sorted(path.name for path in flattened.glob("*.flat.ome.zarr"))
    assert len(names) > 8
    assert list(bare.glob("*.flat.ome.zarr")) == []
    slide = zarr.open_group(bare / "slide.ome.zarr", mode="r")
    for number, name in enumerate(names):
        composed = saved(bare, name, tmp_path / str(number))
        written = zarr.open_group(flattened / name, mode="r")
        assert sorted(composed.array_keys()) == sorted(written.array_keys())
        for level, array in written.arrays():
            np.testing.assert_array_equal(composed[level][...], array[...], name)
            assert (array[...] != slide[level][...]).any(), "a map is burnt in"
        assert plain(composed.attrs) == plain(written.attrs)
        xml = "OME/METADATA.ome.xml"
        assert (tmp_path / str(number) / xml).read_text() == (flattened / name / xml).read_text()


def test_the_metadata_are_those_of_an_image(both, tmp_path):
    from ome_zarr_models.v04.image import Image

    Image.from_zarr(saved(both[0], FIRST, tmp_path / "flat"))


@pytest.mark.parametrize(
    "parts",
    [
        (), (".zmetadata",), ("zarr.json",), ("labels",), ("9", ".zarray"), ("0", ".zattrs"),
        ("0", "1", "0", "0"), ("0", "0", "-1", "0"), ("0", "0", "00", "0"), ("0", "0", "٣", "0"),
        ("0", "0", "0", "0", "0"), ("0", "0", "9999999", "0"), ("..", ".zattrs"), ("0", "0"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_a_picture_is_none(both, parts):
    assert BurntPictures().file(both[0], (FIRST, *parts)) is None


@pytest.mark.parametrize("name", ["slide.none.flat.ome.zarr", ".flat.ome.zarr", "slide.ome.zarr"])
def test_only_maps_of_the_list_have_pictures(both, name):
    assert BurntPictures().file(both[0], (name, ".zattrs")) is None


def edit(change):
    """Return what changes a result's ``maps.json``."""

    def edited(folder):
        content = json.loads((folder / MANIFEST).read_text())
        change(content)
        (folder / MANIFEST).write_text(json.dumps(content))

    return edited


def attention(content):
    return next(each for each in content["maps"] if each["name"] == "attention")


def score(content):
    return next(each for each in content["maps"] if each["kind"] == "score")


DAMAGE = {
    "no list": lambda folder: (folder / MANIFEST).write_text("{"),
    "list of another version": edit(lambda c: c.update(format="heatmaps-ome maps 1")),
    "huge grid": edit(lambda c: c["grid"]["shape"].update(rows=4_000_000, cols=4_000_000)),
    "grid of no size": edit(lambda c: c["grid"]["l0_cell"].update(x=0)),
    "image elsewhere": edit(lambda c: c.update(image="../other/slide.ome.zarr")),
    "few colours": edit(lambda c: attention(c)["colours"].pop()),
    "opacity beyond 1": edit(lambda c: attention(c)["opacity"].update(alpha=7)),
    "no lattice": lambda folder: (folder / "slide.ome.zarr" / ".zattrs").write_text("{}"),
    "no label": lambda folder: shutil.rmtree(folder / "slide.ome.zarr" / "labels" / "attention"),
    "label of a pickle": lambda folder: rewrite(
        folder / "slide.ome.zarr/labels/attention/0/.zarray", filters=[{"id": "pickle"}]
    ),
    "image of floats": lambda folder: rewrite(folder / "slide.ome.zarr/0/.zarray", dtype="<f4"),
    "chunk of the image": lambda folder: truncate(folder / "slide.ome.zarr/0/0/0/0"),
}  # fmt: skip


def rewrite(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_gives_no_picture_and_says_so(tmp_path, damage):
    grid = covering_grid(Shape(150, 190), YX(32, 32), YX(-15, -15), MPP)
    folder, _ = write_results(tmp_path, Shape(150, 190), MPP, grid, formats=("ome-zarr",))
    pictures = BurntPictures()
    assert pictures.file(folder, (FIRST, "0", "0", "0", "0")) is not None
    DAMAGE[damage](folder)
    with pytest.raises(DamagedResultError, match="slide"):
        BurntPictures().file(folder, (FIRST, "0", "0", "0", "0"))


def test_a_result_made_anew_is_composed_anew(tmp_path):
    grid = covering_grid(Shape(150, 190), YX(32, 32), YX(-15, -15), MPP)
    folder, _ = write_results(tmp_path, Shape(150, 190), MPP, grid, formats=("ome-zarr",))
    pictures, part = BurntPictures(), (FIRST, "0", "0", "0", "0")
    before = pictures.file(folder, part)
    assert pictures.file(folder, part) == before
    edit(lambda c: attention(c)["opacity"].update(alpha=0.125))(folder)
    assert pictures.file(folder, part) != before


def test_the_server_answers_for_composed_files_as_for_those_on_disk(both):
    bare, _ = both
    with viewing(bare.parent) as server:
        base = f"/files/slide/{FIRST}"
        status, headers, whole = server.get(f"{base}/0/0/0/0", Origin="https://hms-dbmi.github.io")
        assert status == 200
        assert headers["access-control-allow-origin"] == "https://hms-dbmi.github.io"
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert int(headers["content-length"]) == len(whole)
        status, _, none = server.get(f"{base}/0/0/0/0", If_None_Match=headers["etag"])
        assert (status, none) == (304, b"")
        for asked, part in (
            ("bytes=3-9", whole[3:10]), ("bytes=-5", whole[-5:]), ("bytes=7-", whole[7:])
        ):  # fmt: skip
            status, headers, some = server.get(f"{base}/0/0/0/0", Range=asked)
            assert (status, some) == (206, part)
            assert headers["content-range"].endswith(f"/{len(whole)}")
        assert server.get(f"{base}/0/0/0/0", Range=f"bytes={len(whole)}-")[0] == 416
        status, headers, none = server.get(f"{base}/0/0/0/0", "HEAD")
        assert (status, int(headers["content-length"]), none) == (200, len(whole), b"")
        assert server.get(f"{base}/0/0/9/9")[0] == 404
        assert server.get(f"{base}/0/0/9/9", Missing_As="204")[0] == 204
        assert server.get("/files/other/other.attention.flat.ome.zarr/.zattrs")[0] == 404
        assert server.get(f"/files/slide/.cache/{FIRST}/.zattrs")[0] == 404
        assert server.get(f"{base}/.zattrs", "POST")[0] == 405
        [slide] = server.json("/api/run.json")["slides"]
        [vizarr] = [link for link in slide["links"] if link["title"] == "Vizarr"]
        assert vizarr["url"].endswith("slide.score-A.flat.ome.zarr")
