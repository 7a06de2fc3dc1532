"""Flipping curves of tiles: the same numbers as for cells, and the models' own answers."""

import numpy as np
import pytest
import torch
from fakes import covering_grid, heatmap_set
from small_mil_models import TWO, VALUE, Critical, Interacting, Pool, bag_of, random_bag

from heatmaps_ome.geometry import Shape
from heatmaps_ome.maps.explanations.explain import explain
from heatmaps_ome.maps.explanations.flipping import beats_random, flipping, flippings
from heatmaps_ome.maps.faithfulness import faithfulness


def prediction_of(model, bag, tiles):
    features = torch.from_numpy(bag.features[tiles].astype(np.float32))
    logits = model.logits(features, torch.from_numpy(bag.um_places[tiles])).double().numpy()
    return model.target.predictions(logits)


def curve_of(model, bag, values, removed):
    """Return (C, m) predictions without that many of the hottest tiles, by calls of the model."""
    order = sorted(range(len(values)), key=lambda tile: -np.nan_to_num(values[tile], nan=-np.inf))
    return np.stack([prediction_of(model, bag, sorted(order[count:])) for count in removed], 1)


class PerOutput(Pool):
    per_output = True


def test_cells_and_tiles_have_the_same_curves():
    slide = Shape(640, 480)
    grid = covering_grid(slide)
    cells = heatmap_set(grid, slide, ("A", "B"))
    attention = cells.attention[cells.tissue]
    n = len(attention)

    class Known(Pool):
        def attention(self, features, um_places):
            return features[:, 0]

        def tile_logits(self, features, um_places):
            return features[:, 1:]

    shares = np.exp(attention - attention.max(), dtype=np.float64)
    shares /= shares.sum()
    logits = cells.contributions[:, cells.tissue] / shares
    model = Known(target=TWO, n_features=3)
    bag = bag_of(np.concatenate([attention[None], logits]).T.astype(np.float32))
    maps = {
        "contribution": cells.contributions[0, cells.tissue],
        "attention": attention,
        "score": cells.scores[0, cells.tissue],
    }
    found, expected = flipping(model, bag, 0, maps), faithfulness(cells, "A")
    assert n > 101
    np.testing.assert_array_equal(found.removed, expected.removed)
    assert list(found.curves) == list(expected.curves)
    for name, curve in expected.curves.items():
        np.testing.assert_allclose(found.curves[name], curve, atol=1e-5)
        assert found.aupc[name] == pytest.approx(expected.aupc[name], abs=1e-5)


@pytest.mark.parametrize("kind", [Pool, PerOutput, Critical, Interacting])
@pytest.mark.parametrize("index", [0, 2])
def test_curves_are_the_models_predictions(kind, index):
    model, bag = kind(), random_bag(40)
    values = np.random.default_rng(3).normal(size=40)
    values[5] = np.nan
    found = flipping(model, bag, index, {"some": values})
    removed = np.rint(found.removed * 39).astype(int)
    np.testing.assert_array_equal(removed, np.arange(40))
    expected = curve_of(model, bag, values, removed)[index]
    np.testing.assert_allclose(found.curves["some"], expected, atol=3e-6)
    area = ((expected[1:] + expected[:-1]) / 2).mean()
    assert found.aupc["some"] == pytest.approx(area, abs=1e-5)


@pytest.mark.parametrize("kind", [Pool, Interacting])
def test_random_is_the_mean_of_ten_orders(kind):
    model, bag = kind(), random_bag(25)
    found = flipping(model, bag, 1, {})
    rng = np.random.default_rng(0)
    orders = [rng.permutation(25) for _ in range(10)]
    curves = [curve_of(model, bag, -np.argsort(order), range(25))[1] for order in orders]
    np.testing.assert_allclose(found.curves["random"], np.mean(curves, 0), atol=3e-6)
    assert found.random_orders == 10


@pytest.mark.parametrize("kind", [Pool, Critical, Interacting])
def test_a_tiles_fall_beats_random_and_its_opposite_does_not(kind):
    model, bag = kind(), random_bag(120)
    explanation = explain(model, bag)
    index = int(explanation.prediction.argmax())
    fall = explanation.fall[index]
    maps = {"fall": fall, "opposite": -fall}
    found = flipping(model, bag, index, maps, explanation)
    assert beats_random(found) == {"fall": True, "opposite": False}


@pytest.mark.parametrize("kind", [Pool, Interacting])
def test_values_fall_in_their_own_unit(kind):
    model, bag = kind(target=VALUE), random_bag(30)
    explanation = explain(model, bag)
    found = flipping(model, bag, 0, {"fall": explanation.fall[0]}, explanation)
    assert found.class_name == "size"
    assert found.curves["fall"][0] == pytest.approx(explanation.logits[0], abs=1e-5)
    assert beats_random(found)["fall"]


def test_passes_are_bounded_and_shared_maps_are_followed_once():
    model, bag = Interacting(), random_bag(30)
    attention = np.arange(30.0)
    steps = []
    results = flippings(
        model, bag, {0: {"attention": attention}, 2: {"attention": attention}},
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert model.bags == 1 + 11 * 29
    assert steps[-1] == (29, 29)
    assert [result.class_name for result in results] == ["A", "C"]


def test_large_slides_have_fewer_orders_and_points():
    class Cheap(Interacting):
        def logits(self, features, um_places):
            self.bags += 1
            return features.mean(0) @ self.head

    model, bag = Cheap(), random_bag(50_000, d=8, dtype=np.float16)
    found = flipping(model, bag, 0, {"some": np.arange(50_000.0)})
    assert found.random_orders == 3
    assert len(found.removed) < 51
    assert found.removed[0] == 0
    assert found.removed[-1] == 1
    assert model.bags * 25_000 < 2**21 * 1.1


def test_an_only_tile_cannot_be_removed():
    found = flipping(Interacting(), random_bag(1), 0, {"some": np.ones(1)})
    np.testing.assert_array_equal(found.removed, [0])
    assert found.aupc["some"] == found.curves["some"][0] == pytest.approx(found.aupc["random"])
    assert beats_random(found) == {"some": False}
