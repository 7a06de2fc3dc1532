"""Which tiles speak most for and against a class: against a naive loop, and none over another."""

import math
import time
from itertools import combinations

import numpy as np
import pytest
from fakes import covering_grid, heatmap_set

from heatmaps_ome.features.pooling import TILE_CELLS
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.top_tiles import picked_tiles

SLIDE = Shape(1500, 1900)
CLASSES = ("MSIH", "nonMSIH", "other")


def random_maps(seed=0, **changed):
    grid = covering_grid(SLIDE, YX(36.57, 36.71), YX(-18.3, -7.9))
    return heatmap_set(grid, SLIDE, **{"classes": CLASSES, "seed": seed, **changed})


def cell_of(tile, grid):
    """Return the cell in the middle of a tile."""
    middle = grid.g_from_l0(YX(*(tile.um_centre[i] / grid.mpp[i] for i in (0, 1))))
    assert [part % 1 for part in middle] == pytest.approx([0.5, 0.5], abs=1e-6)
    return math.floor(middle.y), math.floor(middle.x)


def naive(value, tissue, count):
    """Return cells by value, the greatest first, each compared with all that were taken."""
    cells = [tuple(cell) for cell in np.argwhere(tissue & np.isfinite(value) & (value > 0))]
    taken = []
    for cell in sorted(cells, key=lambda each: (-value[each], each)):
        if all(max(abs(cell[0] - r), abs(cell[1] - c)) >= TILE_CELLS for r, c in taken):
            taken.append(cell)
    return taken[:count]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("contributions", [True, False])
def test_the_tiles_are_those_of_a_naive_search(seed, contributions):
    maps = random_maps(seed, contributions=contributions)
    own = evidence(maps, "MSIH")
    value = maps.score("MSIH") - 1 / len(CLASSES) if own is None else own
    for count in (1, 8, 64):
        tiles = picked_tiles(maps, "MSIH", count)
        for kind, sign in (("top", 1), ("bottom", -1)):
            found = [tile for tile in tiles if tile.kind == kind]
            expected = naive(sign * value.astype(np.float32), maps.tissue, count)
            assert [cell_of(tile, maps.grid) for tile in found] == expected
            assert [tile.rank for tile in found] == list(range(1, len(expected) + 1))
            assert count > 8 or len(found) == count


@pytest.mark.parametrize("seed", range(3))
def test_no_tile_lies_over_another_of_its_kind(seed):
    tiles = picked_tiles(random_maps(seed), "MSIH", 64)
    for kind in ("top", "bottom"):
        windows = [tile.l0_window for tile in tiles if tile.kind == kind]
        assert len(windows) > 10
        for one, other in combinations(windows, 2):
            below = max(one.y, other.y) - min(one.y + one.rows, other.y + other.rows)
            beside = max(one.x, other.x) - min(one.x + one.cols, other.x + other.cols)
            assert max(below, beside) > -1e-6


def test_a_tile_is_what_its_cells_are():
    maps = random_maps(2)
    own = evidence(maps, "MSIH").astype(np.float64)
    for tile in picked_tiles(maps, "MSIH", 64):
        row, col = cell_of(tile, maps.grid)
        assert tile.score == maps.score("MSIH")[row, col]
        assert tile.contribution == maps.contributions[0, row, col]
        sign = 1 if tile.kind == "top" else -1
        inside = total = 0.0
        for r, c in np.argwhere(maps.tissue):
            each = max(0.0, sign * own[r, c])
            total += each
            inside += each if max(abs(r - row), abs(c - col)) <= TILE_CELLS // 2 else 0
        assert tile.share == pytest.approx(inside / total, rel=1e-5)
        window = tile.l0_window
        first = maps.grid.l0_from_g(YX(row - 3, col - 3))
        last = maps.grid.l0_from_g(YX(row + 4, col + 4))
        assert window[:2] == pytest.approx(first)
        assert (window.y + window.rows, window.x + window.cols) == pytest.approx(last)


