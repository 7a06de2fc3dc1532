import json
from dataclasses import replace

import numpy as np
import pytest
from earlier_scalings import in_an_earlier_format
from fakes import covering_grid, heatmap_set
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.geometry import Shape

SLIDE = Shape(640, 480)
GRID = covering_grid(SLIDE)


def fitted(*heatmaps, quantiles=None):
    fit = ScalingFit(quantiles or Quantiles())
    for each in heatmaps:
        fit.add(each)
    return fit.fit("cohort", "model", "extractor")


def test_ranges_are_the_references_quantiles_over_all_tissue_cells_of_all_slides():
    slides = [heatmap_set(GRID, SLIDE, seed=seed) for seed in range(3)]
    scaling = fitted(*slides)
    attention = np.concatenate([s.attention[s.tissue] for s in slides]).astype(float)
    scores = np.concatenate([s.scores[0][s.tissue] for s in slides]).astype(float)
    assert scaling.attention.lower == pytest.approx(np.quantile(attention, 0.01))
    assert scaling.attention.upper == pytest.approx(attention.max())
    # create_heatmaps.py:400-401: centred on chance, divided by twice the quantile.
    scale_factor = np.quantile(np.abs(scores - 0.5), 0.95) * 2
    expected = np.clip((scores - 0.5) / scale_factor + 0.5, 0, 1)
    np.testing.assert_allclose(
        scaling.range_of("score", "MSIH").position(scores), expected, atol=1e-9
    )
    assert scaling.cells == attention.size


def test_the_order_of_slides_does_not_matter():
    slides = [heatmap_set(GRID, SLIDE, seed=seed) for seed in range(3)]
    assert fitted(*slides) == fitted(*reversed(slides))


def test_chance_is_the_middle_for_three_classes_too():
    scaling = fitted(heatmap_set(GRID, SLIDE, classes=("A", "B", "C")))
    for shown in scaling.ranges["score"]:
        assert shown.position(np.array(1 / 3)) == pytest.approx(0.5)
    for shown in scaling.ranges["contribution"]:
        assert shown.position(np.array(0.0)) == pytest.approx(0.5)


def test_leave_one_out_has_a_range_of_its_own_around_zero():
    slides = [heatmap_set(GRID, SLIDE, seed=seed) for seed in range(3)]
    scaling = fitted(*slides)
    for index, shown in enumerate(scaling.ranges["leave-one-out"]):
        falls = np.concatenate([s.values("leave-one-out")[index][s.tissue] for s in slides]).astype(
            float
        )
        assert shown.upper == pytest.approx(np.quantile(np.abs(falls), 0.95))
        assert shown.lower == -shown.upper
    assert len(scaling.ranges["leave-one-out"]) == 2
    assert "leave-one-out" not in fitted(heatmap_set(GRID, SLIDE, contributions=False)).ranges


def test_shares_of_slides_of_a_million_cells_are_told_apart():
    heatmaps = heatmap_set(GRID, SLIDE)
    small = heatmaps.with_maps(contribution=heatmaps.contributions * np.float32(1e-7))
    shown = fitted(small).ranges["contribution"][0]
    values = small.contributions[0][small.tissue] * small.tissue.sum()
    assert shown.upper == pytest.approx(np.quantile(np.abs(values.astype(float)), 0.95))


