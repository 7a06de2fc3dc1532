"""CONCH's image towers: a vision transformer whose tokens a learned query attends to.

CONCH: Lu et al., Nature Medicine 30 (2024) 863-874. CONCHv1.5, TITAN's: Ding et al.,
https://arxiv.org/abs/2411.19666. A tile's feature is the query's answer, normalised, before the
projection to the space that images share with texts, and of any length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from heatmaps_ome.extractors.networks.vits import vision_transformer

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

_HEADS = 8


def pooled_transformer(*, channels: int, pool_bias: bool, **trunk: Any) -> nn.Module:
    """Return an image tower in evaluation mode, its weights unset.

    Parameters
    ----------
    channels : int
        Length of a feature.
    pool_bias : bool
        Whether the pooling's projections add biases: CONCH's do, CONCHv1.5's do not.
    trunk : object
        Of `vision_transformer`.

    Raises
    ------
    ImportError
        If timm is missing.
    """
    return _PooledTransformer(vision_transformer(**trunk), channels, bias=pool_bias).eval()


class _PooledTransformer(nn.Module):
    """Maps (n, 3, side, side) normalised images to (n, channels)."""

    def __init__(self, trunk: VisionTransformer, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.attn_pool_contrast = _AttentionPool(trunk.num_features, channels, bias=bias)
        self.ln_contrast = nn.LayerNorm(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature of each image."""
        return self.ln_contrast(self.attn_pool_contrast(self.trunk.forward_features(images)))


class _AttentionPool(nn.Module):
    """A learned query's attention to all tokens: Yu et al. 2022, https://arxiv.org/abs/2205.01917.

    Query and tokens are normalised each, and projected to the feature's width.
    """

    def __init__(self, width: int, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, channels))
        self.attn = nn.MultiheadAttention(
            channels, _HEADS, bias=bias, kdim=width, vdim=width, batch_first=True
        )
        self.ln_q = nn.LayerNorm(channels)
        self.ln_k = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (n, channels) of (n, tokens, width)."""
        query = self.ln_q(self.query).expand(len(tokens), 1, -1)
        tokens = self.ln_k(tokens)
        return self.attn(query, tokens, tokens, need_weights=False)[0][:, 0]
