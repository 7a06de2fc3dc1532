"""CLAM's multi-branch network: each class has its own attention and its own classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from heatmaps_ome.models.networks.network import Network, require_sizes, row_blocks
from heatmaps_ome.models.tanh_gate import TanhGate

if TYPE_CHECKING:
    from heatmaps_ome.models.protocol import Additivity


class ClassAttention(Network):
    """Pools embeddings once for each class (Lu et al. 2021, doi:10.1038/s41551-020-00682-w).

    With e = ReLU(encoder(f)) and a(e) of a value for each class c, the logit of c is
    w_c · Σᵢ softmaxᵢ(a_c) eᵢ + b_c, and so Σᵢ softmaxᵢ(a_c) (w_c · eᵢ + b_c).
    """

    family = "CLAM multi-branch"
    additivity: Additivity = "pooled"

    def __init__(
        self, n_features: int, n_embedding: int, n_attention: int, n_classes: int, *, gated: bool
    ) -> None:
        super().__init__()
        require_sizes(widths=(n_features, n_embedding, n_attention, n_classes))
        self.encoder = nn.Linear(n_features, n_embedding)
        self.hidden = (TanhGate if gated else nn.Linear)(n_embedding, n_attention)
        self.gated = gated
        self.attention_head = nn.Linear(n_attention, n_classes)
        self.classifiers = nn.Linear(n_embedding, n_classes)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        attention, logits = self._tiles(features)
        return (attention.softmax(dim=1) * logits).sum(dim=1)

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the attention of each class before the softmax over tiles, (n, C)."""
        del um_places
        return self._tiles(features[None])[0][0]

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the tiles' shares of the logits, (n, C)."""
        del um_places
        attention, logits = self._tiles(features[None])
        return attention[0].softmax(dim=0) * logits[0]

    def _tiles(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return attention and logits of the tiles of bags, (bags, n, C) each."""
        parts = []
        for block in row_blocks(features):
            embeddings = self.encoder(block).relu()  # (bags, rows, E)
            hidden = self.hidden(embeddings)
            attention = self.attention_head(hidden if self.gated else hidden.tanh())
            parts.append((attention, self.classifiers(embeddings)))
        attention, logits = zip(*parts, strict=True)
        return torch.cat(attention, dim=1), torch.cat(logits, dim=1)