@given(st.lists(st.floats(-1e30, 1e30), min_size=1), st.floats(-1e30, 1e30))
def test_positions_are_in_range_and_keep_order(values, extra):
    values = np.array([*values, extra])
    position = Range(min(values) - 1e-3 - abs(min(values)), max(values) + 1e24).position(values)
    assert ((position >= 0) & (position <= 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(position[order]) >= 0).all()


@pytest.mark.parametrize("tissue", [np.zeros(GRID.shape, bool), None])
def test_nothing_and_constants_give_a_range_without_dividing_by_zero(tissue):
    heatmaps = heatmap_set(GRID, SLIDE, tissue=tissue)
    constant = heatmaps.with_maps(
        attention=np.where(heatmaps.tissue, 3.0, np.nan).astype(np.float32),
        score=np.where(heatmaps.tissue, 0.5, np.nan).astype(np.float32)[None].repeat(2, 0),
    )
    scaling = fitted(constant)
    assert scaling.attention.lower < scaling.attention.upper
    assert scaling.ranges["score"][0].position(np.array(0.5)) == pytest.approx(0.5)


def test_a_scaling_survives_its_file_exactly(tmp_path):
    scaling = fitted(heatmap_set(GRID, SLIDE))
    scaling.save(tmp_path / "scaling.json")
    assert CohortScaling.load(tmp_path / "scaling.json") == scaling
    assert [file.name for file in tmp_path.iterdir()] == ["scaling.json"]


_RAW = {"contribution", "evidence"}


@pytest.mark.parametrize(
    ("number", "lacking"),
    [
        (1, {"leave-one-out", "margin", *_RAW}),
        (2, {"margin", *_RAW}),
        (3, _RAW),
        (4, _RAW),
        (5, set()),
    ],
)
def test_files_of_earlier_formats_have_no_ranges_of_later_maps(tmp_path, number, lacking):
    scaling = fitted(heatmap_set(GRID, SLIDE, ("a", "b", "c")))
    path = tmp_path / "scaling.json"
    scaling.save(path)
    assert len(scaling.ranges["margin"]) == 3
    assert json.loads(path.read_text())["format"] == "heatmaps-ome scaling 6"
    path.write_text(json.dumps(in_an_earlier_format(json.loads(path.read_text()), number)))
    ranges = {kind: found for kind, found in scaling.ranges.items() if kind not in lacking}
    loaded = CohortScaling.load(path)
    assert loaded == replace(scaling, ranges=ranges)
    # The kinds that are drawn otherwise since are told of; --refit gives them ranges again.
    drawn_otherwise = _RAW if number < 5 else set()
    assert set(loaded.lacking(heatmap_set(GRID, SLIDE, ("a", "b", "c")))) == drawn_otherwise


def test_a_record_of_an_earlier_version_has_no_format_and_raw_contributions():
    scaling = fitted(heatmap_set(GRID, SLIDE))
    record = scaling.record()
    assert CohortScaling.from_record(record) == scaling
    del record["format"]
    earlier = CohortScaling.from_record(record)
    assert set(scaling.ranges) - set(earlier.ranges) == _RAW
    assert earlier.numbers != scaling.numbers


def test_given_contributions_keep_their_range_of_an_earlier_version(tmp_path):
    scaling = fitted(heatmap_set(GRID, SLIDE))
    given = replace(scaling, names={"contribution": ("shap", "lime")})
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({**given.record(), "format": "heatmaps-ome scaling 4"}))
    assert set(CohortScaling.load(path).ranges) == set(scaling.ranges) - {"evidence"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "x"}', '{"format": 1, "a": 2}'])
def test_a_foreign_file_is_no_scaling(tmp_path, text):
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(ScalingError, match=r"is no scaling\.json"):
        CohortScaling.load(tmp_path / "scaling.json")


def test_a_damaged_range_is_refused(tmp_path):
    scaling = fitted(heatmap_set(GRID, SLIDE))
    path = tmp_path / "scaling.json"
    scaling.save(path)
    said = json.loads(path.read_text())
    said["ranges"]["attention"][0]["upper"] = said["ranges"]["attention"][0]["lower"]
    path.write_text(json.dumps(said))
    with pytest.raises(ScalingError):
        CohortScaling.load(path)


def test_another_models_maps_are_not_scaled(tmp_path):
    scaling = fitted(heatmap_set(GRID, SLIDE))
    scaling.require_fit("model", "extractor", tmp_path)
    with pytest.raises(ScalingError, match="another model"):
        scaling.require_fit("other", "extractor", tmp_path)
    with pytest.raises(ScalingError, match="another extractor"):
        scaling.require_fit("model", "other", tmp_path)


@pytest.mark.parametrize("values", [(-0.1, 1, 0.9), (0, 1.1, 0.9), (0.5, 0.5, 0.9), (0, 1, 2)])
def test_what_is_no_quantile_is_refused(values):
    with pytest.raises(ValueError, match="quantile"):
        Quantiles(*values)
