"""Scores of each format are read with their places; nothing is inferred without a note."""

import json

import h5py
import numpy as np
import pytest
from tile_files import (
    FEATURES,
    PLACES,
    SCORES,
    SLIDE,
    XY,
    tile_feature,
    write_geojson,
    write_patches,
    write_table,
)

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files import SlideFacts, read_scores
from heatmaps_ome.features.tile_facts import TileFacts
from heatmaps_ome.geometry import YX, Shape, Window

X, Y = XY.T


def refused(path, facts=None, slide=SLIDE) -> str:
    with pytest.raises(FeaturesError) as error:
        read_scores(path, slide, facts or TileFacts())
    return str(error.value)


def kinds(scores):
    return {given.name: given.kind for given in scores.maps}


@pytest.mark.parametrize("name", ["attention_scores", "attention", "scores", "A"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
def test_h5_has_a_map_for_each_dataset_of_scores(tmp_path, name, shape):
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["coords"] = XY
        file[name] = SCORES.reshape(shape)
        file["features"] = FEATURES
    scores = read_scores(tmp_path / "S1.h5", SLIDE)
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    [given] = scores.maps
    np.testing.assert_array_equal(given.values, SCORES)
    assert (given.name, given.kind) == (name, "attention" if "att" in name else "value")


def test_each_column_of_a_dataset_is_a_map(tmp_path):
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["coords"] = XY
        file["coords"].attrs.update({"patch_size": 128, "patch_size_level0": 256})
        file["deep/scores"] = np.stack([SCORES, SCORES + 1, SCORES + 2], axis=1)
    scores = read_scores(tmp_path / "S1.h5", SLIDE, TileFacts(dataset="deep/scores"))
    assert [given.name for given in scores.maps] == ["scores_0", "scores_1", "scores_2"]
    np.testing.assert_array_equal(scores.maps[2].values, SCORES + 2)
    facts = TileFacts(maps=("tumour=scores_1:value",))
    assert kinds(read_scores(tmp_path / "S1.h5", SLIDE, facts)) == {"tumour": "value"}


@pytest.mark.parametrize(("delimiter", "mark", "ending"), [
    (",", "", "csv"), (";", "", "csv"), ("\t", "", "tsv"), (",", "\ufeff", "csv"),
])  # fmt: skip
def test_tables_of_text_are_read(tmp_path, delimiter, mark, ending):
    columns = {
        "tile_id": range(len(X)), "x": X, "y": Y, "width": [256] * len(X), "height": [256] * len(X),
        "attention": SCORES, '"a name"': SCORES * 10, "class": ["t"] * len(X),
    }  # fmt: skip
    path = write_table(tmp_path / f"S1.{ending}", columns, delimiter, mark)
    scores = read_scores(path, SLIDE)
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    assert kinds(scores) == {"attention": "attention", "a name": "value"}
    np.testing.assert_allclose(scores.maps[0].values, SCORES, rtol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_tables_in_the_encodings_of_spreadsheets_are_read(tmp_path, encoding):
    columns = {"X µm": X / 2, "Y µm": Y / 2, "grösse": SCORES}
    path = write_table(tmp_path / "S1.tsv", columns, "\t")
    path.write_bytes(path.read_text("utf-8").replace("\n", "\r\n").encode(encoding))
    scores = read_scores(path, SLIDE, TileFacts(tile_size=128))
    np.testing.assert_allclose(scores.l0_places, PLACES)
    assert list(kinds(scores)) == ["grösse"]


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path):
    columns = {"x": X, "y": Y, "score": [str(v).replace(".", ",") for v in SCORES]}
    path = write_table(tmp_path / "S1.csv", columns, ";")
    scores = read_scores(path, SLIDE, TileFacts(tile_size=256))
    np.testing.assert_allclose(scores.maps[0].values, SCORES, rtol=1e-6)


@pytest.mark.parametrize(("names", "centre"), [
    (("minx", "miny", "width", "height"), False), (("x0", "y0", "x1", "y1"), False),
    (("xmin", "ymin", "xmax", "ymax"), False), (("left", "top", "right", "bottom"), False),
    (("x1", "y1", "x2", "y2"), False), (("coords_x", "coords_y", "tile_size", None), False),
    (("Centroid X [px]", "Centroid Y [px]", "w", "h"), True), (("loc_x", "loc_y", "w", "h"), True),
    (("x_center", "y_center", "width", "height"), True),
])  # fmt: skip
def test_columns_have_their_usual_names(tmp_path, names, centre):
    last = PLACES[:, 2:].T if names[2] in ("x1", "xmax", "right", "x2") else (256 + 0 * X,) * 2
    values = [*(XY + 128 * centre).T, *last]
    columns = {n: v for n, v in zip(names, values, strict=True) if n is not None}
    path = write_table(tmp_path / "S1.csv", {**columns, "prob_tumour": SCORES})
    scores = read_scores(path, SLIDE)
    np.testing.assert_allclose(scores.l0_places, PLACES)
    assert kinds(scores) == {"prob_tumour": "probability"}


def test_units_in_the_names_of_columns_are_used(tmp_path):
    columns = {"Centroid X µm": X / 2 + 64, "Centroid Y µm": Y / 2 + 64, "score": SCORES}
    path = write_table(tmp_path / "S1.csv", columns)
    assert "--tile-size, in µm" in refused(path)
    scores = read_scores(path, SLIDE, TileFacts(tile_size=128))
    np.testing.assert_allclose(scores.l0_places, PLACES)


def test_a_unit_that_only_fits_is_stated_and_an_open_one_asked_for(tmp_path):
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "score": SCORES})
    scores = read_scores(path, SLIDE, TileFacts(tile_size=256))
    assert "level-0 px, as only so" in " ".join(scores.notes)
    assert "top left corners" in " ".join(scores.notes)
    near = write_table(tmp_path / "near.csv", {"x": X // 8, "y": Y // 8, "score": SCORES})
    assert "--coords-unit px or um" in refused(near, TileFacts(tile_size=32))
    assert "--tile-size" in refused(path)


def test_coordinates_in_another_unit_than_stated_are_refused_with_the_one_that_fits(tmp_path):
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "score": SCORES})
    message = refused(path, TileFacts(tile_size=256, unit="um"))
    assert "beyond the slide" in message
    assert "--coords-unit px" in message


