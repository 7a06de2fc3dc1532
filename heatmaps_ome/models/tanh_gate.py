"""The gate of gated attention (Ilse et al. 2018, arXiv:1802.04712, equation 9) as a layer."""

from __future__ import annotations

import torch
from torch import nn


class TanhGate(nn.Module):
    """tanh(V h + v) ⊙ σ(U h + u), for embeddings h.

    Attributes
    ----------
    tanh_weight, gate_weight : (outputs, inputs) float32
        V and U.
    tanh_bias, gate_bias : (outputs,) float32
        v and u.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.tanh_weight = nn.Parameter(torch.zeros(n_outputs, n_inputs))
        self.tanh_bias = nn.Parameter(torch.zeros(n_outputs))
        self.gate_weight = nn.Parameter(torch.zeros(n_outputs, n_inputs))
        self.gate_bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return gated values: (…, inputs) to (…, outputs)."""
        linear = nn.functional.linear
        values = linear(embeddings, self.tanh_weight, self.tanh_bias).tanh()
        return values * linear(embeddings, self.gate_weight, self.gate_bias).sigmoid()
