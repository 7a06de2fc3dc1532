"""What a slide is without some cells: the closed forms against loops and the models themselves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import covering_grid, heatmap_set
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import REAL_EXPORTS

from heatmaps_ome.geometry import Shape
from heatmaps_ome.maps.curves import aupc
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.faithfulness import faithfulness, flipping_curve
from heatmaps_ome.models import read_model

SLIDE = Shape(640, 480)
GRID = covering_grid(SLIDE)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def known_set(attention, logits, classes=("A", "B")):
    """Return a HeatmapSet of cells in a row with these attentions and (classes, n) logits."""
    attention = np.asarray(attention, np.float64)[None].astype(np.float32)
    logits = np.asarray(logits, np.float64)[:, None]
    shares = softmax(attention.astype(np.float64).ravel())[None]
    whole = (shares * logits).sum(axis=(1, 2))
    base = heatmap_set(
        replace(GRID, shape=Shape(1, attention.size)), SLIDE, classes, tissue=np.ones((1, 1), bool)
    )
    return replace(
        base,
        tissue=np.ones(attention.shape, bool),
        maps={
            "attention": attention,
            "score": softmax(logits).astype(np.float32),
            "contribution": (shares * logits).astype(np.float32),
        },
        logits=whole,
        prediction=softmax(whole),
    )


def prediction_of(attention, logits, kept):
    """Return the class probabilities of a slide of some of its cells alone."""
    return softmax(logits[:, kept] @ softmax(attention[kept].astype(np.float64)))


def by_loop(attention, logits, order, index):
    return [
        prediction_of(attention, logits, order[removed:])[index] for removed in range(len(order))
    ]


def random_cells(n, classes=2, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    attention = (spread * rng.normal(size=n)).astype(np.float32)
    return attention, rng.normal(size=(classes, n)) * 2


@pytest.mark.parametrize("classes", [("A",), ("A", "B"), ("A", "B", "C")], ids=len)
def test_leave_one_out_is_the_prediction_with_less_that_without(classes):
    attention, logits = random_cells(60, len(classes))
    heatmaps = known_set(attention, logits, classes)
    found = heatmaps.values("leave-one-out")[:, 0]
    for cell in range(60):
        kept = np.arange(60) != cell
        expected = heatmaps.prediction - prediction_of(attention, logits, kept)
        np.testing.assert_allclose(found[:, cell], expected, atol=2e-8)


def test_a_cell_that_speaks_for_a_class_is_hot():
    found = known_set([0.0, 0.0, 0.0], [[3.0, 0, -3], [-3.0, 0, 3]]).values("leave-one-out")[:, 0]
    assert found[0, 0] > 0.1 > 0 > -0.1 > found[0, 2]
    assert found[1] == pytest.approx(-found[0])


@pytest.mark.parametrize("lead", [2.0, 40.0, 90.0, 800.0])
def test_without_a_cell_that_has_nearly_all_attention_the_others_decide(lead):
    attention, logits = random_cells(20)
    attention[7] = lead
    found = known_set(attention, logits).values("leave-one-out")[:, 0, 7]
    kept = np.arange(20) != 7
    expected = prediction_of(attention, logits, np.arange(20)) - prediction_of(
        attention, logits, kept
    )
    # Where contributions vanish in float32, float32 scores stand in.
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("export", REAL_EXPORTS)
def test_leave_one_out_is_what_the_published_models_say_without_the_cell(shared_data, export):
    model = read_model(shared_data / "models" / export)
    n_cells = 700
    # So small that no class is certain.
    noise = np.random.default_rng(3).normal(0, 0.05, (n_cells, model.n_features))
    bag = torch.from_numpy(np.abs(noise))
    double = [part.double() for part in (model.encoder, model.attention_net, model.head)]
    encoder, attend, head = double
    with torch.inference_mode():
        embeddings = encoder(bag)
        attention = attend(embeddings)[:, 0]

        def slide(kept):
            weights = torch.softmax(attention[kept], 0)
            return head((weights[:, None] * embeddings[kept]).sum(0, keepdim=True))[0]

        whole = slide(torch.ones(n_cells, dtype=torch.bool))
        logits = head(embeddings).T.numpy()
        heatmaps = known_set(attention.numpy(), logits, model.classes)
        shares = torch.softmax(attention, 0).numpy()
        np.testing.assert_allclose((shares * logits).sum(axis=1), whole.numpy(), atol=1e-12)
        found = heatmaps.values("leave-one-out")[:, 0]
        assert np.abs(found).max() > 1e-5
        for cell in np.random.default_rng(4).choice(n_cells, 100, replace=False):
            kept = torch.arange(n_cells) != cell
            fall = (torch.softmax(whole, 0) - torch.softmax(slide(kept), 0)).numpy()
            np.testing.assert_allclose(found[:, cell], fall, atol=1e-6)
            # The falls are small themselves.
            np.testing.assert_allclose(found[:, cell], fall, atol=1e-3 * np.abs(found).max())


@pytest.mark.parametrize("classes", [("A",), ("A", "B"), ("A", "B", "C")], ids=len)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 300.0, 5000.0])
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_a_flipping_curve_is_that_of_a_loop(classes, spread, n_cells, seed):
    attention, logits = random_cells(n_cells, len(classes), seed, spread)
    heatmaps = known_set(attention, logits, classes)
    for order in (attention[None], -attention[None], heatmaps.scores[-1]):
        found = flipping_curve(order, heatmaps, classes[-1])
        hottest_first = np.argsort(-order[0], kind="stable")
        expected = by_loop(attention, logits, hottest_first, len(classes) - 1)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_first_point_is_the_prediction_and_the_last_the_coldest_cells_own():
    heatmaps = heatmap_set(GRID, SLIDE)
    found = flipping_curve(heatmaps.attention, heatmaps, "nonMSIH")
    coldest = np.nanargmin(heatmaps.attention)
    assert found.shape == (heatmaps.tissue_cells,)
    assert found[0] == pytest.approx(heatmaps.prediction[1], abs=1e-6)
    assert found[-1] == pytest.approx(heatmaps.score("nonMSIH").flat[coldest], abs=1e-6)


def test_of_equal_cells_the_first_goes_first():
    heatmaps = known_set(*random_cells(3000))
    equal = np.tile(np.float32([1, 0, 1]), 1000)
    reading_order = 3000 - np.arange(3000) + 10_000 * equal
    np.testing.assert_array_equal(
        flipping_curve(equal[None], heatmaps, "A"),
        flipping_curve(reading_order[None], heatmaps, "A"),
    )


def test_the_area_is_that_of_trapezoids_over_the_share_of_cells():
    curve = np.random.default_rng(0).random(50)
    assert aupc(curve) == pytest.approx(((curve[1:] + curve[:-1]) / 2).sum() / 49)
    assert aupc(np.ones(7)) == 1
    assert aupc(np.array([0.3])) == 0.3


def test_faithfulness_holds_the_curves_of_the_maps_and_the_mean_of_the_same_random_orders():
    attention, logits = random_cells(1000)
    heatmaps = known_set(attention, logits)
    found = faithfulness(heatmaps, "B")
    maps = {
        "contribution": heatmaps.contributions[1],
        "attention": heatmaps.attention,
        "score": heatmaps.scores[1],
    }
    assert list(found.curves) == [*maps, "random"] == list(found.aupc)
    places = np.rint(found.removed * 999).astype(int)
    assert len(places) == 101
    assert (places[0], places[-1]) == (0, 999)
    for name, order in maps.items():
        whole = flipping_curve(order, heatmaps, "B")
        np.testing.assert_array_equal(found.curves[name], whole[places])
        assert found.aupc[name] == aupc(whole)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(1000) for _ in range(10)]
    mean = np.mean([by_loop(attention, logits, order, 1) for order in orders], axis=0)
    np.testing.assert_allclose(found.curves["random"], mean[places], atol=1e-6)
    assert found.aupc["random"] == pytest.approx(aupc(mean), abs=1e-6)
    assert faithfulness(heatmaps, "B").record() == found.record()


def test_removing_what_speaks_for_a_class_first_is_better_than_by_chance():
    heatmaps = known_set(*random_cells(3000))
    for name in heatmaps.classes:
        found = faithfulness(heatmaps, name).aupc
        assert found["contribution"] < min(found["attention"], found["random"]) - 0.05


def test_one_class_is_certain_whatever_is_removed():
    heatmaps = known_set(*random_cells(30, classes=1), classes=("A",))
    assert (heatmaps.values("leave-one-out") == 0).all()
    assert list(faithfulness(heatmaps, "A").aupc.values()) == pytest.approx([1.0] * 4)


def test_of_a_single_cell_nothing_is_left_without_it():
    heatmaps = known_set([2.0], [[1.0], [0.0]])
    assert np.isnan(heatmaps.values("leave-one-out")).all()
    found = faithfulness(heatmaps, "A")
    assert found.removed.tolist() == [0.0]
    for value in found.aupc.values():
        assert value == pytest.approx(heatmaps.prediction[0], abs=1e-6)


def without_tissue():
    return heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool))


def with_attention(value):
    heatmaps = heatmap_set(GRID, SLIDE)
    attention = heatmaps.attention.copy()
    attention[tuple(np.argwhere(heatmaps.tissue)[0])] = value
    return heatmaps.with_maps(attention=attention)


@pytest.mark.parametrize(
    ("heatmaps", "reason"),
    [
        (without_tissue(), "no tissue"),
        (with_attention(np.nan), "finite"),
        (with_attention(np.inf), "finite"),
    ],
)
def test_what_cannot_be_told_is_nan_and_why_is_said(heatmaps, reason):
    assert reason in undefined_reason(heatmaps)
    assert np.isnan(heatmaps.values("leave-one-out")).all()
    assert faithfulness(heatmaps, "MSIH") is None
    with pytest.raises(ValueError, match=reason):
        flipping_curve(heatmaps.attention, heatmaps, "MSIH")


def test_a_head_that_is_not_affine_has_no_exact_answers():
    heatmaps = heatmap_set(GRID, SLIDE, contributions=False)
    assert "not affine" in undefined_reason(heatmaps)
    assert heatmaps.values("leave-one-out") is None
    assert faithfulness(heatmaps, "MSIH") is None


def test_nothing_is_said_where_no_tissue_is():
    heatmaps = heatmap_set(GRID, SLIDE)
    assert np.array_equal(np.isnan(heatmaps.values("leave-one-out")[0]), ~heatmaps.tissue)
    assert undefined_reason(heatmaps) == ""
