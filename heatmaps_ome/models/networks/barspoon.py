"""STAMP's barspoon: an encoder of tiles, and a decoder with a class token for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import relu

from heatmaps_ome.models.networks.blocks import Block, FeedForward, MultiHeadAttention
from heatmaps_ome.models.networks.class_token import Sizes
from heatmaps_ome.models.networks.network import Network, in_row_blocks, require_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_UM = 100_000


class Barspoon(Network):
    """One target of a barspoon model; the class tokens of the others belong to its decoder.

    Parameters
    ----------
    n_decoder_layers, n_decoder_heads, n_targets : int
    target : int
        Index of the class token whose logits are returned.
    uses_places : bool
        Whether sines of the places are added to the tiles' tokens.
    sizes : int
        Those of Sizes; layers and heads are the encoder's.
    """

    family = "STAMP barspoon"

    def __init__(
        self,
        *,
        n_decoder_layers: int,
        n_decoder_heads: int,
        n_targets: int,
        target: int,
        uses_places: bool,
        **sizes: int,
    ) -> None:
        super().__init__()
        known = Sizes(**sizes)
        width, n_hidden = known.width, known.n_hidden
        # The quarters are sines and cosines of x and y.
        require_sizes(
            layers=(n_decoder_layers, n_decoder_heads),
            widths=(n_targets, n_targets - target, target + 1, width // 4, n_hidden),
        )
        self.target = target
        self.uses_places = uses_places
        self.embedding = nn.Linear(known.n_features, width)
        self.class_tokens = nn.Parameter(torch.zeros(n_targets, width))
        self.encoder = nn.ModuleList(
            _encoder_block(known, known.n_heads) for _ in range(known.n_layers)
        )
        self.decoder = nn.ModuleList(
            _DecoderBlock(known, n_decoder_heads) for _ in range(n_decoder_layers)
        )
        self.head = nn.Linear(width, known.n_outputs)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        tiles = in_row_blocks(lambda rows: relu(self.embedding(rows)), features)
        if self.uses_places:
            tiles = tiles + _waves(um_places, tiles.shape[-1])
        for block in self.encoder:
            tiles = block(tiles, um_places, tiles.shape[1])
        tokens = self.class_tokens.expand(len(tiles), -1, -1)  # (bags, targets, width)
        for block in self.decoder:
            tokens = block(tokens, tiles)
        return self.head(tokens[:, self.target])


class _DecoderBlock(nn.Module):
    """Attention among class tokens, then to the tiles, then a feed-forward part; all added."""

    def __init__(self, sizes: Sizes, n_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.width)
        self.among = MultiHeadAttention(sizes.width, n_heads)
        self.to_tiles = _encoder_block(sizes, n_heads)

    def forward(self, tokens: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """Return the class tokens after the block, (bags, targets, width)."""
        normed = self.norm(tokens)
        tokens = tokens + self.among(normed, self.among.keys_and_values(normed))
        pairs = in_row_blocks(self.to_tiles.attention.keys_and_values, tiles)
        return self.to_tiles.after(tokens, pairs)


def _encoder_block(sizes: Sizes, n_heads: int) -> Block:
    attention = MultiHeadAttention(sizes.width, n_heads)
    return Block(sizes.width, attention, FeedForward(sizes.width, sizes.n_hidden, "relu"))


def _waves(um_places: torch.Tensor, width: int) -> torch.Tensor:
    """Return sines and cosines of x and y, (bags, n, width).

    In the order and precision of the original, as places far out have large phases.
    """
    steps: Iterable[int] = range(width // 4)
    exponents = torch.tensor(list(steps), dtype=um_places.dtype, device=um_places.device) / width
    phases = um_places[..., None] / _LONGEST_UM**exponents  # (bags, n, 2, width // 4)
    return torch.cat([phases.sin().flatten(-2), phases.cos().flatten(-2)], dim=-1)
