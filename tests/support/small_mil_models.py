"""Small models of bags with the four ways in which a prediction follows from tiles, and bags."""

from dataclasses import dataclass

import numpy as np
import torch

from heatmaps_ome.features.bag import Bag
from heatmaps_ome.models.target import Target, classes_target

THREE = classes_target(("A", "B", "C"))
TWO = classes_target(("A", "B"))
VALUE = Target("regression", ("size",), "identity", unit="mm")
RISK = Target("survival", ("risk",), "identity")


def bag_of(features, l0_places=None, um_places=None):
    """Return a bag; by default the tiles lie on a square lattice of 256 pixels, row by row."""
    n = len(features)
    if l0_places is None:
        corners = np.stack([np.arange(n) % 20, np.arange(n) // 20], axis=1) * 256.0
        l0_places = np.concatenate([corners, corners + 256], axis=1)
    if um_places is None:
        um_places = l0_places[:, :2] * 0.5
    return Bag(
        l0_places=l0_places,
        system="test",
        notes=(),
        digest="0" * 64,
        features=features,
        um_places=um_places.astype(np.float32),
    )


def random_bag(n, d=8, seed=0, dtype=np.float32):
    """Return a bag of random features."""
    return bag_of(np.random.default_rng(seed).normal(size=(n, d)).astype(dtype))


@dataclass
class Small:
    """Weights of a small model: the parts that all of them have."""

    target: Target = THREE
    n_features: int = 8
    seed: int = 0
    family: str = "small"
    digest: str = "0" * 64
    knows_single_tiles: bool = True
    bags = 0

    def __post_init__(self):
        rng = torch.Generator().manual_seed(self.seed)
        self.head = torch.randn(self.n_features, len(self.target.outputs), generator=rng)
        self.query = torch.randn(self.n_features, len(self.target.outputs), generator=rng)
        self.mix = torch.randn(self.n_features, self.n_features, generator=rng) / 3

    def attention(self, features, um_places):
        return None

    def contributions(self, features, um_places):
        return None

    def tile_logits(self, features, um_places):
        parts = zip(features.split(1), um_places.split(1), strict=True)
        return torch.stack([self.logits(*part) for part in parts])


class Pool(Small):
    """Σ softmax(attention) · tile logits; attention is shared or each output has its own."""

    additivity = "pooled"
    per_output = False
    sharpness = 1.0

    def attention(self, features, um_places):
        raw = torch.tanh(features @ self.query) * self.sharpness
        return raw if self.per_output else raw[:, 0]

    def tile_logits(self, features, um_places):
        return torch.relu(features @ self.mix) @ self.head

    def contributions(self, features, um_places):
        raw = self.attention(features, um_places)
        return torch.softmax(raw if raw.ndim > 1 else raw[:, None], 0) * self.tile_logits(
            features, um_places
        )

    def logits(self, features, um_places):
        self.bags += 1
        return self.contributions(features, um_places).sum(0)


class MeanPool(Pool):
    """The mean of tile logits, without attention."""

    def attention(self, features, um_places):
        return None

    def contributions(self, features, um_places):
        return self.tile_logits(features, um_places) / len(features)


class Critical(Small):
    """Half the best tile's logits, half a pool by likeness to the best tile (as DSMIL)."""

    additivity = "given a choice"

    def _parts(self, features):
        instances = features @ self.head
        critical = instances.argmax(0)
        keys = torch.tanh(features @ self.mix)
        weights = torch.softmax(keys @ keys[critical].T, 0)
        return instances, critical, weights

    def attention(self, features, um_places):
        return self._parts(features)[2]

    def contributions(self, features, um_places):
        instances, critical, weights = self._parts(features)
        best = torch.zeros_like(instances)
        outputs = torch.arange(instances.shape[1])
        best[critical, outputs] = instances[critical, outputs]
        return (best + weights * (features @ self.query)) / 2

    def logits(self, features, um_places):
        self.bags += 1
        return self.contributions(features, um_places).sum(0)


class Interacting(Small):
    """Tiles that see each other and their places, as in a transformer: nothing is exact."""

    additivity = "none"

    def logits(self, features, um_places):
        self.bags += 1
        keys = features @ self.mix
        near = um_places.mean(1, keepdim=True) / (1 + um_places.abs().max())
        mixed = torch.softmax(keys @ keys.T / 3, 1) @ torch.tanh(features) + 0.1 * near
        return torch.tanh(mixed).mean(0) @ self.head + torch.tanh(features @ self.query).amax(0)
