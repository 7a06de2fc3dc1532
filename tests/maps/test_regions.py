"""Hot and cold regions: shares against loops, thresholds, limits, and every edge case defined."""

import csv
import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import shapely
from fakes import FakeSlide, covering_grid, heatmap_set, slide_result
from scipy import ndimage

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.exporters.manifest import manifest
from heatmaps_ome.exporters.regions import RegionsExporter
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.regions import LEAST_CELLS, REGIONS_LIMIT, find_regions
from heatmaps_ome.slides.opening import open_slide

SLIDE = Shape(1000, 1300)
GRID = covering_grid(SLIDE, YX(32.0, 32.0), YX(-15.5, -15.5))
HOSTILE = ("=1+1", 'a,"b"', "two\nlines", "MSI: high", "<b>&", "Grün", "/\\ ..", "'s")


def smooth_set(classes=("MSIH", "nonMSIH"), seed=0, sigma=2.0, grid=GRID, shape=SLIDE):
    """Return random maps that are smooth, so that regions are larger than a cell."""
    rng = np.random.default_rng(seed)
    heatmaps = heatmap_set(grid, shape, classes, seed, tissue=rng.random(grid.shape) < 0.95)
    tissue = heatmaps.tissue
    rough = rng.normal(size=(len(classes), *grid.shape))
    logits = ndimage.gaussian_filter(rough, (0, sigma, sigma)) * sigma * 4
    shares = np.exp(np.where(tissue, heatmaps.attention, -np.inf)).astype(np.float64)
    shares = shares / max(shares.sum(), 1e-300)
    scores = np.exp(logits) / np.exp(logits).sum(axis=0)
    return heatmaps.with_maps(
        score=np.where(tissue, scores, np.nan).astype(np.float32),
        contribution=np.where(tissue, shares * logits, np.nan).astype(np.float32),
    )


def inside(region, grid=GRID):
    """Return the cells whose centres lie in a region's outline: (rows, cols) bool."""
    rows, cols = grid.l0_edges_on(SLIDE)
    y, x = ((each[1:] + each[:-1]) / 2 for each in (rows, cols))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return shapely.contains_xy(region.l0_polygon, points).reshape(grid.shape)


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_evidence_is_the_contribution_that_the_softmax_sees(n_classes):
    heatmaps = smooth_set(tuple("ABC"[:n_classes]))
    found = evidence(heatmaps, "A")
    for row, col in np.argwhere(heatmaps.tissue)[:50]:
        of_all = [float(each[row, col]) for each in heatmaps.contributions]
        centre = sum(of_all) / n_classes if n_classes > 1 else 0.0
        assert found[row, col] == pytest.approx(of_all[0] - centre, abs=1e-7)
    assert np.array_equal(np.isnan(found), ~heatmaps.tissue)
    assert found.dtype == np.float32
    assert evidence(heatmaps.with_maps(contribution=None), "A") is None


@pytest.mark.parametrize("classes", [("MSIH", "nonMSIH"), ("MSIH", "B", "C")])
def test_all_numbers_are_those_of_a_loop_over_the_cells(classes):
    heatmaps = smooth_set(classes)
    found = find_regions(heatmaps, "MSIH", 0.7, 0.6)
    values = evidence(heatmaps, "MSIH")
    assert {region.kind for region in found.regions} == {"hot", "cold"}
    for region in found.regions:
        sign = 1 if region.kind == "hot" else -1
        cells = np.argwhere(inside(region) & heatmaps.tissue)
        total = area = score = contribution = carried = 0.0
        for row, col in np.argwhere(heatmaps.tissue):
            total += max(0.0, sign * float(values[row, col]))
        for row, col in cells:
            top, left = row * 32 - 15.5, col * 32 - 15.5
            height = min(SLIDE.rows, top + 32) - max(0, top)
            width = min(SLIDE.cols, left + 32) - max(0, left)
            area += height * width * 0.25 / 1e6
            score += float(heatmaps.score("MSIH")[row, col])
            contribution += float(heatmaps.contributions[0, row, col])
            carried += max(0.0, sign * float(values[row, col]))
        assert region.cells == len(cells)
        assert region.area_mm2 == pytest.approx(area)
        assert region.share_of_tissue == pytest.approx(len(cells) / heatmaps.tissue_cells)
        assert region.mean_score == pytest.approx(score / len(cells))
        assert region.contribution == pytest.approx(contribution)
        assert region.share_of_evidence == pytest.approx(carried / total)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_hot_cells_are_the_fewest_that_carry_the_share(share):
    heatmaps = smooth_set()
    values = evidence(heatmaps, "MSIH").astype(float)
    for kind, own in (("hot", values), ("cold", -values)):
        found = find_regions(heatmaps, "MSIH", share, share)
        limit = found.hot_from if kind == "hot" else -found.cold_to
        speaking = sorted((v for v in own[heatmaps.tissue] if v > 0), reverse=True)
        count, carried = 0, 0.0
        while count == 0 or carried < share * sum(speaking) * (1 - 1e-12):
            carried += speaking[count]
            count += 1
        assert limit == pytest.approx(speaking[count - 1])
        mask = np.logical_or.reduce([inside(r) for r in found.of(kind)] or [own > np.inf])
        assert (own[mask & heatmaps.tissue] >= limit).all()
        small = np.count_nonzero((own >= limit) & ~mask)
        assert small <= (LEAST_CELLS - 1) * found.left_out


