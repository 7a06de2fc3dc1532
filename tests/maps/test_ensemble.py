"""Means and spread over several models: against numpy, and naive loops over each model alone."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import covering_grid, heatmap_set

from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.exporters.figures.captions import prediction_text
from heatmaps_ome.geometry import Shape
from heatmaps_ome.maps.channels import channels, stacked
from heatmaps_ome.maps.curves import aupc
from heatmaps_ome.maps.ensemble import (
    agreement,
    combined,
    in_class_order,
    prediction_sd,
    records,
    relative_attention,
)
from heatmaps_ome.maps.faithfulness import faithfulness_of, flipping_curve
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.maps.store import read_values, write_values

SLIDE = Shape(320, 256)
GRID = covering_grid(SLIDE)
TISSUE = np.random.default_rng(5).random(GRID.shape) < 2 / 3
CLASSES = ("A", "B", "C")


def models(count=4, classes=CLASSES, tissue=TISSUE, **given):
    return [
        heatmap_set(GRID, SLIDE, classes, seed=seed, tissue=tissue, **given)
        for seed in range(count)
    ]


def named(parts):
    return [(f"fold-{index}.pkl", f"digest {index}") for index in range(len(parts))]


def together(parts):
    return combined(parts, named(parts))


def softmax(values):
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


def spread_of(found):
    """Return the channels of the spread, (channels, rows, cols)."""
    return stacked([channel for channel in channels(found) if channel.key.spread])


def test_maps_are_means_and_the_spread_is_the_sample_deviation():
    parts = models()
    found = together(parts)
    for name in ("scores", "contributions"):
        each = np.stack([getattr(part, name) for part in parts]).astype(np.float64)
        np.testing.assert_allclose(getattr(found, name), each.mean(axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.prediction, sum(p.prediction for p in parts) / 4, rtol=1e-12)
    np.testing.assert_allclose(found.logits, sum(p.logits for p in parts) / 4, rtol=1e-12)
    weights = [softmax(part.attention[TISSUE].astype(np.float64)) for part in parts]
    logs = np.log(np.stack(weights) * TISSUE.sum())
    np.testing.assert_allclose(found.attention[TISSUE], logs.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.spread["attention"][TISSUE], logs.std(axis=0, ddof=1), rtol=1e-5
    )
    falls = np.stack([part.values("leave-one-out") for part in parts]).astype(np.float64)
    np.testing.assert_allclose(
        found.values("leave-one-out"), falls.mean(axis=0), rtol=1e-5, atol=1e-9
    )
    stacks = np.stack([stacked(channels(part)) for part in parts]).astype(np.float64)
    np.testing.assert_allclose(
        spread_of(found)[1:], stacks[:, 1:].std(axis=0, ddof=1), rtol=1e-5, atol=1e-9
    )
    assert len(channels(found)) == 2 * len(stacks[0])
    assert stacked(channels(found)).dtype == np.float32
    assert all(np.array_equal(np.isnan(each), ~TISSUE) for each in stacked(channels(found)))


def test_means_keep_the_promises_of_maps():
    found = together(models())
    np.testing.assert_allclose(found.scores[:, TISSUE].sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(found.prediction.sum(), 1, rtol=1e-12)
    total = found.contributions[:, TISSUE].sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(total, found.logits, rtol=1e-5)


def test_a_single_model_is_left_as_it_is():
    [part] = models(1)
    assert together([part]) is part
    assert part.values("sd-score") is None
    assert records(part) == []
    assert prediction_sd(part) == {}
    assert np.array_equal(stacked(channels(part)), stacked(channels(part)), equal_nan=True)


def test_attention_does_not_know_where_a_models_zero_is():
    parts = models(3)
    shifted = [
        part.with_maps(attention=part.attention + shift)
        for part, shift in zip(parts, (0, 40, -300), strict=True)
    ]
    np.testing.assert_allclose(
        together(shifted).attention[TISSUE], together(parts).attention[TISSUE], atol=1e-4
    )
    np.testing.assert_allclose(
        together(shifted).spread["attention"][TISSUE],
        together(parts).spread["attention"][TISSUE],
        atol=1e-4,
    )


def test_attention_does_not_know_how_large_a_slide_is():
    small, wide = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    small[0, :2], wide[:4, :2] = True, True
    logits = np.tile(np.float32([0.5, 2.0]), (4, 1))
    attention = np.full(GRID.shape, np.nan, np.float32)
    found = []
    for tissue in (small, wide):
        given = attention.copy()
        given[tissue] = np.resize(logits, tissue.sum())
        found.append(relative_attention(given, tissue)[0, :2])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    np.testing.assert_allclose(np.exp(found[0]).mean(), 1, rtol=1e-6)


def test_classes_in_another_order_are_brought_to_that_of_the_first():
    first, second = models(2)
    order = ("C", "A", "B")
    turned = in_class_order(second, order)
    for name in CLASSES:
        assert np.array_equal(turned.score(name), second.score(name), equal_nan=True)
        assert turned.prediction[order.index(name)] == second.prediction[CLASSES.index(name)]
    back = in_class_order(turned, CLASSES)
    expected, found = together([first, second]), together([first, back])
    assert np.array_equal(stacked(channels(found)), stacked(channels(expected)), equal_nan=True)
    assert found.members == expected.members


def loop_probability(part, kept, index):
    """Return a class's probability by one model from some of the tissue cells alone."""
    attention = part.attention[TISSUE].astype(np.float64)
    weights = softmax(attention)
    logits = part.contributions[:, TISSUE].astype(np.float64) / weights
    return softmax(logits[:, kept] @ softmax(attention[kept]))[index]


