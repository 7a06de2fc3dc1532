"""The table of tiles comes back bit by bit; what is damaged or foreign is refused in a sentence."""

import json
import shutil

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, noise_rgb
from small_mil_models import RISK, THREE

from heatmaps_ome.errors import ResultError
from heatmaps_ome.features.bag import GivenMap, Tiles, TileScores
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.ensemble import combined
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.maps.tile_maps import given_maps, rasterised, table_of
from heatmaps_ome.maps.tile_store import read_table, write_table
from heatmaps_ome.models.target import classes_target

SLIDE = FakeSlide(noise_rgb((300, 400)), YX(0.5, 0.25))
RNG = np.random.default_rng(0)
CORNERS = (
    np.array([(x, y) for y in range(0, 280, 56) for x in range(0, 380, 56)]) + 0.12345678912345
)
PLACES = np.hstack([CORNERS, CORNERS + 56.1])
N = len(PLACES)
KINDS = ("attention", "value", "probability", "contribution")


def scores(n=N, names=("a", "b: c/d", "Größe ≥ 3 日本", "k")):
    """Return given maps of each kind, some of whose values are missing."""
    maps = []
    for name, kind in zip(names, KINDS, strict=True):
        values = RNG.random(n).astype(np.float32)
        values[: n // 4] = np.nan
        maps.append(GivenMap(name, kind, values, "mm" if kind == "value" else ""))
    return TileScores(PLACES[:n], "test", ("a note",), "0" * 64, tuple(maps))


def model_table(target=THREE, n=N):
    """Return a table as a model leaves it."""
    tiles, k = Tiles(PLACES[:n], "test", (), "0" * 64), len(target.outputs)
    maps = {
        "attention": RNG.normal(size=n), "contribution": RNG.normal(size=(k, n)),
        "score" if target.has_classes else "prediction": RNG.random((k, n)),
    }  # fmt: skip
    if target is THREE:
        maps["evidence"] = maps["contribution"] - maps["contribution"].mean(0)
    logits = np.where(np.full(k, n > 0), RNG.normal(size=k), np.nan)
    facts = {"logits": logits, "prediction": target.predictions(logits)}
    return table_of(SLIDE, tiles, target, maps, **facts, explanation={"method": "exact"})


TABLES = {
    "given": lambda: given_maps(SLIDE, scores()),
    "three classes": model_table,
    "a risk": lambda: model_table(RISK),
    "one tile": lambda: model_table(n=1),
    "no tile": lambda: model_table(n=0),
    "no tile of given": lambda: given_maps(SLIDE, scores(0)),
}


def bits(values):
    """Return the exact bytes of numbers, whose NaN differ from one another otherwise."""
    return np.ascontiguousarray(values).tobytes()


def assert_same(found, table):
    """Check that two tables are the same, bit by bit."""
    assert bits(found.places) == bits(table.places)
    assert found.places.shape == table.places.shape
    assert set(found.maps) == set(table.maps)
    for kind, values in table.maps.items():
        assert found.maps[kind].dtype == np.float32
        assert bits(found.maps[kind]) == bits(values), kind
    assert bits(found.logits) == bits(table.logits)
    assert bits(found.prediction) == bits(table.prediction)
    assert found.classes == table.classes
    assert found.target == table.target
    assert dict(found.names) == dict(table.names)
    assert dict(found.units_given) == dict(table.units_given)
    assert found.explanation == table.explanation
    assert (found.slide_name, found.slide_shape, found.grid) == (
        table.slide_name, table.slide_shape, table.grid,
    )  # fmt: skip


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_comes_back_bit_by_bit(tmp_path, name, ngff):
    table = TABLES[name]()
    write_table(table, tmp_path / "tiles", ngff)
    assert_same(read_table(tmp_path / "tiles"), table)


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_any_reader_of_zarr_finds_places_and_values(tmp_path, ngff):
    table = model_table()
    write_table(table, tmp_path / "tiles", ngff)
    group = zarr.open_group(tmp_path / "tiles", mode="r")
    assert group.metadata.zarr_format == (2 if ngff == "0.4" else 3)
    facts = group.attrs["heatmaps_ome"]
    assert facts["columns"] == ["x0", "y0", "x1", "y1"]
    assert facts["count"] == N
    np.testing.assert_array_equal(group["places"][:], PLACES)
    assert group["places"].dtype == np.float64
    names = [(entry["kind"], entry["class"]) for entry in facts["channels"]]
    for index, name in enumerate("ABC"):
        np.testing.assert_array_equal(
            group["values"][names.index(("contribution", name))],
            table.maps["contribution"][index, 0],
        )
    np.testing.assert_array_equal(
        group["values"][names.index(("attention", None))], table.maps["attention"][0]
    )


def test_several_models_come_back_with_their_spread(tmp_path):
    parts = [model_table(), model_table()]
    table = combined(parts, [("m0", "0" * 64), ("m1", "1" * 64)])
    assert table.spread
    write_table(table, tmp_path / "tiles")
    found = read_table(tmp_path / "tiles")
    assert_same(found, table)
    for kind, values in table.spread.items():
        assert bits(found.spread[kind]) == bits(values)
    assert found.members == table.members


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
@pytest.mark.parametrize("name", TABLES)
def test_values_hold_raster_and_table(tmp_path, name, ngff):
    table = TABLES[name]()
    raster = rasterised(table)
    found = read_values(write_values(raster, tmp_path, {}, ngff))
    assert_same(found.tiles, table)
    for kind, values in raster.maps.items():
        assert bits(found.maps[kind]) == bits(values)
    assert found.grid == raster.grid
    np.testing.assert_array_equal(found.tissue, raster.tissue)


def array_file(path):
    """Return a file with an array's numbers."""
    return max(
        (f for f in path.rglob("*") if f.is_file() and not f.name.startswith((".z", "zarr"))),
        key=lambda file: file.stat().st_size,
    )


def cut(path):
    file = array_file(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def foreign(name, array):
    def change(path):
        shutil.rmtree(path / name)
        zarr.create_array(path / name, data=array, zarr_format=2)

    return change


def without(name):
    return lambda path: shutil.rmtree(path / name)


def facts_with(**changes):
    def change(path):
        file = path / ".zattrs"
        content = json.loads(file.read_text())
        for key, value in changes.items():
            if value is None:
                del content["heatmaps_ome"][key]
            else:
                content["heatmaps_ome"][key] = value
        file.write_text(json.dumps(content))

    return change


def pickled(path):
    file = path / "values" / ".zarray"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "dtype": "|O", "filters": [{"id": "pickle"}]}))


