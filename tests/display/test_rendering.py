from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from fakes import covering_grid, heatmap_set
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.display.colour import (
    level_colours,
    level_values,
    quantised,
    require_colour_map,
)
from heatmaps_ome.display.display_map import RawQuantity, first_map
from heatmaps_ome.display.label_metadata import image_label
from heatmaps_ome.display.outlines import OUTLINES, outline_facts
from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles, Range
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import OptionError
from heatmaps_ome.geometry import Shape
from heatmaps_ome.models.target import Target

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


def of_size(times):
    """Return a slide's maps, or those of one that is the same pattern several times over."""
    one = heatmap_set(GRID, SLIDE)
    whole = Shape(SLIDE.rows * times, SLIDE.cols)

    def repeated(values):
        return np.tile(values, (*[1] * (values.ndim - 2), times, 1))

    maps = {kind: repeated(values) for kind, values in one.maps.items()}
    # As many times the cells, each with a share as many times smaller: the same slide logit.
    maps["contribution"] = maps["contribution"] / np.float32(times)
    return replace(
        one, grid=covering_grid(whole), slide_shape=whole, tissue=repeated(one.tissue), maps=maps
    )


@pytest.mark.parametrize("kind", ["contribution", "evidence"])
def test_equal_tissue_has_equal_colours_whatever_the_slides_size(kind):
    small, large = of_size(1), of_size(8)
    fit = ScalingFit(Quantiles())
    for heatmaps in (small, large):
        fit.add(heatmaps)
    scaling = fit.fit("c", "m", "e")
    drawn = [
        next(each for each in display_maps(one, scaling, Style(), ("MSIH",), "MSIH")
             if each.kind == kind)
        for one in (small, large)
    ]  # fmt: skip
    rows = small.grid.shape.rows
    np.testing.assert_array_equal(drawn[0].levels, drawn[1].levels[:rows])
    np.testing.assert_array_equal(drawn[0].colours, drawn[1].colours)
    assert len(np.unique(drawn[0].levels)) > 20
    raw = [np.nanmax(np.abs(one.values(kind)[0])) for one in (small, large)]
    assert raw[0] / raw[1] == pytest.approx(8)
    assert [each.factor for each in drawn] == [small.tissue.sum(), 8 * small.tissue.sum()]


def test_the_mean_of_drawn_contributions_is_the_slides_logit():
    heatmaps = heatmap_set(GRID, SLIDE)
    raw = heatmaps.contributions[0][heatmaps.tissue].astype(float)
    found = rendered(heatmaps)["contribution-MSIH"]
    assert found.factor * raw.mean() == pytest.approx(heatmaps.logits[0])
    assert found.quantity == "slide's MSIH logit if all cells were like this one"
    assert found.raw == RawQuantity("share of the slide's MSIH logit", "logit")
    back = found.values[found.levels][heatmaps.tissue]
    step = (found.upper - found.lower) / 254
    wanted = np.clip(raw * heatmaps.tissue.sum(), found.lower, found.upper)
    np.testing.assert_allclose(back, wanted, atol=0.51 * step)


def test_other_maps_and_given_ones_are_drawn_as_they_are():
    heatmaps = heatmap_set(GRID, SLIDE)
    for name, each in rendered(heatmaps, Style(leave_one_out=True)).items():
        if not name.startswith(("contribution-", "evidence-")):
            assert (each.factor, each.raw) == (1, None)
    given = replace(
        heatmaps,
        aim=Target("none", (), "identity"),
        maps={"attention": heatmaps.attention, "contribution": heatmaps.contributions},
        names={"contribution": ("shap", "lime")},
    )
    found = rendered(given, classes=("shap", "lime"))["contribution-shap"]
    assert (found.factor, found.raw, found.quantity) == (1, None, "contribution: shap")


def clipping(quantiles, heatmaps, fitted_to=None):
    """Return which ends clip, by the map's name, and the range of each."""
    fit = ScalingFit(quantiles)
    fit.add(fitted_to or heatmaps)
    scaling = fit.fit("c", "m", "e")
    maps = display_maps(heatmaps, scaling, Style(), heatmaps.classes, heatmaps.classes[0])
    return {each.name: each for each in maps}


def test_ends_clip_where_the_quantiles_leave_values_out():
    heatmaps = heatmap_set(GRID, SLIDE)
    found = clipping(Quantiles(), heatmaps)
    assert found["attention"].clips == (True, False)
    assert found["contribution-MSIH"].clips == found["score-MSIH"].clips == (True, True)
    # Labels of scores go on to 0 and 1, where no bound is; those of contributions do not.
    assert found["score-MSIH"].bounds == {}
    assert found["contribution-MSIH"].bounds == {1: "at most", 255: "at least"}
    assert found["attention"].bounds == {1: "at most"}
    assert found["winner"].clips == (False, False)
    whole = clipping(Quantiles(0, 1, 1), heatmaps)
    assert {each.clips for each in whole.values()} == {(False, False)}


