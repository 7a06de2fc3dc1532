"""STAMP's linear and mlp: layers on the mean of a slide's features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from heatmaps_ome.models.networks.network import Network, require_sizes

if TYPE_CHECKING:
    import torch

    from heatmaps_ome.models.protocol import Additivity


class MeanPoolLinear(Network):
    """A linear layer on the mean feature, which is the mean of the tiles' logits."""

    family = "STAMP linear"
    additivity = "pooled"

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        require_sizes(widths=(n_features, n_outputs))
        self.fc = nn.Linear(n_features, n_outputs)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        return self.fc(features.mean(dim=1))

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the tiles' shares of the logits, (n, C): all tiles weigh alike."""
        del um_places
        return self.fc(features) / len(features)


class MeanPoolMlp(Network):
    """Linear layers with ReLU between them on the mean feature.

    Without a hidden layer it is a linear one, and additive.
    """

    family = "STAMP mlp"

    def __init__(self, n_features: int, n_hidden: int, n_outputs: int, n_layers: int) -> None:
        super().__init__()
        require_sizes(layers=(n_layers,), widths=(n_features, n_hidden, n_outputs))
        widths = [n_features, *[n_hidden] * (n_layers - 1), n_outputs]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.additivity: Additivity = "pooled" if n_layers == 1 else "none"

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        hidden = features.mean(dim=1)  # (bags, d)
        for layer in self.layers[:-1]:
            hidden = layer(hidden).relu()  # (bags, hidden)
        return self.layers[-1](hidden)  # (bags, C)

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the tiles' shares of the logits, (n, C), where there is no hidden layer."""
        del um_places
        return self.layers[0](features) / len(features) if len(self.layers) == 1 else None
