"""Files of features of each system, of every version, are read with their places."""

import json

import h5py
import numpy as np
import pytest
import torch
import zarr
from tile_files import (
    FEATURES,
    PLACES,
    SLIDE,
    XY,
    write_clam,
    write_historic,
    write_patches,
    write_stamp,
    write_trident,
)

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files import SlideFacts, read_bag
from heatmaps_ome.features.tile_facts import TileFacts
from heatmaps_ome.geometry import YX, Shape


def refused(path, facts=None, slide=SLIDE) -> str:
    with pytest.raises(FeaturesError) as error:
        read_bag(path, slide, facts or TileFacts())
    return str(error.value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"stamp_version": "2.0.0", "tile_size_um": None, "tile_size_px": None, "tile_size": 128.0,
         "feat_type": None},
        {"stamp_version": "2.1.0", "feat_type": None},
        {"stamp_version": "2.5.0"},
    ],
    ids=["2.0", "2.1", "2.5"],
)  # fmt: skip
def test_stamp_2_has_micrometres(tmp_path, attributes):
    bag = read_bag(write_stamp(tmp_path / "S1.h5", **attributes), SLIDE)
    np.testing.assert_allclose(bag.l0_places, PLACES)
    assert bag.system == f"STAMP {attributes['stamp_version']}"
    assert bag.features.dtype == np.float16
    assert bag.encoder == "enc-1"


def test_micrometres_of_stamp_stay_exact(tmp_path):
    um = (XY * 0.5 + 0.123456789).astype(np.float32)
    bag = read_bag(write_stamp(tmp_path / "S1.h5", um, mpp=1.0), SLIDE)
    assert bag.um_places.tobytes() == um.tobytes()
    np.testing.assert_allclose(bag.l0_places[:, :2], um.astype(np.float64) * 2, rtol=1e-12)


def test_stamp_takes_the_slides_own_pixel_size_along_x_for_both_axes(tmp_path):
    slide = SlideFacts("S1", Shape(3000, 4000), YX(0.25, 0.25), (1.0,), YX(0.52, 0.5))
    bag = read_bag(write_stamp(tmp_path / "S1.h5"), slide)
    np.testing.assert_allclose(bag.l0_places, PLACES)
    assert "own pixel size, 0.5 µm" in " ".join(bag.notes)


@pytest.mark.parametrize(("extractor", "system"), [
    ("STAMP-extract-001_01-10-2023_xyz", "STAMP 1"),
    ("marugoto-extract-v1_xiyuewang-retccl-931956f3", "marugoto"),
])  # fmt: skip
def test_historic_files_count_pixels_of_tiles_of_256_micrometres(tmp_path, extractor, system):
    xy = np.array([[224 * col, 224 * row] for row in range(5) for col in range(7)])
    bag = read_bag(write_historic(tmp_path / "S1.h5", xy, extractor), SLIDE)
    assert bag.system == system
    np.testing.assert_allclose(bag.l0_places[:, :2], xy / 224 * 512)
    np.testing.assert_allclose(bag.l0_places[:, 2:] - bag.l0_places[:, :2], 512)
    assert "by convention" in " ".join(bag.notes)


def test_the_users_unit_goes_before_the_convention_of_historic_files(tmp_path):
    path = write_historic(tmp_path / "S1.h5", XY[:30], "marugoto-extract-v1")
    bag = read_bag(path, SLIDE, TileFacts(unit="px", tile_size=256))
    np.testing.assert_array_equal(bag.l0_places, PLACES[:30])


def test_a_historic_file_of_one_tile_asks_for_its_unit(tmp_path):
    path = write_historic(tmp_path / "S1.h5", XY[20:21], "STAMP-extract-001")
    assert "--coords-unit" in refused(path)
    bag = read_bag(path, SLIDE, TileFacts(unit="um", tile_size=128))
    np.testing.assert_array_equal(bag.l0_places[0, :2], XY[20] * 2)


def test_transposed_coordinates_are_noticed_by_the_slides_shape(tmp_path):
    xy = np.array([[224 * col, 224 * row] for row in range(5) for col in range(7)])
    path = write_historic(tmp_path / "S1.h5", xy[:, ::-1], "STAMP-extract-001")
    bag = read_bag(path, SLIDE)
    np.testing.assert_allclose(bag.l0_places[:, :2], xy / 224 * 512)
    assert "(y, x)" in " ".join(bag.notes)


