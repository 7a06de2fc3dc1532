"""Comparisons of two results: every number again with numpy, scipy and shapely on the files."""

import csv
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr
from compare_world import slide_of as slide_of_world
from compare_world import write_run
from report_world import MPP, made_maps
from scipy.stats import pearsonr, spearmanr
from shapely.geometry import shape
from shapely.ops import unary_union

import heatmaps_ome
from heatmaps_ome.cli import main as cli
from heatmaps_ome.cli.comparing import of_comparison
from heatmaps_ome.errors import OptionError, OutputError, ResultError
from heatmaps_ome.features.bag import Tiles
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.maps.numbers import number, probability
from heatmaps_ome.maps.tile_maps import rasterised, table_of
from heatmaps_ome.models.target import Target
from heatmaps_ome.run.collect import collect
from heatmaps_ome.validate.result import validate

CLASSES = ("MSIH", "nonMSIH")
SMALL, ORIGIN = Shape(20, 30), YX(-31.0, -17.0)
HOT = "MSIH"


def maps_of(name, seed=0, **changed):
    return made_maps(name, grid_shape=SMALL, seed=seed, **changed)


def wandering(heatmaps, seed):
    """Return another model's maps of a slide: other values on the tissue of the first."""
    return made_maps(
        heatmaps.slide_name, grid_shape=heatmaps.grid.shape, tissue=heatmaps.tissue, seed=seed
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two runs of two models on two common slides, and one more in each."""
    root = tmp_path_factory.mktemp("compare")
    first, second = maps_of("first", 1), maps_of("second", 2)
    formats = ("ome-zarr", "regions", "tiles")
    write_run(
        root / "fold-1", [first, second, maps_of("alone a", 3)], formats=formats,
        labels={"first": "MSIH", "second": "nonMSIH"},
    )  # fmt: skip
    # Of the second slide, another part is tissue in B.
    other = maps_of("second", 22)
    write_run(
        root / "fold-2", [wandering(first, 21), other, maps_of("alone b", 4)], formats=formats,
        model="b", options={"mask_threshold": 230.0},
    )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def compared(world):
    return heatmaps_ome.compare(world / "fold-1", world / "fold-2", world / "out")


@pytest.fixture(scope="module")
def record(compared):
    return json.loads((compared.output / "compare.json").read_text(encoding="utf-8"))


def slide_of(record, name):
    [slide] = [one for one in record["slides"] if one["name"] == name]
    return slide


def map_of(record, name, title):
    [entry] = [one for one in slide_of(record, name)["maps"] if one["map"] == title]
    return entry


def channels(folder):
    """Return a slide's raw values by the names of their channels, as zarr alone reads them."""
    [store] = folder.glob("*.values.ome.zarr")
    group = zarr.open_group(store, mode="r")
    names = [channel["label"] for channel in group.attrs["omero"]["channels"]]
    return dict(zip(names, np.asarray(group["0"], np.float64), strict=True))


def both(world, name, channel):
    return [channels(world / run / name)[channel] for run in ("fold-1", "fold-2")]


@pytest.mark.parametrize("name", ["first", "second"])
def test_numbers_of_scores_are_those_of_scipy(world, record, name):
    a, b = both(world, name, "score-MSIH")
    known = np.isfinite(a) & np.isfinite(b)
    entry = map_of(record, name, "Score of MSIH")
    assert entry["cells"] == np.count_nonzero(known) > 100
    assert entry["pearson"] == pytest.approx(pearsonr(a[known], b[known])[0], abs=1e-9)
    assert entry["spearman"] == pytest.approx(spearmanr(a[known], b[known])[0], abs=1e-9)
    difference = (b - a)[known]
    assert entry["differences"]["mean"] == pytest.approx(difference.mean(), abs=1e-9)
    assert entry["differences"]["mean_absolute"] == pytest.approx(np.abs(difference).mean())
    assert entry["raw"] is None
    assert (entry["factor_a"], entry["factor_b"]) == (1, 1)


def test_the_largest_difference_lies_where_it_is_found_by_another_reader(world, record):
    largest = map_of(record, "first", "Score of MSIH")["differences"]["largest"]
    place = {"x_um": largest["x_um"], "y_um": largest["y_um"]}
    a, b = (
        heatmaps_ome.open(world / run)["first"].map("score", HOT).at(**place)
        for run in ("fold-1", "fold-2")
    )
    assert (largest["a"], largest["b"]) == pytest.approx((a, b))
    assert largest["difference"] == pytest.approx(b - a)
    first, second = both(world, "first", "score-MSIH")
    assert abs(largest["difference"]) == pytest.approx(np.nanmax(np.abs(second - first)))


@pytest.mark.parametrize("name", ["first", "second"])
def test_attention_is_compared_by_log_ratios_of_weights_and_by_percentiles(world, record, name):
    logits = both(world, name, "attention")
    common = np.isfinite(logits[0]) & np.isfinite(logits[1])
    ratios, ranks = [], []
    for own in logits:
        tissue = np.isfinite(own)
        weights = np.exp(own[tissue]) / np.exp(own[tissue]).sum()
        plane = np.full(own.shape, np.nan)
        plane[tissue] = np.log(weights * tissue.sum())
        ratios.append(plane[common])
        below = (own[common][:, None] > own[common][None]).mean(axis=1)
        ranks.append(100 * below + 50 / common.sum())
    entry = map_of(record, name, "Attention, log ratio to the mean")
    assert entry["unit"] == "log ratio"
    difference = ratios[1] - ratios[0]
    assert entry["differences"]["mean"] == pytest.approx(difference.mean(), abs=1e-6)
    assert entry["differences"]["mean_absolute"] == pytest.approx(np.abs(difference).mean())
    entry = map_of(record, name, "Attention, percentile")
    difference = ranks[1] - ranks[0]
    assert entry["differences"]["mean_absolute"] == pytest.approx(np.abs(difference).mean())
    largest = abs(entry["differences"]["largest"]["difference"])
    assert largest == pytest.approx(np.abs(difference).max())


def test_contributions_are_compared_as_drawn_and_raw(world, record):
    a, b = both(world, "second", "contribution-MSIH")
    known = np.isfinite(a) & np.isfinite(b)
    factors = [np.count_nonzero(np.isfinite(one)) for one in (a, b)]
    assert factors[0] != factors[1]
    entry = map_of(record, "second", "Contribution to MSIH")
    assert [entry["factor_a"], entry["factor_b"]] == factors
    drawn = (b * factors[1] - a * factors[0])[known]
    assert entry["differences"]["mean_absolute"] == pytest.approx(np.abs(drawn).mean())
    assert entry["raw"]["mean_absolute"] == pytest.approx(np.abs((b - a)[known]).mean())
    assert entry["pearson"] == pytest.approx(pearsonr(a[known], b[known])[0], abs=1e-9)


def test_evidence_is_compared_too(world, record):
    a, b = both(world, "first", "evidence-MSIH")
    known = np.isfinite(a) & np.isfinite(b)
    entry = map_of(record, "first", "Evidence for MSIH")
    assert entry["pearson"] == pytest.approx(pearsonr(a[known], b[known])[0], abs=1e-6)


def test_tissue_in_common_is_counted(world, record):
    a, b = (np.isfinite(one) for one in both(world, "second", "attention"))
    tissue = slide_of(record, "second")["tissue"]
    common = np.count_nonzero(a & b)
    assert tissue["cells_common"] == common
    assert tissue["dice"] == pytest.approx(2 * common / (a.sum() + b.sum()))
    assert tissue["iou"] == pytest.approx(common / np.count_nonzero(a | b))
    assert tissue["share_of_a"] == pytest.approx(common / a.sum())
    assert tissue["mm2_common"] == pytest.approx(common * 0.032**2)
    assert slide_of(record, "first")["tissue"]["dice"] == 1


def test_winners_are_compared_cell_by_cell(world, record):
    first, second = (
        np.stack([channels(world / run / "second")[f"score-{name}"] for name in CLASSES])
        for run in ("fold-1", "fold-2")
    )
    known = np.isfinite(first[0]) & np.isfinite(second[0])
    a, b = (one[:, known].argmax(axis=0) for one in (first, second))
    [entry] = slide_of(record, "second")["categories"]
    assert (entry["map"], entry["a"], entry["b"]) == ("Winner", list(CLASSES), list(CLASSES))
    counts = [[int(np.sum((a == i) & (b == j))) for j in (0, 1)] for i in (0, 1)]
    assert entry["counts"] == counts
    assert entry["agree"] == pytest.approx((a == b).mean())


@pytest.mark.parametrize("name", ["first", "second"])
def test_regions_agree_as_the_geojson_files_of_both_runs_do(world, record, name):
    for kind in ("hot", "cold"):
        areas = []
        for run in ("fold-1", "fold-2"):
            path = world / run / name / f"{name}.regions.geojson"
            features = json.loads(path.read_text())["features"]
            own = [one for one in features if one["properties"]["name"].startswith(kind)]
            areas.append(unary_union([shape(one["geometry"]) for one in own]))
        a, b = areas
        entry = slide_of(record, name)["regions"][kind]
        overlap = a.intersection(b).area
        assert entry["dice"] == pytest.approx(2 * overlap / (a.area + b.area), abs=1e-6)
        assert entry["iou"] == pytest.approx(overlap / a.union(b).area, abs=1e-6)
        assert entry["mm2_a"] == pytest.approx(a.area * MPP.x * MPP.y / 1e6, rel=1e-6)


def test_top_tiles_are_those_of_the_tables_of_both_runs(world, record):
    own = []
    for run in ("fold-1", "fold-2"):
        with (world / run / "first" / "first.tiles.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == "top"]
        own.append(len(rows))
    tiles = slide_of(record, "first")["tiles"]
    assert [tiles["tiles_a"], tiles["tiles_b"]] == own
    assert 0 <= tiles["common"] <= min(own)


def test_predictions_stand_side_by_side_with_the_ground_truth(world, record):
    for name, label in (("first", "MSIH"), ("second", "nonMSIH")):
        stated = [
            json.loads((world / run / name / "maps.json").read_text())["prediction"]
            for run in ("fold-1", "fold-2")
        ]
        predictions = slide_of(record, name)["predictions"]
        for entry in predictions["outputs"]:
            a, b = (one[entry["output"]] for one in stated)
            assert (entry["a"], entry["b"]) == pytest.approx((a, b))
            assert entry["difference"] == pytest.approx(b - a)
        highest = [max(one, key=one.get) for one in stated]
        assert [predictions["predicted_a"], predictions["predicted_b"]] == [[n] for n in highest]
        assert predictions["flips"] == (highest[0] != highest[1])
        assert predictions["label"] == label
        right = [predictions["right_a"], predictions["right_b"]]
        assert right == [one == label for one in highest]
    summary = record["summary"]
    flips = [slide_of(record, name)["predictions"]["flips"] for name in ("first", "second")]
    assert (summary["flips"], summary["predicted"], summary["labelled"]) == (sum(flips), 2, 2)


def test_slides_of_one_run_alone_are_listed(record):
    assert [one["name"] for one in record["slides"]] == ["first", "second"]
    assert {one["matched_by"] for one in record["slides"]} == {"fingerprint"}
    assert record["only_a"] == {"alone a": ""}
    assert record["only_b"] == {"alone b": ""}


def test_what_differs_between_the_runs_is_listed(record):
    differing = {one["fact"]: (one["a"], one["b"]) for one in record["differing"]}
    assert differing == {"model": ("a" * 12, "b" * 12), "--mask-threshold": (224.0, 230.0)}


def test_all_slides_share_the_scales(world, record):
    differences = []
    for name in ("first", "second"):
        a, b = both(world, name, "score-MSIH")
        differences.append(np.abs(b - a)[np.isfinite(a) & np.isfinite(b)])
    [scale] = [one for one in record["scales"] if one["map"] == "Score of MSIH"]
    wanted = np.quantile(np.concatenate(differences), 0.95)
    assert scale["difference"] == pytest.approx(wanted, rel=1e-5)
    for name in ("first", "second"):
        facts = json.loads((world / "out" / name / "maps.json").read_text())
        [entry] = [one for one in facts["maps"] if one["class"] == "Score of MSIH"]
        assert entry["kind"] == "difference"
        assert entry["range"]["upper"] == pytest.approx(wanted, rel=1e-5)
        assert entry["range"]["lower"] == -entry["range"]["upper"]
        assert entry["range"]["ends"] == ["A is higher", "B is higher"]


def test_the_differences_are_results_that_viewers_and_python_open(world, compared):
    results = heatmaps_ome.open(compared.output)
    assert list(results) == ["first", "second"]
    a, b = both(world, "second", "score-MSIH")
    drawn = results["second"].map("difference", "Score of MSIH")
    np.testing.assert_allclose(drawn.values, b - a, atol=1e-6)
    assert drawn.unit == "probability"
    raw = results["second"].map("difference", "Contribution to MSIH, raw")
    a, b = both(world, "second", "contribution-MSIH")
    np.testing.assert_allclose(raw.values, b - a, atol=1e-7)
    for name in ("first", "second"):
        assert validate(compared.output / name).problems == ()


def test_the_slide_image_is_linked_not_copied(world, compared):
    chunk = "0/0/0/0"
    own = compared.output / "first" / "first.ome.zarr" / chunk
    assert own.samefile(world / "fold-1" / "first" / "first.ome.zarr" / chunk)


def test_the_table_has_a_row_for_each_slide_and_map(compared, record):
    with (compared.output / "compare.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [
        (slide["name"], entry["map"])
        for slide in record["slides"]
        for entry in [*slide["maps"], *slide["categories"], *slide["left_out"]]
    ]
    assert [(row["slide"], row["map"]) for row in rows] == wanted
    [row] = [r for r in rows if (r["slide"], r["map"]) == ("first", "Score of MSIH")]
    entry = map_of(record, "first", "Score of MSIH")
    assert float(row["Pearson"]) == pytest.approx(entry["pearson"], rel=1e-6)
    assert float(row["mean absolute difference"]) == pytest.approx(
        entry["differences"]["mean_absolute"], rel=1e-6
    )
    assert row["ground truth"] == "MSIH"


def tiny(name, seed=0, **changed):
    return made_maps(name, grid_shape=Shape(9, 11), seed=seed, contributions=False, **changed)


def resampled(heatmaps, times):
    """Return the same maps on cells cut into ``times`` × ``times``."""

    def fine(values):
        return np.repeat(np.repeat(values, times, axis=-2), times, axis=-1)

    return replace(
        heatmaps, grid=heatmaps.grid.enlarged(times), tissue=fine(heatmaps.tissue),
        maps={kind: fine(values) for kind, values in heatmaps.maps.items()},
    )  # fmt: skip


def compared_runs(root, a, b, slides_of_b=None, **changed):
    """Write two runs of made-up maps and return the record of their comparison."""
    write_run(root / "a", a, **changed)
    write_run(root / "b", b, **{**changed, "model": "b", "slides": slides_of_b})
    return heatmaps_ome.compare(root / "a", root / "b", root / "out").record


def test_a_run_beside_itself_differs_nowhere(tmp_path):
    write_run(tmp_path / "a", [maps_of("one", 5)])
    out = heatmaps_ome.compare(tmp_path / "a", tmp_path / "a", tmp_path / "out")
    [slide] = out.record["slides"]
    assert len(slide["maps"]) == 8
    for entry in slide["maps"]:
        assert entry["pearson"] == entry["spearman"] == pytest.approx(1, abs=1e-12)
        for differences in (entry["differences"], entry["raw"] or entry["differences"]):
            assert differences["mean_absolute"] == differences["largest"]["difference"] == 0
    assert {one["dice"] for one in slide["regions"].values()} == {1.0}
    assert slide["tissue"]["dice"] == slide["categories"][0]["agree"] == 1
    assert slide["tiles"]["common"] == slide["tiles"]["tiles_a"] > 0
    assert slide["predictions"]["flips"] is False
    assert out.record["differing"] == []
    assert out.failed == {}
    assert (
        "–"
        not in (out.output / "index.html").read_text().split('id="maps"')[1].split("</table>")[0]
    )


def test_maps_on_other_cells_are_compared_by_place(tmp_path):
    coarse = tiny("one", 6)
    fine = resampled(coarse, 2)
    shifted = replace(fine, grid=replace(fine.grid, l0_origin=YX(-31.0 - 32, -17.0 - 32)))
    record = compared_runs(tmp_path, [coarse], [fine])
    [slide] = record["slides"]
    assert not slide["cells"]["same_grid"]
    assert slide["cells"]["um_common"] == [16.0, 16.0]
    assert slide["tissue"]["cells_common"] == 4 * coarse.tissue_cells
    score = map_of(record, "one", "Score of MSIH")
    assert score["pearson"] == pytest.approx(1)
    assert score["differences"]["mean_absolute"] == 0
    # Log ratios to the mean do not depend on the number of cells.
    assert map_of(record, "one", "Attention, log ratio to the mean")["differences"][
        "mean_absolute"
    ] == pytest.approx(0, abs=1e-6)
    shutil.rmtree(tmp_path / "b")
    shutil.rmtree(tmp_path / "out")
    write_run(tmp_path / "b", [shifted], slides={"one": slide_of_world(coarse)})
    record = heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out").record
    lattice = heatmaps_ome.open(tmp_path / "out")["one"].grid
    assert lattice.shape == Shape(2 * 9 + 1, 2 * 11 + 1)
    assert lattice.l0_origin == YX(-63.0, -49.0)
    # By one reader at places in µm, cell by cell.
    own = [heatmaps_ome.open(tmp_path / run)["one"].map("score", HOT) for run in ("a", "b")]
    drawn = heatmaps_ome.open(tmp_path / "out")["one"].map("difference", "Score of MSIH")
    n_known = 0
    for row in range(lattice.shape.rows):
        for col in range(lattice.shape.cols):
            y, x = lattice.um_from_g(YX(row + 0.5, col + 0.5))
            a, b = (at(one, x, y) for one in own)
            np.testing.assert_allclose(drawn.values[row, col], b - a, atol=1e-6)
            n_known += math.isfinite(b - a)
    assert n_known == map_of(record, "one", "Score of MSIH")["cells"] > 50


def at(drawn, x, y):
    """Return a map's value at a place; NaN beside the map."""
    try:
        return drawn.at(x_um=x, y_um=y)
    except ValueError:
        return math.nan


def test_contributions_on_other_cells_have_no_raw_difference(tmp_path):
    coarse = made_maps("one", grid_shape=Shape(9, 11), seed=6)
    fine = resampled(coarse, 2)
    shares = {"contribution": fine.maps["contribution"] / 4}
    record = compared_runs(tmp_path, [coarse], [replace(fine, maps={**fine.maps, **shares})])
    entry = map_of(record, "one", "Contribution to MSIH")
    assert entry["raw"] is None
    assert entry["factor_b"] == 4 * entry["factor_a"]
    assert entry["differences"]["mean_absolute"] == pytest.approx(0, abs=1e-5)


def test_classes_are_matched_by_name_and_others_listed(tmp_path):
    first = tiny("one", 7, classes=("MSIH", "nonMSIH"))
    second = tiny("one", 8, classes=("POLE", "MSIH", "nonMSIH"), tissue=first.tissue)
    record = compared_runs(tmp_path, [first], [second])
    a = channels(tmp_path / "a" / "one")["score-nonMSIH"]
    b = channels(tmp_path / "b" / "one")["score-nonMSIH"]
    known = np.isfinite(a) & np.isfinite(b)
    entry = map_of(record, "one", "Score of nonMSIH")
    assert entry["pearson"] == pytest.approx(pearsonr(a[known], b[known])[0], abs=1e-9)
    [slide] = record["slides"]
    left_out = {one["map"]: one["reason"] for one in slide["left_out"]}
    assert left_out["Score of POLE"] == "only in B"
    assert [one["output"] for one in slide["predictions"]["outputs"]] == ["MSIH", "nonMSIH", "POLE"]
    [winner] = slide["categories"]
    assert (winner["a"], winner["b"]) == (["MSIH", "nonMSIH"], ["POLE", "MSIH", "nonMSIH"])
    diagonal = winner["counts"][0][1] + winner["counts"][1][2]
    assert winner["agree"] == pytest.approx(diagonal / winner["cells"])


def test_a_constant_map_has_no_correlation_and_says_so(tmp_path):
    first = tiny("one", 9)
    flat = np.where(first.tissue, np.float32(0.5), np.nan).astype(np.float32)
    constant = replace(first, maps={**first.maps, "score": np.stack([flat, flat])})
    record = compared_runs(tmp_path, [first], [constant])
    entry = map_of(record, "one", "Score of MSIH")
    assert (entry["pearson"], entry["spearman"]) == (None, None)
    assert entry["undefined"] == "B is the same in all cells"
    text = (tmp_path / "out" / "compare.json").read_text()
    assert "NaN" not in text
    page = (tmp_path / "out" / "index.html").read_text()
    assert "B is the same in all cells" in page
    assert "nan" not in page.split("<main")[1].split("<figure")[0].casefold().replace("nonmsi", "")


def test_results_without_tissue_in_common_are_compared_as_far_as_they_can_be(tmp_path):
    left = np.zeros((9, 11), bool)
    left[3:7, 1:4] = True
    record = compared_runs(
        tmp_path, [tiny("one", 1, tissue=left)], [tiny("one", 2, tissue=left[:, ::-1])]
    )
    entry = map_of(record, "one", "Score of MSIH")
    assert entry["undefined"] == "no cell in common"
    assert (entry["cells"], entry["differences"]) == (0, None)
    assert record["slides"][0]["tissue"]["dice"] == 0


def damaged(folder):
    [store] = folder.glob("*.values.ome.zarr")
    chunk = store / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])


