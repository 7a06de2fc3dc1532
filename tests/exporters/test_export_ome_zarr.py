import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel

from heatmaps_ome.exporters import ome_zarr as ome_zarr_module
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape, Window, sample
from heatmaps_ome.ome import ngff_store
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.ome.pyramid import halved
from heatmaps_ome.slides.reading import read_in_order, read_strips

SHAPES = [Shape(1, 1), Shape(3, 4), Shape(30, 1030), Shape(1031, 515), Shape(700, 5)]


def write(result, folder, **options):
    path, *_ = OmeZarrExporter(**options).write(result, folder)
    return path


def strict_json(path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ome_zarr_models_accept_image_and_labels(tmp_path, shape):
    path = write(slide_result(FakeSlide(noise_rgb(shape))), tmp_path)
    group = zarr.open_group(path, mode="r")
    image = Image.from_zarr(group)
    levels = len(image.attributes.multiscales[0].datasets)
    assert image.labels is not None
    assert image.labels.attributes.labels == ["attention", "score-MSIH", "tissue"]
    for name in image.labels.attributes.labels:
        label = ImageLabel.from_zarr(group[f"labels/{name}"])
        assert len(label.attributes.multiscales[0].datasets) == levels
        assert "omero" not in json.loads((path / "labels" / name / ".zattrs").read_text())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_level_is_the_slide_halved(tmp_path, shape):
    rgb = noise_rgb(shape)
    group = zarr.open_group(write(slide_result(FakeSlide(rgb)), tmp_path), mode="r")
    datasets = group.attrs["multiscales"][0]["datasets"]
    for dataset in datasets:
        array = group[dataset["path"]]
        assert array.chunks == (3, 1024, 1024)
        np.testing.assert_array_equal(np.moveaxis(array[...], 0, 2), rgb)
        rgb = halved(rgb)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("origin", [YX(0, 0), YX(-15.5, -3.25), YX(7.3, 100.1)], ids=str)
def test_every_label_level_is_sampled_straight_from_the_cells(tmp_path, shape, origin):
    slide = FakeSlide(noise_rgb(shape), YX(0.5, 0.25))
    grid = Grid(Shape(21, 34), YX(47.7, 29.9), origin, slide.mpp)
    shown = display_map("attention", grid)
    result = slide_result(slide, grid, (shown,))
    group = zarr.open_group(write(result, tmp_path) / "labels" / "attention", mode="r")
    datasets = group.attrs["multiscales"][0]["datasets"]
    for level, dataset in enumerate(datasets):
        array = group[dataset["path"]]
        assert array.dtype == np.uint8
        expected = sample(shown.levels, grid, result.raster.downsampled(level), 0)
        np.testing.assert_array_equal(array[...], expected)


def test_scales_double_exactly_are_in_micrometres_and_have_no_translation(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(1031, 1030)), YX(0.5, 0.25)))
    path = write(result, tmp_path)
    for group, pixel in ((path, YX(0.5, 0.25)), (path / "labels/attention", YX(4.0, 2.0))):
        [multiscales] = strict_json(group / ".zattrs")["multiscales"]
        assert [axis.get("unit") for axis in multiscales["axes"]][-2:] == ["micrometer"] * 2
        for level, dataset in enumerate(multiscales["datasets"]):
            [move] = dataset["coordinateTransformations"]
            assert move["type"] == "scale"
            assert move["scale"][-2:] == [pixel.y * 2**level, pixel.x * 2**level]


def test_a_hot_cell_is_found_at_its_place_in_micrometres(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(1000, 1500)), YX(0.5, 0.25))
    grid = covering_grid(slide.shape, YX(64, 64), YX(-31, -31), slide.mpp)
    levels = np.zeros(grid.shape)
    levels[7, 11] = 255
    path = write(slide_result(slide, grid, (display_map("attention", grid, levels),)), tmp_path)
    group = zarr.open_group(path / "labels" / "attention", mode="r")
    rows, cols = np.nonzero(group["0"][...])
    scale = YX(
        *group.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    )
    top_left = YX(float(rows.min()), float(cols.min())).times(scale)
    bottom_right = YX(float(rows.max() + 1), float(cols.max() + 1)).times(scale)
    half_pixel = scale.times(0.5)
    for found, cell in ((top_left, YX(7, 11)), (bottom_right, YX(8, 12))):
        true = grid.um_from_g(cell)
        assert abs(found.y - true.y) <= half_pixel.y
        assert abs(found.x - true.x) <= half_pixel.x


def test_ome_zarr_py_reads_image_and_labels(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(700, 900)))
    path = write(slide_result(slide), tmp_path)
    nodes = list(Reader(parse_url(path))())
    assert nodes[0].data[0].shape == (3, 700, 900)
    assert nodes[0].metadata["channel_names"] == ["Red", "Green", "Blue"]
    label = next(node for node in nodes if node.metadata.get("name") == "attention")
    assert label.metadata["color"][0] == [0, 0, 0, 0]
    assert len(label.metadata["color"]) == 256


def test_label_properties_hold_the_value_of_every_level(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(64, 64)))
    result = slide_result(slide)
    path = write(result, tmp_path)
    block = strict_json(path / "labels/attention/.zattrs")["image-label"]
    assert [entry["label-value"] for entry in block["properties"]] == list(range(256))
    assert block["properties"][0] == {"label-value": 0}
    found = np.array([entry["attention"] for entry in block["properties"][1:]], np.float32)
    np.testing.assert_array_equal(found, result.maps[0].values[1:])
    assert block["source"] == {"image": "../../"}
    assert block["heatmaps_ome"]["upper"] == 1.0
    assert block["heatmaps_ome"]["slide"]["bounds"] == {"row": 0, "col": 0, "rows": 64, "cols": 64}


