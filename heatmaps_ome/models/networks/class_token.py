"""Transformers that read a slide's logits from a class token among its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.functional import pad

from heatmaps_ome.models.networks.blocks import FUNCTIONS, Block, FeedForward, MultiHeadAttention
from heatmaps_ome.models.networks.network import Network, in_row_blocks, require_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heatmaps_ome.models.networks.blocks import Activation


@dataclass(frozen=True)
class Sizes:
    """The sizes of a transformer.

    Attributes
    ----------
    n_features, width, n_outputs : int
        Of a tile, of a token, and of the logits.
    n_layers, n_heads : int
    n_hidden : int
        Of the feed-forward parts; 0 where there are none.

    Raises
    ------
    Unusable
        If there is no such transformer.
    """

    n_features: int
    width: int
    n_outputs: int
    n_layers: int
    n_heads: int
    n_hidden: int

    def __post_init__(self) -> None:
        require_sizes(
            layers=(self.n_layers, self.n_heads),
            widths=(self.n_features, self.width, self.n_outputs, self.n_hidden or 1),
        )


class ClassTokenNetwork(Network):
    """Embeds tiles, puts a class token before them, and classifies it after all blocks.

    Attributes
    ----------
    embedding : ModuleList of Linear
        Each with the activation after it.
    class_token : (width,)
    blocks : ModuleList of Block
    norm : LayerNorm
    head : Linear
    """

    def __init__(
        self,
        sizes: Sizes,
        blocks: Iterable[Block],
        activation: Activation,
        n_embeddings: int = 1,
    ) -> None:
        super().__init__()
        require_sizes(layers=(n_embeddings,))
        width = sizes.width
        inputs = [sizes.n_features, *[width] * (n_embeddings - 1)]
        self.embedding = nn.ModuleList(nn.Linear(n_inputs, width) for n_inputs in inputs)
        self._activation = FUNCTIONS[activation]
        self.class_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sizes.n_outputs)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        tokens = self.embedded(features)
        um_places = pad(um_places, (0, 0, 1, 0))  # the class token lies at (0, 0)
        for block in self.blocks[:-1]:
            tokens = block(tokens, um_places, tokens.shape[1])
        token = self.blocks[-1](tokens, um_places, 1)[:, 0]  # (bags, width)
        return self.head(self.norm(token))

    def embedded(self, features: torch.Tensor) -> torch.Tensor:
        """Return the class token and the tiles', (bags, 1 + n, width)."""
        tiles = in_row_blocks(self._embed, features)
        return torch.cat([self.class_token.expand(len(tiles), 1, -1), tiles], dim=1)

    def _embed(self, tiles: torch.Tensor) -> torch.Tensor:
        for layer in self.embedding:
            tiles = self._activation(layer(tiles))
        return tiles


class MarugotoVit(ClassTokenNetwork):
    """The ViT of marugoto's transformer branches and of STAMP 1.0 and 1.1 ("TransMIL" there).

    The activation is ReLU in the former and GELU in STAMP 1.1; heads have 64 features in the
    former, whatever the width.
    """

    family = "marugoto vit"

    def __init__(self, activation: Activation, head_width: int, **sizes: int) -> None:
        known = Sizes(**sizes)
        require_sizes(widths=(head_width,))
        super().__init__(known, [_block(known, head_width) for _ in _layers(known)], activation)


class MilLabTransformer(ClassTokenNetwork):
    """MIL-Lab's transformer, whose feed-forward parts, if any, end with a ReLU."""

    family = "MIL-Lab transformer"

    def __init__(self, n_embeddings: int, **sizes: int) -> None:
        known = Sizes(**sizes)
        blocks = [_mil_lab_block(known) for _ in _layers(known)]
        super().__init__(known, blocks, "relu", n_embeddings)

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the class token's attention in the first block, (n,), the mean over heads.

        Weights of a softmax over the class token and the tiles; MIL-Lab's `return_attention`.
        """
        del um_places
        first = cast("Block", self.blocks[0])
        tokens = first.norm(self.embedded(features[None]))  # (1, 1 + n, width)
        queries = first.attention.queries(tokens[:, :1])  # (1, heads, 1, head width)
        keys, _ = first.attention.heads_of(first.attention.keys_and_values(tokens))
        similarities = queries @ keys.transpose(2, 3) * keys.shape[-1] ** -0.5
        return similarities.softmax(dim=-1).mean(dim=1)[0, 0, 1:]


def _layers(sizes: Sizes) -> range:
    return range(sizes.n_layers)


def _block(sizes: Sizes, head_width: int) -> Block:
    attention = MultiHeadAttention(sizes.width, sizes.n_heads, head_width)
    return Block(sizes.width, attention, FeedForward(sizes.width, sizes.n_hidden, "gelu"))


def _mil_lab_block(sizes: Sizes) -> Block:
    width, n_hidden = sizes.width, sizes.n_hidden
    attention = MultiHeadAttention(width, sizes.n_heads)
    last = FeedForward(width, n_hidden, "relu", ends_with_relu=True) if n_hidden else None
    return Block(width, attention, last)