def test_one_damaged_slide_does_not_sink_the_others(tmp_path, capsys):
    write_run(tmp_path / "a", [tiny("good", 1), tiny("bad", 2), tiny("worse", 3)])
    write_run(tmp_path / "b", [tiny("good", 4), tiny("bad", 5), tiny("worse", 6)], model="b")
    damaged(tmp_path / "b" / "bad")
    (tmp_path / "a" / "worse" / "maps.json").write_text("{")
    words = [str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out")]
    assert cli.main(["compare", *words]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "bad: failed" in lines
    assert "bad.values.ome.zarr" in lines[lines.index("bad: failed") + 1]
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {one["name"]: one["status"] for one in record["slides"]} == {
        "good": "done", "bad": "failed", "worse": "failed",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "good", "compare.json", "compare.csv", "index.html",
    }  # fmt: skip
    assert "Not compared" in (tmp_path / "out" / "index.html").read_text()


def test_nothing_is_written_where_nothing_can_be_compared(tmp_path):
    write_run(tmp_path / "a", [tiny("one", 1)])
    write_run(tmp_path / "b", [tiny("two", 2)], model="b")
    with pytest.raises(ResultError, match="a and b have no slide in common: A has one, B has two"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    with pytest.raises(ResultError, match="there is no folder"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "c", tmp_path / "out")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    damaged(tmp_path / "c" / "one")
    with pytest.raises(ResultError, match=r"no slide could be compared: .*one\.values"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "c", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


def test_other_slides_of_one_name_are_refused(tmp_path):
    write_run(tmp_path / "a", [tiny("one", 1)])
    write_run(tmp_path / "b", [made_maps("one", grid_shape=Shape(9, 12), contributions=False)])
    with pytest.raises(ResultError, match=r"one: they are other slides of one name: .* in A, "):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out")


def test_slides_are_matched_by_content_else_by_name(tmp_path):
    first = tiny("one", 1)
    renamed = replace(tiny("anonymous", 2), slide_name="anonymous")
    write_run(tmp_path / "a", [first, tiny("two", 3)])
    other = slide_of_world(tiny("two"))
    other.rgb[1, 1] = 7
    write_run(
        tmp_path / "b", [renamed, tiny("two", 4)],
        slides={"anonymous": renamed_slide(first, "anonymous"), "two": other},
    )  # fmt: skip
    record = heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out").record
    matched = {(one["name"], one["name_b"], one["matched_by"]) for one in record["slides"]}
    assert matched == {("one", "anonymous", "fingerprint"), ("two", "two", "name")}


def renamed_slide(heatmaps, name):
    slide = slide_of_world(heatmaps)
    slide.name = name
    return slide


def test_nothing_is_overwritten_unasked(tmp_path):
    write_run(tmp_path / "a", [tiny("one", 1)])
    write_run(tmp_path / "b", [tiny("one", 2)], model="b")
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="exists and holds no comparison"):
            heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", out, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", out)
    before = (out / "compare.json").stat().st_mtime_ns
    with pytest.raises(OutputError, match="replace it with --overwrite"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", out)
    assert (out / "compare.json").stat().st_mtime_ns == before
    heatmaps_ome.compare(tmp_path / "b", tmp_path / "a", out, overwrite=True)
    assert json.loads((out / "compare.json").read_text())["a"]["name"] == "b"
    with pytest.raises(OutputError, match="lie in one another"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", tmp_path / "a" / "out")
    with pytest.raises(OptionError, match="no option"):
        heatmaps_ome.compare(tmp_path / "a", tmp_path / "b", out, colours="red")
    with pytest.raises(ResultError, match="holds a comparison"):
        collect(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


STEP = 160


def tiles_of(name, kinds, target=None, **facts):
    """Return maps of tiles side by side on a slide, as a run on features of tiles has them.

    Parameters
    ----------
    kinds : mapping of kind → (n,) or (classes, n) values of 12 tiles
    """
    slide = slide_of_world(tiny(name))
    y, x = (index.ravel() * float(STEP) for index in np.mgrid[:3, :4])
    tiles = Tiles(np.stack([x, y, x + STEP, y + STEP], axis=1), "made up", (), "d" * 64)
    target = target or Target("classification", CLASSES, "softmax")
    return rasterised(table_of(slide, tiles, target, kinds, **facts))


def test_maps_of_tiles_are_compared_with_those_of_a_dense_grid(tmp_path):
    rng = np.random.default_rng(3)
    score = rng.random(12).astype(np.float32)
    kinds = {"attention": rng.normal(size=12), "score": np.stack([score, 1 - score])}
    tiles = tiles_of("one", kinds, prediction=np.array([0.3, 0.7]))
    slide = {"one": slide_of_world(tiny("one"))}
    record = compared_runs(tmp_path, [tiny("one", 6)], [tiles], slides_of_b=slide)
    [slide] = record["slides"]
    assert not slide["cells"]["same_grid"]
    dense = heatmaps_ome.open(tmp_path / "a")["one"].map("score", HOT)
    drawn = heatmaps_ome.open(tmp_path / "out")["one"].map("difference", "Score of MSIH")
    checked = 0
    for (x0, y0, x1, y1), own in zip(tiles.tiles.places, score, strict=True):
        for part in (0.1, 0.5, 0.9):
            # Cells have the values at their middles, so places are taken from these.
            place = drawn.grid.g_from_l0(YX(y0 + part * (y1 - y0), x0 + part * (x1 - x0)))
            middle = drawn.grid.um_from_g(YX(math.floor(place.y) + 0.5, math.floor(place.x) + 0.5))
            inside = y0 < middle.y / MPP.y < y1 and x0 < middle.x / MPP.x < x1
            there = at(dense, middle.x, middle.y)
            if inside and math.isfinite(there):
                assert at(drawn, middle.x, middle.y) == pytest.approx(own - there, abs=1e-6)
                checked += 1
    assert checked > 10
    predictions = slide["predictions"]["outputs"]
    assert {one["output"]: one["b"] for one in predictions} == {"MSIH": 0.3, "nonMSIH": 0.7}


def test_attention_of_unknown_unit_is_compared_by_percentiles_alone(tmp_path):
    values = np.random.default_rng(4).random(12).astype(np.float32)
    listed = {key: () for key, kind in KINDS.items() if kind.per_class}
    first, second = (
        tiles_of("one", {"attention": own}, Target("none", (), "identity"), names=listed)
        for own in (values, values**2)
    )
    slides = {"one": slide_of_world(tiny("one"))}
    record = compared_runs(
        tmp_path, [first], [second], slides, slides=slides, true_class="attention"
    )
    [slide] = record["slides"]
    [entry] = slide["maps"]
    assert (entry["map"], entry["form"]) == ("Attention, percentile", "percentile")
    assert entry["differences"]["mean_absolute"] == 0
    assert entry["spearman"] == pytest.approx(1)
    assert slide["predictions"]["outputs"] == []
    assert (slide["regions"], slide["tiles"]) == ({}, {})


@pytest.fixture
def page(chromium, compared):
    """The report, opened from disk; it may complain of nothing and ask for nothing."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    complaints, url = [], (compared.output / "index.html").as_uri()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: one.url.startswith(("data:", url)) or complaints.append(one.url))
    page.goto(url)
    yield page
    page.close()
    assert complaints == []


def test_the_report_shows_one_map_of_all_slides_at_a_time(page, record):
    shown = "figure:not([hidden]) figcaption"
    assert page.locator(shown).all_inner_texts() == ["Score of MSIH"] * 2
    page.locator("#map").select_option("Contribution to MSIH")
    assert page.locator(shown).all_inner_texts() == ["Contribution to MSIH"] * 2
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure:not([hidden]) img')].map((one) => one.naturalWidth)"
    )
    assert len(sizes) == 8
    assert min(sizes) > 300
    options = page.locator("#map option").all_inner_texts()
    assert "Score of nonMSIH" not in options
    assert {"Winner", "Regions", "Attention, percentile"} < set(options)


def test_the_reports_table_is_sorted_by_any_column(page, record):
    def column(title):
        heads = page.locator("#slides thead th").all_inner_texts()
        place = [head.strip() for head in heads].index(title)
        page.locator("#slides thead button").nth(place).click()
        return page.locator(f"#slides tbody td:nth-child({place + 1})").all_inner_texts()

    assert column("Slide") == ["first", "second"]
    page.locator("#slides thead button").first.click()
    assert page.locator("#slides tbody td:first-child").all_inner_texts() == ["second", "first"]
    numbers = [float(text.replace("\u2212", "-")) for text in column("B \u2212 A")]
    assert numbers == sorted(numbers)
    own = [slide_of(record, name)["predictions"]["outputs"][0] for name in ("first", "second")]
    assert numbers == pytest.approx(sorted(one["difference"] for one in own), rel=5e-3)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_the_report_fits_every_screen(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("footer .notice").inner_text() == "For research, not for diagnosis."


def test_every_slide_is_printed_on_a_page_of_its_own(page, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    page.pdf(path=tmp_path / "print.pdf", prefer_css_page_size=True)
    document = pdfium.PdfDocument(tmp_path / "print.pdf")
    texts = [document[index].get_textpage().get_text_range() for index in range(len(document))]
    assert len(texts) == 4
    assert "All slides" in texts[0]
    for text, name in zip(texts[1:3], ("first", "second"), strict=True):
        assert text.startswith(name)
        assert "Score of MSIH" in text
    assert "For research, not for diagnosis." in texts[-1]


def test_the_closing_lines_name_predictions_correlations_and_files(compared, record):
    lines = of_comparison(compared).splitlines()
    own = slide_of(record, "first")["predictions"]["outputs"][0]
    [line] = [line for line in lines if line.startswith("first: ")]
    assert line.startswith(
        f"first: MSIH {probability(own['a'])} in A, {probability(own['b'])} in B"
    )
    pearson = map_of(record, "first", "Score of MSIH")["pearson"]
    assert f"Score of MSIH r {number(pearson)}" in lines[lines.index(line) + 1]
    assert "alone a: only in A" in lines
    assert f"{compared.output / 'index.html'}: the report, for any browser" in lines


def test_the_output_is_named_after_the_folders(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "a", [tiny("one", 1)])
    write_run(tmp_path / "b", [tiny("one", 2)], model="b")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "b", "a"]) == 0
    assert (tmp_path / "b-vs-a" / "index.html").is_file()
    assert "1 slide compared." in capsys.readouterr().out
