"""Plain tiles are those of the training, and what they say is compared with the very same cells."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_extractors import (
    CLASSES,
    Bordered,
    MeanColourTiles,
    OwnCell,
    load_mean_colour,
    seeded_trunk,
)
from fakes import FakeSlide, covering_grid, heatmap_set, noise_rgb
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.extractors.tiny import tiny_trunk
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.plain_tiles import (
    PlainTiles,
    batches,
    plain_tiles,
    spread,
    stand_ins,
    tissue_tiles,
)
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import YX, Shape, Window, network_pixels
from heatmaps_ome.maps.consistency import WIDE_GAP, Consistency, mean_consistency
from heatmaps_ome.maps.inference import compute_heatmaps
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.models import read_model
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

MPP = 256 / 224


def quiet(done, total):
    pass


def how(folder, block_px=256):
    return Extraction(target_mpp=MPP, block_px=block_px, threads=2, cache=folder)


def slide_of(rgb):
    """Return a slide whose pixels are the network's."""
    return FakeSlide(rgb, YX(MPP, MPP))


def model_of(folder, n_inputs, seed=0):
    path = folder / f"model-{n_inputs}-{seed}.pkl"
    if not path.exists():
        write_export(path, parts=make_parts(n_inputs=n_inputs, seed=seed))
    return read_model(path)


def prediction_of(model, bag):
    """Return marugoto's forward pass of a bag, in our own words."""
    with torch.inference_mode():
        embeddings = model.encoder(torch.as_tensor(np.asarray(bag, np.float32)))
        weights = torch.softmax(model.attention_net(embeddings), dim=0)
        logits = model.head((weights * embeddings).sum(0, keepdim=True))
        return torch.softmax(logits[0].double(), 0).numpy()


def compared(slide, extractor, model, folder, tissue=None, pooling=None, most=1000):
    """Return a slide's maps with their consistency, and the store of its features."""
    grid = feature_grid(slide, extractor, MPP)
    tissue = np.ones(grid.shape, bool) if tissue is None else tissue
    store = extract(slide, extractor, tissue, how(folder), quiet)
    tiles = plain_tiles(slide, extractor, tissue, how(folder), most, quiet)
    pooling = pooling or Pooling()
    return compute_heatmaps(slide, grid, tissue, store, pooling, model, tiles), store


