"""Raw maps are the same whether the network waits for the whole slide or follows its reading."""

from dataclasses import replace

import numpy as np
from fake_extractors import MeanColourTiles
from fakes import FakeSlide
from model_files import make_parts, write_export
from slide_files import speckled

from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.maps.raw_maps import Recipe, raw_maps
from heatmaps_ome.models import read_model
from heatmaps_ome.run.stopwatch import Stages
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
        extractor=MeanColourTiles(), model=read_model(folder / "m.pkl"), pooling=Pooling(),
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
    recipe = replace(recipe, extractor=Noted(), extraction=replace(recipe.extraction, cache=folder))
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
