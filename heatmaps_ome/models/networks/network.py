"""The common kind of all networks: batches of bags of tiles in, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.models.protocol import Additivity

MOST_LAYERS = 256
MOST_FEATURES = 1 << 20
_ROWS_AT_ONCE = 8192


class Network(nn.Module):
    """A network of bags; it is built from a StoredNetwork's arguments, by their names.

    The values here are the ones of a network that mixes tiles, without an attention of its own.

    Attributes
    ----------
    family : str
        For people: "STAMP vit".
    additivity, knows_single_tiles
        As in MilModel.
    bags_at_once : int
        Bags of one tile that are computed together, so that memory stays small.
    """

    family: ClassVar[str]
    additivity: Additivity = "none"
    knows_single_tiles: bool = True
    bags_at_once: int = 1024

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags of the same size, (bags, C), differentiable in the features.

        Parameters
        ----------
        features : (bags, n, d) float32
        um_places : (bags, n, 2) float32, µm
        """
        raise NotImplementedError

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the attention of one bag's tiles, (n,) or (n, C), or None; see MilModel.

        Parameters
        ----------
        features : (n, d) float32
        um_places : (n, 2) float32, µm
        """
        del features, um_places
        return None

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return exact shares of one bag's logits, (n, C), or None; see MilModel."""
        del features, um_places
        return None

    def logits_without_each(
        self, features: torch.Tensor, um_places: torch.Tensor
    ) -> torch.Tensor | None:
        """Return one bag's logits without each tile, (n, C), where that is cheaper than a pass.

        NaN for tiles without which the bag must be read anew; None where there is no such way.
        """
        del features, um_places
        return None


def require_sizes(*, layers: tuple[int, ...] = (), widths: tuple[int, ...] = ()) -> None:
    """Check numbers of layers or heads, and of features, before anything is built from them.

    Raises
    ------
    Unusable
        If one is no whole number, below 1, or more than such a network can have.
    """
    for sizes, limit in ((layers, MOST_LAYERS), (widths, MOST_FEATURES)):
        if not all(type(size) is int and 1 <= size <= limit for size in sizes):
            raise Unusable("has a number of layers, heads or features that no such model can have")


def row_blocks(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split rows, (bags, n, d), into blocks that need little memory for what is made of them."""
    return rows.split(max(1, _ROWS_AT_ONCE // len(rows)), dim=1)


def in_row_blocks(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor
) -> torch.Tensor:
    """Apply a function that treats rows one by one, (bags, n, d), block by block."""
    return torch.cat([function(block) for block in row_blocks(rows)], dim=1)