def test_leave_one_out_and_curves_are_the_means_of_the_models_own():
    parts = models(3)
    found = together(parts)
    n_cells = int(TISSUE.sum())
    cells = np.arange(n_cells)
    for index, name in enumerate(CLASSES):
        falls = found.values("leave-one-out")[index][TISSUE]
        for cell in range(0, n_cells, 7):
            expected = np.mean([
                loop_probability(part, cells, index)
                - loop_probability(part, cells[cells != cell], index)
                for part in parts
            ])  # fmt: skip
            assert falls[cell] == pytest.approx(expected, rel=1e-3, abs=1e-6)
        for shown in (found.contributions[index], found.attention, found.scores[index]):
            order = np.argsort(-shown[TISSUE].astype(np.float64), kind="stable")
            expected = [
                np.mean([loop_probability(part, order[removed:], index) for part in parts])
                for removed in range(n_cells)
            ]
            curve = flipping_curve(shown, found, name, parts)
            np.testing.assert_allclose(curve, expected, rtol=1e-4, atol=1e-6)


def test_faithfulness_of_several_models_follows_their_curves():
    parts = models(3)
    found = together(parts)
    several = faithfulness_of(found, ("A", "C"), parts)
    assert [each.class_name for each in several] == ["A", "C"]
    for each in several:
        index = CLASSES.index(each.class_name)
        for name, shown in (
            ("contribution", found.contributions[index]),
            ("attention", found.attention),
            ("score", found.scores[index]),
        ):
            curve = flipping_curve(shown, found, each.class_name, parts)
            assert each.aupc[name] == pytest.approx(aupc(curve), rel=1e-12)
            assert each.curves[name][0] == pytest.approx(found.prediction[index], rel=1e-5)
        alone = [faithfulness_of(part, (each.class_name,))[0].aupc["random"] for part in parts]
        assert each.aupc["random"] == pytest.approx(np.mean(alone), rel=1e-12)


def test_means_are_never_taken_for_a_model():
    parts = models(2)
    found = together(parts)
    for ask in (
        lambda: flipping_curve(found.attention, found, "A"),
        lambda: faithfulness_of(found, ("A",)),
    ):
        with pytest.raises(ValueError, match="affine model"):
            ask()
    # Only what was averaged is there; it does not follow from the other means.
    without = {kind: maps for kind, maps in found.maps.items() if kind != "leave-one-out"}
    assert replace(found, maps=without).values("leave-one-out") is None


def test_heads_that_are_not_affine_leave_contributions_out_for_all():
    parts = [*models(2), models(3)[2].with_maps(contribution=None)]
    found = together(parts)
    assert found.contributions is None
    assert found.values("leave-one-out") is None
    assert spread_of(found).shape == (4, *GRID.shape)
    assert faithfulness_of(found, ("A",), parts) == ()


@pytest.mark.parametrize("cells", [0, 1])
def test_slides_of_no_cell_or_one_have_defined_means(cells, tmp_path):
    tissue = np.zeros(GRID.shape, bool)
    tissue.reshape(-1)[:cells] = True
    parts = models(3, tissue=tissue)
    found = together(parts)
    assert np.isnan(found.values("leave-one-out")).all()
    assert faithfulness_of(found, ("A",), parts) == () or cells == 1
    told = agreement(records(found), "A")
    assert (told is None) == (cells == 0)
    read = read_values(write_values(found, tmp_path, {}))
    assert np.array_equal(stacked(channels(read)), stacked(channels(found)), equal_nan=True)
    fit = ScalingFit(Quantiles())
    fit.add(found)
    scaling = fit.fit("c", "m", "e")
    assert all(each.lower == 0 < each.upper for each in scaling.ranges["sd-score"])
    maps = display_maps(found, scaling, Style(leave_one_out=True), CLASSES, CLASSES[0])
    assert len(maps) == 4 + 5 * 3


def test_infinite_attention_is_no_crash():
    parts = models(3)
    row, col = np.argwhere(TISSUE)[0]
    for value in (np.inf, -np.inf):
        attention = parts[0].attention.copy()
        attention[row, col] = value
        found = together([parts[0].with_maps(attention=attention), *parts[1:]])
        assert found.attention[row, col] == value
        assert np.isfinite(found.attention[TISSUE]).sum() == TISSUE.sum() - 1
        assert np.isnan(found.values("leave-one-out")).all()
        assert faithfulness_of(found, ("A",), parts) == ()


