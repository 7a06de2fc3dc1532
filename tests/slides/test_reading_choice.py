"""``--read-from``: network pixels from the coarsest sufficient level, or always from level 0."""

import json

import numpy as np
import pytest
from fake_extractors import MeanColourTiles
from model_files import make_parts, write_export
from PIL import Image, ImageFilter
from slide_files import speckled, write_slide

from heatmaps_ome.cli import main as cli
from heatmaps_ome.extractors.tiny import CHANNELS
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.geometry import Window, network_pixels
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.slides.opening import open_slide

MPP = 256 / 224


def read_both(path, mpp=None):
    """Return {"level": …, "level0": …} of (level, pixels of the whole slide)."""
    found = {}
    for read_from in ("level", "level0"):
        slide = open_slide(path, mpp, read_from)
        lattice = network_pixels(slide.shape, slide.mpp, MPP)
        pixels = slide.read(lattice, Window(0, 0, *lattice.shape)).astype(int)
        found[read_from] = slide.level_for(lattice.l0_cell), pixels
        slide.close()
    return found


@pytest.mark.parametrize("name", ["mirax-cmu-bounds.mrxs", "philips-cmu.tiff"])
def test_both_ways_agree_within_4_grey_levels_on_real_slides(shared_data, name):
    found = read_both(shared_data / "slides" / name)
    assert (found["level"][0], found["level0"][0]) == (1, 0)
    difference = np.abs(found["level"][1] - found["level0"][1])
    assert 0 < difference.mean() < 4
    # Where the slide is smooth nothing but a shift would show, and there is none.
    best = min(
        (np.abs(np.roll(found["level"][1], shift, (0, 1)) - found["level0"][1]).mean(), shift)
        for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    )
    assert best[1] == (0, 0)


def test_a_level_that_is_too_coarse_is_never_read(shared_data):
    found = read_both(shared_data / "slides" / "aperio-3levels-cmu.svs")
    assert found["level"][0] == 0
    assert np.array_equal(found["level"][1], found["level0"][1])


def test_both_ways_agree_within_a_grey_level_where_a_lossless_slide_is_smooth(tmp_path):
    blurred = Image.fromarray(speckled(803, 1077)).filter(ImageFilter.GaussianBlur(8))
    path = write_slide(tmp_path / "a.svs", np.asarray(blurred), mpp=0.25)
    found = read_both(path)
    assert found["level"][0] > 0
    difference = np.abs(found["level"][1] - found["level0"][1])
    assert difference[4:-4, 4:-4].mean() < 1


def test_features_of_each_way_are_cached_apart(tmp_path):
    path = write_slide(tmp_path / "a.svs", speckled(803, 1077), mpp=0.25)
    how = Extraction(target_mpp=MPP, block_px=1024, threads=1, cache=tmp_path / "cache")
    folders = set()
    for read_from in ("level", "level0", "level"):
        slide = open_slide(path, read_from=read_from)
        tissue = np.ones(feature_grid(slide, MeanColourTiles(), MPP).shape, bool)
        store = extract(slide, MeanColourTiles(), tissue, how, lambda done, total: None)
        folders.add(store.folder)
        slide.close()
    assert len(folders) == 2


def test_the_choice_reaches_the_features_and_the_records(tmp_path):
    write_slide(tmp_path / "a.svs", speckled(803, 1077), mpp=0.25)
    write_export(tmp_path / "m.pkl", parts=make_parts(n_inputs=CHANNELS))
    for read_from in ("level", "level0"):
        options = CreateOptions(
            slides=(tmp_path / "a.svs",), model_path=tmp_path / "m.pkl", true_class="MSIH",
            output_path=tmp_path / read_from, extractor="tiny", formats=("ome-tiff",),
            cache_dir=tmp_path / "cache", read_from=read_from,
        )  # fmt: skip
        assert [o.status for o in create(options, silent)] == ["done"]
        record = json.loads((tmp_path / read_from / "a" / "provenance.json").read_text())
        assert record["options"]["read_from"] == read_from
    for kind in ("pixels", "features", "maps"):
        assert len(list((tmp_path / "cache" / kind).iterdir())) == 2


def test_info_says_which_level_is_read(tmp_path, capsys):
    path = write_slide(tmp_path / "a.svs", speckled(803, 1077), mpp=0.25)
    assert cli.main(["info", str(path)]) == 0
    assert "level 2 (for 1.143 µm per pixel)" in capsys.readouterr().out
