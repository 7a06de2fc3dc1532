"""OME-Zarr 0.5: zarr v3 in shards, each written once, and the same values at the same places."""

import json

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, covering_grid, display_map, heatmap_set, noise_rgb, slide_result
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.ome import ngff_store

SHAPES = [Shape(1, 1), Shape(3, 4), Shape(30, 1030), Shape(1031, 515)]


def write(result, folder, ngff="0.5"):
    folder.mkdir(exist_ok=True)
    path, *_ = OmeZarrExporter(Settings(ngff=ngff)).write(result, folder)
    return path


def said(path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads((path / "zarr.json").read_text("utf-8"), parse_constant=refuse)


def arrays(path):
    """Return all arrays below a store, by their paths in it."""
    return {
        found.parent.relative_to(path).as_posix(): zarr.open_array(found.parent, mode="r")
        for found in sorted(path.rglob("zarr.json"))
        if said(found.parent)["node_type"] == "array"
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ome_zarr_models_accept_image_labels_and_pictures(tmp_path, shape):
    path = write(slide_result(FakeSlide(noise_rgb(shape))), tmp_path)
    group = zarr.open_group(path, mode="r")
    image = Image.from_zarr(group)
    assert image.labels is not None
    assert image.labels.label_paths == ["attention", "score-MSIH", "tissue"]
    for name in image.labels.label_paths:
        label = ImageLabel.from_zarr(group[f"labels/{name}"])
        levels = [len(each.ome_attributes.multiscales[0].datasets) for each in (label, image)]
        assert levels[0] == levels[1]
    for flat in tmp_path.glob("*.flat.ome.zarr"):
        Image.from_zarr(zarr.open_group(flat, mode="r"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("origin", [YX(0, 0), YX(-15.5, 7.25)], ids=str)
def test_both_versions_hold_the_same_pixels_and_say_the_same(tmp_path, shape, origin):
    slide = FakeSlide(noise_rgb(shape), YX(0.5, 0.25))
    result = slide_result(slide, Grid(Shape(21, 34), YX(47.7, 29.9), origin, slide.mpp))
    old, new = (write(result, tmp_path / ngff, ngff) for ngff in ("0.4", "0.5"))
    assert len(arrays(new)) >= 4
    for name, array in arrays(new).items():
        before = zarr.open_array(old / name, mode="r")
        np.testing.assert_array_equal(array[...], before[...])
        assert array.chunks == before.chunks
    for name in ("", "labels/attention"):
        found = said(new / name)["attributes"]
        before = json.loads((old / name / ".zattrs").read_text("utf-8"))
        assert found["ome"].pop("version") == "0.5"
        for part in ("omero", "image-label"):
            before.get(part, {}).pop("version", None)
        assert before["multiscales"][0].pop("version") == "0.4"
        assert found.pop("ome") | found == before


def test_the_list_of_labels_stands_where_the_specification_and_where_vizarr_want_it(tmp_path):
    path = write(slide_result(FakeSlide(noise_rgb(Shape(64, 64)))), tmp_path)
    found = said(path / "labels")["attributes"]
    assert found["ome"] == {"version": "0.5", "labels": ["attention", "score-MSIH", "tissue"]}
    assert found["labels"] == found["ome"]["labels"]


def test_arrays_are_sharded_zstd_with_named_dimensions(tmp_path, monkeypatch):
    monkeypatch.setattr(ngff_store, "SHARD_COLS", 2048)
    path = write(slide_result(FakeSlide(noise_rgb(Shape(1400, 4200)))), tmp_path)
    found = arrays(path)
    for name, array in found.items():
        is_label = "labels" in name
        first, side = ((), 2048) if is_label else ((3,), 1024)
        names = ("y", "x") if is_label else ("c", "y", "x")
        assert array.metadata.dimension_names == names
        assert array.chunks == (*first, side, side)
        assert array.shards[:-1] == (*first, side)
        [sharding] = said(path / name)["codecs"]
        assert sharding["name"] == "sharding_indexed"
        inner = [codec["name"] for codec in sharding["configuration"]["codecs"]]
        assert inner == ["bytes", "zstd"]
    assert found["0"].shards == (3, 1024, 2048)
    files = sorted(each.relative_to(path / "0" / "c").as_posix() for each in
                   (path / "0" / "c").rglob("*") if each.is_file())  # fmt: skip
    assert files == [f"0/{row}/{col}" for row in range(2) for col in range(3)]


def test_every_shard_is_written_once(tmp_path, monkeypatch):
    written = []
    right = zarr.storage.LocalStore.set

    async def counted(self, key, value, *given):
        written.append(f"{self.root}/{key}")
        await right(self, key, value, *given)

    monkeypatch.setattr(ngff_store, "SHARD_COLS", 2048)
    monkeypatch.setattr(zarr.storage.LocalStore, "set", counted)
    slide = FakeSlide(noise_rgb(Shape(5200, 2200)))
    write(slide_result(slide, covering_grid(slide.shape, YX(8, 8))), tmp_path)
    shards = [key for key in written if "/c/" in key]
    assert len(shards) > 20
    assert len(shards) == len(set(shards))


def test_shards_of_nothing_are_not_written(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(1030, 1030)))
    grid = covering_grid(slide.shape, YX(4, 4))
    levels = np.zeros(grid.shape)
    levels[0, 0] = 1
    path = write(slide_result(slide, grid, (display_map("attention", grid, levels),)), tmp_path)
    finest = path / "labels" / "attention" / "0"
    shards = [each for each in (finest / "c").rglob("*") if each.is_file()]
    assert [each.relative_to(finest).as_posix() for each in shards] == ["c/0/0"]
    assert not zarr.open_array(finest, mode="r")[512:].any()


def test_ome_zarr_py_finds_every_value_at_its_micrometres(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(1000, 1500)), YX(0.5, 0.25))
    grid = covering_grid(slide.shape, YX(64, 73.1), YX(-31, -17.3), slide.mpp)
    result = slide_result(slide, grid, (display_map("attention", grid),))
    nodes = list(Reader(parse_url(write(result, tmp_path)))())
    assert nodes[0].data[0].shape == (3, 1000, 1500)
    assert nodes[0].metadata["channel_names"] == ["Red", "Green", "Blue"]
    node = next(node for node in nodes if node.metadata.get("name") == "attention")
    shown = result.maps[0]
    wanted = np.pad(shown.values[shown.levels], [(0, 1), (0, 1)], constant_values=np.nan)
    for data, moves in zip(node.data, node.metadata["coordinateTransformations"], strict=True):
        [scale] = [move["scale"] for move in moves]
        rows, cols = (
            np.floor(((np.arange(n) + 0.5) * pixel - origin) / cell).astype(int)
            for n, pixel, origin, cell in zip(
                data.shape, scale, grid.um_origin, grid.um_cell, strict=True
            )
        )
        properties = node.metadata["properties"]
        meaning = np.array([properties[n].get("attention", np.nan) for n in range(256)], np.float32)
        np.testing.assert_array_equal(meaning[np.asarray(data)], wanted[rows[:, None], cols[None]])


@pytest.mark.parametrize("shape", [Shape(1, 1), Shape(7, 600), Shape(700, 3)], ids=str)
def test_raw_values_come_back_bit_by_bit(tmp_path, shape):
    grid = Grid(shape, YX(3.3, 7.1), YX(0.1, -1e6), YX(0.1, 0.3))
    heatmaps = heatmap_set(grid, Shape(1000, 1500), tissue=np.ones(shape, bool))
    path = write_values(heatmaps, tmp_path, {"loss": np.nan}, "0.5")
    Image.from_zarr(zarr.open_group(path, mode="r"))
    found = read_values(path)
    assert found.grid == heatmaps.grid
    for name in ("tissue", "attention", "scores", "contributions", "logits", "prediction"):
        np.testing.assert_array_equal(getattr(found, name), getattr(heatmaps, name))
    facts = said(path)["attributes"]["heatmaps_ome"]
    assert facts["extra"] == {"loss": None}