# Which tiles


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40), cols=st.integers(1, 40), seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.6, 1.0]),
)  # fmt: skip
def test_a_tile_is_tissue_if_half_of_its_cells_are(rows, cols, seed, share):
    tissue = np.random.default_rng(seed).random((rows, cols)) < share
    counts = {}
    for row, col in np.argwhere(tissue):
        place = (row // 7 * 7, col // 7 * 7)
        counts[place] = counts.get(place, 0) + 1
    expected = sorted(place for place, count in counts.items() if count >= 25) or sorted(counts)
    assert tissue_tiles(tissue) == [Window(row, col, 7, 7) for row, col in expected]


def test_a_slide_without_such_a_tile_has_those_with_any_tissue():
    tissue = np.zeros((14, 21), bool)
    tissue[:7, 7:10], tissue[13, 20] = True, True
    assert tissue_tiles(tissue) == [Window(0, 7, 7, 7), Window(7, 14, 7, 7)]
    tissue[:4, 10] = True
    assert tissue_tiles(tissue) == [Window(0, 7, 7, 7)]


def test_a_sample_is_the_same_each_time_and_spread_over_the_slide():
    field = tissue_tiles(np.ones((32 * 7, 32 * 7), bool))
    chosen = spread(field, 64)
    assert chosen == spread(field, 64) == sorted(set(chosen))
    blocks = {(tile.row // 28, tile.col // 28) for tile in chosen}
    assert len(blocks) == len(chosen) == 64


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), most=st.integers(1, 80))
def test_a_sample_is_of_the_tissue_and_as_large_as_asked_for(seed, most):
    tissue = np.random.default_rng(seed).random((60, 90)) < 0.5
    known = tissue_tiles(tissue)
    chosen = spread(known, most)
    assert set(chosen) <= set(known)
    assert len(set(chosen)) == len(chosen) == min(most, len(known))
    assert chosen == [tile for tile in known if tile in chosen]


def test_no_tiles_are_asked_for_or_there_is_no_tissue(tmp_path):
    slide, extractor = slide_of(noise_rgb(Shape(448, 448))), OwnCell()
    for tissue, most in ((np.ones((14, 14), bool), 0), (np.zeros((14, 14), bool), 64)):
        assert plain_tiles(slide, extractor, tissue, how(tmp_path), most, quiet) is None
    assert slide.l0_reads == []


# Their features


def test_tiles_are_what_the_network_makes_of_each_alone():
    tiles = np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)
    trunk = tiny_trunk()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    expected = []
    with torch.inference_mode():
        for tile in tiles:
            image = (torch.from_numpy(tile).permute(2, 0, 1) / 255 - mean) / std
            expected.append(trunk(image[None])[0].mean((1, 2)).numpy())
    extractor = load_extractor("tiny", None, "cpu", "float32")
    found = extractor.tiles(tiles)
    assert (found.shape, found.dtype) == ((5, 96), np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    rough = load_extractor("tiny", None, "cpu", "bfloat16").tiles(tiles)
    assert 0 < np.linalg.norm(rough - found) < 0.02 * np.linalg.norm(found)


@pytest.mark.parametrize("size", [(448, 672), (500, 333), (100, 130)])
def test_the_network_sees_the_lattices_tiles_white_beyond_the_slide(tmp_path, size):
    images = []

    class Seen(OwnCell):
        def tiles(self, pixels):
            images.append(pixels.copy())
            return super().tiles(pixels)

    slide, extractor = slide_of(noise_rgb(Shape(*size))), Seen()
    tissue = np.ones(feature_grid(slide, extractor, MPP).shape, bool)
    told = []
    found = plain_tiles(
        slide, extractor, tissue, how(tmp_path), 1000, lambda *counts: told.append(counts)
    )
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    whole = slide.read(lattice, Window(0, 0, *lattice.shape))
    pad = [(0, 224), (0, 224), (0, 0)]
    around = np.pad(whole, pad, constant_values=255)
    seen = np.concatenate(images)
    assert len(seen) == len(found.windows) == found.n_tissue_tiles > 0
    for image, tile in zip(seen, found.windows, strict=True):
        top, left = tile.row * 32, tile.col * 32
        assert np.array_equal(image, around[top : top + 224, left : left + 224])
    np.testing.assert_allclose(found.features, extractor.tiles(seen), rtol=1e-6)
    assert told[0] == (0, len(seen))
    assert told[-1] == (len(seen), len(seen))


def test_batches_take_no_more_memory_than_blocks():
    extractor = MeanColourTiles()  # a halo of 64 px
    for block_px, n_tiles in ((2048, 100), (512, 64), (96, 7), (32, 3)):
        sizes = batches(n_tiles, extractor, block_px)
        assert sum(sizes) == n_tiles
        largest = max(224**2, (block_px + 128) ** 2)
        assert all(0 < size * 224**2 <= largest for size in sizes)
    assert batches(20, extractor, 512) == [6, 6, 6, 2]
    assert batches(2, extractor, 32) == [1, 1]


# The dense grid's side


def test_a_tile_is_stood_in_for_by_its_centre_or_what_is_nearest_to_it_with_tissue_in_reach():
    tissue = np.zeros((14, 12), bool)
    tissue[0:7, 0:7] = True
    tissue[3, 3] = False
    tissue[7:14, 7:12] = True
    tissue[10, 9:12] = False
    tiles = tuple(tissue_tiles(tissue))
    assert tiles == (Window(0, 0, 7, 7), Window(7, 7, 7, 7))
    for reach, places in ((0, [(2, 3), (9, 10)]), (1, [(3, 3), (10, 10)]), (3, [(3, 3), (10, 10)])):
        assert np.argwhere(stand_ins(tiles, tissue, reach)).tolist() == [list(p) for p in places]
    assert not stand_ins((), tissue, 3).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), reach=st.integers(0, 9), share=st.sampled_from([0.02, 0.5, 0.7]))
