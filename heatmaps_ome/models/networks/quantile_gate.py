"""slideflow's attention MIL with a gate: tiles of low attention are left out of the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from heatmaps_ome.models.networks.network import Network, require_sizes, row_blocks
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.protocol import Additivity


class QuantileGate(Network):
    """Attention MIL over the tiles above a quantile of attention (slideflow's ``att_mil.py``).

    With e = ReLU(encoder(f)), attention a(e) and q the gate's quantile of a over the bag, the
    weights are softmax(a / temperature) over the tiles with a > q, and 0 for the others. A bag of
    one tile has no gate. Where no tile is above q, as all are alike, all are kept.
    """

    family = "slideflow attention MIL with a gate"
    additivity: Additivity = "given a choice"

    def __init__(
        self,
        n_features: int,
        n_embedding: int,
        n_attention: int,
        n_outputs: int,
        *,
        gate: float,
        temperature: float,
    ) -> None:
        super().__init__()
        require_sizes(widths=(n_features, n_embedding, n_attention, n_outputs))
        if not 0 <= gate < 1 or not 0 < temperature < float("inf"):
            raise Unusable("has a gate outside [0, 1) or a temperature that is not above 0")
        self.gate, self.temperature = float(gate), float(temperature)
        self.encoder = nn.Linear(n_features, n_embedding)
        self.hidden = nn.Linear(n_embedding, n_attention)
        self.attention_head = nn.Linear(n_attention, 1)
        self.norm = nn.BatchNorm1d(n_embedding)
        self.head = nn.Linear(n_embedding, n_outputs)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        weights, logits = self._tiles(features)
        return (weights[..., None] * logits).sum(dim=1)

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the tiles' weights, (n,), which sum to 1; 0 below the gate."""
        del um_places
        return self._tiles(features[None])[0][0]

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the tiles' shares of the logits, (n, C), with the gate as it is."""
        del um_places
        weights, logits = self._tiles(features[None])
        return weights[0, :, None] * logits[0]

    def _tiles(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights, (bags, n), and logits, (bags, n, C), of the tiles of bags."""
        parts = []
        for block in row_blocks(features):
            embeddings = self.encoder(block).relu()  # (bags, rows, E)
            attention = self.attention_head(self.hidden(embeddings).tanh())[..., 0]
            normalised = self.norm(embeddings.flatten(0, 1)).unflatten(0, block.shape[:2])
            parts.append((attention, self.head(normalised)))
        attention, logits = zip(*parts, strict=True)
        return self._weights(torch.cat(attention, dim=1)), torch.cat(logits, dim=1)

    def _weights(self, attention: torch.Tensor) -> torch.Tensor:
        if self.gate > 0 and attention.shape[1] > 1:
            # Bag by bag: torch.quantile takes no more than 16 million numbers at once.
            quantiles = torch.stack([bag.quantile(self.gate) for bag in attention.detach()])
            below = attention <= quantiles[:, None]
            below &= ~below.all(dim=1, keepdim=True)
            attention = attention.masked_fill(below, float("-inf"))
        return (attention / self.temperature).softmax(dim=1)
