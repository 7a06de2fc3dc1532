"""The tiles of a slide: their places, and the rule by which they count as tissue."""

import numpy as np
import pytest
from fakes import FakeSlide
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.features.plain_tiles import tissue_tiles
from heatmaps_ome.features.tile_lattice import CELL_PX, TileLattice, TileSize
from heatmaps_ome.geometry import YX


def lattice(rows, cols, side, stride, mpp=(0.5, 0.5), target=0.5):
    slide = FakeSlide(np.zeros((rows, cols, 3), np.uint8), YX(*mpp))
    return TileLattice(slide, TileSize(side, stride, target))


def chosen(tiles):
    return [(tile.row, tile.col) for block in tiles for tile in block.tiles]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 900), st.integers(1, 900), st.sampled_from([32, 64, 96, 224, 256]),
    st.floats(8, 400), st.integers(0, 2**32 - 1), st.floats(0, 1),
)  # fmt: skip
def test_a_tile_counts_by_its_pixels(rows, cols, side, stride, seed, density):
    tiles = lattice(rows, cols, side, stride)
    tissue = np.random.default_rng(seed).random(tiles.cells.shape) < density
    beyond = side + CELL_PX
    pixels = np.pad(tissue.repeat(CELL_PX, 0).repeat(CELL_PX, 1), ((0, beyond), (0, beyond)))
    firsts = [
        [start for k in range(1000) if (start := int(np.floor(k * stride + 0.5))) < size]
        for size in (rows, cols)
    ]
    counts = {
        (row, col): int(pixels[row : row + side, col : col + side].sum())
        for row in firsts[0] for col in firsts[1]
    }  # fmt: skip
    half = {place for place, count in counts.items() if 2 * count >= side**2}
    some = {place for place, count in counts.items() if count}
    on_tissue = tiles.on(tissue)
    assert on_tissue.count == len(half or some)
    assert sorted(chosen(on_tissue)) == sorted(half or some)
    beyond = [row + side > rows or col + side > cols for row, col in half or some]
    assert on_tissue.n_beyond == sum(beyond)


def test_tiles_side_by_side_are_those_of_the_training():
    tiles = lattice(2000, 1500, 224, 224)
    tissue = np.random.default_rng(0).random(tiles.cells.shape) < 0.5
    plain = [(tile.row * CELL_PX, tile.col * CELL_PX) for tile in tissue_tiles(tissue)]
    assert sorted(chosen(tiles.on(tissue))) == plain


def test_blocks_are_small_and_hold_their_tiles():
    tiles = lattice(9000, 5000, 256, 64)
    tissue = np.zeros(tiles.cells.shape, bool)
    tissue[20:90, 30:100] = True
    blocks = list(tiles.on(tissue))
    assert len(blocks) >= 4
    for block in blocks:
        assert max(block.window.rows, block.window.cols) <= 2048
        assert all(tile.common(block.window) == tile for tile in block.tiles)
    read = sum(block.window.area for block in blocks)
    assert read < 2 * (70 * CELL_PX + 256) ** 2  # the margins of 192 px are read twice


@pytest.mark.parametrize("side", [4096, 224])
def test_a_slide_smaller_than_a_tile_has_one(side):
    tiles = lattice(40, 30, side, side)
    tissue = np.ones(tiles.cells.shape, bool)
    on_tissue = tiles.on(tissue)
    [block] = list(on_tissue)
    assert block.window[2:] == (40, 30)
    assert on_tissue.n_beyond == 1


def test_no_tissue_gives_no_tiles():
    tiles = lattice(500, 500, 224, 224)
    assert tiles.on(np.zeros(tiles.cells.shape, bool)).count == 0
    assert list(tiles.on(np.zeros(tiles.cells.shape, bool))) == []


def test_the_size_in_level_0_pixels_is_exact():
    tiles = lattice(900, 900, 224, 112, mpp=(0.25, 0.499), target=256 / 224)
    assert tiles.l0_side == pytest.approx((1024, 256 / 0.499))
    assert tiles.l0_stride == pytest.approx((512, 128 / 0.499))


@pytest.mark.parametrize(("side", "stride", "mpp"), [(0, 1, 1), (32, 0.5, 1), (32, 32, 0)])
def test_sizes_are_sizes(side, stride, mpp):
    with pytest.raises(ValueError, match="no size"):
        TileSize(side, stride, mpp)