def test_every_tile_has_one_cell_of_its_own_with_tissue_in_reach(seed, reach, share):
    rng = np.random.default_rng(seed)
    tissue = rng.random(rng.integers(1, 30, 2)) < share
    tiles = tuple(tissue_tiles(tissue))
    mask = stand_ins(tiles, tissue, reach)
    assert mask.sum() == len(tiles)
    for tile in tiles:
        [(row, col)] = np.argwhere(mask[tile.slices]) + tile[:2]
        near = tissue[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
        assert near.any()


def pooled_by_hand(features, tissue, pooling, row, col):
    """Return the features around a cell, averaged over tissue: plain loops."""
    total, weight = np.zeros(features.shape[2]), 0.0
    kernel = pooling.kernel().astype(np.float64)
    for down in range(-pooling.reach, pooling.reach + 1):
        for across in range(-pooling.reach, pooling.reach + 1):
            y, x = row + down, col + across
            if 0 <= y < len(tissue) and 0 <= x < tissue.shape[1] and tissue[y, x]:
                w = kernel[down + pooling.reach] * kernel[across + pooling.reach]
                total, weight = total + w * features[y, x], weight + w
    return total / weight


@pytest.mark.parametrize("pooling", [Pooling(), Pooling("none", 1), Pooling("gaussian", 15)])
def test_both_bags_are_of_the_same_tiles_and_the_models_own(tmp_path, pooling):
    slide, extractor = slide_of(noise_rgb(Shape(900, 1200), 3)), seeded_trunk()
    model = model_of(tmp_path, extractor.channels)
    shape = feature_grid(slide, extractor, MPP).shape
    rng = np.random.default_rng(5)
    tissue = rng.random(shape) < 0.7
    heatmaps, store = compared(slide, extractor, model, tmp_path, tissue, pooling, most=9)
    tiles = tissue_tiles(tissue)
    found = heatmaps.consistency
    assert (found.n_tiles, found.n_tissue_tiles) == (9, len(tiles))
    assert len(tiles) > 9
    assert found.classes == model.classes
    chosen = spread(tiles, 9)
    features = store.read(Window(0, 0, *shape)).astype(np.float64)
    cells = np.argwhere(stand_ins(tuple(chosen), tissue, pooling.reach))
    dense = [pooled_by_hand(features, tissue, pooling, *cell) for cell in cells]
    assert found.dense == pytest.approx(prediction_of(model, dense), abs=1e-5)
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    around = np.pad(
        slide.read(lattice, Window(0, 0, *lattice.shape)),
        [(0, 224), (0, 224), (0, 0)], constant_values=255,
    )  # fmt: skip
    alone = [
        extractor(around[t.row * 32 : t.row * 32 + 224, t.col * 32 : t.col * 32 + 224]).mean((1, 2))
        for t in chosen
    ]
    assert found.plain == pytest.approx(prediction_of(model, alone), abs=1e-5)
    assert found.slide == pytest.approx(heatmaps.prediction)
    assert found.gap == pytest.approx(abs(found.dense[0] - found.plain[0]))
    assert found.gap > 1e-6


def test_maps_are_the_same_whether_tiles_are_looked_at_or_not(tmp_path):
    slide, extractor = slide_of(noise_rgb(Shape(900, 1200), 3)), seeded_trunk()
    model = model_of(tmp_path, extractor.channels)
    tissue = np.random.default_rng(1).random(feature_grid(slide, extractor, MPP).shape) < 0.6
    tissue[:, 20:] = False
    with_tiles, _ = compared(slide, extractor, model, tmp_path, tissue)
    without, _ = compared(slide, extractor, model, tmp_path, tissue, most=0)
    assert without.consistency is None
    for name in ("attention", "scores", "contributions", "logits", "prediction"):
        assert np.array_equal(getattr(with_tiles, name), getattr(without, name), equal_nan=True)


def test_a_centre_in_a_chunk_without_tissue_is_pooled_all_the_same(tmp_path):
    # Chunks of 8 cells: of the tile at column 7 nothing but its first column is in the first.
    slide, extractor = slide_of(noise_rgb(Shape(224, 512))), OwnCell()
    tissue = np.zeros((7, 16), bool)
    tissue[:, 7] = True
    model = model_of(tmp_path, 3)
    heatmaps, store = compared(slide, extractor, model, tmp_path, tissue)
    expected = store.read(Window(0, 7, 7, 1)).mean((0, 1))
    assert heatmaps.consistency.dense == pytest.approx(prediction_of(model, expected[None]))


def test_without_effects_of_borders_there_is_no_gap(tmp_path):
    slide = slide_of(noise_rgb(Shape(7 * 32 * 4, 7 * 32 * 5)))
    heatmaps, _ = compared(slide, OwnCell(), model_of(tmp_path, 3), tmp_path)
    assert heatmaps.consistency.n_tiles == 20
    assert heatmaps.consistency.gap < 1e-6
    assert not heatmaps.consistency.is_wide


def test_strong_effects_of_borders_make_a_wide_gap(tmp_path):
    slide = slide_of(noise_rgb(Shape(7 * 32 * 4, 7 * 32 * 5)))
    heatmaps, _ = compared(slide, Bordered(), model_of(tmp_path, 3), tmp_path, most=6)
    found = heatmaps.consistency
    assert found.gap > WIDE_GAP
    assert found.is_wide
    assert "6 of 20 tiles" in found.warning()


def test_a_slide_smaller_than_a_tile_has_one(tmp_path):
    slide = slide_of(noise_rgb(Shape(40, 70)))
    heatmaps, _ = compared(slide, OwnCell(), model_of(tmp_path, 3), tmp_path)
    assert (heatmaps.consistency.n_tiles, heatmaps.consistency.n_tissue_tiles) == (1, 1)
    assert math.isfinite(heatmaps.consistency.gap)


def test_a_slide_without_tissue_has_nothing_to_compare(tmp_path):
    slide = slide_of(noise_rgb(Shape(448, 448)))
    tissue = np.zeros((14, 14), bool)
    heatmaps, _ = compared(slide, OwnCell(), model_of(tmp_path, 3), tmp_path, tissue)
    assert heatmaps.consistency is None


# What is said


def test_the_sentence_says_what_was_measured_and_no_more():
    some = Consistency(64, 1234, CLASSES, (0.913, 0.087), (0.907, 0.093), (0.95, 0.05))
    assert some.sentence(CLASSES[0]) == (
        "MSIH 0.913 from the dense grid's features of 64 of 1,234 tiles, 0.907 from these tiles "
        "alone as in training; difference 0.006"
    )
    assert some.sentence(CLASSES[1]).startswith("nonMSIH 0.087")
    # The slide may differ from some of its tiles for their sake.
    assert some.slide_gap is None
    assert not replace(some, slide=(0.2, 0.8)).is_wide
    every = replace(some, n_tiles=1234)
    assert every.sentence() == (
        "MSIH 0.913 from the dense grid's features of all 1,234 tiles, 0.907 from these tiles "
        "alone as in training; difference 0.006; MSIH 0.950 from all cells, difference from the "
        "tiles 0.043"
    )
    assert replace(every, slide=(0.2, 0.8)).is_wide


def test_the_class_with_the_widest_gap_is_spoken_of():
    three = Consistency(2, 9, ("A", "B", "C"), (0.5, 0.3, 0.2), (0.5, 0.15, 0.35))
    assert three.gap == pytest.approx(0.15)
    assert three.is_wide
    for name, spoken in (("A", "B"), ("C", "C"), (None, "B"), ("D", "B")):
        assert three.sentence(name).startswith(f"{spoken} ")


def test_a_gap_of_exactly_the_limit_is_not_wide():
    assert not Consistency(1, 1, ("A", "B"), (WIDE_GAP, 1 - WIDE_GAP), (0.0, 1.0)).is_wide
    assert Consistency(1, 1, ("A", "B"), (WIDE_GAP + 0.01, 0.89), (0.0, 1.0)).is_wide


@pytest.mark.parametrize(
    "found",
    [
        Consistency(3, 9, ("A/ä", "=B"), (0.1 + 0.2, 0.7), (1 / 3, 2 / 3), (0.25, 0.75)),
        Consistency(9, 9, ("A", "B", "C"), (0.2, 0.3, 0.5), (0.1, 0.1, 0.8)),
        Consistency(1, 1, ("only",), (1.0,), (1.0,), (1.0,)),
    ],
)
def test_it_survives_its_record_and_the_values_on_disk(tmp_path, found):
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert Consistency.of_record(record) == found
    slide_shape = Shape(100, 140)
    heatmaps = replace(
        heatmap_set(covering_grid(slide_shape), slide_shape, found.classes), consistency=found
    )
    path = write_values(heatmaps, tmp_path, {})
    assert read_values(path).consistency == found


def test_what_is_no_number_is_said_to_be_none(tmp_path):
    nan = math.nan
    found = Consistency(2, 2, CLASSES, (nan, nan), (0.2, 0.8), (nan, nan))
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert (record["gap"], record["slide_gap"], record["wide"]) == (None, None, False)
    again = Consistency.of_record(record)
    assert np.isnan([*again.dense, *again.slide, again.gap, again.slide_gap]).all()
    assert "MSIH unknown from all cells" in found.sentence()
    assert "nan" not in found.sentence()


def test_values_of_the_first_versions_say_nothing_of_it(tmp_path):
    slide_shape = Shape(100, 140)
    path = write_values(heatmap_set(covering_grid(slide_shape), slide_shape), tmp_path, {})
    assert read_values(path).consistency is None
    attributes = json.loads((path / ".zattrs").read_text())
    del attributes["heatmaps_ome"]["consistency"]
    (path / ".zattrs").write_text(json.dumps(attributes))
    assert read_values(path).consistency is None


# The cache


class Counting(OwnCell):
    """Counts the tiles put through it."""

    n_tiles = 0

    def tiles(self, pixels):
        Counting.n_tiles += len(pixels)
        return super().tiles(pixels)


def test_features_of_tiles_are_kept_for_the_next_model_and_only_those_asked_for(tmp_path):
    slide, extractor = slide_of(noise_rgb(Shape(900, 1200))), Counting()
    tissue = np.ones(feature_grid(slide, extractor, MPP).shape, bool)
    Counting.n_tiles = 0

    def features(most=6, extractor=extractor, told=None):
        tell = quiet if told is None else (lambda *counts: told.append(counts))
        return plain_tiles(slide, extractor, tissue, how(tmp_path), most, tell).features

    first = features()
    assert Counting.n_tiles == 6
    told = []
    assert np.array_equal(features(told=told), first)
    assert (Counting.n_tiles, told) == (6, [])
    features(most=7)
    assert Counting.n_tiles == 13
    features(extractor=Counting(digest="other"))
    assert Counting.n_tiles == 19
    for path in (tmp_path / "tiles").glob("*/*"):
        path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(features(), first)
    assert Counting.n_tiles == 25


def test_features_of_bfloat16_are_kept_in_float16_and_none_that_are_no_numbers(tmp_path):
    slide = slide_of(noise_rgb(Shape(448, 448)))
    tissue = np.ones((14, 14), bool)
    exact = plain_tiles(slide, OwnCell(), tissue, how(tmp_path), 9, quiet).features
    rough = OwnCell(digest="rough", precision="bfloat16")
    for _ in range(2):
        found = plain_tiles(slide, rough, tissue, how(tmp_path), 9, quiet).features
        assert found.dtype == np.float32
        assert np.array_equal(found, exact.astype(np.float16).astype(np.float32))

    class Broken(OwnCell):
        def tiles(self, pixels):
            return super().tiles(pixels) * np.nan

    with pytest.raises(ExtractorError, match="no numbers"):
        plain_tiles(slide, Broken(digest="broken"), tissue, how(tmp_path), 9, quiet)


# Whole runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return the means to run create on a slide of a few tiles."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    load_mean_colour.calls = load_mean_colour.tiles = 0
    slide = write_slide(tmp_path / "a.svs", speckled(1600, 2400))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))
    write_export(tmp_path / "other.pkl", parts=make_parts(n_inputs=3, seed=1))

    def run(**changed):
        given = {
            "slides": (slide,), "model_path": tmp_path / "export.pkl",
            "output_path": tmp_path / "out", "true_class": CLASSES[1], "extractor": "mean-colour",
            "block_size": 256, "formats": ("cells",),
        }  # fmt: skip
        [outcome] = create(CreateOptions(**(given | changed)), silent)
        assert outcome.status != "failed", outcome.message
        return outcome

    run.out = tmp_path / "out"
    return run


