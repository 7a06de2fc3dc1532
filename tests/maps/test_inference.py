import gc
import weakref

import numpy as np
import pytest
import torch
from fake_extractors import seeded_trunk
from fakes import FakeSlide, noise_rgb
from torch import nn

from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.pooling import Pooling, pool
from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.maps import inference
from heatmaps_ome.maps.inference import compute_heatmaps
from heatmaps_ome.models.attention_mil import AttentionMIL

CLASSES = ("A", "B", "C")


def seeded_model(n_features: int, seed: int = 0, width: int = 16) -> AttentionMIL:
    """Return a model of marugoto's shape with a trained-looking batch norm."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm1d(width)
    with torch.no_grad():
        norm.running_mean.uniform_(0.1, 0.3)
        norm.running_var.uniform_(0.03, 0.08)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-0.5, 0.5)
    return AttentionMIL(
        encoder=nn.Sequential(nn.Linear(n_features, width), nn.ReLU()).eval(),
        attention_net=nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1)).eval(),
        head=nn.Sequential(nn.Flatten(), norm, nn.Dropout(), nn.Linear(width, len(CLASSES))).eval(),
        classes=CLASSES,
        n_features=n_features,
        covariate_columns=(),
        target_label=None,
        digest="seeded",
    )


class MILModel(nn.Module):
    """marugoto's forward pass in our own words (models.md A.1): bag → logits."""

    def __init__(self, model: AttentionMIL):
        super().__init__()
        self.model = model

    def forward(self, bag):
        embeddings = self.model.encoder(bag)
        weights = torch.softmax(self.model.attention_net(embeddings), dim=0)
        return self.model.head((weights * embeddings).sum(0, keepdim=True))[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    slide = FakeSlide(noise_rgb(Shape(900, 1000)))
    extractor = seeded_trunk()
    grid = feature_grid(slide, extractor, 256 / 224)
    tissue = np.random.default_rng(0).random(grid.shape) < 0.5

    def compute(pooling, block_px=128, model=None):
        how = Extraction(256 / 224, block_px, 2, tmp_path_factory.mktemp("cache"))
        store = extract(slide, extractor, tissue, how, lambda done, total: None)
        model = model or seeded_model(extractor.channels)
        return compute_heatmaps(slide, grid, tissue, store, pooling, model), store

    return compute


def pooled_by_hand(store, tissue, pooling):
    margin = [(pooling.reach, pooling.reach)] * 2
    features = np.nan_to_num(store.read(Window(0, 0, *tissue.shape)))
    pooled = pool(np.pad(features, [*margin, (0, 0)]), np.pad(tissue, margin), pooling)
    return torch.from_numpy(pooled[tissue])


@pytest.mark.parametrize("pooling", [Pooling(), Pooling("none", 1), Pooling("gaussian", 15)])
def test_maps_and_prediction_are_the_models_own(run, pooling):
    heatmaps, store = run(pooling)
    model = seeded_model(96)
    bag = pooled_by_hand(store, heatmaps.tissue, pooling)
    with torch.inference_mode():
        embeddings = model.encoder(bag)
        attention = model.attention_net(embeddings)[:, 0].numpy()
        scores = torch.softmax(model.head(embeddings), 1).T.numpy()
        logits = MILModel(model)(bag).numpy()
    np.testing.assert_allclose(heatmaps.attention[heatmaps.tissue], attention, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(heatmaps.scores[:, heatmaps.tissue], scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(heatmaps.logits, logits, rtol=1e-4, atol=1e-5)
    assert heatmaps.prediction.sum() == pytest.approx(1)
    assert np.isnan(heatmaps.attention[~heatmaps.tissue]).all()


def test_contributions_sum_to_the_slides_logits(run):
    heatmaps, _ = run(Pooling())
    found = np.nansum(heatmaps.contributions.astype(np.float64), axis=(1, 2))
    np.testing.assert_allclose(found, heatmaps.logits, rtol=1e-4, atol=1e-5)


def test_the_size_of_blocks_changes_nothing(run):
    first, _ = run(Pooling(), block_px=64)
    second, _ = run(Pooling(), block_px=2048)
    np.testing.assert_allclose(first.attention, second.attention, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.prediction, second.prediction, rtol=1e-5)


def test_a_bent_head_has_no_contributions_but_a_prediction(run):
    model = seeded_model(96)
    bent = AttentionMIL(
        model.encoder, model.attention_net,
        nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 3)),
        CLASSES, 96, (), None, "bent",
    )  # fmt: skip
    heatmaps, store = run(Pooling(), model=bent)
    assert heatmaps.contributions is None
    bag = pooled_by_hand(store, heatmaps.tissue, Pooling())
    with torch.inference_mode():
        expected = MILModel(bent)(bag).numpy()
    np.testing.assert_allclose(heatmaps.logits, expected, rtol=1e-4, atol=1e-5)


def test_glass_alone_gives_empty_maps_and_no_prediction(tmp_path):
    slide = FakeSlide(np.full((300, 300, 3), 245, np.uint8))
    extractor = seeded_trunk()
    grid = feature_grid(slide, extractor, 256 / 224)
    tissue = np.zeros(grid.shape, bool)
    how = Extraction(256 / 224, 128, 1, tmp_path)
    store = extract(slide, extractor, tissue, how, lambda done, total: None)
    heatmaps = compute_heatmaps(slide, grid, tissue, store, Pooling(), seeded_model(96))
    assert np.isnan(heatmaps.attention).all()
    assert np.isnan(heatmaps.scores).all()
    assert np.isnan(heatmaps.prediction).all()


def test_extreme_attention_does_not_overflow(run):
    model = seeded_model(96)
    with torch.no_grad():
        model.attention_net[2].weight.mul_(1e4)
    heatmaps, _ = run(Pooling(), model=model)
    assert np.isfinite(heatmaps.prediction).all()
    assert np.isfinite(heatmaps.contributions[:, heatmaps.tissue]).all()


def test_what_was_projected_is_let_go_at_once(run, monkeypatch):
    chunks = []
    right = inference._Projected._projected

    def noted(self, row, col):
        found = right(self, row, col)
        chunks.append(weakref.ref(found))
        return found

    monkeypatch.setattr(inference._Projected, "_projected", noted)
    gc.disable()
    try:
        run(Pooling())
        assert chunks
        assert all(chunk() is None for chunk in chunks)
    finally:
        gc.enable()