def test_regions_cover_all_cells_but_those_left_out_and_are_ranked_by_share():
    heatmaps = smooth_set()
    found = find_regions(heatmaps, "MSIH")
    left_out = 0
    for kind in ("hot", "cold"):
        regions = found.of(kind)
        assert [region.number for region in regions] == list(range(1, len(regions) + 1))
        assert [region.name for region in regions] == [f"{kind} {r.number}" for r in regions]
        shares = [region.share_of_evidence for region in regions]
        assert shares == sorted(shares, reverse=True)
        values = evidence(heatmaps, "MSIH")
        mask = values >= found.hot_from if kind == "hot" else values <= found.cold_to
        labels, count = ndimage.label(mask)
        sizes = np.bincount(labels.ravel())[1:]
        assert len(regions) == np.count_nonzero(sizes >= LEAST_CELLS)
        left_out += count - len(regions)
    assert found.left_out == left_out > 0


def test_polygons_are_valid_apart_and_on_the_slide():
    found = find_regions(smooth_set(sigma=0.7), "MSIH")
    polygons = [region.l0_polygon for region in found.regions]
    assert len(polygons) > 20
    assert shapely.is_valid(polygons).all()
    union = shapely.union_all(polygons)
    assert union.area == pytest.approx(sum(polygon.area for polygon in polygons))
    assert shapely.box(0, 0, SLIDE.cols, SLIDE.rows).covers(union)


def test_a_ring_keeps_its_hole_and_its_area():
    heatmaps = smooth_set()
    ring = np.zeros(GRID.shape, bool)
    ring[5:12, 5:12] = True
    ring[7:10, 7:10] = False
    sign = np.where(ring, 1.0, -0.001)[None] * np.array([1, -1])[:, None, None]
    contributions = np.where(heatmaps.tissue | True, sign, np.nan).astype(np.float32)
    full = replace(heatmaps, tissue=np.ones(GRID.shape, bool)).with_maps(contribution=contributions)
    full = full.with_maps(attention=np.zeros(GRID.shape, np.float32))
    [region] = find_regions(full, "MSIH", hot_share=1.0).of("hot")
    assert len(region.l0_polygon.interiors) == 1
    assert region.cells == 40
    assert region.area_mm2 == pytest.approx(40 * 16**2 / 1e6)
    assert region.share_of_evidence == 1.0
    hole = shapely.Polygon(region.l0_polygon.interiors[0])
    assert hole.centroid.distance(shapely.Point(8.5 * 32 - 15.5, 8.5 * 32 - 15.5)) < 1e-6


def test_at_most_so_many_regions_of_a_kind_are_kept_and_the_rest_is_counted():
    shape = Shape(200 * 32, 200 * 32)
    grid = covering_grid(shape)
    heatmaps = smooth_set(sigma=1.2, grid=grid, shape=shape)
    found = find_regions(heatmaps, "MSIH")
    assert [len(found.of(kind)) for kind in ("hot", "cold")] == [REGIONS_LIMIT, REGIONS_LIMIT]
    assert f"{found.left_out} more are left out" in found.sentence()
    least = found.of("hot")[-1].share_of_evidence
    values = evidence(heatmaps, "MSIH")
    labels, count = ndimage.label(values >= found.hot_from)
    sums = ndimage.sum_labels(values, labels, np.arange(1, count + 1))
    sizes = np.bincount(labels.ravel())[1:]
    # Those that are left out carry less than the last that is kept, or are too small.
    ranked = np.sort(sums[sizes >= LEAST_CELLS])[::-1]
    assert least == pytest.approx(ranked[REGIONS_LIMIT - 1] / values[values > 0].sum(), rel=1e-5)