def test_a_slide_that_joins_later_may_lie_beyond_the_whole_range():
    heatmaps = heatmap_set(GRID, SLIDE)
    hotter = heatmaps.with_maps(attention=heatmaps.attention + 1)
    found = clipping(Quantiles(0, 1, 1), hotter, fitted_to=heatmaps)["attention"]
    assert found.clips == (False, True)
    assert found.bounds == {255: "at least"}


def test_no_end_is_a_bound_at_a_quantitys_own_limit():
    heatmaps = heatmap_set(GRID, SLIDE, classes=("A", "B", "C"))
    sure = np.where(heatmaps.tissue, np.array([0.98, 0.01, 0.01])[:, None, None], np.nan)
    found = clipping(Quantiles(), heatmaps.with_maps(score=sure.astype(np.float32)))["score-A"]
    # As far below chance as above it: beyond 0, below which no probability is.
    assert found.lower < 0 < found.upper < 1
    assert found.clips == (False, True)


def test_label_properties_mark_bounds_as_bounds():
    found = rendered(heatmap_set(GRID, SLIDE))
    block = image_label(found["contribution-MSIH"], {})
    entries = {entry["label-value"]: entry for entry in block["properties"]}
    assert {value: entry["bound"] for value, entry in entries.items() if "bound" in entry} == {
        1: "at most",
        255: "at least",
    }
    assert entries[255]["contribution-MSIH"] == pytest.approx(found["contribution-MSIH"].upper)
    facts = block["heatmaps_ome"]
    assert facts["factor"] == found["contribution-MSIH"].factor
    assert facts["raw"] == {"quantity": "share of the slide's MSIH logit", "unit": "logit"}


def test_nothing_fades_if_so_asked_and_no_map_hides_the_tissue():
    heatmaps = heatmap_set(GRID, SLIDE)
    for each in rendered(heatmaps, Style(fade="none")).values():
        assert not each.fades
        if each.kind != "tissue":
            assert set(np.unique(each.opacity)) == {0, 128}
            assert each.alpha == 0.5


def test_the_default_colours_of_contributions_are_seen_on_stained_tissue():
    """Beside it, they are far from every colour of tissue, also for people with deuteranopia."""
    # Pink, violet and dark nuclei of three public slides: quantiles of their pixels.
    tissue = np.array([
        [178, 116, 152], [210, 130, 170], [150, 80, 130], [120, 70, 120], [90, 60, 110],
        [225, 180, 205], [190, 150, 190], [160, 120, 170], [200, 90, 130], [70, 40, 80],
    ]) / 255  # fmt: skip
    for seen in (lambda rgb: rgb, as_with_deuteranopia):
        off = {}
        for name in (Style().contribution_map, "PuOr_r"):
            ends = level_colours(np.linspace(0, 1, 255), name)[[1, 30, 60, 195, 225, 255], :3] / 255
            over = (tissue[None] + ends[:, None]) / 2
            gaps = lab(seen(over))[:, :, None] - lab(seen(tissue))
            off[name] = np.linalg.norm(gaps, axis=-1).min()
        assert off[Style().contribution_map] > 12
        assert off[Style().contribution_map] > 1.5 * off["PuOr_r"]


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def as_with_deuteranopia(rgb):
    """Return sRGB as seen without M cones (Machado 2009, doi:10.1109/TVCG.2009.113)."""
    matrix = [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]  # fmt: skip
    seen = np.clip(linear(rgb) @ np.transpose(matrix), 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def lab(rgb):
    """Return CIELAB, D65, of sRGB in [0, 1]."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear(rgb) @ np.transpose(to_xyz) / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def test_hot_and_cold_outlines_differ_for_eyes_of_any_kind():
    hot, cold = (OUTLINES[kind] for kind in ("hot", "cold"))
    assert hot.dash != cold.dash
    for seen in (lambda rgb: rgb, as_with_deuteranopia):
        colours = lab(seen(np.array([hot.rgb, cold.rgb]) / 255))
        assert np.linalg.norm(colours[0] - colours[1]) > 40
    assert outline_facts() == {
        "hot": {"colour": hot.colour, "dash": []},
        "cold": {"colour": cold.colour, "dash": [6, 4]},
    }


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
