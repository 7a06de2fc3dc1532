"""Tiles of any layout become cells: each tile's value lies at its centre, and sums stay."""

import math
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.tile_raster import MOST_CELLS, tile_raster

MPP = YX(0.5, 0.5)
SLIDE = Shape(3000, 4000)


def tiles(corners, width, height=None):
    """Return (n, 4) places of tiles at corners."""
    corners = np.asarray(corners, np.float64)
    return np.hstack([corners, corners + np.array([width, height or width])])


def lattice(rows, cols, stride, side, origin=(0.0, 0.0)):
    """Return tiles of a lattice, row by row."""
    stride_x, stride_y = stride if isinstance(stride, tuple) else (stride, stride)
    return tiles(
        [
            (origin[0] + col * stride_x, origin[1] + row * stride_y)
            for row in range(rows)
            for col in range(cols)
        ],
        *(side if isinstance(side, tuple) else (side,)),
    )


def cell_at(grid, x, y):
    """Return the (row, col) of the cell around a place, by arithmetic of its own."""
    return (
        math.floor((y - grid.l0_origin.y) / grid.l0_cell.y),
        math.floor((x - grid.l0_origin.x) / grid.l0_cell.x),
    )


def values_at_centres(raster, places, plane):
    """Return what a reader finds at each tile's centre."""
    centres = (places[:, :2] + places[:, 2:]) / 2
    return np.array([plane[cell_at(raster.grid, x, y)] for x, y in centres.tolist()])


def near(raster, place, plane, distance):
    """Return the values of all cells that reach within a distance of a tile's centre."""
    x, y = (place[:2] + place[2:]) / 2
    top, left = cell_at(raster.grid, x - distance, y - distance)
    bottom, right = cell_at(raster.grid, x + distance, y + distance)
    return plane[max(0, top) : bottom + 1, max(0, left) : right + 1].ravel()


def own_values(places, seed=0):
    """Return a value for each tile, all different."""
    return np.random.default_rng(seed).permutation(len(places)).astype(np.float32) + 0.5


def assert_covers(raster, slide=SLIDE):
    """Check that the cells reach from the slide's first to its last pixel, and hardly further."""
    grid = raster.grid
    for first, cell, count, size in zip(
        grid.l0_origin, grid.l0_cell, grid.shape, slide, strict=True
    ):
        noise = 1e-6 * cell
        assert -cell < first <= noise
        assert size - noise <= first + count * cell < size + cell + noise
    assert grid.mpp == MPP


def assert_exact(raster, places, slide=SLIDE):
    """Check a layout in which nothing hides a tile's centre, for means and for sums."""
    values = own_values(places)
    assert_covers(raster, slide)
    np.testing.assert_array_equal(values_at_centres(raster, places, raster.drawn(values)), values)
    assert_sums(raster, values)


def assert_sums(raster, values):
    """Check that cells sum to what the tiles sum to, in each of several maps."""
    several = np.stack([values, -3 * values, np.where(np.arange(len(values)) % 3, values, np.nan)])
    drawn = raster.drawn(several, summed=True)
    assert drawn.shape == (3, *raster.grid.shape)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(
        np.nansum(drawn.reshape(3, -1), axis=1, dtype=np.float64),
        np.nansum(several, axis=1, dtype=np.float64),
        rtol=1e-5,
    )  # fmt: skip


REGULAR = {
    "whole": lattice(10, 12, 256, 256),
    "not at the corner": lattice(10, 12, 256, 256, (37, 411)),
    "fractional": lattice(20, 30, 112.22445, 112.22445, (3.3, 0.7)),
    "rounded": np.round(lattice(20, 30, 112.22445, 112.22445)),
    "rounded down": np.floor(lattice(25, 30, 112.7, 112.7, (5.5, 9.9))),
    "rounded corners": tiles(np.round(lattice(20, 30, 112.4, 1)[:, :2]), 112),
    "float32": lattice(20, 30, 112.22445, 112.22445).astype(np.float32).astype(np.float64),
    "half overlap": lattice(15, 20, 128, 256),
    "much overlap": lattice(40, 50, 37.5, 300),
    "a pixel of gap": lattice(10, 12, 257, 256),
    "not square": lattice(12, 10, (300, 200), (300, 200)),
    "one row": lattice(1, 12, 256, 256, (100, 1000)),
    "one column": lattice(10, 1, 256, 256, (1000, 100)),
    "one tile": lattice(1, 1, 256, 256, (1000, 700)),
    "one of few pixels": lattice(1, 1, 32, 32, (3960, 2960)),
    "two apart": tiles([(0, 0), (2560, 2560)], 256),
    "partly off the slide": lattice(11, 15, 280, 300, (-100, -100)),
    "whole slide": tiles([(0, 0)], 4000, 3000),
}


