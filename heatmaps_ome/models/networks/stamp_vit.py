"""STAMP's vit, with and without ALiBi, as each version of STAMP predicts with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from heatmaps_ome.models.networks.blocks import Block, FeedForward, MultiHeadAttention
from heatmaps_ome.models.networks.class_token import ClassTokenNetwork, Sizes
from heatmaps_ome.models.networks.distances import distance_product
from heatmaps_ome.models.networks.network import row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator


class StampVit(ClassTokenNetwork):
    """STAMP's vit without ALiBi.

    Before STAMP 2.2, tiles could not attend to the class token, in training and prediction alike;
    since then they can, as there is no mask.
    """

    family = "STAMP vit"

    def __init__(self, *, hides_class_token: bool, **sizes: int) -> None:
        known = Sizes(**sizes)
        kind = _HidingBlock if hides_class_token else Block
        blocks = [
            kind(known.width, MultiHeadAttention(known.width, known.n_heads), _feed_forward(known))
            for _ in range(known.n_layers)
        ]
        super().__init__(known, blocks, "gelu")


class StampAlibiVit(ClassTokenNetwork):
    """STAMP's vit with ALiBi: each head subtracts its multiple of the distance from the weights.

    They are subtracted after the softmax. Before STAMP 2.2, the class token was hidden from tiles,
    had no distances, and, by a slip in the indices of the product, a token's sum of weights
    multiplied the sum of all values.
    """

    family = "STAMP vit with ALiBi"

    def __init__(self, *, hides_class_token: bool, **sizes: int) -> None:
        known = Sizes(**sizes)
        kind = _EarlyDistanceBlock if hides_class_token else _DistanceBlock
        blocks = [
            kind(known.width, _DistanceAttention(known.width, known.n_heads), _feed_forward(known))
            for _ in range(known.n_layers)
        ]
        super().__init__(known, blocks, "gelu")


class _HidingBlock(Block):
    """A block whose class token, the first one, attends to all, and tiles only to tiles."""

    def forward(
        self, tokens: torch.Tensor, um_places: torch.Tensor, n_queries: int
    ) -> torch.Tensor:
        """Return the first tokens after the block; see Block."""
        del um_places
        pairs = self.pairs(tokens)
        parts = [self.after(tokens[:, :1], pairs)]
        if n_queries > 1:
            blocks = row_blocks(tokens[:, 1:n_queries])
            parts += [self.after(rows, pairs[:, 1:]) for rows in blocks]
        return torch.cat(parts, dim=1)


class _DistanceAttention(MultiHeadAttention):
    """Attention with the heads' multiples of the distance, 1 / µm."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__(width, n_heads)
        self.per_um = nn.Parameter(torch.zeros(n_heads))

    def near_and_far(
        self, queries: torch.Tensor, pairs: torch.Tensor, distant: torch.Tensor
    ) -> torch.Tensor:
        """Return softmax(queries keys) values - multiples of `distant`, by heads.

        Parameters
        ----------
        queries : (bags, rows, width) float32, tokens
        pairs : (bags, n, 2 inner widths) float32
        distant : (bags, rows, inner width) float32
            The sums of the values over all tokens, weighted by distance.
        """
        keys, values = self.heads_of(pairs)
        near = scaled_dot_product_attention(self.queries(queries), keys, values)
        return near - self.by_heads(distant) * self.per_um[:, None, None]


class _DistanceBlock(Block):
    """A block with ALiBi, of STAMP 2.2 and later."""

    attention: _DistanceAttention

    def forward(
        self, tokens: torch.Tensor, um_places: torch.Tensor, n_queries: int
    ) -> torch.Tensor:
        """Return the first tokens after the block; see Block."""
        pairs = self.pairs(tokens)
        _, values = pairs.chunk(2, dim=-1)
        parts = []
        for rows, um_rows in _with_places(tokens[:, :n_queries], um_places[:, :n_queries]):
            distant = distance_product(um_rows, um_places, values)
            mixed = self.attention.near_and_far(self.norm(rows), pairs, distant)
            parts.append(self.fed(rows + self.attention.merged(mixed)))
        return torch.cat(parts, dim=1)


class _EarlyDistanceBlock(Block):
    """A block with ALiBi of STAMP before 2.2: sums of weights times the sum of all values."""

    attention: _DistanceAttention

    def forward(
        self, tokens: torch.Tensor, um_places: torch.Tensor, n_queries: int
    ) -> torch.Tensor:
        """Return the first tokens after the block; see Block."""
        pairs = self.pairs(tokens)
        keys, values = pairs.chunk(2, dim=-1)
        total = self.attention.by_heads(values.sum(dim=1, keepdim=True))  # (bags, heads, 1, d)
        # The class token's own weights sum to 1, as it has no distances.
        parts = [self.fed(tokens[:, :1] + self.attention.merged(total))]
        if n_queries == 1:
            return parts[0]
        # Weights of 1 for tiles and 0 for the class token, in the place of values.
        is_tile = torch.cat([torch.zeros_like(keys[:, :1]), torch.ones_like(keys[:, 1:])], dim=1)
        counted = torch.cat([keys, is_tile], dim=-1)
        um_tiles = um_places[:, 1:]
        for rows, um_rows in _with_places(tokens[:, 1:n_queries], um_tiles[:, : n_queries - 1]):
            distant = distance_product(um_rows, um_tiles, is_tile[:, 1:])
            sums = self.attention.near_and_far(self.norm(rows), counted, distant)
            parts.append(self.fed(rows + self.attention.merged(sums * total)))
        return torch.cat(parts, dim=1)


def _with_places(
    tokens: torch.Tensor, um_places: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(row_blocks(tokens), row_blocks(um_places), strict=True)


def _feed_forward(sizes: Sizes) -> FeedForward:
    return FeedForward(sizes.width, sizes.n_hidden, "gelu")
