"""Against create_heatmaps.py: the same where it is right, and every difference from both sides."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openslide
import pytest
import reference
import torch
from fake_extractors import seeded_trunk
from fakes import FakeSlide, covering_grid, heatmap_set
from model_files import REAL_EXPORTS, REAL_MODELS, make_parts, random_features, write_export
from PIL import Image
from slide_files import write_slide

from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.pooling import Pooling, pool
from heatmaps_ome.geometry import YX, Grid, Shape, Window, network_pixels, sample
from heatmaps_ome.models import read_model
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells

MPP = reference.TARGET_MPP
CELL = reference.CELL_PX
SLIDE = Shape(640, 480)
GRID = covering_grid(SLIDE)


@pytest.fixture(params=["made up", *REAL_EXPORTS])
def model(request, tmp_path):
    if request.param == "made up":
        write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=8))
        return read_model(tmp_path / "export.pkl")
    if not REAL_MODELS.is_dir():
        pytest.skip(f"needs the real models in {REAL_MODELS}")
    return read_model(REAL_MODELS / request.param)


def parts_of(model):
    return {"encoder": model.encoder, "attention": model.attention_net, "head": model.head}


def ours(model, features):
    """Return our (rows, cols) attention and (classes, rows, cols) scores of pooled features."""
    shape = features.shape[1:]
    with torch.inference_mode():
        embeddings = model.embed(torch.from_numpy(features.reshape(len(features), -1).T))
        attention = model.attention_logits(embeddings).numpy().reshape(shape)
        scores = model.class_logits(embeddings).softmax(dim=1).T.numpy()
    return attention, scores.reshape(-1, *shape)


def pooled_features(model):
    return random_features(model, 35).T.reshape(-1, 5, 7).numpy()


def displayed(heatmaps, **style):
    """Return a slide's maps by name, scaled by itself alone."""
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    scaling = fit.fit("cohort", "model", "extractor")
    names = heatmaps.classes
    maps = display_maps(heatmaps, scaling, Style(**style), names, names[0])
    return {each.name: each for each in maps}


def quiet(done, total):
    pass


# --- where we agree ---


