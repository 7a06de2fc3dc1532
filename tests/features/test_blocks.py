import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from heatmaps_ome.features.blocks import BlockPixels, plan_blocks
from heatmaps_ome.geometry import Shape, Window, tiles_of


@given(
    st.integers(1, 900), st.integers(1, 900), st.integers(1, 12), st.integers(0, 4),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_tissue_cell_is_kept_once_and_its_pixels_are_read_with_the_halo(
    rows, cols, side, halo_cells, seed
):
    stride, halo = 32, 32 * halo_cells
    pixels = BlockPixels(Shape(rows, cols), stride, halo)
    cells = Shape(-(-rows // stride), -(-cols // stride))
    tissue = np.random.default_rng(seed).random(cells) < 0.2
    kept = np.zeros(cells, int)
    for chunk in tiles_of(cells, side):
        for block in plan_blocks(tissue[chunk.slices], chunk, pixels):
            kept[block.cells.slices] += 1
            assert block.cells.common(chunk) == block.cells
            assert tissue[block.cells.slices].any()
            read = block.pixels
            # The network's own cells begin at multiples of the stride.
            assert read.row % stride == 0
            assert read.col % stride == 0
            assert (read.row // stride + block.keep.row) == block.cells.row
            assert (read.col // stride + block.keep.col) == block.cells.col
            assert block.keep.row_stop <= -(-read.rows // stride)
            assert read.row == max(0, block.cells.row * stride - halo)
            assert read.row_stop == min(rows, block.cells.row_stop * stride + halo)
            assert read.col_stop == min(cols, block.cells.col_stop * stride + halo)
    assert kept[tissue].all()
    assert kept.max(initial=0) <= 1


def test_a_block_is_shrunk_to_its_tissue_and_cut_where_that_costs_the_network_less():
    pixels, chunk = BlockPixels(Shape(8192, 8192), 32, 224), Window(64, 64, 64, 64)
    tissue = np.zeros((64, 64), bool)
    tissue[3:9, 20:30] = True
    [block] = plan_blocks(tissue, chunk, pixels)
    assert block.cells == Window(67, 84, 6, 10)
    # Near by, one block costs less than two halos; far away, two cost less than what is between.
    tissue[12:20, 20:30] = True
    assert [each.cells for each in plan_blocks(tissue, chunk, pixels)] == [Window(67, 84, 17, 10)]
    tissue[50:60, 50:60] = True
    far = plan_blocks(tissue, chunk, pixels)
    assert {each.cells for each in far} == {Window(67, 84, 17, 10), Window(114, 114, 10, 10)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_cutting_never_costs_more_than_the_whole(seed, share):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(64, 64)), 4)
    tissue = field < np.quantile(field, share)
    pixels, chunk = BlockPixels(Shape(4096, 4096), 32, 224), Window(32, 32, 64, 64)
    blocks = plan_blocks(tissue, chunk, pixels)
    assert sum(block.pixels.area for block in blocks) <= pixels.read(chunk).area


def test_a_halo_between_two_cells_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        BlockPixels(Shape(64, 64), 32, 100)


def test_glass_alone_needs_no_block():
    pixels = BlockPixels(Shape(128, 128), 32, 32)
    assert plan_blocks(np.zeros((4, 4), bool), Window(0, 0, 4, 4), pixels) == []