def test_rows_of_other_slides_are_left_out(tmp_path):
    slides = ["a/S1.svs"] * len(X) + ["S2"] * len(X)
    columns = {"slide": slides, "x": [*X, *X], "y": [*Y, *Y], "s": [*SCORES, *SCORES]}
    path = write_table(tmp_path / "all.csv", columns)
    scores = read_scores(path, SLIDE, TileFacts(tile_size=256))
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    other = SlideFacts("S3", SLIDE.shape, SLIDE.mpp)
    assert "none is S3" in refused(path, TileFacts(tile_size=256), other)


def test_a_table_of_another_slide_by_name_is_noted(tmp_path):
    columns = {"slide": ["S7.svs"] * len(X), "x": XY[:, 0], "y": XY[:, 1], "s": SCORES}
    path = write_table(tmp_path / "scores.csv", columns)
    given = read_scores(path, SLIDE, TileFacts(tile_size=256, unit="px"))
    assert f"its rows are of 'S7.svs', not {SLIDE.name}, by name" in given.notes


def test_names_of_the_tiles_files_are_no_slides(tmp_path):
    columns = {"filename": [f"tile_{n}.png" for n in range(len(X))], "x": XY[:, 0], "y": XY[:, 1],
               "s": SCORES}  # fmt: skip
    path = write_table(tmp_path / "scores.csv", columns)
    given = read_scores(path, SLIDE, TileFacts(tile_size=256, unit="px"))
    assert given.count == len(X)


def test_maps_are_chosen_named_and_of_the_kind_that_is_given(tmp_path):
    columns = {"x": X, "y": Y, "a": SCORES, "b": SCORES * 2, "Nucleus: Area": SCORES}
    path = write_table(tmp_path / "S1.csv", columns)
    facts = TileFacts(tile_size=256, maps=("tumour=a:probability", "Nucleus: Area", "b:attention"))
    scores = read_scores(path, SLIDE, facts)
    assert kinds(scores) == {"tumour": "probability", "Nucleus: Area": "value", "b": "attention"}
    for given, reason in (
        ("c", "'a', 'b', 'Nucleus: Area'"), ("b:probability", "no probabilities"),
        ("=a", "--map NAME"), ("a:prob", "kinds are"),
    ):  # fmt: skip
        assert reason in refused(path, TileFacts(tile_size=256, maps=(given,)))


def test_a_dataset_names_one_column_of_a_table(tmp_path):
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "a": SCORES, "b": SCORES})
    scores = read_scores(path, SLIDE, TileFacts(tile_size=256, dataset="b"))
    assert list(kinds(scores)) == ["b"]
    assert "'a', 'b'" in refused(path, TileFacts(tile_size=256, dataset="c"))


def test_values_in_zero_to_one_are_no_probabilities_by_themselves(tmp_path):
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "tumour": SCORES})
    assert kinds(read_scores(path, SLIDE, TileFacts(tile_size=256))) == {"tumour": "value"}


def test_missing_scores_are_nan_and_infinite_ones_refused(tmp_path):
    values = [*SCORES[:-2], "", "NA"]
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "score": values})
    [given] = read_scores(path, SLIDE, TileFacts(tile_size=256)).maps
    assert np.isnan(given.values[-2:]).all()
    path = write_table(tmp_path / "S1.csv", {"x": X, "y": Y, "score": [*SCORES[:-1], "inf"]})
    assert "infinite value in 'score', row 140" in refused(path, TileFacts(tile_size=256))