def records(out):
    [slide] = json.loads((out / "run.json").read_text())["slides"]
    own = json.loads((out / "a" / "provenance.json").read_text())
    return slide["consistency"], own["consistency"]


def test_it_is_recorded_and_told(run):
    outcome = run()
    found = read_values(run.out / "a" / "a.values.ome.zarr").consistency
    assert found == outcome.consistency
    assert found.n_tiles == found.n_tissue_tiles == load_mean_colour.tiles > 6
    assert records(run.out) == (found.record(), found.record())
    assert found.record()["wide_from"] == WIDE_GAP
    told = of_run([outcome], run.out)
    assert f"\n  consistency: {found.sentence(CLASSES[1])}\n" in told
    assert outcome.stages["consistency"]["seconds"] > 0
    again = run()
    assert again.status == "unchanged"
    assert again.consistency == found
    assert records(run.out) == (found.record(), found.record())


def test_a_second_run_computes_no_tile_and_another_model_none_either(run):
    first = run()
    tiles, calls = load_mean_colour.tiles, load_mean_colour.calls
    again = run(att_cmap="viridis", overwrite=True)
    assert again.consistency == first.consistency
    # Maps keep the times of the run that made them.
    assert again.stages["consistency"] == first.stages["consistency"]
    other = run(model_path=run.out.parent / "other.pkl", overwrite=True)
    assert other.consistency.plain != first.consistency.plain
    assert (load_mean_colour.tiles, load_mean_colour.calls) == (tiles, calls)
    fewer = run(consistency_tiles=3, overwrite=True)
    assert fewer.consistency.n_tiles == 3
    assert (load_mean_colour.tiles, load_mean_colour.calls) == (tiles + 3, calls)


