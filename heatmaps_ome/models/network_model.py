"""MIL models whose network is no chain of encoder, attention and head, built from stored values."""

from __future__ import annotations

import importlib
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import torch

from heatmaps_ome.models.networks import REGISTRY
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.networks.network import Network
    from heatmaps_ome.models.protocol import Additivity
    from heatmaps_ome.models.stored_network import StoredNetwork
    from heatmaps_ome.models.target import Target


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A MilModel around a network, float32, in evaluation mode, without gradients of weights.

    Attributes
    ----------
    network : Network
    target : Target
    n_features : int
    digest : str
        sha256 in hex of all that results depend on.
    """

    network: Network = field(repr=False)
    target: Target
    n_features: int
    digest: str

    @property
    def family(self) -> str:
        """The family's name for people; see MilModel."""
        return self.network.family

    @property
    def additivity(self) -> Additivity:
        """The way from tiles to the slide's logits; see MilModel."""
        return self.network.additivity

    @property
    def knows_single_tiles(self) -> bool:
        """Whether a bag of one tile is like those of the training; see MilModel."""
        return self.network.knows_single_tiles

    def to(self, device: str | torch.device) -> NetworkModel:
        """Return a copy on a device; this model is not moved."""
        return replace(self, network=deepcopy(self.network).to(device))

    def logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the slide's logits, (C,); see MilModel."""
        return self.network(features[None], um_places[None])[0]

    def tile_logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of each tile as a bag of its own, (n, C); see MilModel."""
        n_bags = self.network.bags_at_once
        blocks = zip(features.split(n_bags), um_places.split(n_bags), strict=True)
        return torch.cat([self.network(tiles[:, None], um[:, None]) for tiles, um in blocks])

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the attention of tiles, (n,) or (n, C), or None; see MilModel."""
        return self.network.attention(features, um_places)

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return shares that sum to `logits`, (n, C), or None; see MilModel."""
        return self.network.contributions(features, um_places)

    def logits_of_bags(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags of the same size, (bags, n, …) to (bags, C)."""
        return self.network(features, um_places)

    def logits_without_each(
        self, features: torch.Tensor, um_places: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the slide's logits without each tile, (n, C), or None; see Network."""
        return self.network.logits_without_each(features, um_places)


def from_stored_network(stored: StoredNetwork) -> NetworkModel:
    """Return the model of stored values, on the CPU.

    Raises
    ------
    Unusable
        If arguments and tensors are not those of the network.
    """
    network = _built(stored)
    tensors = {name: torch.tensor(value) for name, value in stored.tensors.items()}
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise Unusable(
            f"is damaged: its tensors are not those of a {network.family} model"
        ) from error
    network = network.float().eval().requires_grad_(False)
    _require_fitting(network, stored)
    return NetworkModel(network, stored.target, stored.n_features, stored.digest)


def _built(stored: StoredNetwork) -> Network:
    """Return the network without memory for its weights."""
    if stored.architecture not in REGISTRY:
        raise Unusable("has an architecture that this program does not know; upgrade heatmaps-ome")
    module, _, name = REGISTRY[stored.architecture].partition(":")
    kind = getattr(importlib.import_module(module), name)
    try:
        with torch.device("meta"):
            return cast("Network", kind(**stored.arguments))
    except (LookupError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Unusable(f"is damaged: its description of a {kind.family} is not one") from error


def _require_fitting(network: Network, stored: StoredNetwork) -> None:
    """Check by a bag of zeros that features and outputs are as many as are described."""
    features, um_places = (torch.zeros(1, 2, width) for width in (stored.n_features, 2))
    try:
        shape = network(features, um_places).shape
    except RuntimeError as error:
        raise Unusable(
            f"is damaged: its {network.family} does not take {stored.n_features} features"
        ) from error
    if shape != (1, len(stored.target.outputs)):
        raise Unusable(f"is damaged: its {network.family} gives other outputs than are described")
