"""Explanations of small models of each kind, against independent sums and forward passes."""

import numpy as np
import pytest
import torch
from small_mil_models import (
    RISK,
    TWO,
    VALUE,
    Critical,
    Interacting,
    MeanPool,
    Pool,
    bag_of,
    random_bag,
)

from heatmaps_ome.errors import ModelError, OptionError
from heatmaps_ome.maps.explanations.explain import explain


def logits_of(model, bag, kept):
    """Return a model's logits of some of the tiles, by a call of its own."""
    features = torch.from_numpy(bag.features[kept].astype(np.float32))
    return model.logits(features, torch.from_numpy(bag.um_places[kept])).double().numpy()


def without_one(model, bag):
    n = len(bag.features)
    return np.stack([logits_of(model, bag, np.delete(np.arange(n), tile)) for tile in range(n)], 1)


def softmax(logits):
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


class PerOutput(Pool):
    per_output = True


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("kind", [Pool, PerOutput, MeanPool, Critical, Interacting])
def test_without_a_tile_is_the_models_own_answer(kind, dtype):
    model, bag = kind(), random_bag(40, dtype=dtype)
    found = explain(model, bag)
    expected = without_one(model, bag)
    np.testing.assert_allclose(found.without, expected, atol=3e-6)
    np.testing.assert_allclose(found.logits, logits_of(model, bag, np.arange(40)), atol=3e-6)
    np.testing.assert_allclose(found.prediction, softmax(found.logits), atol=1e-12)
    fall = softmax(found.logits)[:, None] - softmax(expected)
    np.testing.assert_allclose(found.fall, fall, atol=2e-6)


@pytest.mark.parametrize("kind", [Pool, PerOutput, MeanPool, Critical])
def test_contributions_sum_to_the_logits(kind):
    found = explain(kind(), random_bag(60))
    np.testing.assert_allclose(found.contributions.sum(1), found.logits, rtol=1e-5, atol=1e-5)
    assert found.contributions.std() > 0


@pytest.mark.parametrize("target", [VALUE, RISK])
def test_values_and_risks_fall_in_their_own_unit(target):
    model, bag = Pool(target=target), random_bag(30)
    found = explain(model, bag)
    np.testing.assert_array_equal(found.prediction, found.logits)
    np.testing.assert_allclose(
        found.fall, found.logits[:, None] - without_one(model, bag), atol=2e-6
    )


def test_a_tile_with_all_of_the_attention_leaves_the_others():
    bag = random_bag(50)
    bag.features[7] *= 30
    model = Pool()
    model.sharpness = 40.0
    found = explain(model, bag)
    np.testing.assert_allclose(found.without, without_one(model, bag), atol=2e-5)


def test_a_model_without_attention_has_none():
    assert explain(MeanPool(), random_bag(9)).attention is None
    assert explain(PerOutput(), random_bag(9)).attention.shape == (3, 9)
    assert explain(Pool(), random_bag(9)).attention.shape == (9,)


@pytest.mark.parametrize("kind", [Pool, Critical, Interacting])
def test_nothing_remains_without_the_only_tile(kind):
    found = explain(kind(), random_bag(1))
    assert np.isfinite(found.logits).all()
    assert np.isnan(found.fall).all()
    assert np.isnan(found.without).all()