@pytest.mark.parametrize("style", ["wsinfer", "list"])
def test_geojson_of_wsinfer_and_qupath_is_read(tmp_path, style):
    scores = read_scores(write_geojson(tmp_path / "S1.geojson", style), SLIDE)
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    np.testing.assert_array_equal(scores.maps[0].values, SCORES)
    assert kinds(scores) == {"prob_tumor": "probability"}


def test_other_outlines_become_their_boxes_with_a_note(tmp_path):
    features = [tile_feature(*PLACES[0].tolist(), {"measurements": {"area": 1}})]
    features += [tile_feature(*PLACES[1].tolist(), {"measurements": {"area": 2}})]
    features[1]["geometry"]["coordinates"] = [[[256, 0], [512, 0], [512, 256], [256, 0]]]
    features.append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}})
    (tmp_path / "S1.geojson").write_text(json.dumps({"features": features}), "utf-8")
    scores = read_scores(tmp_path / "S1.geojson", SLIDE)
    np.testing.assert_array_equal(scores.l0_places, PLACES[:2])
    assert "1 tiles are drawn as the bounding boxes" in " ".join(scores.notes)
    assert "1 features without an area" in " ".join(scores.notes)


def test_qupaths_coordinates_begin_at_the_bounds(tmp_path):
    path = write_geojson(tmp_path / "S1.geojson")
    slide = SlideFacts(
        "S1", Shape(4000, 5000), YX(0.5, 0.5), bounds=Window(700, 900, 2600, 3700)
    )  # fmt: skip
    scores = read_scores(path, slide)
    np.testing.assert_array_equal(scores.l0_places, PLACES + np.array([900, 700] * 2))
    assert "as QuPath's do" in " ".join(scores.notes)


def test_parquet_has_columns_or_outlines(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import shapely

    path = tmp_path / "S1.parquet"
    parquet.write_table(pa.table({"x": X, "y": Y, "w": X * 0 + 256, "h": X * 0 + 256,
                                  "score": SCORES, "label": ["a"] * len(X)}), path)  # fmt: skip
    scores = read_scores(path, SLIDE)
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    assert kinds(scores) == {"score": "value"}
    outlines = pa.array(shapely.to_wkb(shapely.box(*PLACES.T)), pa.binary())
    parquet.write_table(pa.table({"geometry": outlines, "score": SCORES}), path)
    np.testing.assert_array_equal(read_scores(path, SLIDE).l0_places, PLACES)


def test_numpy_arrays_take_coordinates_from_a_file(tmp_path):
    np.save(tmp_path / "S1.npy", SCORES)
    np.save(tmp_path / "c.npy", PLACES)
    scores = read_scores(tmp_path / "S1.npy", SLIDE, TileFacts(coords=tmp_path / "c.npy"))
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    np.save(tmp_path / "c.npy", np.hstack([XY, XY * 0 + 256]))
    scores = read_scores(tmp_path / "S1.npy", SLIDE, TileFacts(coords=tmp_path / "c.npy"))
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    np.savez(tmp_path / "S1.npz", attention=SCORES, tumour=SCORES)
    facts = TileFacts(coords=write_patches(tmp_path / "p.h5"))
    scores = read_scores(tmp_path / "S1.npz", SLIDE, facts)
    assert kinds(scores) == {"attention": "attention", "tumour": "value"}
    np.testing.assert_array_equal(scores.l0_places, PLACES)


@pytest.mark.parametrize("container", ["zarr", "h5ad"])
def test_anndata_has_columns_of_obs_at_its_spatial_coordinates(tmp_path, container):
    if container == "zarr":
        import zarr

        root = zarr.open_group(str(tmp_path / "S1.zarr"), mode="w")
        root.attrs["encoding-type"] = "anndata"
        root.create_group("obs").create_array("tumour", data=SCORES)
        root.create_group("obsm").create_array("spatial", data=XY + 128.0)
    else:
        with h5py.File(tmp_path / "S1.h5ad", "w") as file:
            file.attrs["encoding-type"] = "anndata"
            file["obs/tumour"] = SCORES
            file["obs/_index"] = [str(n) for n in range(len(X))]
            file["obsm/spatial"] = XY + 128.0
    path = tmp_path / f"S1.{container}"
    assert "--origin" in refused(path, TileFacts(tile_size=256))
    scores = read_scores(path, SLIDE, TileFacts(tile_size=256, origin="centre"))
    np.testing.assert_array_equal(scores.l0_places, PLACES)
    np.testing.assert_array_equal(scores.maps[0].values, SCORES)


def test_the_digest_follows_places_and_values(tmp_path):
    digests = set()
    for shift, values in ((0, SCORES), (1, SCORES), (0, SCORES + 1)):
        path = write_table(tmp_path / "S1.csv", {"x": X + shift, "y": Y, "s": values})
        digests |= {read_scores(path, SLIDE, TileFacts(tile_size=256)).digest for _ in "ab"}
    assert len(digests) == 3