def test_augmented_rows_are_left_out(tmp_path):
    xy = np.array([[224 * col, 0] for col in range(6)])
    augmented = np.array([False, True, False, False, True, False])
    bag = read_bag(write_historic(tmp_path / "S1.h5", xy, "marugoto-extract", augmented), SLIDE)
    assert bag.count == 4
    np.testing.assert_array_equal(bag.features, FEATURES[:6].astype(np.float16)[~augmented])
    assert "2 augmented tiles are left out" in bag.notes


@pytest.mark.parametrize(("folder", "name"), [
    (".", "S1_patches.h5"), ("../patches", "S1.h5"), ("patches", "S1.h5"),
    ("../../patches", "S1.h5"),
])  # fmt: skip
def test_clam_has_the_size_from_the_file_of_patches(tmp_path, folder, name):
    (tmp_path / "features" / "h5_files").mkdir(parents=True)
    path = write_clam(tmp_path / "features" / "h5_files" / "S1.h5")
    (path.parent / folder).mkdir(exist_ok=True)
    write_patches(path.parent / folder / name, patch_size=512)
    bag = read_bag(path, SLIDE)
    np.testing.assert_array_equal(bag.l0_places, np.hstack([XY, XY + 512]))
    assert name in " ".join(bag.notes)


def test_clam_multiplies_the_size_with_the_levels_downsample(tmp_path):
    path = write_clam(tmp_path / "S1.h5")
    patches = write_patches(
        tmp_path / "other.h5", patch_size=64, patch_level=1, downsample=np.array([4.0, 4.0]),
        level_dim=np.array([1000, 750]),
    )  # fmt: skip
    bag = read_bag(path, SLIDE, TileFacts(coords=patches))
    np.testing.assert_array_equal(bag.l0_places, PLACES)


def test_clam_without_patches_has_the_stride_and_states_so(tmp_path):
    bag = read_bag(write_clam(tmp_path / "S1.h5"), SLIDE)
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    assert "distance of neighbours, 256" in " ".join(bag.notes)


def test_the_stride_is_found_in_lattices_of_their_own(tmp_path):
    one, other = XY[:40], XY[60:100] + np.array([37, 111])
    bag = read_bag(write_clam(tmp_path / "S1.h5", np.vstack([one, other]), FEATURES[:80]), SLIDE)
    np.testing.assert_array_equal(bag.l0_places[:, 2] - bag.l0_places[:, 0], 256)


def test_the_users_size_goes_before_the_files(tmp_path):
    bag = read_bag(write_trident(tmp_path / "S1.h5"), SLIDE, TileFacts(tile_size=128))
    np.testing.assert_array_equal(bag.l0_places, np.hstack([XY, XY + 128]))


def test_trident_states_all(tmp_path):
    bag = read_bag(write_trident(tmp_path / "S1.h5", XY - (XY % 2)), SLIDE)
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    assert (bag.system, bag.encoder, bag.notes) == ("TRIDENT", "enc-2", ())


def test_a_batch_of_one_bag_is_a_bag(tmp_path):
    path = write_clam(tmp_path / "S1.h5", XY[None], FEATURES[None])
    np.testing.assert_array_equal(read_bag(path, SLIDE).features, FEATURES)


@pytest.mark.parametrize(
    "features", [FEATURES, {"features": FEATURES, "coords": XY}], ids=["bare", "dict"]
)
def test_pt_files_take_coordinates(tmp_path, features):
    (tmp_path / "pt_files").mkdir()
    path = tmp_path / "pt_files" / "S1.pt"
    if isinstance(features, dict):
        torch.save({name: torch.from_numpy(values) for name, values in features.items()}, path)
        bag = read_bag(path, SLIDE, TileFacts(tile_size=256))
    else:
        torch.save(torch.from_numpy(features), path)
        bag = read_bag(path, SLIDE, TileFacts(coords=write_patches(tmp_path / "p.h5")))
    np.testing.assert_array_equal(bag.features, FEATURES)
    np.testing.assert_array_equal(bag.l0_places, PLACES)


def test_files_of_torch_before_1_6_are_read(tmp_path):
    path = tmp_path / "S1.pt"
    torch.save(torch.from_numpy(FEATURES), path, _use_new_zipfile_serialization=False)
    bag = read_bag(path, SLIDE, TileFacts(coords=write_patches(tmp_path / "p.h5")))
    np.testing.assert_array_equal(bag.features, FEATURES)


