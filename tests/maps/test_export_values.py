import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr
from fakes import covering_grid, heatmap_set
from ome_zarr_models.v04.image import Image

from heatmaps_ome.errors import ResultError
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.validate.result import validate

SLIDE = Shape(1000, 1500)
GRID = covering_grid(SLIDE, YX(146.28571428571428, 146.3), YX(-70.857, -15.5), YX(0.25, 0.2499))
ARRAYS = ("tissue", "attention", "scores", "contributions", "logits", "prediction")


def assert_same(found, heatmaps):
    for name in ARRAYS:
        mine, other = getattr(heatmaps, name), getattr(found, name)
        np.testing.assert_array_equal(other, mine)
        assert (mine is None) == (other is None)
        assert mine is None or mine.dtype == other.dtype
    assert found.grid == heatmaps.grid
    assert found.slide_shape == heatmaps.slide_shape
    assert found.classes == heatmaps.classes
    assert found.slide_name == heatmaps.slide_name


@pytest.mark.parametrize("contributions", [True, False])
@pytest.mark.parametrize("classes", [("one",), ("a", "b"), ("MSI-H/high", 'µ "x"', "a b")], ids=str)
def test_reading_is_the_exact_inverse_of_writing(tmp_path, classes, contributions):
    heatmaps = heatmap_set(GRID, SLIDE, classes, contributions=contributions, slide_name="Ä.b 切片")
    path = write_values(heatmaps, tmp_path, {})
    assert path.name == "Ä.b 切片.values.ome.zarr"
    assert_same(read_values(path), heatmaps)


@pytest.mark.parametrize("shape", [Shape(1, 1), Shape(1, 600), Shape(700, 3)], ids=str)
def test_grids_of_any_shape_come_back(tmp_path, shape):
    grid = Grid(shape, YX(3.3, 7.1), YX(0.1, -1e6), YX(0.1, 0.3))
    heatmaps = heatmap_set(grid, SLIDE, tissue=np.ones(shape, bool))
    assert_same(read_values(write_values(heatmaps, tmp_path, {})), heatmaps)


@pytest.mark.parametrize(
    ("shape", "side"),
    [(Shape(1, 1), 1), (Shape(5, 64), 64), (Shape(65, 5), 128), (Shape(600, 1100), 1024)],
    ids=str,
)
@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_small_maps_have_small_chunks_with_sides_that_are_powers_of_two(
    tmp_path, shape, side, ngff
):
    grid = Grid(shape, YX(3.3, 7.1), YX(0.0, 0.0), YX(0.1, 0.3))
    path = write_values(heatmap_set(grid, SLIDE), tmp_path, {}, ngff)
    assert zarr.open_array(path / "0", mode="r").chunks == (1, side, side)


def test_a_slide_without_tissue_comes_back(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool))
    path = write_values(heatmaps, tmp_path, {})
    assert_same(read_values(path), heatmaps)
    windows = json.loads((path / ".zattrs").read_text())["omero"]["channels"]
    assert all(channel["window"]["min"] < channel["window"]["max"] for channel in windows)


def test_ome_zarr_models_accept_the_values(tmp_path):
    path = write_values(heatmap_set(GRID, SLIDE), tmp_path, {})
    image = Image.from_zarr(zarr.open_group(path, mode="r"))
    [dataset] = image.attributes.multiscales[0].datasets
    scale, translation = dataset.coordinateTransformations
    assert scale.scale == [1.0, GRID.um_cell.y, GRID.um_cell.x]
    assert translation.translation == [0.0, GRID.um_origin.y, GRID.um_origin.x]


def test_a_hot_cell_is_found_at_its_place_in_micrometres(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE, tissue=np.ones(GRID.shape, bool))
    heatmaps.attention[3, 5] = 99
    path = write_values(heatmaps, tmp_path, {})
    group = zarr.open_group(path, mode="r")
    _, row, col = np.unravel_index(np.argmax(group["0"][...]), group["0"].shape)
    [dataset] = group.attrs["multiscales"][0]["datasets"]
    scale, translation = (
        next(iter(list(t.values())[1:])) for t in dataset["coordinateTransformations"]
    )
    corner = YX(translation[1] + row * scale[1], translation[2] + col * scale[2])
    assert corner == pytest.approx(GRID.um_from_g(YX(3, 5)))


def test_channels_are_named_in_the_order_of_the_classes(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE, ("MSI-H / high", "b"))
    path = write_values(heatmaps, tmp_path, {})
    expected = ["attention", "score-MSI-H_high", "score-b"]
    expected += ["contribution-MSI-H_high", "contribution-b"]
    expected += ["leave-one-out-MSI-H_high", "leave-one-out-b"]
    expected += ["evidence-MSI-H_high", "evidence-b"]
    assert [channel.name for channel in channels(heatmaps)] == expected
    attributes = json.loads((path / ".zattrs").read_text())
    assert [channel["label"] for channel in attributes["omero"]["channels"]] == expected
    assert attributes["heatmaps_ome"]["classes"] == ["MSI-H / high", "b"]
    units = ["logit", *["probability"] * 2, *["logit"] * 2, *["probability"] * 2, *["logit"] * 2]
    assert [said["unit"] for said in attributes["heatmaps_ome"]["channels"]] == units


