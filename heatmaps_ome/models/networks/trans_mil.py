"""TransMIL as in STAMP and MIL-Lab: Nyström attention and convolutions over a square of tiles.

Shao et al., "TransMIL", https://arxiv.org/abs/2106.00908; Xiong et al., "Nyströmformer",
https://arxiv.org/abs/2102.03902.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import conv2d, linear, pad, relu, scaled_dot_product_attention

from heatmaps_ome.models.networks.network import Network, in_row_blocks, require_sizes, row_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

_KERNEL = 33
_INVERSE_STEPS = 6
_CHANNELS_AT_ONCE = 64
_FLOATS_AT_ONCE = 1 << 24


class TransMil(Network):
    """TransMIL: the places of tiles are their order in the file, on a square.

    Attributes
    ----------
    embedding : ModuleList of Linear
        Each with ReLU after it.
    class_token : (width,)
    blocks : ModuleList
    positions : the convolutions after the first block
    norm : LayerNorm
    head : Linear
    """

    family = "TransMIL"
    # A bag of one tile is padded to hundreds of tokens of zeros, unlike any of the training.
    knows_single_tiles = False

    def __init__(
        self,
        n_features: int,
        width: int,
        n_outputs: int,
        n_layers: int,
        n_heads: int,
        n_embeddings: int,
    ) -> None:
        super().__init__()
        require_sizes(
            layers=(n_layers, n_heads, n_embeddings), widths=(n_features, width // 2, n_outputs)
        )
        inputs = [n_features, *[width] * (n_embeddings - 1)]
        self.embedding = nn.ModuleList(nn.Linear(n_inputs, width) for n_inputs in inputs)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(_NystromBlock(width, n_heads) for _ in range(n_layers))
        self.positions = _SquareConvolutions(width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_outputs)
        self.bags_at_once = max(1, _FLOATS_AT_ONCE // (n_heads * (width // 2) ** 2))

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        tokens = self.positions(self._after_first_block(features))
        last = len(self.blocks) - 1
        for index in range(1, len(self.blocks)):
            tokens = self.blocks[index](tokens, 1 if index == last else tokens.shape[1])
        return self.head(self.norm(tokens[:, 0]))

    def _after_first_block(self, features: torch.Tensor) -> torch.Tensor:
        tiles = in_row_blocks(self._embed, features)
        n_tiles = tiles.shape[1]
        side = math.isqrt(n_tiles - 1) + 1
        class_tokens = self.class_token.expand(len(tiles), 1, -1)
        # The first tiles are repeated until the square is full.
        tokens = torch.cat([class_tokens, tiles, tiles[:, : side * side - n_tiles]], dim=1)
        del tiles
        return self.blocks[0](tokens, tokens.shape[1])

    def _embed(self, tiles: torch.Tensor) -> torch.Tensor:
        for layer in self.embedding:
            tiles = relu(layer(tiles))
        return tiles


class StampTransMil(TransMil):
    """STAMP's trans_mil."""

    family = "STAMP trans_mil"


