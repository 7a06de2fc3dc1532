"""``--compat reference``: pictures as create_heatmaps.py made them, over unchanged raw values."""

import json

import numpy as np
import pytest
import reference
import tifffile
import zarr
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.display.display_map import DisplayMap
from heatmaps_ome.exporters.figures.framed import Caption, framed
from heatmaps_ome.extractors.tiny import CHANNELS
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

CLASSES = ("A", "B", "C")
MPP = 0.5
L0_CELL = reference.CELL_PX * reference.TARGET_MPP / MPP


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folders of one slide's results, made as usual and like the reference."""
    folder = tmp_path_factory.mktemp("compat")
    write_slide(folder / "a.svs", speckled(700, 1100), mpp=MPP)
    write_export(folder / "m.pkl", parts=make_parts(n_inputs=CHANNELS, n_out=3), classes=CLASSES)
    for compat in (None, "reference"):
        options = CreateOptions(
            slides=(folder / "a.svs",), model_path=folder / "m.pkl", true_class="A",
            output_path=folder / str(compat), extractor="tiny", att_alpha=1.0, compat=compat,
            cache_dir=folder / "cache", formats=("ome-zarr", "ome-tiff"),
        )  # fmt: skip
        assert [o.status for o in create(options, silent)] == ["done"]
    return {None: folder / "None" / "a", "reference": folder / "reference" / "a"}


def raw(folder):
    """Return channel → raw map, and the metadata of its placement, as zarr alone reads them."""
    group = zarr.open_group(folder / "a.values.ome.zarr", mode="r")
    names = [channel["label"] for channel in group.attrs["omero"]["channels"]]
    return dict(zip(names, group["0"][:], strict=True)), group.attrs["multiscales"]


def squares(values, shape, l0_pixel):
    """Return values painted on the reference's squares: by integer division, nothing else."""
    rows, cols = (((np.arange(n) + 0.5) * l0_pixel / L0_CELL).astype(int) for n in shape)
    inside = np.ix_(rows < values.shape[0], cols < values.shape[1])
    padded = np.zeros((*shape, *values.shape[2:]), values.dtype)
    padded[inside] = values[np.ix_(rows[rows < len(values)], cols[cols < values.shape[1]])]
    return padded


def test_raw_values_and_their_place_do_not_change(results):
    usual, compat = raw(results[None]), raw(results["reference"])
    assert usual[1] == compat[1]
    assert usual[0].keys() == compat[0].keys()
    for name, values in usual[0].items():
        assert np.array_equal(values, compat[0][name], equal_nan=True), name


def test_overlays_are_the_references_pictures_on_its_squares(results):
    values, _ = raw(results["reference"])
    tissue = np.isfinite(values["attention"])
    attended = np.nan_to_num(reference.attention_position(values["attention"], tissue))
    pictures = {"attention": (reference.attention_image(attended, tissue), 6)}
    for name in CLASSES:
        score = np.nan_to_num(values[f"score-{name}"])
        position = reference.score_position(score, tissue, len(CLASSES))
        q = np.quantile(np.abs(score[tissue] - 1 / 3), 0.95)
        tolerance = 255 * 2.5 * (0.5 / 254 / (2 * q) + 1 / 256) + 1
        pictures[f"score-{name}"] = (reference.score_image(position, attended, tissue), tolerance)
    for name, (picture, tolerance) in pictures.items():
        found = tifffile.imread(results["reference"] / f"a.{name}.ome.tiff").astype(int)
        l0_pixel = round(700 / found.shape[0])
        expected = squares(picture, found.shape[:2], l0_pixel).astype(int)
        assert np.abs(found[..., 3] - expected[..., 3]).max() <= 1, name
        seen = (found[..., 3] > 0) & (expected[..., 3] > 0)
        assert seen.mean() > 0.3
        assert np.abs(found - expected)[seen].max() <= tolerance, name


def test_labels_lie_on_the_squares_and_usually_do_not(results):
    for compat, on_squares in ((None, False), ("reference", True)):
        values, _ = raw(results[compat])
        tissue = np.isfinite(values["attention"])
        label = zarr.open_group(results[compat] / "a.ome.zarr" / "labels" / "tissue", mode="r")
        found = label["0"][:]
        scale = label.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
        expected = squares(tissue, found.shape, scale["scale"][0] / MPP)
        assert np.array_equal(found > 0, expected) == on_squares


def test_the_choice_is_recorded(results):
    for compat, folder in results.items():
        record = json.loads((folder / "provenance.json").read_text())
        assert record["options"]["compat"] == compat


def test_previews_say_how_they_are_drawn():
    grid = Grid(Shape(4, 4), YX(32, 32), YX(0, 0), YX(0.5, 0.5))
    cells = np.ones((4, 4), np.uint8)
    colours = np.full((256, 4), 255, np.uint8)
    values = np.linspace(0, 1, 256, dtype=np.float32)
    shown = DisplayMap(
        name="attention", kind="attention", class_name=None, title="Attention",
        quantity="attention (logit)", unit="logit", grid=grid, levels=cells, values=values,
        colours=colours, opacity=cells, colour_map="magma", lower=0.0, upper=1.0,
    )  # fmt: skip
    extent = grid.enlarged(100)
    for note in ("", "as create_heatmaps.py drew it"):
        figure = framed(extent, Caption("a", "Attention", "Prediction", note), shown).figure
        texts = [text.get_text() for text in figure.texts]
        assert ("as create_heatmaps.py drew it" in texts) == bool(note)


def test_other_programs_are_not_known(tmp_path, capsys):
    words = ["-m", "m.pkl", "-o", "out", "-t", "A", "a.svs", "--compat", "nonsense"]
    with pytest.raises(SystemExit):
        OptionsParser(CreateOptions, "create", "").parse_args(words)
    assert "it takes reference" in capsys.readouterr().err
    with pytest.raises(ValueError, match="it takes reference"):
        CreateOptions(model_path=tmp_path, output_path=tmp_path, true_class="A", compat="nonsense")
