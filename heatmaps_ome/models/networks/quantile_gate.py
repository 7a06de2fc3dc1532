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

    def logits_without_each(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits without each tile, (n, C); see Network.

        The gate moves with each tile that is taken out. NaN where a tile has most of the weight,
        so that the difference would lose digits, and where no other tile is above the gate.
        """
        del um_places
        raw, logits = self._raw_tiles(features[None])
        attention = raw[0]  # (n,)
        ascending, order = attention.sort()
        powers = ((attention - ascending[-1]) / self.temperature).double().exp()[:, None]
        terms = powers * torch.cat([torch.ones_like(powers), logits[0].double()], dim=1)
        # Sums over the tiles from each place of the order to its end.
        sums = terms[order].flip(0).cumsum(dim=0).flip(0)  # (n, 1 + C)
        first = torch.searchsorted(ascending, self._gates_without_each(ascending), right=True)
        ranks = order.argsort()
        first = first[ranks]  # (n,), in the order of the tiles
        whole = sums[first.clamp(max=len(sums) - 1)]
        above = (ranks >= first)[:, None]
        others = whole - terms * above
        lost = (others[:, :1] < 0.5 * whole[:, :1]) | (first == len(sums))[:, None]
        means = others[:, 1:] / others[:, :1]
        return means.masked_fill(lost, float("nan")).float()

    def _gates_without_each(self, ascending: torch.Tensor) -> torch.Tensor:
        """Return the quantile of attention without each place of the ascending (n,) values."""
        n_others = len(ascending) - 1
        if self.gate == 0 or n_others < 2:
            return ascending.new_full(ascending.shape, float("-inf"))
        # As torch.quantile computes it, in the same precision.
        position = torch.tensor(self.gate, dtype=ascending.dtype) * (n_others - 1)
        places = torch.arange(n_others + 1)
        below, above = (
            ascending[place + (places <= place).long()]
            for place in (int(position.floor()), int(position.ceil()))
        )
        return torch.lerp(below, above, position - position.floor())

    def _tiles(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights, (bags, n), and logits, (bags, n, C), of the tiles of bags."""
        attention, logits = self._raw_tiles(features)
        return self._weights(attention), logits

    def _raw_tiles(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return attention before the gate, (bags, n), and logits, (bags, n, C)."""
        parts = []
        for block in row_blocks(features):
            embeddings = self.encoder(block).relu()  # (bags, rows, E)
            attention = self.attention_head(self.hidden(embeddings).tanh())[..., 0]
            normalised = self.norm(embeddings.flatten(0, 1)).unflatten(0, block.shape[:2])
            parts.append((attention, self.head(normalised)))
        attention, logits = zip(*parts, strict=True)
        return torch.cat(attention, dim=1), torch.cat(logits, dim=1)

    def _weights(self, attention: torch.Tensor) -> torch.Tensor:
        if self.gate > 0 and attention.shape[1] > 1:
            # Bag by bag: torch.quantile takes no more than 16 million numbers at once.
            quantiles = torch.stack([bag.quantile(self.gate) for bag in attention.detach()])
            below = attention <= quantiles[:, None]
            below &= ~below.all(dim=1, keepdim=True)
            attention = attention.masked_fill(below, float("-inf"))
        return (attention / self.temperature).softmax(dim=1)