def test_it_can_be_left_out(run):
    outcome = run(consistency_tiles=0)
    assert outcome.consistency is None
    assert load_mean_colour.tiles == 0
    assert records(run.out) == (None, None)
    assert "consistency" not in of_run([outcome], run.out)


def test_a_wide_gap_is_warned_of_in_every_run(run, monkeypatch, caplog):
    run()
    assert not caplog.records
    monkeypatch.setitem(extractors.REGISTRY, "bordered", "fake_extractors:load_bordered")
    for _ in range(2):
        caplog.clear()
        outcome = run(extractor="bordered", overwrite=True)
        assert outcome.consistency.is_wide
        [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert warning == f"a.svs: {outcome.consistency.warning()}"
    assert all(record["wide"] for record in records(run.out))


def test_numbers_of_tiles_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="--consistency-tiles"):
        CreateOptions(
            model_path="m", output_path="o", true_class="A", consistency_tiles=-1
        )  # fmt: skip


def test_a_set_of_tiles_says_of_how_many_it_is(tmp_path):
    slide, extractor = slide_of(noise_rgb(Shape(900, 1200))), OwnCell()
    tissue = np.ones(feature_grid(slide, extractor, MPP).shape, bool)
    found = plain_tiles(slide, extractor, tissue, how(tmp_path), 4, quiet)
    assert isinstance(found, PlainTiles)
    assert (len(found.windows), found.features.shape) == (4, (4, 3))
    assert found.n_tissue_tiles == len(tissue_tiles(tissue))


def test_what_several_models_say_of_the_tiles_is_averaged_class_by_class():
    first = Consistency(2, 9, ("A", "B"), (0.9, 0.1), (0.8, 0.2), (0.7, 0.3))
    other = Consistency(2, 9, ("B", "A"), (0.4, 0.6), (0.8, 0.2), (0.9, 0.1))
    found = mean_consistency([first, other.in_class_order(("A", "B"))])
    assert (found.n_tiles, found.n_tissue_tiles, found.classes) == (2, 9, ("A", "B"))
    np.testing.assert_allclose(found.dense, (0.75, 0.25))
    np.testing.assert_allclose(found.plain, (0.5, 0.5))
    np.testing.assert_allclose(found.slide, (0.4, 0.6))
    assert found.gap == pytest.approx(0.25)
    assert mean_consistency([first, None]) is None