def test_attention_of_the_same_features_is_the_references(model):
    features = pooled_features(model)
    expected = reference.attention_logits(parts_of(model), features)
    np.testing.assert_allclose(ours(model, features)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_gaussian_is_the_references_where_all_is_tissue():
    features = np.random.default_rng(0).random((4, 40, 44)).astype(np.float32)
    expected = reference.gaussian_blurred(features)[:, 7:-7, 7:-7]
    found = pool(features.transpose(1, 2, 0), np.ones((40, 44), bool), Pooling("gaussian", 15))
    np.testing.assert_allclose(found.transpose(2, 0, 1), expected, rtol=1e-5)


def test_tissue_is_the_references_on_an_ordinary_slide(shared_data):
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with openslide.OpenSlide(path) as file:
        mosaic = reference.slide_mosaic(file)
    slide = open_slide(path)
    scale = MPP / slide.mpp.y
    shape = Shape(mosaic.shape[0] // CELL, mosaic.shape[1] // CELL)
    squares = Grid(shape, YX(CELL * scale, CELL * scale), YX(0, 0), slide.mpp)
    found = tissue_cells(slide, squares, 224)
    slide.close()
    expected = reference.tissue_mask(mosaic, shape)
    assert 0.05 < expected.mean() < 0.95
    assert (found == expected).mean() > 0.97


def test_attention_is_scaled_and_coloured_as_by_the_reference():
    heatmaps = heatmap_set(GRID, SLIDE)
    shown = displayed(heatmaps, attention_alpha=1.0)["attention"]
    position = reference.attention_position(heatmaps.attention, heatmaps.tissue)
    expected = reference.attention_image(np.nan_to_num(position), heatmaps.tissue)
    assert np.array_equal(shown.opacity, expected[..., 3])
    assert colour_error(shown, expected, heatmaps.tissue) <= 6


@pytest.mark.parametrize("like_reference", [False, True])
def test_scores_of_two_classes_are_coloured_as_by_the_reference(like_reference):
    heatmaps = heatmap_set(GRID, SLIDE)
    shown = displayed(heatmaps, like_reference=like_reference)["score-MSIH"]
    expected, tolerance = reference_score_image(heatmaps, 0)
    assert np.abs(shown.opacity.astype(int) - expected[..., 3]).max() <= 1
    assert colour_error(shown, expected, heatmaps.tissue) <= tolerance


def reference_score_image(heatmaps, index):
    """Return the reference's picture of a score, and how far one of 255 levels may be off."""
    tissue, n_classes = heatmaps.tissue, len(heatmaps.classes)
    score = np.nan_to_num(heatmaps.scores[index])
    position = reference.score_position(score, tissue, n_classes)
    attended = np.nan_to_num(reference.attention_position(heatmaps.attention, tissue))
    q = np.quantile(np.abs(score[tissue] - 1 / n_classes), 0.95)
    # Our levels are 1/254 of a probability; coolwarm's steepest channel changes by 2.5 a unit.
    tolerance = 255 * 2.5 * (0.5 / 254 / (2 * q) + 1 / 256) + 1
    return reference.score_image(position, attended, tissue), tolerance


def colour_error(shown, expected, tissue):
    """Return the largest difference of colours, in 1/255, over the tissue."""
    painted = shown.colours[shown.levels].astype(int)[..., :3]
    return np.abs(painted - expected[..., :3].astype(int))[tissue].max()


# --- Batch normalisation ---


def test_batch_norm_is_forgotten_by_the_reference_and_kept_by_us(model):
    features = pooled_features(model)
    parts, scores = parts_of(model), ours(model, features)[1]
    remembered = reference.scores(parts, features, forget_norm=False)
    np.testing.assert_allclose(scores, remembered, rtol=1e-3, atol=1e-5)
    forgotten = reference.scores(parts, features)
    assert np.abs(scores - forgotten).max() > 0.05


# --- Place ---


def impulse_responses(trunk, side=768, spots=range(320, 352, 4)):
    """Yield (network px of a one-pixel landmark, energy of the trunk's response per cell)."""
    blank = np.full((side, side, 3), 200, np.uint8)
    before = trunk(blank)
    for spot in spots:
        marked = blank.copy()
        marked[spot, spot] = 0
        yield spot + 0.5, ((trunk(marked) - before) ** 2).sum(axis=0)


def centroid_px(energy, grid=None):
    """Return the (y, x) centre of a map's energy: drawn by the reference, or placed by a grid."""
    if grid is None:
        size = tuple(CELL * n for n in energy.shape)
        energy = reference.overlay(energy.astype(np.float32), size)
        grid = Grid(Shape(*size), YX(1, 1), YX(0, 0), YX(MPP, MPP))
    rows, cols = np.indices(energy.shape) + 0.5
    total = energy.sum()
    return grid.l0_from_g(YX((rows * energy).sum() / total, (cols * energy).sum() / total))


def test_a_landmark_is_drawn_16_px_down_right_by_the_reference_and_in_place_by_us():
    trunk = seeded_trunk()
    slide = FakeSlide(np.full((768, 768, 3), 200, np.uint8), mpp=YX(MPP, MPP))
    grid = feature_grid(slide, trunk, MPP)
    theirs, mine = [], []
    for spot, energy in impulse_responses(trunk):
        theirs.append(np.subtract(centroid_px(energy), spot))
        mine.append(np.subtract(centroid_px(energy, grid), spot))
    # Averaged over all places of a landmark within a cell.
    assert np.mean(theirs, axis=0) == pytest.approx([15.5, 15.5], abs=1.5)
    assert np.mean(mine, axis=0) == pytest.approx([0, 0], abs=1.5)
    assert np.subtract(theirs, mine) == pytest.approx(15.5, abs=0.01)


def test_the_reference_stretches_its_map_over_the_picture_and_ours_keeps_its_cells():
    # 1009 px are 31.5 cells; the network gives 32, which the reference squeezes into them.
    cells = np.zeros((1, 32), np.uint8)
    cells[0, 30] = 255
    painted = np.flatnonzero(reference.overlay(cells, (32, 1009))[0])
    assert (painted[0], painted[-1] + 1) == pytest.approx((30 * 1009 / 32, 31 * 1009 / 32), abs=1)
    grid = Grid(Shape(1, 32), YX(CELL, CELL), YX(0.5 - 16, 0.5 - 16), YX(MPP, MPP))
    raster = Grid(Shape(1, 1009), YX(1, 1), YX(0, 0), YX(MPP, MPP))
    placed = np.flatnonzero(sample(cells, grid, raster, 0)[0])
    assert (placed[0] + placed[-1] + 1) / 2 == pytest.approx(30 * 32 + 0.5, abs=0.5)


def test_the_references_mosaic_drifts_and_our_pixels_do_not(tmp_path):
    # Pieces of 278 level-0 px are 121.4 network px, of which the reference makes 121.
    rgb = np.full((400, 2220, 3), 255, np.uint8)
    rgb[180:220, 2080:2120] = 0
    path = write_slide(tmp_path / "a.svs", rgb, mpp=0.499)
    with openslide.OpenSlide(path) as file:
        mosaic = reference.slide_mosaic(file)
    slide = open_slide(path)
    pixels = network_pixels(slide.shape, slide.mpp, MPP)
    image = slide.read(pixels, Window(0, 0, *pixels.shape))
    slide.close()
    true = 2100 * 0.499 / MPP
    assert dark_column(mosaic[:, :960]) < true - 2
    assert dark_column(image) == pytest.approx(true, abs=0.2)


def dark_column(image):
    """Return the column, in pixels, around which darkness lies."""
    darkness = (255.0 - image[..., 0]).sum(axis=0)
    return (darkness * (np.arange(len(darkness)) + 0.5)).sum() / darkness.sum()


# --- Seams ---


def test_slices_are_wrong_beside_their_cuts_and_our_blocks_nowhere(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    trunk = seeded_trunk()
    whole = trunk(rgb)
    sliced = reference.features_in_slices(trunk.trunk, rgb, 2)
    wrong = np.linalg.norm(sliced - whole, axis=0) / np.linalg.norm(whole, axis=0)
    assert wrong[2:-2, 7:9].min() > 10 * wrong[2:-2, :2].max()
    assert wrong[2:-2, 7:9].mean() > 0.05
    slide = FakeSlide(rgb, mpp=YX(MPP, MPP))
    how = Extraction(target_mpp=MPP, block_px=128, threads=1, cache=tmp_path)
    store = extract(slide, trunk, np.ones(whole.shape[1:], bool), how, quiet)
    found = store.read(Window(0, 0, *whole.shape[1:])).transpose(2, 0, 1)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


# --- Glass ---


@dataclass
class SeeThroughSlide:
    """What openslide-python says of a slide whose right half was never scanned."""

    path: object = None
    _osr: object = None
    dimensions: tuple = (800, 640)
    level_dimensions: tuple = ((800, 640),)
    level_downsamples: tuple = (1.0,)
    properties: dict = field(
        default_factory=lambda: {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}
    )

    @staticmethod
    def detect_format(path):
        return "see-through"

    def read_region(self, location, level, size):
        rgba = np.zeros((size[1], size[0], 4), np.uint8)
        scanned = np.arange(location[0], location[0] + size[0]) < 400
        rgba[:, scanned] = (240, 240, 240, 255)
        return Image.fromarray(rgba)

    def close(self):
        pass


def test_transparent_tissue_is_the_references_and_glass_is_ours(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "a.svs", np.zeros((640, 800, 3), np.uint8))
    monkeypatch.setattr(openslide, "OpenSlide", SeeThroughSlide)
    monkeypatch.setattr(openslide.lowlevel, "read_icc_profile", lambda _: None)
    assert_transparent_is_tissue_only_to_the_reference(
        SeeThroughSlide(), open_slide(path), lambda col: col > 5
    )


def test_transparent_tissue_is_the_references_on_a_real_mirax_too(shared_data):
    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    slide = open_slide(path)
    left = slide.bounds.col * slide.mpp.x / MPP / CELL
    with openslide.OpenSlide(path) as file:
        assert_transparent_is_tissue_only_to_the_reference(file, slide, lambda c: c + 2 < left)


def assert_transparent_is_tissue_only_to_the_reference(file, slide, is_transparent):
    mosaic = reference.slide_mosaic(file)
    shape = (mosaic.shape[0] // CELL, mosaic.shape[1] // CELL)
    theirs = reference.tissue_mask(mosaic, shape)
    cell = YX(CELL * MPP / slide.mpp.y, CELL * MPP / slide.mpp.x)
    mine = tissue_cells(slide, Grid(Shape(*shape), cell, YX(0, 0), slide.mpp), 224)
    slide.close()
    columns = [col for col in range(shape[1]) if is_transparent(col)]
    assert len(columns) > 3
    assert theirs[:, columns].all()
    assert not mine[:, columns].any()


def test_glass_bleeds_into_edges_of_tissue_in_the_reference_and_not_in_ours():
    tissue = np.zeros((31, 31), bool)
    tissue[:, :15] = True
    features = tissue.astype(np.float32)[None]
    theirs = reference.gaussian_blurred(features)[0, 15, 14]
    assert theirs < 0.6
    for pooling in (Pooling(), Pooling("gaussian", 15)):
        reach = pooling.reach
        mine = pool(features[0][..., None], tissue, pooling)
        assert mine[15 - reach, 14 - reach, 0] == pytest.approx(1)


def test_the_average_is_of_one_training_tile_and_the_references_blur_of_far_more():
    impulse = np.zeros((1, 31, 31), np.float32)
    impulse[0, 15, 15] = 1
    tile = (slice(12, 19), slice(12, 19))
    assert reference.gaussian_blurred(impulse)[0][tile].sum() < 0.75
    mine = np.pad(pool(impulse[0][..., None], np.ones((31, 31), bool), Pooling())[..., 0], 3)
    assert mine[tile].sum() == pytest.approx(1)
    assert mine[tile] == pytest.approx(1 / 49)


# --- Chance ---


def test_chance_of_three_classes_is_a_third_up_the_references_colours_and_our_middle():
    heatmaps = heatmap_set(GRID, SLIDE, classes=("A", "B", "C"))
    score = np.array([[1 / 3, 0.9, 0.1]])
    mask = np.ones(score.shape, bool)
    assert reference.score_position(score, mask, 3)[0, 0] == pytest.approx(1 / 3)
    true = displayed(heatmaps)["score-B"]
    assert (true.lower + true.upper) / 2 == pytest.approx(1 / 3)
    as_theirs = displayed(heatmaps, like_reference=True)["score-B"]
    share = (1 / 3 - as_theirs.lower) / (as_theirs.upper - as_theirs.lower)
    assert share == pytest.approx(1 / 3)
    expected, tolerance = reference_score_image(heatmaps, 1)
    assert colour_error(as_theirs, expected, heatmaps.tissue) <= tolerance
    assert colour_error(true, expected, heatmaps.tissue) > 2 * tolerance


def _named_in(file: str, test: str) -> str:
    """Return the name of a test of a file beside this one, which must be there."""
    assert f"def {test}(" in Path(__file__).with_name(file).read_text(encoding="utf-8")
    return test


DIFFERENCES = {
    "Batch normalisation": test_batch_norm_is_forgotten_by_the_reference_and_kept_by_us,
    "Place": test_a_landmark_is_drawn_16_px_down_right_by_the_reference_and_in_place_by_us,
    "Stretch": test_the_reference_stretches_its_map_over_the_picture_and_ours_keeps_its_cells,
    "Mosaic": test_the_references_mosaic_drifts_and_our_pixels_do_not,
    "Seams": test_slices_are_wrong_beside_their_cuts_and_our_blocks_nowhere,
    "Transparent tissue": test_transparent_tissue_is_the_references_and_glass_is_ours,
    "Glass": test_glass_bleeds_into_edges_of_tissue_in_the_reference_and_not_in_ours,
    "Average": test_the_average_is_of_one_training_tile_and_the_references_blur_of_far_more,
    "Chance": test_chance_of_three_classes_is_a_third_up_the_references_colours_and_our_middle,
    "Precision": _named_in(
        "test_precision.py", "test_a_trained_network_in_bfloat16_gives_the_same_maps_to_5_percent"
    ),
}


def test_readme_names_every_difference_that_a_test_holds_and_no_other():
    page = Path(__file__).parents[2] / "scripts" / "README.md"
    text = page.read_text(encoding="utf-8")
    section = text.split("## `create_heatmaps.py`")[1].split("\n## ")[0]
    assert re.findall(r"^- \*\*(.+?)\.\*\*", section, re.MULTILINE) == list(DIFFERENCES)