def test_the_sentence_says_what_is_carried_by_how_much_tissue():
    found = find_regions(smooth_set(), "MSIH", 0.8, 0.5)
    hot, cold = (
        sum(region.share_of_evidence for region in found.of(kind)) for kind in ("hot", "cold")
    )
    values = evidence(smooth_set(), "MSIH")
    whole_for, whole_against = (np.nansum(np.maximum(sign * values, 0)) for sign in (1, -1))
    said = found.sentence()
    assert said.startswith(
        f"{len(found.of('hot'))} hot regions carry {100 * hot:.3g} % of the evidence for MSIH "
        f"({hot * whole_for:.3g} of {whole_for:.3g} logits) on "
    )
    assert (
        f"carry {100 * cold:.3g} % of the evidence against MSIH "
        f"({cold * whole_against:.3g} of {whole_against:.3g} logits) on "
    ) in said
    assert found.criterion("hot") == (
        f"evidence for MSIH >= {found.hot_from:.3g} logits, the fewest cells that carry 80 % of it"
    )
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["sentence"] == said
    assert record["hot"]["regions"] == len(found.of("hot"))
    assert record["hot"]["wanted_share_of_evidence"] == 0.8
    assert record["cold"]["threshold"] == pytest.approx(found.cold_to, rel=1e-5)
    assert record["hot"]["total_evidence"] == pytest.approx(whole_for, rel=1e-5)
    assert record["cold"]["total_evidence"] == pytest.approx(whole_against, rel=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_side_with_next_to_no_evidence_has_totals_and_no_shares(sign, tmp_path):
    """Of 82 % of the evidence against a class nobody learns that all of it is next to nothing."""
    heatmaps = smooth_set()
    own = sign * heatmaps.contributions[0]
    faint = np.where(own > 0, own, own * 1e-4)
    heatmaps = heatmaps.with_maps(contribution=np.stack([sign * faint, np.zeros_like(faint)]))
    found = find_regions(heatmaps, "MSIH")
    strong, weak = ("hot", "cold") if sign > 0 else ("cold", "hot")
    side, other = ("against", "for") if sign > 0 else ("for", "against")
    assert found.of(weak)
    assert all(math.isnan(region.share_of_evidence) for region in found.of(weak))
    assert all(0 < region.share_of_evidence < 1 for region in found.of(strong))
    little, much = found.total(weak), found.total(strong)
    assert little == pytest.approx(np.nansum(np.maximum(-faint, 0)) / 2, rel=1e-5)
    assert (
        f"{len(found.of(weak))} {weak} regions with next to no evidence {side} MSIH "
        f"({little:.3g} logits {side} it, beside {much:.3g} {other} it)"
    ) in found.sentence().replace("\u2212", "-")
    assert found.sentence().count("%") == 2
    assert found.record()[weak]["share_of_evidence"] is None
    written(tmp_path, heatmaps=heatmaps)
    shares = [r["share of evidence: MSIH"] for r in rows_of(tmp_path) if r["kind"] == weak]
    assert set(shares) == {""}


@pytest.mark.parametrize("n_classes", [2, 4])
def test_without_evidence_regions_are_those_of_the_score(n_classes):
    heatmaps = smooth_set(tuple("ABCD"[:n_classes])).with_maps(contribution=None)
    found = find_regions(heatmaps, "A")
    assert found.quantity == "score of A"
    assert found.hot_from == pytest.approx((1 + 1 / n_classes) / 2)
    assert found.cold_to == pytest.approx(1 / n_classes / 2)
    assert found.why == "the model's head is not affine"
    assert found.of("hot")
    assert found.of("cold")
    for region in found.regions:
        assert math.isnan(region.share_of_evidence)
        assert math.isnan(region.contribution)
        score = heatmaps.score("A")[inside(region) & heatmaps.tissue]
        assert (score >= found.hot_from).all() or (score <= found.cold_to).all()
    cells = [region.cells for region in found.of("hot")]
    assert cells == sorted(cells, reverse=True)
    assert f"(score of A >= {found.hot_from:.3g})" in found.sentence()
    json.dumps(found.record(), allow_nan=False)


def of_cells(attention, contributions, classes=("A", "B")):
    """Return maps of a few cells in a row."""
    attention = np.asarray(attention, np.float32)[None]
    contributions = np.asarray(contributions, np.float32)[:, None]
    grid = replace(GRID, shape=Shape(*attention.shape), l0_origin=YX(0.0, 0.0))
    base = heatmap_set(grid, SLIDE, classes, tissue=np.ones(attention.shape, bool))
    return base.with_maps(attention=attention, contribution=contributions)


@pytest.mark.parametrize(
    ("heatmaps", "sentence", "left_out"),
    [
        (of_cells([0.0], [[1.0], [-1.0]]), "no hot region, no cold region; 1 more", 1),
        (of_cells([0.0] * 5, [[1.0] * 5, [-1.0] * 5]), "1 hot region carries 100 %", 0),
        (of_cells([0.0] * 5, [[1.0] * 5] * 2), "no regions, as no cell speaks", 0),
        (of_cells([0.0] * 5, [[-2.0] * 5], ("A",)), "no hot region, 1 cold region carries", 0),
        (of_cells([np.inf] * 5, [[1.0] * 5] * 2), "", 0),
        (of_cells([0.0] * 5, [[np.nan] * 5] * 2), "", 0),
    ],
)
def test_odd_slides_have_defined_regions(heatmaps, sentence, left_out, tmp_path):
    found = find_regions(heatmaps, "A")
    assert found.sentence().startswith(sentence)
    if sentence:
        assert found.left_out == left_out
    else:
        assert found.quantity == "score of A"
    json.dumps(found.record(), allow_nan=False)
    result = slide_result(FakeSlide(np.zeros((*SLIDE, 3), np.uint8)), classes=heatmaps.classes)
    RegionsExporter().write(replace(result, heatmaps=heatmaps, regions=found), tmp_path)
    strictly(tmp_path / "slide.regions.geojson")


def test_a_slide_without_tissue_and_one_class_without_evidence_have_no_regions():
    empty = heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool))
    for heatmaps in (empty, empty.with_maps(contribution=None)):
        found = find_regions(heatmaps, "MSIH")
        assert found.regions == ()
        assert found.sentence().startswith("no regions, as the ")
    only = smooth_set(("A",)).with_maps(contribution=None)
    only = only.with_maps(score=np.where(only.tissue, 1.0, np.nan)[None].astype(np.float32))
    assert find_regions(only, "A").sentence() == (
        "no regions, as the score of an only class is 1 everywhere"
    )