def test_arrays_are_zarr_v2_with_blosc_and_empty_chunks_are_not_written(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(1030, 1030)))
    grid = covering_grid(slide.shape, YX(4, 4))
    levels = np.zeros(grid.shape)
    levels[0, 0] = 1
    path = write(slide_result(slide, grid, (display_map("attention", grid, levels),)), tmp_path)
    for array in (path / "0", path / "labels/attention/0"):
        header = strict_json(array / ".zarray")
        assert header["zarr_format"] == 2
        assert header["compressor"]["id"] == "blosc"
        assert header["compressor"]["shuffle"] == 0
        assert header["dimension_separator"] == "/"
        assert header["fill_value"] == 0
    chunks = [file for file in (path / "labels/attention/0").glob("*/*") if file.is_file()]
    assert [str(file.relative_to(path / "labels/attention/0")) for file in chunks] == ["0/0"]


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_labels_are_whole_however_their_tissue_lies_among_empty_chunks(tmp_path, monkeypatch, ngff):
    for module in (ome_zarr_module, ngff_store):
        monkeypatch.setattr(module, "LABEL_CHUNK", 1024)
    slide = FakeSlide(np.full((1100, 5300, 3), 255, np.uint8))
    grid = covering_grid(slide.shape, YX(4, 4))
    levels = np.zeros(grid.shape, np.uint8)
    levels[30, 400:410] = 7  # in the second chunk of the first row alone
    levels[260, [280, 1200, 1324]] = 8, 9, 10  # in the second, the fifth and the last of the second
    shown = display_map("attention", grid, levels)
    [path, *_] = OmeZarrExporter(Settings(ngff=ngff)).write(
        slide_result(slide, grid, (shown,)), tmp_path
    )
    label = zarr.open_group(path / "labels/attention", mode="r")
    expected = levels.repeat(4, 0).repeat(4, 1)[:1100, :5300]
    np.testing.assert_array_equal(label["0"][...], expected)
    np.testing.assert_array_equal(label["1"][...], expected[1::2, 1::2])
    if ngff == "0.4":
        folder = path / "labels/attention/0"
        held = {str(file.relative_to(folder)) for file in folder.glob("*/*")}
        assert held == {"0/1", "1/1", "1/4", "1/5"}


def test_the_pixel_size_for_qupath_is_in_raw_utf8(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(64, 64)), YX(0.5, 0.25), name="Schnitt & <Färbung>")
    text = (write(slide_result(slide), tmp_path) / "OME/METADATA.ome.xml").read_text("utf-8")
    assert 'PhysicalSizeY="0.5"' in text
    assert 'PhysicalSizeX="0.25"' in text
    assert 'PhysicalSizeXUnit="µm"' in text
    assert "&#" not in text


def test_a_slide_without_tissue_is_written(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(64, 64)))
    result = slide_result(slide)
    shown = display_map("attention", result.heatmaps.grid, np.zeros(result.heatmaps.grid.shape))
    nothing = np.full(2, np.nan)
    heatmaps = replace(result.heatmaps, logits=nothing, prediction=nothing)
    path = write(replace(result, maps=(shown,), heatmaps=heatmaps), tmp_path)
    assert not zarr.open_group(path, mode="r")["labels/attention/0"][...].any()
    facts = strict_json(path / ".zattrs")["heatmaps_ome"]
    assert facts["prediction"] == {"MSIH": None, "nonMSIH": None}


def test_nothing_private_is_written(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(64, 64)))
    slide.path = tmp_path / "home" / "somebody" / "slide.svs"
    path = write(slide_result(slide), tmp_path)
    texts = [file.read_text() for file in path.rglob(".z*")]
    assert not any("somebody" in text or str(tmp_path) in text for text in texts)


def test_strips_of_a_slide_are_read_in_bounded_windows():
    rgb = noise_rgb(Shape(50, 9000))
    slide = FakeSlide(rgb)
    lattice = Grid(Shape(50, 9000), YX(1, 1), YX(0, 0), slide.mpp)
    strips = list(read_strips(slide, lattice, 16, threads=3))
    assert [len(strip) for strip in strips] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate(strips), rgb)
    assert max(max(size) for size in slide.l0_reads) <= 4096


def test_reading_ahead_is_bounded():
    started = []

    class Slide(FakeSlide):
        def read(self, lattice, window):
            started.append(window)
            return super().read(lattice, window)

    slide = Slide(noise_rgb(Shape(64, 4)))
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    reading = read_in_order(slide, lattice, [Window(row, 0, 1, 4) for row in range(64)], 2)
    next(reading)
    next(reading)
    assert len(started) <= 2 + 2 + 1
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_a_failing_read_is_raised_and_ends_the_threads():
    class Broken(FakeSlide):
        def read(self, lattice, window):
            raise OSError("a broken tile")

    slide = Broken(noise_rgb(Shape(64, 64)))
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    with pytest.raises(OSError, match="a broken tile"):
        list(read_strips(slide, lattice, 16, threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_json_has_no_nan_and_no_numpy():
    made = json_ready({"a": np.float32(0.5), "b": [np.nan, np.inf, np.int64(3)], "c": (1, None)})
    assert json.dumps(made, allow_nan=False) == '{"a": 0.5, "b": [null, null, 3], "c": [1, null]}'