CHANNELS = 1 + 3 * 3
DAMAGES = {
    "no places": without("places"),
    "no values": without("values"),
    "no table": lambda path: shutil.rmtree(path),
    "no attributes": lambda path: (path / ".zattrs").unlink(),
    "attributes of nothing": lambda path: (path / ".zattrs").write_text("[]"),
    "places cut": lambda path: cut(path / "places"),
    "values cut": lambda path: cut(path / "values"),
    "values missing": lambda path: array_file(path / "values").unlink(),
    "values of Python": pickled,
    "places of float32": foreign("places", PLACES.astype(np.float32)),
    "places of too few": foreign("places", PLACES[:-1]),
    "places of corners alone": foreign("places", PLACES[:, :2].copy()),
    "values of too few": foreign("values", np.zeros((CHANNELS, N - 1), np.float32)),
    "values of a map less": foreign("values", np.zeros((CHANNELS - 1, N), np.float32)),
    "values of float64": foreign("values", np.zeros((CHANNELS, N))),
    "values on a grid": foreign("values", np.zeros((CHANNELS, 1, N), np.float32)),
    "another kind": facts_with(kind="values"),
    "other columns": facts_with(columns=["x", "y", "w", "h"]),
    "another count": facts_with(count=N + 1),
    "a count of no number": facts_with(count="many"),
    "no channels": facts_with(channels=None),
    "no target": facts_with(target=None),
    "a strange target": facts_with(target={"task": "guess", "outputs": [], "link": "softmax"}),
    "a strange link": facts_with(
        target={"task": "classification", "outputs": ["A"], "link": "arctan"}
    ),
    "a strange mpp": facts_with(mpp={"x": "a"}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_and_foreign_tables_are_refused_in_a_sentence(tmp_path, name):
    path = write_values(rasterised(model_table()), tmp_path, {}, "0.4")
    DAMAGES[name](path / "tiles")
    with pytest.raises(ResultError) as error:
        read_values(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_of_infinite_places_is_refused(tmp_path):
    path = write_values(rasterised(model_table()), tmp_path, {}, "0.4")
    foreign("places", np.full_like(PLACES, np.inf))(path / "tiles")
    with pytest.raises(ResultError):
        read_values(path)


def test_only_a_table_is_written(tmp_path):
    with pytest.raises(ValueError, match="no table of tiles"):
        write_table(rasterised(model_table()), tmp_path / "tiles")


def test_few_tiles_on_a_large_slide_with_many_classes_are_read_again(tmp_path):
    slide = FakeSlide(noise_rgb((30, 40)))
    slide.shape = Shape(100_000, 100_000)
    corners = RNG.uniform(20_000, 30_000, (50, 2))
    tiles = Tiles(np.hstack([corners, corners + 256]), "test", (), "0" * 64)
    target = classes_target(tuple(f"class {k}" for k in range(10)))
    maps = {kind: RNG.random((10, 50)) for kind in ("score", "leave-one-out", "contribution")}
    numbers = {"logits": np.zeros(10), "prediction": np.full(10, 0.1)}
    table = table_of(slide, tiles, target, maps, **numbers)
    raster = rasterised(table)
    assert raster.grid.shape.rows * raster.grid.shape.cols < 2_100_000
    found = read_values(write_values(raster, tmp_path, {}, "0.4"))
    assert_same(found.tiles, table)
