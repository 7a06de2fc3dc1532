"""The raster of tiles with finer tiles between them, also where cells must be wide."""

import numpy as np
import pytest

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.finer_raster import finer_raster
from heatmaps_ome.maps.tile_raster import tile_raster

SIDE = 64.0
SLIDE = Shape(256, 320)


def boxes(firsts):
    firsts = np.asarray(firsts, np.float64)
    return np.concatenate([firsts, firsts + SIDE], axis=1)


COARSE = boxes([(x, y) for y in range(0, 256, 64) for x in range(0, 320, 64)])
FINER = boxes([(x, y) for y in range(32, 96, 16) for x in range(96, 160, 16) if x % 64 or y % 64])


@pytest.mark.parametrize(("most", "per_stride"), [(10**6, 2), (350, 1)])
def test_each_finer_tile_has_as_many_cells_wherever_these_fit(monkeypatch, most, per_stride):
    monkeypatch.setattr("heatmaps_ome.maps.finer_raster.MOST_NUMBERS", most)
    coarse = tile_raster(COARSE, YX(0.5, 0.5), SLIDE)
    raster, owner = finer_raster(coarse, COARSE, FINER, SLIDE, 1)
    assert raster.grid.l0_cell == YX(16 / per_stride, 16 / per_stride)
    counts = np.bincount(owner[owner >= 0], minlength=len(FINER))
    assert (counts == per_stride**2).all()
    assert raster.grid.shape.rows * raster.grid.shape.cols <= most
    rows, cols = (np.arange(n) + 0.5 for n in raster.grid.shape)
    expected = (rows * 16 / per_stride // 64)[:, None] * 5 + cols * 16 / per_stride // 64
    np.testing.assert_array_equal(raster.owner, expected)


def test_finer_tiles_are_cut_where_no_tile_lies():
    coarse = tile_raster(COARSE[:2], YX(0.5, 0.5), SLIDE)
    raster, owner = finer_raster(coarse, COARSE[:2], FINER, SLIDE, 1)
    assert (raster.owner[owner >= 0] >= 0).all()
    assert (owner >= 0).any()
    assert (owner[raster.owner < 0] == -1).all()