@pytest.mark.parametrize("name", REGULAR)
def test_every_tile_of_a_lattice_has_its_value_at_its_centre(name):
    places = REGULAR[name]
    assert_exact(tile_raster(places, MPP, SLIDE), places)


@pytest.mark.parametrize("name", [n for n in REGULAR if n != "two apart"])
def test_a_lattice_has_one_cell_for_each_tile(name):
    raster = tile_raster(REGULAR[name], MPP, SLIDE)
    assert raster.regular
    assert np.count_nonzero(raster.owner >= 0) == len(REGULAR[name])


@pytest.mark.parametrize("name", ["fractional", "half overlap", "rounded", "not square"])
def test_some_tiles_of_a_lattice_are_on_it_as_well(name):
    chosen = np.random.default_rng(1).random(len(REGULAR[name])) < 0.6
    places = REGULAR[name][chosen]
    raster = tile_raster(places, MPP, SLIDE)
    assert raster.regular
    assert_exact(raster, places)


def test_the_order_of_tiles_does_not_matter():
    places = REGULAR["fractional"]
    order = np.random.default_rng(2).permutation(len(places))
    values = own_values(places)
    first, second = tile_raster(places, MPP, SLIDE), tile_raster(places[order], MPP, SLIDE)
    assert first.grid == second.grid
    np.testing.assert_array_equal(first.drawn(values), second.drawn(values[order]))


def test_the_stride_of_rounded_places_is_the_true_one():
    raster = tile_raster(
        np.round(lattice(200, 300, 112.22445, 112.22445)), MPP, Shape(23000, 34000)
    )
    np.testing.assert_allclose(raster.grid.l0_cell, 112.22445, atol=0.01)


@pytest.mark.parametrize("off", [(60000.0, 90000.0), (61234.375, 91.0)])
def test_places_far_from_the_corner_are_as_exact(off):
    slide = Shape(120_000, 100_000)
    for places in (
        lattice(30, 40, 112.22445, 112.22445, off),
        lattice(30, 40, 128, 256, off),
        np.round(lattice(30, 40, 223.7, 223.7, off)),
    ):
        raster = tile_raster(places, MPP, slide)
        assert raster.regular
        assert_exact(raster, places, slide)


def test_cells_have_no_gap_and_no_value_where_no_tile_is():
    places = lattice(4, 5, 256, 256, (512, 256))
    raster = tile_raster(places, MPP, SLIDE)
    plane = raster.drawn(own_values(places))
    for x, y in [(500, 600), (600, 250), (512 + 5 * 256 + 10, 600), (3999, 2999), (0, 0)]:
        assert np.isnan(plane[cell_at(raster.grid, x, y)])
    for x, y in [(513, 257), (512 + 5 * 256 - 1, 256 + 4 * 256 - 1)]:
        assert np.isfinite(plane[cell_at(raster.grid, x, y)])


def test_tiles_with_gaps_do_not_colour_what_none_covers():
    places = lattice(6, 8, 400, 200, (100, 100))
    raster = tile_raster(places, MPP, SLIDE)
    assert_exact(raster, places)
    plane = raster.drawn(own_values(places))
    for row in range(6):
        for col in range(7):
            x, y = 100 + col * 400, 100 + row * 400
            assert np.isnan(plane[cell_at(raster.grid, x + 300, y + 100)])
            assert np.isfinite(plane[cell_at(raster.grid, x + 10, y + 190)])
    # The coloured area is that of the tiles.
    area = np.count_nonzero(~np.isnan(plane)) * math.prod(raster.grid.l0_cell)
    assert area == pytest.approx(48 * 200**2, rel=0.05)


