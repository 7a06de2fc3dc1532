import matplotlib
import numpy as np
import pytest
from fakes import covering_grid, heatmap_set
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.display.colour import level_values, quantised, require_colour_map
from heatmaps_ome.display.display_map import first_map
from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles, Range, ScalingFit
from heatmaps_ome.errors import OptionError
from heatmaps_ome.geometry import Shape

SLIDE = Shape(640, 480)
GRID = covering_grid(SLIDE)


def rendered(heatmaps, style=None, classes=None):
    """Return the maps but those of all classes at once, by their names."""
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    maps = display_maps(
        heatmaps,
        fit.fit("c", "m", "e"),
        style or Style(),
        classes or heatmaps.classes,
        heatmaps.classes[0],
    )
    return {each.name: each for each in maps if each.kind not in ("winner", "margin")}


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.lists(st.floats(0, 1), min_size=1))
def test_levels_stand_for_their_values_within_half_a_step(lower, width, shares):
    shown = Range(lower, lower + width)
    values = lower + width * np.array(shares)
    back = level_values(shown)[quantised(values, shown)]
    half_a_step = width / 254 / 2
    np.testing.assert_allclose(back, values, atol=half_a_step * 1.01 + abs(lower) * 1e-6)


def test_no_value_is_level_0_and_transparent():
    heatmaps = heatmap_set(GRID, SLIDE)
    for each in rendered(heatmaps).values():
        assert (each.levels[~heatmaps.tissue] == 0).all()
        assert (each.opacity[~heatmaps.tissue] == 0).all()
        assert (each.levels[heatmaps.tissue] > 0).all()
        assert each.colours[0].tolist() == [0, 0, 0, 0]


def test_the_attention_map_is_the_references_picture():
    heatmaps = heatmap_set(GRID, SLIDE)
    attention = heatmaps.attention[heatmaps.tissue].astype(float)
    low, high = np.quantile(attention, 0.01), attention.max()
    scaled = np.clip((heatmaps.attention - low) / (high - low), 0, 1)
    expected = matplotlib.colormaps["magma"](np.nan_to_num(scaled))[..., :3] * 255
    found = rendered(heatmaps)["attention"]
    painted = found.colours[found.levels][..., :3].astype(float)
    # 255 levels of a colour map that itself has 256 colours: neighbours at most.
    difference = np.abs(painted - expected)[heatmaps.tissue]
    assert difference.max() <= 6
    assert set(np.unique(found.opacity)) == {0, 128}


def test_a_score_is_kept_as_a_probability_and_coloured_around_chance():
    heatmaps = heatmap_set(GRID, SLIDE, classes=("A", "B", "C"))
    found = rendered(heatmaps)["score-B"]
    back = found.values[found.levels][heatmaps.tissue]
    np.testing.assert_allclose(back, heatmaps.scores[1][heatmaps.tissue], atol=0.5 / 254 + 1e-6)
    assert found.middle == pytest.approx(1 / 3)
    assert (found.lower + found.upper) / 2 == pytest.approx(1 / 3)
    middle = matplotlib.colormaps["coolwarm"](0.5)
    level = 1 + round(254 / 3)
    assert np.abs(found.colours[level] / 255 - middle).max() < 0.03


def test_scores_are_as_opaque_as_attention_is_high():
    heatmaps = heatmap_set(GRID, SLIDE)
    found = rendered(heatmaps, Style(score_alpha=0.5))["score-MSIH"]
    hottest = np.nanargmax(np.where(heatmaps.tissue, heatmaps.attention, np.nan))
    assert found.opacity.flat[hottest] == 128
    order = np.argsort(heatmaps.attention[heatmaps.tissue])
    assert (np.diff(found.opacity[heatmaps.tissue][order].astype(int)) >= 0).all()


def test_only_the_classes_asked_for_are_drawn():
    names = set(rendered(heatmap_set(GRID, SLIDE), classes=("nonMSIH",)))
    assert names == {
        "attention",
        "score-nonMSIH",
        "contribution-nonMSIH",
        "evidence-nonMSIH",
        "tissue",
    }


def test_leave_one_out_is_drawn_when_asked_for_around_zero():
    heatmaps = heatmap_set(GRID, SLIDE)
    found = rendered(heatmaps, Style(leave_one_out=True))
    assert set(found) == {*rendered(heatmaps), "leave-one-out-MSIH", "leave-one-out-nonMSIH"}
    shown, falls = found["leave-one-out-nonMSIH"], heatmaps.values("leave-one-out")[1]
    assert (shown.lower, shown.middle) == (-shown.upper, 0)
    clipped = np.clip(falls[heatmaps.tissue], shown.lower, shown.upper)
    step = (shown.upper - shown.lower) / 254
    back = shown.values[shown.levels][heatmaps.tissue]
    np.testing.assert_allclose(back, clipped, atol=0.51 * step)
    np.testing.assert_array_equal(shown.opacity, found["contribution-nonMSIH"].opacity)


def test_maps_around_zero_say_what_their_sides_speak_for():
    found = rendered(heatmap_set(GRID, SLIDE), Style(leave_one_out=True))
    for name, shown in found.items():
        signed = name.startswith(("contribution-", "leave-one-out-", "evidence-"))
        own = name.rpartition("-")[2]
        assert shown.ends == ((f"against {own}", f"for {own}") if signed else ("", ""))


def test_a_model_without_shares_has_no_contribution_maps():
    names = set(rendered(heatmap_set(GRID, SLIDE, contributions=False), Style(leave_one_out=True)))
    assert names == {"attention", "score-MSIH", "score-nonMSIH", "tissue"}


def test_classes_whose_names_look_alike_in_a_file_keep_apart():
    maps = rendered(heatmap_set(GRID, SLIDE, classes=("A/B", "A:B", "a_b")))
    assert len({name.casefold() for name in maps}) == 2 + 3 * 3


def test_a_slide_of_glass_gives_empty_maps():
    heatmaps = heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool))
    for each in rendered(heatmaps).values():
        assert not each.levels.any()
        assert not each.opacity.any()


def test_infinite_attention_is_drawn_at_the_end_of_the_scale():
    heatmaps = heatmap_set(GRID, SLIDE)
    attention = heatmaps.attention.copy()
    first = tuple(np.argwhere(heatmaps.tissue)[0])
    attention[first] = np.inf
    found = rendered(heatmaps.with_maps(attention=attention))["attention"]
    assert found.levels[first] == 255


def test_an_unknown_colour_map_is_refused_with_a_suggestion():
    with pytest.raises(OptionError, match="coolwarm"):
        require_colour_map("coolworm")


def test_the_first_map_is_the_score_of_the_class_drawn_hot_wherever_it_is_listed():
    maps = list(rendered(heatmap_set(GRID, SLIDE, ("A", "B"))).values())
    for order in (maps, maps[::-1]):
        first = first_map(order, "B")
        assert (first.kind, first.class_name) == ("score", "B")
        assert first_map([drawn.facts() for drawn in order], "B")["title"] == "Score of B"


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        (("attention", "value", "prediction"), "prediction"),
        (("contribution", "value"), "value"),
        (("attention", "contribution"), "attention"),
    ],
)
def test_without_scores_the_first_map_is_the_prediction_the_value_or_the_first(kinds, wanted):
    maps = [{"kind": kind, "class": None if kind == "attention" else "A"} for kind in kinds]
    assert first_map(maps, "A")["kind"] == wanted
    assert first_map([], "A") is None
