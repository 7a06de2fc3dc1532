"""Logits without each tile in closed form, for networks that choose among tiles, against passes."""

import pytest
import torch

from heatmaps_ome.models.networks.dsmil import Dsmil, MilLabDsmil, TorchmilDsmil
from heatmaps_ome.models.networks.mean_pool import MeanPoolMlp
from heatmaps_ome.models.networks.quantile_gate import QuantileGate


def dsmil(kind, n_classes=3, n_layers=0, *, deep_query=True, value="none"):
    width = 12 if n_layers else 16
    return kind(16, n_layers, width, 8, n_classes, deep_query=deep_query, value=value)


NETWORKS = {
    "DSMIL": lambda: dsmil(Dsmil),
    "DSMIL with a rectified value": lambda: dsmil(Dsmil, deep_query=False, value="rectified"),
    "MIL-Lab's DSMIL": lambda: dsmil(MilLabDsmil, n_layers=1),
    "torchmil's DSMIL": lambda: dsmil(TorchmilDsmil, n_classes=1),
    **{
        f"gate of {gate}": lambda gate=gate: QuantileGate(16, 12, 8, 3, gate=gate, temperature=0.7)
        for gate in (0.0, 0.3, 0.75, 0.99)
    },
}


def random_network(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().requires_grad_(False)
    for values in network.parameters():
        torch.nn.init.normal_(values, std=0.4)
    return network


def by_passes(network, tiles):
    n = len(tiles)
    bags = torch.stack([torch.cat([tiles[:i], tiles[i + 1 :]]) for i in range(n)])
    return network(bags, torch.zeros(n, n - 1, 2))


@pytest.mark.parametrize("n_tiles", [2, 3, 60, 200])
@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_tile_is_a_pass_over_the_others(name, n_tiles):
    network, tiles = random_network(name), torch.randn(n_tiles, 16)
    found = network.logits_without_each(tiles, torch.zeros(n_tiles, 2))
    known = ~found.isnan().any(dim=1)
    expected = by_passes(network, tiles)
    torch.testing.assert_close(found[known], expected[known], rtol=1e-5, atol=2e-6)
    assert (~known).sum() <= 3
    assert known.sum() >= n_tiles - 3


def test_critical_instances_are_left_to_a_pass():
    network, tiles = random_network("DSMIL"), torch.randn(50, 16)
    found = network.logits_without_each(tiles, torch.zeros(50, 2))
    critical = network.instance(tiles).argmax(dim=0)
    assert found.isnan().any(dim=1).nonzero()[:, 0].tolist() == sorted(set(critical.tolist()))


def test_the_closed_form_follows_the_gate():
    # The gate's quantile moves with each removal, so that weights of the whole bag are not enough.
    network, tiles = random_network("gate of 0.75"), torch.randn(62, 16)
    places = torch.zeros(62, 2)
    weights = network.attention(tiles, places)[:, None]
    shares = network.contributions(tiles, places)
    frozen = (shares.sum(dim=0) - shares) / (1 - weights)
    expected = by_passes(network, tiles)
    assert (frozen - expected).abs().max() > 1e-3
    found = network.logits_without_each(tiles, places)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["gate of 0.75", "gate of 0.0"])
def test_alike_tiles_are_all_above_the_gate(name):
    network = random_network(name)
    tiles = torch.randn(1, 16).expand(10, 16)
    found = network.logits_without_each(tiles, torch.zeros(10, 2))
    expected = by_passes(network, tiles)
    known = ~found.isnan().any(dim=1)
    torch.testing.assert_close(found[known], expected[known], rtol=1e-5, atol=2e-6)


def test_networks_that_mix_tiles_have_no_such_form():
    network = MeanPoolMlp(n_features=4, n_hidden=4, n_outputs=2, n_layers=2)
    assert network.logits_without_each(torch.zeros(3, 4), torch.zeros(3, 2)) is None
