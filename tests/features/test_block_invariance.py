"""How a slide is cut into blocks is nobody's business but the memory's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.maps.inference import compute_heatmaps
from heatmaps_ome.models import read_model
from heatmaps_ome.slides.opening import open_slide

MPP = 256 / 224
WHOLE = 4096
# Trained weights: those of a seed answer nearly the same to everything, and so prove little.
TRAINED = load_extractor("tiny", None, "cpu", "float32")
ROUGH = load_extractor("tiny", None, "cpu", "bfloat16")
MODEL = read_model(Path(heatmaps_ome.__file__).parent / "demo" / "data" / "demo-export.pkl")


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "a.svs"
    reader = open_slide(write_slide(path, speckled(603, 877)))
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cache that holds the slide's features from a single block."""
    return tmp_path_factory.mktemp("whole")


def raw_maps(
    slide, tissue, extracted, cache, *,
    block_px, halo_px=TRAINED.halo_px, threads=1, extractor=TRAINED,
):  # fmt: skip
    """Return a slide's raw maps, with the features of the cells of ``extracted`` alone."""
    extractor = replace(extractor, halo_px=halo_px)
    how = Extraction(target_mpp=MPP, block_px=block_px, threads=threads, cache=cache)
    store = extract(slide, extractor, extracted, how, lambda done, total: None)
    grid = feature_grid(slide, extractor, MPP)
    return compute_heatmaps(slide, grid, tissue, store, Pooling(), MODEL)


@settings(max_examples=8, deadline=None)
@given(
    block_px=st.sampled_from([96, 160, 352, 1024]),
    halo_px=st.sampled_from([TRAINED.halo_px, 224, 256, 448]),
    threads=st.integers(1, 4),
    share=st.sampled_from([0.02, 0.3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_raw_values_depend_on_no_block_size_halo_thread_or_skipped_glass(
    slide, whole, tmp_path_factory, block_px, halo_px, threads, share, seed
):
    shape = feature_grid(slide, TRAINED, MPP).shape
    tissue = np.random.default_rng(seed).random(shape) < share
    tissue[0, 0] = True
    found = raw_maps(
        slide, tissue, tissue, tmp_path_factory.mktemp("blocks"),
        block_px=block_px, halo_px=halo_px, threads=threads,
    )  # fmt: skip
    expected = raw_maps(slide, tissue, np.ones(shape, bool), whole, block_px=WHOLE)
    # Sums of convolutions over other sizes run in another order: float32 noise, nothing more.
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.attention, expected.attention, **tolerance)
    np.testing.assert_allclose(found.scores, expected.scores, **tolerance)
    np.testing.assert_allclose(found.contributions, expected.contributions, **tolerance)
    np.testing.assert_allclose(found.prediction, expected.prediction, **tolerance)


@pytest.mark.parametrize("block_px", [96, 160, 352])
def test_in_bfloat16_blocks_change_raw_values_by_half_a_percent_at_most(
    slide, whole, tmp_path, block_px
):
    tissue = np.ones(feature_grid(slide, ROUGH, MPP).shape, bool)
    found = raw_maps(slide, tissue, tissue, tmp_path, block_px=block_px, extractor=ROUGH)
    expected = raw_maps(slide, tissue, tissue, whole, block_px=WHOLE, extractor=ROUGH)
    # oneDNN sums in one order whatever the size, and nothing changes (1e-7). Another order would
    # round some activations to the neighbouring bfloat16, 2^-8 away.
    for name in ("attention", "scores", "contributions"):
        one, other = getattr(found, name), getattr(expected, name)
        assert np.linalg.norm(one - other) < 0.005 * np.linalg.norm(other)


def test_a_halo_below_the_stated_one_would_show(slide, whole, tmp_path):
    tissue = np.ones(feature_grid(slide, TRAINED, MPP).shape, bool)
    short = raw_maps(slide, tissue, tissue, tmp_path, block_px=160, halo_px=32)
    expected = raw_maps(slide, tissue, tissue, whole, block_px=WHOLE)
    assert np.abs(short.attention - expected.attention).max() > 1e-3