def contours(count, seed, side=256.0, stride=256.0):
    """Return lattices with origins of their own that do not touch one another."""
    rng = np.random.default_rng(seed)
    return np.vstack([
        lattice(3, 4, stride, side, (k % 3 * 1300 + rng.uniform(0, 200),
                                     k // 3 * 1000 + rng.uniform(0, 150)))
        for k in range(count)
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_lattices_shifted_against_each_other_are_exact(seed):
    places = contours(8, seed)
    assert_exact(tile_raster(places, MPP, SLIDE), places)


@pytest.mark.parametrize("seed", range(5))
def test_overlapping_lattices_shifted_against_each_other_are_exact(seed):
    places = contours(8, seed, stride=128.0)
    assert_exact(tile_raster(places, MPP, SLIDE), places)


def test_two_lattices_over_one_another_keep_all_values():
    places = np.vstack([lattice(8, 10, 256, 256), lattice(8, 10, 256, 256, (97, 61))])
    assert_exact(tile_raster(places, MPP, SLIDE), places)


def test_tiles_of_different_sizes_are_exact():
    places = np.vstack([
        lattice(4, 4, 256, 256), lattice(8, 8, 128, 128, (1100, 50)),
        tiles([(2500, 300)], 900, 700), lattice(5, 3, 60, 60, (200, 2000)),
    ])  # fmt: skip
    raster = tile_raster(places, MPP, SLIDE)
    assert not raster.regular
    assert_exact(raster, places)


def test_a_small_tile_over_a_large_one_is_seen():
    places = np.vstack([tiles([(0, 0)], 2000), tiles([(1500, 1500)], 100)])
    raster = tile_raster(places, MPP, SLIDE)
    assert_exact(raster, places)


def test_sums_stay_where_one_tile_hides_another():
    places = np.vstack([lattice(5, 5, 256, 256), lattice(5, 5, 256, 256, (0.8, 0.3))])
    raster = tile_raster(places, MPP, SLIDE)
    assert_sums(raster, own_values(places))


def test_a_hidden_tile_without_a_value_does_not_take_that_of_the_one_over_it():
    places = np.vstack([tiles([(256, 256)], 256)] * 2)
    raster = tile_raster(places, MPP, SLIDE)
    assert sorted(raster.cells == 0) == [False, True]
    for values in ([3.0, np.nan], [np.nan, 3.0]):
        drawn = raster.drawn(np.array(values, np.float32), summed=True)
        assert np.nansum(drawn) == pytest.approx(3.0, rel=1e-5)
    nothing = raster.drawn(np.full(2, np.nan, np.float32), summed=True)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("shift", [(0.3, 0.2), (2.0, 0.0), (20.0, 20.0), (0.0, 40.0)])
def test_nearly_coincident_tiles_lie_within_a_quarter_of_a_side(shift):
    places = np.vstack([lattice(5, 5, 256, 256), lattice(5, 5, 256, 256, shift)])
    raster = tile_raster(places, MPP, SLIDE)
    values = own_values(places)
    plane = raster.drawn(values)
    found = [v in near(raster, p, plane, 64.0) for v, p in zip(values, places, strict=True)]
    if max(shift) > 1:
        assert all(found)
    else:
        # Of tiles that are the same to a pixel one is drawn.
        assert sum(found) >= 25


def test_a_tile_whose_centre_lies_off_the_slide_keeps_its_sum_and_the_lattice():
    places = lattice(12, 16, 256, 256)
    edge = Shape(2900, 3900)
    raster = tile_raster(places, MPP, edge)
    values = own_values(places)
    assert raster.grid.l0_cell == YX(256, 256)
    assert_covers(raster, edge)
    on_slide = (places[:, 0] + 128 < 3900) & (places[:, 1] + 128 < 2900)
    np.testing.assert_array_equal(
        values_at_centres(raster, places[on_slide], raster.drawn(values)), values[on_slide]
    )
    assert_sums(raster, values)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_tiles_have_a_raster(count):
    raster = tile_raster(tiles([(100, 100), (1333, 777)], 256)[:count], MPP, SLIDE)
    assert_covers(raster)
    drawn = raster.drawn(np.ones(count, np.float32))
    assert np.count_nonzero(~np.isnan(drawn)) >= count
    assert np.isnan(drawn).all() == (count == 0)
    summed = raster.drawn(np.ones(count, np.float32), summed=True)
    assert np.nansum(summed) == pytest.approx(count)


def test_cells_of_irregular_tiles_are_bounded_on_a_large_slide():
    slide = Shape(150_000, 200_000)
    rng = np.random.default_rng(3)
    places = tiles(rng.uniform(0, 149_000, (2000, 2)), 64)
    raster = tile_raster(places, MPP, slide)
    assert math.prod(raster.grid.shape) <= 1.01 * MOST_CELLS
    assert_covers(raster, slide)
    assert_sums(raster, own_values(places))


def test_a_tile_smaller_than_a_cell_is_drawn():
    slide = Shape(150_000, 200_000)
    places = tiles([(20_000 * k + 333.3, 10_000 * k + 77.7) for k in range(9)], 10)
    assert_exact(tile_raster(places, MPP, slide), places, slide)


def test_one_huge_tile_among_many_small_ones_takes_no_longer():
    slide = Shape(60_000, 60_000)
    places = np.vstack([lattice(150, 150, 64, 64, (9.0, 7.0)), tiles([(11_000, 11_000)], 40_000)])
    began = time.monotonic()
    assert_exact(tile_raster(places, MPP, slide), places, slide)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("jitter", [0.0, 40.0])
def test_200000_tiles_take_seconds(jitter):
    slide = Shape(125_000, 110_000)
    places = lattice(500, 400, 224, 224)
    places += np.random.default_rng(4).uniform(0, jitter, (len(places), 1))
    began = time.monotonic()
    raster = tile_raster(places, MPP, slide)
    values = own_values(places)
    plane = raster.drawn(values)
    assert time.monotonic() - began < 20
    chosen = np.arange(0, len(places), 997)
    np.testing.assert_array_equal(values_at_centres(raster, places[chosen], plane), values[chosen])


@given(
    rows=st.integers(1, 12), cols=st.integers(1, 12),
    stride=st.floats(8, 220), overlap=st.floats(1, 3),
    x=st.floats(0, 900), y=st.floats(0, 300),
    rounded=st.booleans(), kept=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_lattice_is_exact(rows, cols, stride, overlap, x, y, rounded, kept):
    places = lattice(rows, cols, stride, stride * overlap, (x, y))
    places = places[np.random.default_rng(kept).random(len(places)) < 0.7]
    if rounded:
        places = np.round(places)
    assume(len(places))
    raster = tile_raster(places, MPP, SLIDE)
    assert_covers(raster)
    values = own_values(places)
    plane = raster.drawn(values)
    reach = 0.25 * float((places[:, 2:] - places[:, :2]).min())
    for place, value in zip(places, values, strict=True):
        assert value in near(raster, place, plane, reach)
    assert_sums(raster, values)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.floats(-50, 3950), st.floats(-50, 2950), st.floats(20, 500), st.floats(20, 500)
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_any_tiles_keep_their_sums_and_no_value_is_blended(entries):
    places = np.array([(x, y, x + w, y + h) for x, y, w, h in entries])
    raster = tile_raster(places, MPP, SLIDE)
    values = own_values(places)
    assert_covers(raster)
    assert_sums(raster, values)
    plane = raster.drawn(values)
    assert set(np.unique(plane[~np.isnan(plane)])) <= set(values)
    # A cell is drawn where a tile covers its middle, and nowhere that no tile reaches.
    grid = raster.grid
    owned = np.argwhere(raster.owner >= 0)
    for row, col in owned[:: max(1, len(owned) // 50)]:
        place = places[raster.owner[row, col]]
        x, y = grid.l0_origin.x + col * grid.l0_cell.x, grid.l0_origin.y + row * grid.l0_cell.y
        assert place[0] <= x + grid.l0_cell.x
        assert place[2] >= x
        assert place[1] <= y + grid.l0_cell.y
        assert place[3] >= y
