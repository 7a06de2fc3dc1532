import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.blocks import plan_blocks
from heatmaps_ome.geometry import Shape


@given(
    st.integers(1, 900), st.integers(1, 900), st.integers(1, 12), st.integers(0, 4),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_tissue_cell_is_kept_once_and_its_pixels_are_read_with_the_halo(
    rows, cols, side, halo_cells, seed
):
    pixels, stride, halo = Shape(rows, cols), 32, 32 * halo_cells
    cells = Shape(-(-rows // stride), -(-cols // stride))
    tissue = np.random.default_rng(seed).random(cells) < 0.2
    kept = np.zeros(cells, int)
    for block in plan_blocks(tissue, pixels, stride, halo, side):
        kept[block.cells.slices] += 1
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


def test_a_halo_between_two_cells_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        plan_blocks(np.ones((2, 2), bool), Shape(64, 64), 32, 100, 1)


def test_glass_alone_needs_no_block():
    assert plan_blocks(np.zeros((4, 4), bool), Shape(128, 128), 32, 32, 2) == []