def test_evidence_is_centred_over_the_classes_and_tells_no_class_apart_if_there_is_one():
    maps = random_maps()
    own = np.stack([evidence(maps, name) for name in CLASSES])
    assert np.abs(own[:, maps.tissue].sum(axis=0)).max() < 1e-6
    apart = own[0] - own[1] - (maps.contributions[0] - maps.contributions[1])
    assert np.abs(apart[maps.tissue]).max() < 1e-6
    alone = random_maps(classes=("MSIH",))
    assert np.array_equal(evidence(alone, "MSIH"), alone.contributions[0], equal_nan=True)
    assert evidence(random_maps(contributions=False), "MSIH") is None


def with_evidence(value, tissue=None):
    """Return maps of two classes in which a cell's evidence for the first is what is given."""
    value = np.asarray(value, np.float32)
    grid = Grid(Shape(*value.shape), YX(32, 32), YX(0, 0), YX(0.5, 0.5))
    tissue = np.isfinite(value) if tissue is None else tissue
    maps = heatmap_set(grid, Shape(*(32 * n for n in value.shape)), tissue=tissue)
    return maps.with_maps(contribution=np.stack([value, -value]))


@pytest.mark.parametrize(("sign", "kind"), [(1, "top"), (-1, "bottom")])
def test_where_all_speak_one_way_there_are_no_tiles_of_the_other(sign, kind):
    value = sign * np.random.default_rng(0).uniform(0.1, 1, (20, 30))
    tiles = picked_tiles(with_evidence(value), "MSIH", 4)
    assert [tile.kind for tile in tiles] == [kind] * 4


def test_no_tissue_no_evidence_and_no_wish_give_no_tiles():
    value = np.ones((9, 9))
    assert picked_tiles(with_evidence(value, np.zeros((9, 9), bool)), "MSIH", 8) == ()
    assert picked_tiles(with_evidence(0 * value), "MSIH", 8) == ()
    assert picked_tiles(with_evidence(value), "MSIH", 0) == ()


def test_one_cell_is_a_tile_that_hangs_over_the_slide():
    [tile] = picked_tiles(with_evidence([[0.25]]), "MSIH", 8)
    assert (tile.kind, tile.rank, tile.share) == ("top", 1, 1.0)
    assert tile.l0_window == (-96, -96, 224, 224)
    assert tile.um_centre == YX(8.0, 8.0)


def test_equal_cells_are_taken_in_reading_order():
    tiles = picked_tiles(with_evidence(np.ones((8, 15))), "MSIH", 9)
    maps = with_evidence(np.ones((8, 15)))
    corners = [(row, col) for row in (0, 7) for col in (0, 7, 14)]
    assert [cell_of(tile, maps.grid) for tile in tiles] == corners


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_cells_without_finite_values_are_never_picked(bad):
    value = np.full((9, 9), 0.5)
    value[4, 4] = bad
    [tile] = picked_tiles(with_evidence(value, np.ones((9, 9), bool)), "MSIH", 1)
    assert cell_of(tile, with_evidence(value).grid) == (0, 0)
    assert 0 < tile.share < 1


def test_a_head_that_is_not_affine_is_asked_for_scores_beyond_chance():
    maps = random_maps(contributions=False)
    tiles = picked_tiles(maps, "other", 8)
    assert all(math.isnan(tile.share) and math.isnan(tile.contribution) for tile in tiles)
    tops = [tile.score for tile in tiles if tile.kind == "top"]
    bottoms = [tile.score for tile in tiles if tile.kind == "bottom"]
    assert tops[0] == np.nanmax(maps.score("other"))
    assert bottoms[0] == np.nanmin(maps.score("other"))
    assert min(tops) > 1 / 3 > max(bottoms)
    alone = random_maps(classes=("MSIH",), contributions=False)
    assert picked_tiles(alone, "MSIH", 8) == ()


def test_many_cells_take_well_under_a_second():
    shape = Shape(640, 640)
    maps = with_evidence(np.random.default_rng(0).normal(size=shape))
    started = time.process_time()
    assert len(picked_tiles(maps, "MSIH", 8)) == 16
    assert time.process_time() - started < 0.5
