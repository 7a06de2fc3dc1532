"""Regions of neighbouring tiles on lattices, on several lattices, and anywhere."""

import numpy as np
import pytest

from heatmaps_ome.maps.explanations.tile_regions import tile_regions


def squares(l0_corners, side=256.0):
    l0_corners = np.asarray(l0_corners, float)
    return np.concatenate([l0_corners, l0_corners + side], axis=1)


def lattice(rows, cols, stride=256.0, origin=(0.0, 0.0)):
    y, x = np.mgrid[:rows, :cols]
    return np.stack([x.ravel(), y.ravel()], 1) * stride + origin


def test_few_tiles_are_regions_of_their_own():
    regions = tile_regions(squares(lattice(4, 5)), 20)
    assert regions.side == 1
    np.testing.assert_array_equal(regions.of_tile, np.arange(20))


@pytest.mark.parametrize("stride", [256.0, 112.22, 64.0])
def test_tiles_of_a_lattice_form_blocks(stride):
    # Overlapping tiles too: the stride counts, not the size. Places in µm are off by a little.
    corners = lattice(30, 40, stride, (1234.5, 77.25))
    corners += np.random.default_rng(0).uniform(-0.02, 0.02, corners.shape)
    regions = tile_regions(squares(corners), 300)
    assert regions.side == 2
    y, x = np.mgrid[:30, :40] // 2
    expected = (y * 20 + x).ravel()
    assert regions.count == 300
    np.testing.assert_array_equal(regions.of_tile, expected)
    assert set(regions.sizes) == {4}


def test_members_are_a_partition():
    rng = np.random.default_rng(1)
    corners = lattice(60, 60)[rng.permutation(3600)[:2000]]
    regions = tile_regions(squares(corners), 512)
    members = regions.members()
    assert len(members) == regions.count <= 512
    np.testing.assert_array_equal(np.sort(np.concatenate(members)), np.arange(2000))
    for number, tiles in enumerate(members):
        assert (regions.of_tile[tiles] == number).all()
        spread = corners[tiles].max(0) - corners[tiles].min(0)
        assert (spread < regions.side * 256).all()


def test_lattices_side_by_side_share_regions():
    second = lattice(20, 20, origin=(20 * 256 + 97.0, 61.0))
    corners = np.concatenate([lattice(20, 20), second])
    regions = tile_regions(squares(corners), 250)
    assert regions.count <= 250
    for tiles in regions.members():
        assert (np.ptp(corners[tiles], axis=0) <= regions.side * 256).all()


def test_tiles_anywhere_and_far_apart_have_few_regions():
    rng = np.random.default_rng(2)
    corners = rng.uniform(0, 1e6, (3000, 2))
    corners[:20] = rng.uniform(0, 1e9, (20, 2))
    assert tile_regions(squares(corners), 512).count <= 512
    assert tile_regions(squares(corners), 16).count <= 16


def test_tiles_at_one_place_are_one_region():
    regions = tile_regions(squares(np.full((600, 2), 512.0)), 512)
    assert regions.count == 1
    assert set(regions.sizes) == {600}
