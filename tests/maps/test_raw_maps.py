"""Raw maps are the same whether the network waits for the whole slide or follows its reading."""

from dataclasses import replace

import numpy as np
from fake_extractors import MeanColourTiles
from fakes import FakeSlide
from model_files import make_parts, write_export
from slide_files import speckled

from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.features.lanes import Lanes
from heatmaps_ome.features.plain_tiles import tissue_tiles
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.raw_maps import Recipe, raw_maps
from heatmaps_ome.models import read_model
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.artefacts import KINDS
from heatmaps_ome.slides.working_copy import WorkingCopy

MPP = 256 / 224


class Logged(FakeSlide):
    """Notes what is read, in a log that the network writes to as well."""

    def __init__(self, rgb, log):
        super().__init__(rgb)
        self.log = log

    def read(self, lattice, window):
        self.log.append("read")
        return super().read(lattice, window)


def recipe_in(folder, mask_threshold):
    write_export(folder / "m.pkl", parts=make_parts(n_inputs=3))
    return Recipe(
        lanes=Lanes([MeanColourTiles()]), model=read_model(folder / "m.pkl"), pooling=Pooling(),
        extraction=Extraction(MPP, 256, 1, folder), mask_threshold=mask_threshold,
        read_from="level", overlaps=False,
    )  # fmt: skip


def made(folder, recipe, rgb, log):
    class Noted(MeanColourTiles):
        def __call__(self, pixels, keep=None):
            log.append("network")
            return super().__call__(pixels, keep)

    slide = Logged(rgb, log)
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    copy = WorkingCopy(slide, slide.fingerprint(), lattice, folder, threads=1)
    recipe = replace(
        recipe, lanes=Lanes([Noted()]), extraction=replace(recipe.extraction, cache=folder)
    )
    told = []
    stages = Stages({}, lambda stage, *counts: told.append((stage, *counts)))
    [found] = raw_maps(copy, [recipe], stages)
    copy.close()
    return found, told


def test_the_network_may_follow_the_reading(tmp_path):
    recipe = recipe_in(tmp_path, mask_threshold=256)
    # Long enough that the first rows of blocks are known long before the last are read.
    rgb = np.repeat(speckled(600, 300), 24, axis=0)
    waiting, following = [], []
    expected, told = made(tmp_path / "waits", recipe, rgb, waiting)
    assert waiting.index("network") > len(waiting) - waiting[::-1].index("read") - 1
    assert {stage for stage, *_ in told} == {"reading", "features"}
    assert told[-1] == ("features", told[-1][2], told[-1][2])
    found, told = made(tmp_path / "follows", replace(recipe, overlaps=True), rgb, following)
    assert following.index("network") < len(following) - following[::-1].index("read") - 1
    assert {stage for stage, *_ in told} == {"features"}
    assert told[-1] == ("features", told[-1][2], told[-1][2])
    for name in ("tissue", "attention", "scores", "contributions", "logits"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True)


def test_maps_found_in_the_cache_are_those_that_were_made(tmp_path):
    recipe = recipe_in(tmp_path, mask_threshold=230)
    log = []
    rgb = speckled(600, 300)
    expected, _ = made(tmp_path / "cache", recipe, rgb, log)
    n_steps = len(log)
    found, told = made(tmp_path / "cache", recipe, rgb, log)
    assert len(log) == n_steps
    assert told == []
    for name in ("tissue", "attention", "scores", "contributions", "logits", "prediction"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True)
    other = replace(recipe, pooling=Pooling("none", 1))
    made(tmp_path / "cache", other, rgb, log)
    assert len(log) == n_steps
    assert len(list((tmp_path / "cache" / "maps").iterdir())) == 2


INK = (10, 140, 60)


def inked():
    """Return tissue with green ink on the upper left quarter, up to pixel 600: (1100, 1100, 3)."""
    rgb = speckled(1100, 1650)[:, :1100].copy()
    noise = np.random.default_rng(0).integers(-8, 8, (600, 600, 3))
    rgb[:600, :600] = np.clip(np.array(INK) + noise, 0, 255)
    return rgb


def test_cells_on_chosen_artefacts_are_no_tissue_and_are_counted(tmp_path):
    recipe = replace(recipe_in(tmp_path, mask_threshold=224), consistency_tiles=64)
    whole, _ = made(tmp_path / "whole", recipe, inked(), [])
    pen = whole.artefacts == 1 + KINDS.index("pen")
    assert 50 < pen.sum() < whole.tissue.sum() / 2
    assert whole.excluded == {}
    for overlaps in (False, True):
        chosen = replace(recipe, excluded=("pen", "dark"), overlaps=overlaps)
        found, told = made(tmp_path / f"chosen-{overlaps}", chosen, inked(), [])
        assert np.array_equal(found.tissue, whole.tissue & ~pen)
        assert found.excluded == {"pen": pen.sum(), "dark": 0}
        assert np.isnan(found.attention[pen]).all()
        assert np.isnan(found.scores[:, pen]).all()
        assert np.array_equal(found.artefacts, np.where(pen, 0, whole.artefacts))
        assert not np.allclose(found.prediction, whole.prediction)
        expected = len(tissue_tiles(found.tissue))
        assert found.consistency.n_tissue_tiles == expected < whole.consistency.n_tissue_tiles
        assert {"reading", "features"} <= {stage for stage, *_ in told}


def test_a_slide_that_is_nothing_but_a_chosen_artefact_has_no_prediction(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 30, (292, 292, 1), np.uint8).repeat(3, axis=2)
    recipe = replace(recipe_in(tmp_path, mask_threshold=224), excluded=("dark",))
    found, _ = made(tmp_path / "dark", recipe, rgb, [])
    assert (found.tissue_cells, found.brightness) == (0, None)
    assert found.excluded["dark"] == found.tissue.size
    assert np.isnan(found.prediction).all()


def test_what_was_left_out_and_the_brightness_come_back_from_the_cache(tmp_path):
    recipe = replace(recipe_in(tmp_path, mask_threshold=224), excluded=("pen",))
    first, _ = made(tmp_path / "cache", recipe, inked(), [])
    again, told = made(tmp_path / "cache", recipe, inked(), [])
    assert told == []
    assert again.excluded == first.excluded
    assert again.excluded["pen"] > 0
    assert again.brightness == first.brightness > 60