def test_clams_pt_file_has_the_coordinates_of_its_h5_file(tmp_path):
    for name in ("pt_files", "h5_files"):
        (tmp_path / name).mkdir()
    torch.save(torch.from_numpy(FEATURES), tmp_path / "pt_files" / "S1.pt")
    write_clam(tmp_path / "h5_files" / "S1.h5")
    bag = read_bag(tmp_path / "pt_files" / "S1.pt", SLIDE)
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    assert "S1.h5 in h5_files" in " ".join(bag.notes)


def test_tensors_of_any_type_and_layout_are_read(tmp_path):
    path = tmp_path / "S1.pt"
    columns = torch.from_numpy(np.ascontiguousarray(FEATURES.T)).T  # strided
    for tensor in (columns, columns.half(), columns.bfloat16(), columns.double()):
        torch.save(tensor, path)
        bag = read_bag(path, SLIDE, TileFacts(coords=write_patches(tmp_path / "p.h5")))
        np.testing.assert_array_equal(bag.features.astype(np.float32), tensor.float().numpy())


@pytest.mark.parametrize("config", [
    {"tile_px": 224, "tile_um": 128}, {"tile_px": 256, "tile_um": "20x"},
    {"tile_px": 64, "tile_um": "5x"},
])  # fmt: skip
def test_slideflow_has_centres(tmp_path, config):
    torch.save(torch.from_numpy(FEATURES), tmp_path / "S1.pt")
    np.savez(tmp_path / "S1.index", arr_0=XY + 128)
    (tmp_path / "bags_config.json").write_text(json.dumps(config), "utf-8")
    bag = read_bag(tmp_path / "S1.pt", SLIDE)
    assert bag.system == "slideflow"
    np.testing.assert_array_equal(bag.l0_places, PLACES)


def test_bags_in_h5_without_coordinates_have_slideflows_index(tmp_path):
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["features"] = FEATURES
    assert "--coords" in refused(tmp_path / "S1.h5")
    np.savez(tmp_path / "S1.index", arr_0=XY + 128)
    bag = read_bag(tmp_path / "S1.h5", SLIDE, TileFacts(tile_size=256))
    np.testing.assert_array_equal(bag.l0_places, PLACES)


def test_tridents_pt_file_has_the_coordinates_of_its_patches(tmp_path):
    for name in ("features_enc", "patches"):
        (tmp_path / name).mkdir()
    torch.save(torch.from_numpy(FEATURES), tmp_path / "features_enc" / "S1.pt")
    write_trident(tmp_path / "patches" / "S1_patches.h5")
    bag = read_bag(tmp_path / "features_enc" / "S1.pt", SLIDE)
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    assert bag.system == "TRIDENT"


def test_h5_coordinates_that_neither_clam_nor_trident_write_have_no_unit(tmp_path):
    path = write_clam(tmp_path / "S1.h5", XY * 0.4999)
    assert "--coords-unit" in refused(path, TileFacts(tile_size=128))
    bag = read_bag(path, SLIDE, TileFacts(tile_size=128, unit="um"))
    np.testing.assert_allclose(bag.l0_places[:, :2], XY * 0.9998)


def test_slideflow_without_its_configuration_asks_for_the_size(tmp_path):
    torch.save(torch.from_numpy(FEATURES), tmp_path / "S1.pt")
    np.savez(tmp_path / "S1.index", arr_0=XY + 128)
    assert "--tile-size" in refused(tmp_path / "S1.pt")
    bag = read_bag(tmp_path / "S1.pt", SLIDE, TileFacts(tile_size=256))
    np.testing.assert_array_equal(bag.l0_places, PLACES)


def test_torchmil_has_coordinates_in_a_folder_beside(tmp_path):
    for name in ("features", "coords"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "features" / "S1.npy", FEATURES)
    np.save(tmp_path / "coords" / "S1.npy", XY)
    path = tmp_path / "features" / "S1.npy"
    assert "--tile-size" in refused(path)
    bag = read_bag(path, SLIDE, TileFacts(tile_size=256))
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    assert "level-0 px, as only so" in " ".join(bag.notes)