def test_values_are_read_back_bit_by_bit(tmp_path):
    found = together(models())
    read = read_values(write_values(found, tmp_path, {}))
    assert read.members == found.members
    for name in ("attention", "scores", "contributions", "prediction", "logits"):
        assert np.array_equal(getattr(read, name), getattr(found, name), equal_nan=True)
    assert [channel.name for channel in channels(read)] == [c.name for c in channels(found)]
    for mine, theirs in zip(channels(read), channels(found), strict=True):
        assert mine.key == theirs.key
        assert np.array_equal(mine.values, theirs.values, equal_nan=True)


def test_the_channels_of_the_spread_are_named_after_their_maps_whatever_classes_are_called():
    classes = ("MSIH", "sd-MSIH", "MSIH-sd", "sd-score-MSIH")
    found = together(models(2, classes))
    names = [channel.name for channel in channels(found)]
    assert len(set(names)) == len(names) == len(stacked(channels(found))) == 2 * (1 + 4 * 4)
    keys = class_keys(classes)
    for index, name in enumerate(names[len(names) // 2 :]):
        assert name == "sd-" + names[index]
    tables = {each.name: each for each in channels(found) if each.measurement is not None}
    assert len(tables) == 1 + 4 * 4 + 4
    for index, key in enumerate(keys):
        told = tables[f"sd-score-{key}"]
        assert told.measurement == f"SD of score: {classes[index]}"
        assert np.array_equal(told.values, found.values("sd-score")[index], equal_nan=True)


def test_who_says_what_is_told_in_words():
    def member(**prediction):
        return {"prediction": prediction}

    found = agreement(
        [member(MSIH=0.92, MSS=0.08), member(MSIH=0.70, MSS=0.30), member(MSIH=0.81, MSS=0.19)],
        "MSIH",
    )
    assert found.sentence() == (
        "MSIH 0.810 ± 0.110 over 3 models (0.700 to 0.920); 3 of 3 predict MSIH"
    )
    split = agreement([member(a=0.2, b=0.8), member(a=0.6, b=0.4), member(a=0.1, b=0.9)], "a")
    assert split.sentence().endswith("; 2 of 3 predict b, 1 a")
    assert agreement([], "a") is None
    assert agreement([member(a=None, b=None)], "a") is None


def test_captions_say_the_deviation():
    said = prediction_text({"A": 0.25, "B": 0.75}, {}, {"A": 0.1, "B": 0.1}, 5)
    assert said.replace("\u00a0", " ") == (
        "Prediction: A 0.250 ± 0.100 · B 0.750 ± 0.100 (mean ± SD of 5 models)"
    )


def test_the_spread_is_drawn_from_zero_to_what_the_cohort_says():
    parts = models()
    found = together(parts)
    fit = ScalingFit(Quantiles())
    fit.add(found)
    scaling = fit.fit("cohort", "models", "extractor")
    maps = {each.name: each for each in display_maps(found, scaling, Style(), ("B",), "B")}
    assert list(maps) == [
        "attention",
        "score-B",
        "contribution-B",
        "evidence-B",
        "sd-score-B",
        "tissue",
        "winner",
        "margin-B",
    ]
    shown = maps["sd-score-B"]
    scores = np.stack([part.scores[1][TISSUE] for part in parts]).astype(np.float64)
    deviations = scores.std(axis=0, ddof=1)
    assert shown.lower == 0
    assert shown.upper == pytest.approx(np.quantile(deviations, 0.95), rel=1e-5)
    assert shown.title == "Spread of score of B"
    assert shown.quantity == "standard deviation of the probability of B over 4 models"
    assert maps["score-B"].quantity == "probability of B, mean of 4 models"
    drawn = shown.values[shown.levels[TISSUE]]
    step = shown.upper / 254
    np.testing.assert_allclose(drawn, np.minimum(deviations, shown.upper), atol=0.51 * step)


def test_a_scaling_of_several_models_is_kept_and_one_of_a_single_one_says_nothing_of_it(tmp_path):
    parts = models(2)
    scalings = []
    for heatmaps in (together(parts), parts[0]):
        fit = ScalingFit(Quantiles())
        fit.add(heatmaps)
        scalings.append(fit.fit("cohort", "models", "extractor"))
        scalings[-1].save(tmp_path / "scaling.json")
        assert CohortScaling.load(tmp_path / "scaling.json") == scalings[-1]
        text = (tmp_path / "scaling.json").read_text()
        assert ("sd-score" in text) == bool(heatmaps.members)
    assert len(scalings[0].ranges["sd-score"]) == 3
    with pytest.raises(ScalingError, match="another model"):
        scalings[0].require_fit("one model", "extractor", tmp_path / "scaling.json")


def test_models_that_agree_to_many_digits_have_a_bar_of_visible_numbers():
    """A bar of the spread to 1e-12 would colour noise as if the models did not agree."""
    found = together(models(1) * 2)
    fit = ScalingFit(Quantiles())
    fit.add(found)
    spread = fit.fit("", "", "").range_of("sd-score", found.classes[0])
    assert spread == Range(0.0, 0.01)
