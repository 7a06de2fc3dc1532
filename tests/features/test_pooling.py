import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.features.pooling import Pooling, pool

CELLS_LAST, CHANNELS_LAST = (2, 0, 1), (1, 2, 0)


def pooled(features, tissue, pooling):
    """Pool (channels, rows, cols) features and return them so."""
    return pool(features.transpose(CHANNELS_LAST), tissue, pooling).transpose(CELLS_LAST)


def slow_pool(features, tissue, pooling):
    """Weighted means by loops: (channels, rows, cols) of the whole map, glass beyond the edge."""
    kernel, reach = pooling.kernel().astype(float), pooling.reach
    out = np.zeros_like(features, dtype=float)
    _, rows, cols = features.shape
    for row in range(rows):
        for col in range(cols):
            total, weight = 0.0, 0.0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    y, x = row + dy, col + dx
                    if 0 <= y < rows and 0 <= x < cols and tissue[y, x]:
                        share = kernel[dy + reach] * kernel[dx + reach]
                        total = total + share * features[:, y, x]
                        weight += share
            out[:, row, col] = total / weight if weight > 1e-7 else 0
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([Pooling(), Pooling("none", 1), Pooling("gaussian", 15), Pooling("mean", 3)]),
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000),
)  # fmt: skip
def test_pooling_is_the_mean_over_tissue_in_reach(pooling, rows, cols, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(3, rows, cols)).astype(np.float32)
    tissue = rng.random((rows, cols)) < 0.7
    margin = [(pooling.reach, pooling.reach)] * 2
    found = pooled(np.pad(features, [(0, 0), *margin]), np.pad(tissue, margin), pooling)
    np.testing.assert_allclose(
        found[:, tissue], slow_pool(features, tissue, pooling)[:, tissue], atol=1e-5
    )


def test_pooling_over_tissue_alone_is_average_pooling():
    features = np.random.default_rng(0).normal(size=(2, 20, 20)).astype(np.float32)
    expected = torch.nn.AvgPool2d(7, 1)(torch.from_numpy(features)[None])[0].numpy()
    found = pooled(features, np.ones((20, 20), bool), Pooling())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_gaussian_is_torchvisions_where_all_is_tissue():
    from torchvision.transforms.functional import gaussian_blur

    features = np.random.default_rng(0).normal(size=(2, 40, 40)).astype(np.float32)
    found = pooled(features, np.ones((40, 40), bool), Pooling("gaussian", 15))
    expected = gaussian_blur(torch.from_numpy(features), [15, 15]).numpy()[:, 7:-7, 7:-7]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="odd"):
        Pooling("mean", 6)