def test_coordinates_that_count_tiles_need_a_stride(tmp_path):
    np.save(tmp_path / "S1.npy", FEATURES)
    np.save(tmp_path / "S1_coords.npy", XY // 256)
    assert "--stride" in refused(tmp_path / "S1.npy")
    facts = TileFacts(stride=128, unit="um")
    np.testing.assert_array_equal(read_bag(tmp_path / "S1.npy", SLIDE, facts).l0_places, PLACES)


@pytest.mark.parametrize(("unit", "scale"), [("px", 1), ("um", 0.5), ("level:1", 0.25)])
def test_coordinates_in_any_unit_are_placed(tmp_path, unit, scale):
    np.savez(tmp_path / "S1.npz", features=FEATURES, coords=XY * scale)
    facts = TileFacts(unit=unit, tile_size=256 * scale)
    np.testing.assert_allclose(read_bag(tmp_path / "S1.npz", SLIDE, facts).l0_places, PLACES)
    facts = TileFacts(unit=unit, tile_size=256 * scale, origin="centre")
    inner = np.arange(len(XY))[(XY > 0).all(axis=1)]
    np.savez(tmp_path / "S1.npz", features=FEATURES[inner], coords=(XY[inner] + 128) * scale)
    bag = read_bag(tmp_path / "S1.npz", SLIDE, facts)
    np.testing.assert_allclose(bag.l0_places, PLACES[inner])


def lazyslide(folder, order, format_: int = 3, **changes):
    """A store with outlines in another order than the table's rows."""
    import pyarrow as pa
    import shapely
    from pyarrow import parquet

    store = zarr.open_group(str(folder), mode="w", zarr_format=format_)
    slide_properties = {"shape": [3000, 4000], "mpp": 0.5, "bounds": [0, 0, 4000, 3000]}
    store.attrs.update({"slide_properties": slide_properties, **changes})
    table = store.create_group("tables").create_group("enc_tiles")
    table.attrs.update({"encoding-type": "anndata", "region": "tiles", "instance_key": "tile_id"})
    table.create_array("X", data=FEATURES)
    obs = table.create_group("obs")
    obs.create_array("tile_id", data=np.arange(len(XY)))
    obs.create_array("tumor_score", data=FEATURES[:, 0])
    store.create_group("shapes").create_group("tiles").attrs["coordinateTransformations"] = [
        {"type": changes.get("transformation", "identity")}
    ]
    outlines = shapely.to_wkb(shapely.box(*PLACES[order].T))
    columns = {"tile_id": pa.array(order), "geometry": pa.array(outlines, pa.binary())}
    parquet.write_table(pa.table(columns), folder / "shapes/tiles/shapes.parquet")
    return folder


@pytest.mark.parametrize("format_", [2, 3])
def test_outlines_are_joined_by_the_tiles_numbers(tmp_path, format_):
    order = np.random.default_rng(0).permutation(len(XY))
    bag = read_bag(lazyslide(tmp_path / "S1.zarr", order, format_), SLIDE)
    np.testing.assert_array_equal(bag.l0_places, PLACES)
    np.testing.assert_array_equal(bag.features, FEATURES)
    assert (bag.system, bag.encoder) == ("LazySlide", "enc")


def test_a_store_of_another_slide_or_frame_is_refused(tmp_path):
    order = np.arange(len(XY))
    other = {"slide_properties": {"shape": [3000, 3999]}}
    assert "3999 × 3000 px" in refused(lazyslide(tmp_path / "a.zarr", order, **other))
    assert "affine" in refused(lazyslide(tmp_path / "b.zarr", order, transformation="affine"))
    assert "outline" in refused(lazyslide(tmp_path / "c.zarr", order[:-1]))


def test_several_tables_are_listed_and_one_is_named(tmp_path):
    folder = lazyslide(tmp_path / "S1.zarr", np.arange(len(XY)))
    group = zarr.open_group(str(folder), mode="r+")
    other = group["tables"].create_group("more_tiles")
    other.attrs.update({"region": "tiles", "instance_key": "tile_id"})
    other.create_array("X", data=FEATURES[:, :3])
    other.create_group("obs").create_array("tile_id", data=np.arange(len(XY)))
    assert "'enc_tiles', 'more_tiles'" in refused(folder)
    bag = read_bag(folder, SLIDE, TileFacts(dataset="more_tiles"))
    assert bag.features.shape == (len(XY), 3)