class MilLabTransMil(TransMil):
    """MIL-Lab's TransMIL."""

    family = "MIL-Lab TransMIL"

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the products of each tile's token and the class token after a block, (n,).

        MIL-Lab's `return_attention`: similarities without a softmax.
        """
        del um_places
        (tokens,) = self._after_first_block(features[None])  # (1 + square, width)
        return (tokens[1:] @ tokens[0])[: len(features)]


class _NystromBlock(nn.Module):
    """Tokens plus their Nyström attention, through means of neighbouring tokens (landmarks)."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.inner = n_heads * (width // n_heads)
        self.n_landmarks = width // 2
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * self.inner, bias=False)
        self.out = nn.Linear(self.inner, width)
        self.residual = nn.Conv2d(n_heads, n_heads, (_KERNEL, 1), groups=n_heads, bias=False)

    def forward(self, tokens: torch.Tensor, n_queries: int) -> torch.Tensor:
        """Return the first tokens after the block, (bags, n_queries, width)."""
        n_each = math.ceil(tokens.shape[1] / self.n_landmarks)
        n_zeros = n_each * self.n_landmarks - tokens.shape[1]
        padded = pad(self.norm(tokens), (0, 0, n_zeros, 0))  # zeros come first
        to_queries, to_keys, to_values = self.qkv.weight.chunk(3)
        # The means of queries and keys are the queries and keys of means.
        means = padded.unflatten(1, (self.n_landmarks, n_each)).mean(dim=2)
        query_marks, key_marks = (self._heads(means, part) for part in (to_queries, to_keys))
        values = self._heads(padded, to_values)  # (bags, heads, zeros and tokens, d)
        gathered = scaled_dot_product_attention(query_marks, self._heads(padded, to_keys), values)
        scale = query_marks.shape[-1] ** -0.5
        between = (query_marks @ key_marks.transpose(2, 3) * scale).softmax(dim=-1)
        gathered = _pseudo_inverse(between) @ gathered  # (bags, heads, landmarks, d)
        parts = []
        start = n_zeros
        for rows in row_blocks(tokens[:, :n_queries]):
            stop = start + rows.shape[1]
            queries = self._heads(padded[:, start:stop], to_queries)
            mixed = scaled_dot_product_attention(queries, key_marks, gathered)
            mixed = mixed + self._neighbours(values, start, stop)
            parts.append(rows + self.out(mixed.transpose(1, 2).flatten(2)))
            start = stop
        return torch.cat(parts, dim=1)

    def _heads(self, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return linear(rows, weight).unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def _neighbours(self, values: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return the convolution of values along the tokens, for those from start to stop."""
        margin = _KERNEL // 2
        first, last = max(0, start - margin), min(values.shape[2], stop + margin)
        missing = (0, 0, first - (start - margin), stop + margin - last)
        return conv2d(
            pad(values[:, :, first:last], missing), self.residual.weight, groups=self.n_heads
        )


class _SquareConvolutions(nn.Module):
    """Three convolutions over the square of tiles, added to it, as one (TransMIL's PPEG)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.side_7 = nn.Conv2d(width, width, 7, groups=width)
        self.side_5 = nn.Conv2d(width, width, 5, groups=width)
        self.side_3 = nn.Conv2d(width, width, 3, groups=width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (bags, 1 + square, width) of the same; the class token stays as it is."""
        side = math.isqrt(tokens.shape[1] - 1)
        weight, bias = self._summed()
        parts = []
        # Each channel by itself, so some at a time.
        for channels in torch.arange(len(weight)).split(_CHANNELS_AT_ONCE):
            own = slice(int(channels[0]), int(channels[-1]) + 1)
            square = tokens[:, 1:, own].transpose(1, 2).unflatten(2, (side, side))
            square = conv2d(square, weight[own], bias[own], padding=3, groups=len(channels))
            tiles = square.flatten(2).transpose(1, 2)
            parts.append(torch.cat([tokens[:, :1, own], tiles], dim=1))
        return torch.cat(parts, dim=2)

    def _summed(self) -> tuple[torch.Tensor, torch.Tensor]:
        layers: Sequence[nn.Conv2d] = (self.side_7, self.side_5, self.side_3)
        weight = sum(
            (pad(layer.weight, (margin,) * 4) for margin, layer in enumerate(layers)),
            start=torch.zeros_like(self.side_7.weight),
        )
        centre = torch.zeros_like(weight)
        centre[:, :, 3, 3] = 1  # the square itself
        return weight + centre, layers[0].bias + layers[1].bias + layers[2].bias  # type: ignore[operator]


def _pseudo_inverse(matrices: torch.Tensor) -> torch.Tensor:
    """Return approximate inverses of (bags, heads, m, m), by Nyströmformer's six steps.

    The start is scaled by the largest sums over all heads of a bag.
    """
    sizes = matrices.abs()
    limits = [sizes.sum(dim=axis).amax(dim=(1, 2)) for axis in (-1, -2)]  # (bags,) each
    inverse = matrices.transpose(2, 3) / (limits[0] * limits[1])[:, None, None, None]
    unit = torch.eye(matrices.shape[-1], device=matrices.device)
    for _ in range(_INVERSE_STEPS):
        product = matrices @ inverse
        inner = 15 * unit - product @ (7 * unit - product)
        inverse = 0.25 * inverse @ (13 * unit - product @ inner)
    return inverse
