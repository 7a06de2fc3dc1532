"""No network makes a tensor of all pairs of tiles, neither for logits nor for gradients."""

from __future__ import annotations

import network_files as files
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from heatmaps_ome.models.dialects import millab_transformers, stamp, stamp_v1
from heatmaps_ome.models.networks import distances

N_TILES = 1000
PER_TILE = 200
"""Numbers of a tile that any tensor may have; all pairs would be 1000."""


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that an operation of torch gives."""

    def __init__(self) -> None:
        super().__init__()
        self.n_numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.n_numbers = max([self.n_numbers, *sizes])
        return result


CASES = {
    "vit": (files.stamp_vit(), stamp, {}),
    "vit of STAMP 2.1": (files.stamp_vit(), stamp, {"stamp_version": "2.1.0"}),
    "alibi": (files.stamp_alibi(n_outputs=4), stamp, {}),
    "alibi of STAMP 2.1": (files.stamp_alibi(n_outputs=4), stamp, {"stamp_version": "2.1.0"}),
    "trans_mil": (files.stamp_trans_mil(n_outputs=4), stamp, {}),
    "marugoto": (files.marugoto_vit(n_outputs=4), stamp_v1, {}),
    "MIL-Lab": (files.mil_lab_transformer(), millab_transformers, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_memory_grows_with_the_tiles_and_not_with_their_pairs(tmp_path, name, monkeypatch):
    state, dialect, changes = CASES[name]
    if dialect is millab_transformers:
        path = files.write_plain(tmp_path / "a.bin", state)
    else:
        path = files.write_lightning(tmp_path / "a.ckpt", state, **changes)
    model = files.model_of(path, dialect)
    monkeypatch.setattr(distances, "FLOATS_AT_ONCE", 50 * N_TILES)
    features, um_places = files.bag(N_TILES)
    inputs = features.requires_grad_(True)
    with LargestTensor() as largest:
        model.logits(inputs, um_places)[0].backward()
    assert inputs.grad is not None
    assert N_TILES < largest.n_numbers < PER_TILE * N_TILES


def test_all_pairs_would_be_seen():
    with LargestTensor() as largest:
        torch.cdist(torch.zeros(300, 2), torch.zeros(300, 2))
    assert largest.n_numbers == 300 * 300