def test_regions_of_neighbours_keep_the_number_of_passes_small():
    model = Interacting(target=TWO, knows_single_tiles=False)
    bag = random_bag(600)
    found = explain(model, bag)
    assert found.regions == 2
    assert model.bags == found.forwards <= 151
    lattice = (bag.l0_places[:, :2] // 256).astype(int) // 2
    tiles = np.flatnonzero((lattice == lattice[437]).all(1))
    assert len(tiles) == 4
    expected = logits_of(model, bag, np.delete(np.arange(600), tiles))
    np.testing.assert_allclose(found.without[:, tiles], np.tile(expected[:, None], 4), atol=3e-6)
    lost = softmax(found.logits) - softmax(expected)
    np.testing.assert_allclose(found.fall[:, tiles].sum(1), lost, atol=1e-6)
    assert "shared equally" in found.notes[0]


def test_the_order_of_the_tiles_is_the_bags():
    bag = random_bag(60)
    shuffled = np.random.default_rng(1).permutation(60)
    other = bag_of(bag.features[shuffled], bag.l0_places[shuffled])
    first, second = explain(Interacting(), bag), explain(Interacting(), other)
    np.testing.assert_allclose(first.fall[:, shuffled], second.fall, atol=1e-5)


@pytest.mark.parametrize("kind", [Pool, Critical, Interacting])
def test_integrated_gradients_sum_to_the_logits_within_the_residual(kind):
    found = explain(kind(), random_bag(50), "ig")
    assert found.residual <= 0.01
    np.testing.assert_allclose(found.contributions.sum(1), found.logits, atol=0.05)
    assert f"{100 * found.residual:.2g} %" in found.notes[0]


def test_integrated_gradients_of_a_linear_mean_are_its_shares():
    class Linear(MeanPool):
        def tile_logits(self, features, um_places):
            return features @ self.head

    bag = random_bag(30)
    found = explain(Linear(), bag, "ig")
    np.testing.assert_allclose(found.contributions, (bag.features @ Linear().head.numpy()).T / 30,
                               atol=1e-5)  # fmt: skip
    assert found.residual < 1e-3


def test_single_tiles_are_bags_of_one():
    model, bag = Interacting(), random_bag(12)
    found = explain(model, bag, "single")
    expected = np.stack([logits_of(model, bag, [tile]) for tile in range(12)], 1)
    np.testing.assert_allclose(found.tile_logits, expected, atol=1e-6)
    assert found.fall is None
    assert found.notes == ()


def test_single_tiles_that_mean_little_are_noted_and_left_out_unless_asked_for():
    model, bag = Interacting(knows_single_tiles=False), random_bag(12)
    assert "may mean little" in explain(model, bag, "single").notes[0]
    assert explain(model, bag).tile_logits is None


def test_contributions_that_a_model_lacks_are_refused_with_the_other_ways():
    with pytest.raises(OptionError, match=r"--explain drop-one .* --explain ig"):
        explain(Interacting(), random_bag(5), "contributions")


def test_a_model_that_does_not_pool_as_it_claims_is_refused():
    class Wrong(Pool):
        def logits(self, features, um_places):
            return super().logits(features, um_places) + 1

    with pytest.raises(ModelError, match="not 'pooled'"):
        explain(Wrong(), random_bag(20))


def test_progress_reaches_its_end():
    steps = []
    explain(Interacting(), random_bag(20), progress=lambda done, count: steps.append((done, count)))
    assert steps[-1] == (20, 20)


class Watched(Interacting):
    """Remembers the memory that the features of each pass lie in."""

    def __post_init__(self):
        super().__post_init__()
        self.places = set()

    def logits(self, features, um_places):
        self.places.add((features.data_ptr(), features.untyped_storage().nbytes()))
        return features.mean(0) @ self.head + 1e-3 * torch.tanh(features[::7]).sum(0) @ self.head


def test_passes_over_many_tiles_share_the_memory_of_one_bag():
    bag = random_bag(20_000, dtype=np.float16)
    model = Watched(knows_single_tiles=False)
    found = explain(model, bag, "drop-one")
    assert 16 < found.forwards <= 512 * 4096**2 // 20_000**2 + 1
    [(_, n_bytes)] = model.places
    assert n_bytes == 20_000 * 8 * 4
    assert bag.features.dtype == np.float16


class InBatches(Interacting):
    """Reads bags of the same size together."""

    most_tiles = 0

    def logits_of_bags(self, features, um_places):
        self.most_tiles = max(self.most_tiles, features.shape[0] * features.shape[1])
        parts = zip(features, um_places, strict=True)
        return torch.stack([super(InBatches, self).logits(*part) for part in parts])

    def logits(self, features, um_places):
        assert len(features) in (1, 300), "only the whole slide and tiles alone are read singly"
        return super().logits(features, um_places)


def test_bags_of_the_same_size_are_read_together_in_little_memory():
    model, bag = InBatches(), random_bag(300)
    found, expected = explain(model, bag), explain(Interacting(), bag)
    assert 0 < model.most_tiles <= 4096
    np.testing.assert_allclose(found.without, expected.without, atol=1e-6)
    assert found.forwards == expected.forwards == 301
