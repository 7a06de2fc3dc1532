"""Blocks of transformers with the norm first, for bags of any size in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.functional import gelu, linear, relu, scaled_dot_product_attention

from heatmaps_ome.models.networks.network import in_row_blocks, row_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

Activation = Literal["gelu", "relu"]
FUNCTIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {"gelu": gelu, "relu": relu}


class MultiHeadAttention(nn.Module):
    """Attention of several heads; without a bias over keys, it needs no memory for n x n weights.

    Attributes
    ----------
    qkv : Linear
        Queries, keys and values one after the other, each by heads.
    out : Linear
    """

    def __init__(self, width: int, n_heads: int, head_width: int | None = None) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.inner = n_heads * (width // n_heads if head_width is None else head_width)
        self.qkv = nn.Linear(width, 3 * self.inner)
        self.out = nn.Linear(self.inner, width)

    def queries(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the queries of tokens, (bags, n, width) to (bags, heads, n, head width)."""
        weight, bias = self.qkv.weight[: self.inner], self.qkv.bias[: self.inner]
        return self.by_heads(linear(tokens, weight, bias))

    def keys_and_values(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return keys and values of tokens, (bags, n, 2 inner widths)."""
        return linear(tokens, self.qkv.weight[self.inner :], self.qkv.bias[self.inner :])

    def forward(self, queries: torch.Tensor, keys_and_values: torch.Tensor) -> torch.Tensor:
        """Return the mixed tokens of queries, (bags, n queries, width).

        Parameters
        ----------
        queries : (bags, n queries, width) float32, tokens
        keys_and_values : (bags, n, 2 inner widths) float32
        """
        keys, values = self.heads_of(keys_and_values)
        mixed = scaled_dot_product_attention(self.queries(queries), keys, values)
        return self.merged(mixed)

    def merged(self, mixed: torch.Tensor) -> torch.Tensor:
        """Return tokens of their heads, (bags, heads, n, head width) to (bags, n, width)."""
        return self.out(mixed.transpose(1, 2).flatten(2))

    def by_heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (bags, n, inner width) as (bags, heads, n, head width)."""
        return tokens.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def heads_of(self, keys_and_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values by heads, (bags, heads, n, head width) each."""
        keys, values = keys_and_values.chunk(2, dim=-1)
        return self.by_heads(keys), self.by_heads(values)


class FeedForward(nn.Module):
    """A norm and two linear layers, with an activation between them and perhaps one at the end."""

    def __init__(
        self, width: int, n_hidden: int, activation: Activation, *, ends_with_relu: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, n_hidden)
        self.last = nn.Linear(n_hidden, width)
        self._activation = FUNCTIONS[activation]
        self._ends_with_relu = ends_with_relu

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (bags, n, width) of the same."""
        result = self.last(self._activation(self.first(self.norm(tokens))))
        return relu(result) if self._ends_with_relu else result


class Block(nn.Module):
    """Attention over all tokens, and a feed-forward part or none, each added to the tokens."""

    def __init__(
        self, width: int, attention: MultiHeadAttention, feed_forward: FeedForward | None
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = attention
        self.feed_forward = feed_forward

    def forward(
        self, tokens: torch.Tensor, um_places: torch.Tensor, n_queries: int
    ) -> torch.Tensor:
        """Return the first tokens after the block, (bags, n_queries, width).

        Parameters
        ----------
        tokens : (bags, n, width) float32
        um_places : (bags, n, 2) float32, µm
            Of which this block makes no use.
        n_queries : int
            Only the first so many tokens are computed: all, or the class token alone.
        """
        del um_places
        pairs = self.pairs(tokens)
        blocks = row_blocks(tokens[:, :n_queries])
        return torch.cat([self.after(rows, pairs) for rows in blocks], dim=1)

    def pairs(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return keys and values of tokens, (bags, n, 2 inner widths)."""
        return in_row_blocks(lambda rows: self.attention.keys_and_values(self.norm(rows)), tokens)

    def after(self, rows: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """Return tokens after the block; `pairs` are keys and values of those they attend to."""
        return self.fed(rows + self.attention(self.norm(rows), pairs))

    def fed(self, rows: torch.Tensor) -> torch.Tensor:
        """Return tokens with the feed-forward part added."""
        return rows if self.feed_forward is None else rows + self.feed_forward(rows)