def test_what_any_reader_finds_as_leave_one_out_is_the_prediction_less_that_without(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE, ("A", "B", "C"))
    group = zarr.open_group(write_values(heatmaps, tmp_path, {}), mode="r")
    labels = [channel["label"] for channel in group.attrs["omero"]["channels"]]
    maps = dict(zip(labels, np.asarray(group["0"]), strict=True))
    assert np.array_equal(np.isnan(maps["leave-one-out-C"]), ~heatmaps.tissue)
    for row, col in np.argwhere(heatmaps.tissue)[::7]:
        others = heatmaps.tissue.copy()
        others[row, col] = False
        weights = np.exp(maps["attention"][heatmaps.tissue].astype(float))
        kept = np.exp(maps["attention"][others].astype(float))
        scale = weights.sum() / kept.sum()
        logits = [scale * maps[f"contribution-{c}"][others].astype(float).sum() for c in "ABC"]
        without = np.exp(logits) / np.exp(logits).sum()
        for name, before, after in zip("ABC", heatmaps.prediction, without, strict=True):
            fall = maps[f"leave-one-out-{name}"][row, col]
            assert fall == pytest.approx(before - after, abs=1e-7)


def as_the_first_versions_wrote(attributes):
    """Change what facts there are into those of versions that listed no channels."""
    del attributes["heatmaps_ome"]["channels"]
    attributes["heatmaps_ome"]["contributions"] = True


def test_values_of_the_first_versions_lack_what_follows_from_the_rest_and_come_back(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE)
    path = write_values(heatmaps, tmp_path, {})
    old = zarr.open_array(path / "0", mode="r")[:5]
    shutil.rmtree(path / "0")
    zarr.create_array(
        path / "0", shape=old.shape, dtype=old.dtype, zarr_format=2, fill_value=np.nan
    )[...] = old
    rewritten(path, as_the_first_versions_wrote)
    assert_same(read_values(path), heatmaps)


def test_a_slide_of_a_single_cell_comes_back_without_a_fall(tmp_path):
    tissue = np.zeros(GRID.shape, bool)
    tissue[2, 3] = True
    heatmaps = heatmap_set(GRID, SLIDE, tissue=tissue)
    path = write_values(heatmaps, tmp_path, {})
    assert_same(read_values(path), heatmaps)
    assert np.isnan(zarr.open_array(path / "0", mode="r")[5:7]).all()
    assert validate(path).problems == ()


def test_what_is_told_besides_is_kept_and_the_json_is_strict(tmp_path):
    path = write_values(heatmap_set(GRID, SLIDE), tmp_path, {"loss": np.nan, "n": np.int64(3)})
    text = (path / ".zattrs").read_text()
    attributes = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert attributes["heatmaps_ome"]["extra"] == {"loss": None, "n": 3}
    assert attributes["heatmaps_ome"]["pixel_origin"] == "corner"


def test_attention_that_is_nan_in_tissue_is_refused(tmp_path):
    heatmaps = heatmap_set(GRID, SLIDE)
    heatmaps.attention[...] = np.nan
    with pytest.raises(ResultError, match="is not a number"):
        write_values(heatmaps, tmp_path, {})


def rewritten(path, change):
    attributes = json.loads((path / ".zattrs").read_text())
    change(attributes)
    (path / ".zattrs").write_text(json.dumps(attributes))


DAMAGE = {
    "another kind": lambda path: rewritten(path, lambda a: a["heatmaps_ome"].update(kind="image")),
    "no facts": lambda path: rewritten(path, lambda a: a.pop("heatmaps_ome")),
    "facts are a list": lambda path: rewritten(path, lambda a: a.update(heatmaps_ome=[1])),
    "a class too many": lambda path: rewritten(
        path, lambda a: a["heatmaps_ome"]["classes"].append("x")
    ),
    "no cell": lambda path: rewritten(path, lambda a: a["heatmaps_ome"].pop("l0_cell")),
    "a cell of no size": lambda path: rewritten(
        path, lambda a: a["heatmaps_ome"].update(l0_cell={"y": 0, "x": 1})
    ),
    "no logit": lambda path: rewritten(path, lambda a: a["heatmaps_ome"].update(logits=[])),
    "no array": lambda path: shutil.rmtree(path / "0"),
    "a chunk is missing": lambda path: (path / "0/0/0/0").unlink(),
    "a chunk is cut": lambda path: (path / "0/0/0/0").write_bytes(b"half"),
    "a chunk is empty": lambda path: (path / "0/1/0/0").write_bytes(b""),
    "no json": lambda path: (path / ".zattrs").write_text("{"),
    "nothing": shutil.rmtree,
    "a file": lambda path: (shutil.rmtree(path), path.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_such_store_is_refused_in_one_sentence(tmp_path, damage):
    path = write_values(heatmap_set(GRID, SLIDE), tmp_path, {})
    damage(path)
    with pytest.raises(ResultError) as caught:
        read_values(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_is_not_taken_for_values(tmp_path):
    zarr.create_group(tmp_path / "other.zarr", zarr_format=2)
    with pytest.raises(ResultError):
        read_values(tmp_path / "other.zarr")


def test_nothing_but_the_slide_name_ties_the_values_to_a_place(tmp_path):
    heatmaps = replace(heatmap_set(GRID, SLIDE), slide_name="s")
    text = (write_values(heatmaps, tmp_path, {}) / ".zattrs").read_text()
    assert str(tmp_path) not in text
