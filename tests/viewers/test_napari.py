"""napari, without a window: by our script and by napari-ome-zarr all lies where the slide says."""

import importlib.util
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from new_kind import ALIKE, UNIT, add_new_kind
from shapely.geometry import Polygon, box
from viewer_results import write_results

from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.exporters.regions import RegionsExporter
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.regions import Region, Regions
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.napari.opening import open_in_napari
from heatmaps_ome.viewers.napari.reader import reader_of, results_folder

pytestmark = [
    # What napari and its dependencies warn of is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
    *(
        pytest.mark.skipif(
            importlib.util.find_spec(name) is None,
            reason=f"needs {name}: run scripts/install-viewers",
        )
        for name in ("napari", "napari_ome_zarr")
    ),
]

CASES = {
    "odd size": (Shape(1501, 903), YX(0.5, 0.5), YX(73.1, 73.1), YX(-35.4, -35.4)),
    "pixels that are not square": (
        Shape(900, 1700), YX(0.25, 0.5), YX(146.3, 73.1), YX(-70.9, -35.4),
    ),
    "many levels": (Shape(4100, 2300), YX(1.0, 1.0), YX(36.6, 36.6), YX(-17.7, -17.7)),
    "hardly a cell": (Shape(40, 30), YX(1.0, 1.0), YX(36.6, 36.6), YX(-17.7, -17.7)),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    shape, mpp, cell, origin = CASES[request.param]
    rows = int(np.ceil((shape.rows - origin.y) / cell.y))
    cols = int(np.ceil((shape.cols - origin.x) / cell.x))
    grid = Grid(Shape(rows, cols), cell, origin, mpp)
    return write_results(tmp_path_factory.mktemp("napari"), shape, mpp, grid)


@pytest.fixture
def viewer():
    from napari.components import ViewerModel

    return ViewerModel()


def script():
    """Return the script that users run, as a module."""
    path = viewer_files() / "napari" / "open.py"
    spec = importlib.util.spec_from_file_location("napari_open", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outer(layer):
    """Return where a layer's outermost pixels begin and end in µm, (2, 2)."""
    half = np.array(layer.scale)[-2:] / 2
    first, last = layer.extent.world[:, -2:]
    return np.array([first - half, last + half])


def of_floats(result):
    """Return the maps with values of their own: kinds of cells are labels alone."""
    return [each for each in result.maps if each.name not in ("tissue", "winner", "artefacts")]


def manifest_of(folder):
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def um_slide(result):
    shape, mpp = result.slide.shape, result.slide.mpp
    return np.array([[0.0, 0.0], [shape.rows * mpp.y, shape.cols * mpp.x]])


def test_our_script_puts_every_layer_at_its_place(case, viewer):
    folder, result = case
    script().show(folder, viewer)
    slide = viewer.layers[0]
    assert slide.rgb
    assert slide.multiscale
    # The last pixel of an image may reach beyond the slide.
    assert np.allclose(outer(slide)[0], 0)
    beyond = outer(slide)[1] - um_slide(result)[1]
    assert (beyond >= -1e-6).all()
    assert (beyond < result.image.um_cell).all()
    grid = result.heatmaps.grid
    um_grid = [grid.um_origin, grid.um_from_g(YX(*map(float, grid.shape)))]
    kinds = {True: 0, False: 0}
    for layer in viewer.layers[1:]:
        is_label = layer.name.endswith("(label)")
        kinds[is_label] += 1
        if is_label:
            assert np.allclose(outer(layer)[0], 0)
            assert (outer(layer)[1] - um_slide(result)[1] < result.raster.um_cell).all()
        else:
            assert np.allclose(outer(layer), um_grid)
        assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert kinds == {True: len(result.maps), False: len(of_floats(result))}


def test_kinds_of_cells_are_labels_with_names_and_margins_are_floats(tmp_path, viewer):
    grid = Grid(Shape(5, 4), YX(40.0, 40.0), YX(-20.0, -20.0), YX(0.5, 0.5))
    names = ("a", "b", "c")
    folder, result = write_results(tmp_path, Shape(180, 140), grid.mpp, grid, classes=names)
    script().show(folder, viewer)
    layers = {layer.name: layer for layer in viewer.layers}
    scores = result.heatmaps.scores
    np.testing.assert_array_equal(layers["Margin of a"].data, scores[0] - scores[1:].max(axis=0))
    features = layers["Winner (label)"].features
    assert features["class with the highest score"].tolist()[1:4] == list(names)
    kinds = layers["Artefacts (label)"].features["kind of artefact"]
    assert kinds.tolist()[1:5] == ["pen", "dark", "blurred", "empty"]
    assert not {"Winner", "Artefacts"} & set(layers)


def test_our_script_shows_the_drawn_value_of_each_place(case, viewer):
    folder, result = case
    script().show(folder, viewer)
    grid, rng = result.heatmaps.grid, np.random.default_rng(0)
    values = dict(zip([m.title for m in result.maps], result.maps, strict=True))
    factors = {each["title"]: each["factor"] for each in manifest_of(folder)["maps"]}
    assert max(factors.values()) == result.heatmaps.tissue.sum(), "contributions are of all cells"
    named = [layer for layer in viewer.layers[1:] if layer.name in values]
    kinds = ("Score of", "Contribution to", "Evidence for")
    titles = ["Attention", *(f"{kind} {c}" for c in result.heatmaps.classes for kind in kinds)]
    assert sorted(layer.name for layer in named) == sorted(titles)
    for layer in named:
        layer.visible = True
        raw = result.heatmaps.map(values[layer.name].kind, values[layer.name].class_name)
        for _ in range(20):
            row, col = (int(rng.integers(n)) for n in grid.shape)
            um = grid.um_from_g(YX(row + rng.uniform(0.02, 0.98), col + rng.uniform(0.02, 0.98)))
            found = layer.get_value(tuple(um), world=True)
            drawn = raw[row, col] * np.float32(factors[layer.name])
            assert np.array_equal(np.float32(found), drawn, equal_nan=True)


def test_our_script_gives_names_colours_limits_and_the_prediction(case, viewer):
    folder, result = case
    script().show(folder, viewer)
    visible = [layer.name for layer in viewer.layers if layer.visible]
    assert visible == [result.slide.name, f"Score of {result.true_class}"]
    assert viewer.layers[-1].name == visible[-1], "on top"
    assert "MSIH 0." in viewer.title
    assert f"drawn hot: {result.true_class}" in viewer.title
    assert "For research, not for diagnosis." in viewer.title
    shown = {each.title: each for each in result.maps}
    for layer in viewer.layers[1:]:
        if layer.name not in shown:
            continue
        about = shown[layer.name]
        assert np.allclose(layer.contrast_limits, (about.values[1], about.values[-1]))
        for level in (1, 64, 128, 255):
            position = (level - 1) / 254
            drawn = np.asarray(layer.colormap.map(position)).ravel() * 255
            assert np.abs(drawn[:3] - about.colours[level, :3]).max() <= 2
        assert np.asarray(layer.colormap.map(np.nan)).ravel()[3] == 0, "no tissue, no colour"


def test_labels_tell_the_value_of_each_number(case, viewer):
    folder, result = case
    script().show(folder, viewer)
    about = result.maps[0]
    layer = viewer.layers["Attention (label)"]
    told = layer.features.set_index("index")[about.quantity]
    for level in (1, 100, 255):
        assert told[level] == pytest.approx(about.values[level], rel=1e-6)
    assert np.asarray(layer.colormap.map(0)).ravel()[3] == 0
    assert np.allclose(
        np.asarray(layer.colormap.map(200)).ravel()[:3] * 255, about.colours[200, :3]
    )


def test_the_plugin_for_ome_zarr_agrees_within_half_a_cell(case, viewer):
    from npe2 import PluginManager

    folder, result = case
    PluginManager.instance().discover()
    viewer.open(str(folder / f"{folder.name}.ome.zarr"), plugin="napari-ome-zarr")
    half_cell = np.array(result.heatmaps.grid.um_cell) / 2
    assert len(viewer.layers) == 3 + len(result.maps)
    for layer in viewer.layers:
        off = np.abs(outer(layer) - um_slide(result))
        # The corner of the first pixel is at minus half of it there, as its centre is the origin.
        assert (off <= half_cell).all(), (layer.name, off)


def test_results_without_a_slide_image_open_too(tmp_path, viewer):
    grid = Grid(Shape(5, 4), YX(40.0, 40.0), YX(-20.0, -20.0), YX(0.5, 0.5))
    folder, result = write_results(tmp_path, Shape(180, 140), grid.mpp, grid, formats=())
    assert (folder / MANIFEST).is_file()
    script().show(folder, viewer)
    assert len(viewer.layers) == len(of_floats(result))


def test_each_class_and_a_kind_not_known_have_layers_of_their_own(tmp_path, viewer):
    grid = Grid(Shape(5, 4), YX(40.0, 40.0), YX(-20.0, -20.0), YX(0.5, 0.5))
    folder, result = write_results(
        tmp_path, Shape(180, 140), grid.mpp, grid, formats=(), classes=ALIKE
    )
    add_new_kind(folder / MANIFEST)
    script().show(folder, viewer)
    layers = {layer.name: layer for layer in viewer.layers}
    heatmaps = result.heatmaps
    for index, name in enumerate(ALIKE):
        np.testing.assert_array_equal(layers[f"Score of {name}"].data, heatmaps.scores[index])
        pull = layers[f"Pull of {name}"]
        factor = np.float32(heatmaps.tissue.sum())
        np.testing.assert_array_equal(pull.data, heatmaps.contributions[index] * factor)
        assert (pull.metadata["unit"], pull.metadata["class"]) == (UNIT, name)
    assert viewer.layers[-1].name == f"Score of {result.true_class}"


@pytest.mark.parametrize(
    ("format_", "sentence"),
    [
        ("heatmaps-ome maps 1", "earlier version of heatmaps-ome; run create again with --over"),
        ("heatmaps-ome maps 2", "earlier version of heatmaps-ome; run create again with --over"),
        ("heatmaps-ome maps 4", "is not of the format “heatmaps-ome maps 3”"),
    ],
)
def test_a_manifest_of_another_format_is_refused_in_a_sentence(tmp_path, viewer, format_, sentence):
    (tmp_path / MANIFEST).write_text(json.dumps({"format": format_}))
    with pytest.raises(ValueError, match=sentence):
        script().show(tmp_path, viewer)
    # napari itself shows the sentence of a reader; it must not be ended by it.
    with pytest.raises(ValueError, match=sentence):
        reader_of(str(tmp_path))(str(tmp_path))


def test_the_slide_of_a_run_is_chosen_by_its_name(tmp_path):
    opened = script()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_text("{}")
    assert opened.chosen(tmp_path, "b") == tmp_path / "b"
    assert opened.chosen(tmp_path / "a", None) == tmp_path / "a"
    with pytest.raises(SystemExit, match=r"choose one of the slides .* a, b"):
        opened.chosen(tmp_path, None)
    with pytest.raises(SystemExit, match="holds no results"):
        opened.chosen(tmp_path / "a" / "none", None)


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """Results with regions, of which one has a hole, and with ground truth."""
    grid = Grid(Shape(5, 4), YX(40.0, 40.0), YX(-20.0, -20.0), YX(0.25, 0.5))
    folder, result = write_results(
        tmp_path_factory.mktemp("rich"), Shape(180, 140), grid.mpp, grid,
        name="rich", formats=("ome-zarr",),
    )  # fmt: skip
    hole = [(30, 30), (50, 30), (50, 60), (30, 30)]
    regions = tuple(
        Region(kind, number, box(*corners), 9, 0.01, 0.2, 0.8, 1.2, 0.4)
        for kind, number, corners in (
            ("hot", 1, (20, 20, 60, 100)), ("hot", 2, (80, 20, 120, 60)),
            ("cold", 1, (80, 100, 120, 140)),
        )
    )  # fmt: skip
    regions = (replace(regions[0], l0_polygon=Polygon(box(20, 20, 60, 100).exterior, [hole])),
               *regions[1:])  # fmt: skip
    found = Regions("MSIH", 0.7, 0.3, "score", regions, 4)
    geojson, _ = RegionsExporter().write(replace(result, regions=found), folder)
    facts = manifest_of(folder) | {"label": "nonMSIH", "regions_geojson": geojson.name}
    facts["prediction"] = {"MSIH": 1 - 1.2e-7, "nonMSIH": 1.2e-7}
    (folder / MANIFEST).write_text(json.dumps(facts))
    return folder, result, json.loads(geojson.read_text(encoding="utf-8"))["features"]


def test_regions_are_hidden_shapes_at_their_places_with_thin_holes(rich, viewer):
    folder, result, features = rich
    script().show(folder, viewer)
    hot, cold = viewer.layers[-2:]
    assert (hot.name, cold.name) == ("Hot regions, for MSIH", "Cold regions, against MSIH")
    assert not hot.visible
    assert not cold.visible
    rings = [ring for feature in features[:2] for ring in feature["geometry"]["coordinates"]]
    assert len(hot.data) == len(rings) == 3
    for drawn, ring in zip(hot.data, rings, strict=True):
        um = np.array(ring)[:-1, ::-1] * np.array(result.slide.mpp)
        assert np.allclose(drawn * np.array(hot.scale), um)
    assert hot.features["region"].tolist() == ["hot 1", "hot 1", "hot 2"]
    assert hot.features["hole"].tolist() == [False, True, False]
    assert hot.edge_width[0] == hot.edge_width[2] == 2 * hot.edge_width[1]
    assert hot.features["area mm²"].notna().all()
    assert np.abs(hot.edge_color[0] - cold.edge_color[0]).max() > 0.3


def test_the_title_tells_certainty_the_class_drawn_hot_and_ground_truth(rich, viewer):
    folder, *_ = rich
    script().show(folder, viewer)
    parts = viewer.title.split(" – ")
    assert parts[:2] == ["rich", "MSIH 1 \u2212 1.2e-07 · nonMSIH 1.2e-07"]
    assert parts[2:4] == ["drawn hot: MSIH", "ground truth: nonMSIH"]


@pytest.fixture(scope="module")
def plugin():
    """Our plugin, registered with napari's plugin manager as an installed one is."""
    from npe2 import PluginManager, PluginManifest

    manifest = PluginManifest.from_file(manifest_file())
    manifest.validate_imports()
    manager = PluginManager.instance()
    manager.discover()
    if manifest.name not in manager:
        manager.register(manifest)
    return manifest.name


def manifest_file():
    """Return the file that the package's entry point names."""
    import tomllib
    from pathlib import Path

    import heatmaps_ome

    package = Path(heatmaps_ome.__file__).parent
    facts = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    module, name = facts["project"]["entry-points"]["napari.manifest"]["heatmaps-ome"].split(":")
    path = package.joinpath(*module.split(".")[1:], name)
    packed = facts["tool"]["setuptools"]["package-data"]["heatmaps_ome"]
    assert path.relative_to(package).as_posix() in packed
    return path


def test_the_plugin_opens_a_folder_its_manifest_and_the_zarrs_in_it(rich, plugin, viewer):
    folder, result, _ = rich
    paths = [folder, *(folder / f"rich{end}" for end in (".ome.zarr", ".values.ome.zarr"))]
    assert [results_folder(path) for path in (*paths, folder / MANIFEST)] == [folder] * 4
    viewer.open(str(paths[1]), plugin=plugin)
    expected = [(facts["name"], facts.get("visible", True)) for _, facts, _ in layers_of(folder)]
    assert [(layer.name, layer.visible) for layer in viewer.layers] == expected
    score = viewer.layers[f"Score of {result.true_class}"]
    np.testing.assert_array_equal(score.data, result.heatmaps.scores[0])


def layers_of(folder):
    """Return what napari gets of a folder that is dropped on it."""
    return reader_of(str(folder))(str(folder))


def test_the_plugin_leaves_to_others_what_is_not_a_slides_results(rich, tmp_path):
    folder, *_ = rich
    name = f"{folder.name}.ome.zarr"
    shutil.copytree(folder / name, tmp_path / name)
    other = tmp_path / "other"
    other.mkdir()
    (other / MANIFEST).write_text('{"format": "somebody else\'s"}')
    strange = [tmp_path / name, tmp_path, other, folder / "rich.regions.csv", tmp_path / "none"]
    assert [reader_of(str(path)) for path in strange] == [None] * len(strange)
    assert reader_of([str(folder), str(folder)]) is None


def test_the_command_opens_the_first_slide_of_a_run_or_the_chosen_one(
    rich, tmp_path, monkeypatch
):  # fmt: skip
    import napari
    from napari.components import ViewerModel

    folder, *_ = rich
    for name in ("a", "b"):
        shutil.copytree(folder, tmp_path / name)
    opened, ran = [], []

    def viewer():
        opened.append(ViewerModel())
        return opened[-1]

    monkeypatch.setitem(vars(napari), "Viewer", viewer)
    monkeypatch.setitem(vars(napari), "run", lambda: ran.append(len(opened[-1].layers)))
    monkeypatch.setenv("DISPLAY", ":0")
    facts = manifest_of(folder)
    (tmp_path / "b" / MANIFEST).write_text(json.dumps({**facts, "label": "told apart"}))
    open_in_napari(tmp_path)
    open_in_napari(tmp_path, "b")
    open_in_napari(tmp_path / "b")
    assert ["told apart" in each.title for each in opened] == [False, True, True]
    assert ran == [len(opened[0].layers)] * 3
