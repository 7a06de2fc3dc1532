"""Evidence: the contribution less its mean over the classes, in values, drawings and tables."""

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr
from fakes import covering_grid, heatmap_set
from viewer_results import write_results

from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.maps.ensemble import combined
from heatmaps_ome.options import FORMATS

CLASSES = ("MSI-H / high", "MSS", "other")
SLIDE = Shape(700, 900)
GRID = covering_grid(SLIDE)


def test_evidence_is_what_a_loop_over_cells_and_classes_finds():
    heatmaps = heatmap_set(GRID, SLIDE, CLASSES)
    found = heatmaps.values("evidence")
    for row, col in np.argwhere(heatmaps.tissue)[::11]:
        own = [float(heatmaps.contributions[index, row, col]) for index in range(3)]
        expected = [value - sum(own) / 3 for value in own]
        assert found[:, row, col] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(np.isnan(found[0]), ~heatmaps.tissue)


def test_it_is_all_that_moves_the_probability():
    """The softmax of the sums of evidence is the prediction, as that of the contributions is."""
    heatmaps = heatmap_set(GRID, SLIDE, CLASSES)
    sums = np.nansum(heatmaps.values("evidence").astype(np.float64), axis=(1, 2))
    powers = np.exp(sums - sums.max())
    assert powers / powers.sum() == pytest.approx(heatmaps.prediction, abs=1e-6)


def test_there_is_none_without_contributions_or_of_one_class():
    assert heatmap_set(GRID, SLIDE, CLASSES, contributions=False).values("evidence") is None
    alone = heatmap_set(GRID, SLIDE, ("only",))
    assert alone.values("evidence") is None
    assert not any(channel.key.kind == "evidence" for channel in channels(alone))


def test_that_of_several_models_is_the_mean_of_theirs():
    parts = [heatmap_set(GRID, SLIDE, CLASSES, seed, np.ones(GRID.shape, bool)) for seed in (1, 2)]
    found = combined(parts, [("a", "0"), ("b", "1")])
    mean = np.mean([part.values("evidence") for part in parts], axis=0)
    np.testing.assert_allclose(found.values("evidence"), mean, rtol=1e-5, atol=1e-8)
    spread = np.std([part.values("evidence") for part in parts], axis=0, ddof=1)
    np.testing.assert_allclose(found.spread["evidence"], spread, rtol=1e-4, atol=1e-7)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("evidence")
    folder, result = write_results(
        out,
        SLIDE,
        YX(0.5, 0.5),
        GRID,
        classes=CLASSES,
        formats=FORMATS,
        settings=Settings(flattened=True),
    )
    return folder, result.heatmaps


def test_it_is_in_every_format(written):
    folder, heatmaps = written
    said = json.loads((folder / "maps.json").read_text())
    maps = {each["class"]: each for each in said["maps"] if each["kind"] == "evidence"}
    assert list(maps) == list(CLASSES)
    names = [channel.name for channel in channels(heatmaps)]
    raw = zarr.open_array(folder / "slide.values.ome.zarr" / "0", mode="r")[...]
    for index, (class_name, shown) in enumerate(maps.items()):
        assert shown["kind_title"] == "Evidence"
        assert (shown["unit"], shown["range"]["middle"]) == ("logit", 0)
        assert shown["range"]["ends"] == [f"against {class_name}", f"for {class_name}"]
        assert names[shown["channel"]] == shown["name"]
        expected = heatmaps.values("evidence")[index]
        assert np.array_equal(raw[shown["channel"]], expected, equal_nan=True)
        assert (folder / "slide.ome.zarr" / "labels" / shown["name"] / "0").is_dir()
        assert (folder / shown["flat"]).is_dir()
        with tifffile.TiffFile(folder / shown["overlay"]) as overlay:
            assert overlay.series[0].shape[-1] == 4
        for what in ("overlay", "map"):
            assert (folder / "previews" / f"{shown['name']}-{what}.png").is_file()
    part = json.loads((folder / "slide.report.json").read_text())
    assert [each["class"] for each in part["maps"] if each["kind"] == "evidence"] == list(CLASSES)
    with (folder / "slide.cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    column = np.array([row["evidence: MSS"] for row in rows], np.float32)
    assert np.array_equal(column, heatmaps.values("evidence")[1][heatmaps.tissue])