def test_the_same_maps_give_the_same_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def strictly(path):
    """Return JSON as RFC 8259 has it: no NaN."""

    def refused(word):
        raise AssertionError(word)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)


def written(folder, classes=("MSIH", "nonMSIH"), heatmaps=None):
    """Write the regions of maps, smooth ones as a rule, and return them with their result."""
    heatmaps = heatmaps or smooth_set(classes)
    slide = FakeSlide(np.zeros((1, 1, 3), np.uint8))
    slide.shape = SLIDE
    base = slide_result(FakeSlide(np.zeros((64, 64, 3), np.uint8)), classes=classes, maps=())
    result = replace(base, slide=slide, heatmaps=heatmaps)
    result = replace(result, regions=find_regions(heatmaps, classes[0]))
    RegionsExporter().write(result, folder)
    return result


def rows_of(folder):
    with (folder / "slide.regions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_geojson_holds_the_very_polygons_as_locked_annotations(tmp_path):
    result = written(tmp_path)
    said = strictly(tmp_path / "slide.regions.geojson")
    colours = class_colours(result.heatmaps.classes)
    assert said["type"] == "FeatureCollection"
    for feature, region in zip(said["features"], result.regions.regions, strict=True):
        polygon = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shapely.is_valid(polygon)
        assert polygon.symmetric_difference(region.l0_polygon).area < 0.1
        properties = feature["properties"]
        assert properties["objectType"] == "annotation"
        assert properties["isLocked"] is True
        assert properties["name"] == region.name
        # Hot and cold differ whichever classes there are; QuPath has one colour for a class.
        assert properties["color"] == {"hot": [213, 94, 0], "cold": [0, 114, 178]}[region.kind]
        name = "MSIH" if region.kind == "hot" else "not MSIH"
        colour = colours["MSIH" if region.kind == "hot" else "nonMSIH"]
        assert properties["classification"] == {
            "name": name, "color": list(bytes.fromhex(colour[1:])),
        }  # fmt: skip
        assert properties["measurements"] == {
            "cells": region.cells,
            "area mm²": region.area_mm2,
            "share of tissue": region.share_of_tissue,
            "mean score: MSIH": region.mean_score,
            "contribution: MSIH": region.contribution,
            "share of evidence: MSIH": region.share_of_evidence,
        }
        assert properties["metadata"]["cells with"] == result.regions.criterion(region.kind)


def test_rows_have_the_places_and_values_of_the_regions(tmp_path):
    result = written(tmp_path)
    rows = rows_of(tmp_path)
    for row, region in zip(rows, result.regions.regions, strict=True):
        left, top, right, bottom = region.l0_polygon.bounds
        centre = region.l0_polygon.centroid
        wanted = {
            "x": left, "y": top, "width": right - left, "height": bottom - top,
            "centroid x": centre.x, "centroid y": centre.y,
            "centroid x µm": centre.x / 2, "centroid y µm": centre.y / 2,
            "cells": region.cells, "area mm²": region.area_mm2,
            "share of tissue": region.share_of_tissue, "mean score: MSIH": region.mean_score,
            "contribution: MSIH": region.contribution,
            "share of evidence: MSIH": region.share_of_evidence,
        }  # fmt: skip
        assert {name: float(row[name]) for name in wanted} == pytest.approx(wanted, abs=1e-3)
        assert (row["name"], row["kind"]) == (region.name, region.kind)
        assert row["class"] == "MSIH"
        assert row["cells with"] == result.regions.criterion(region.kind)


@pytest.mark.parametrize("first", HOSTILE)
def test_class_names_of_strangers_break_nothing(tmp_path, first):
    classes = (first, *(name for name in HOSTILE if name != first))
    result = written(tmp_path, classes)
    rows = rows_of(tmp_path)
    assert len(rows) == len(result.regions.regions) > 0
    for field in {field for row in rows for field in (row["class"], row["cells with"], *row)}:
        assert field[:1] not in tuple("=+-@\t\r\n")
    for feature in strictly(tmp_path / "slide.regions.geojson")["features"]:
        name = feature["properties"]["classification"]["name"]
        assert not set(name) & set("\r\n:")
        assert feature["properties"]["classification"]["color"] is not None


def test_values_that_do_not_exist_are_left_out(tmp_path):
    written(tmp_path, heatmaps=smooth_set().with_maps(contribution=None))
    rows = rows_of(tmp_path)
    assert rows
    for row in rows:
        assert (row["contribution: MSIH"], row["share of evidence: MSIH"]) == ("", "")
        assert row["cells with"].startswith("score of MSIH ")
    for feature in strictly(tmp_path / "slide.regions.geojson")["features"]:
        measured = set(feature["properties"]["measurements"])
        assert measured == {"cells", "area mm²", "share of tissue", "mean score: MSIH"}


def test_without_regions_the_files_are_there_and_empty(tmp_path):
    result = written(tmp_path, heatmaps=replace(smooth_set(), tissue=np.zeros(GRID.shape, bool)))
    assert strictly(tmp_path / "slide.regions.geojson")["features"] == []
    assert rows_of(tmp_path) == []
    assert (tmp_path / "slide.regions.csv").read_text(encoding="utf-8").startswith("name,kind,")
    said = manifest(result, tmp_path)
    files = (said["regions"], said["regions_geojson"])
    assert files == ("slide.regions.csv", "slide.regions.geojson")


@pytest.mark.parametrize("sigma", [0.5, 4.0])
def test_400_000_cells_take_seconds(tmp_path, sigma):
    shape = Shape(640 * 32, 640 * 32)
    heatmaps = smooth_set(sigma=sigma, grid=covering_grid(shape), shape=shape)
    base = slide_result(FakeSlide(np.zeros((64, 64, 3), np.uint8)), maps=())
    begun = time.process_time()
    found = find_regions(heatmaps, "MSIH")
    RegionsExporter().write(replace(base, heatmaps=heatmaps, regions=found), tmp_path)
    assert time.process_time() - begun < 6
    assert found.regions


def test_regions_of_a_cropped_slide_are_placed_from_its_outer_corner(shared_data):
    slide = open_slide(shared_data / "slides" / "mirax-cmu-bounds.mrxs")
    try:
        assert slide.bounds.row > 0
        grid = covering_grid(slide.shape, YX(73.0, 73.0), YX(-36.0, -36.0), slide.mpp)
        heatmaps = heatmap_set(grid, slide.shape, tissue=np.ones(grid.shape, bool))
        # Only what lies in the middle of the bounds speaks for the class.
        bounds = slide.bounds
        middle = YX(bounds.row + bounds.rows / 2, bounds.col + bounds.cols / 2)
        row, col = (int(each) for each in grid.g_from_l0(middle))
        sign = np.full(grid.shape, -1e-6, np.float32)
        sign[row - 2 : row + 3, col - 2 : col + 3] = 1
        heatmaps = heatmaps.with_maps(contribution=np.stack([sign, -sign]))
        [region] = find_regions(heatmaps, "MSIH", hot_share=1.0).of("hot")
    finally:
        slide.close()
    frame = shapely.box(bounds.col, bounds.row, bounds.col_stop, bounds.row_stop)
    assert frame.intersects(region.l0_polygon)
    assert region.l0_polygon.centroid.distance(shapely.Point(middle.x, middle.y)) < 73
