"""Fits a published table of positions to a network's grid, as the publisher's program does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shapes = Mapping[str, tuple[int, ...]]
    State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Positions:
    """How a publisher's program resamples positions for images of another size.

    Attributes
    ----------
    antialias : bool
        Whether the bicubic kernel grows where the grid gets coarser.
    offset : float
        Added to the sides of the new grid when the scale is computed: 0.1 in DINO and programs
        after it, against rounding. 0: the scale is that of the sides.
    table : str
        The network's name of the table: (1, tokens, width).
    """

    antialias: bool = False
    offset: float = 0.0
    table: str = "pos_embed"

    def fitted(self, state: State, shapes: Shapes) -> State:
        """Return a state dict whose positions have the network's shape; as it is if none can.

        A network may keep no position of its class token: it is added to that token then, which
        gives the same sum.

        Parameters
        ----------
        state : dict of str → tensor
            By the network's names.
        shapes : mapping of str → tuple of int
            Of the network's tensors.
        """
        table, shape = state.get(self.table), shapes.get(self.table)
        if table is None or shape is None or table.shape[::2] != (1, shape[2]):
            return state
        n_prefix = 0 if _is_square(table.shape[1]) else 1
        prefix, grid = table[:, :n_prefix], table[:, n_prefix:]
        if not _is_square(grid.shape[1]):
            return state
        state = dict(state)
        token = self.table.replace("pos_embed", "cls_token")
        if _is_square(shape[1]) and token in state and state[token].shape == prefix.shape:
            state[token] = state[token] + prefix
            prefix = prefix[:, :0]
        side = math.isqrt(shape[1] - prefix.shape[1])
        state[self.table] = torch.cat([prefix, self._resampled(grid, side)], dim=1)
        return state

    def _resampled(self, grid: torch.Tensor, side: int) -> torch.Tensor:
        """Return (1, side², width) of a grid of another side, in its number type."""
        side_before = math.isqrt(grid.shape[1])
        if side == side_before:
            return grid
        width = grid.shape[2]
        square = grid.reshape(1, side_before, side_before, width).permute(0, 3, 1, 2).float()
        scale = (side + self.offset) / side_before
        resampled = F.interpolate(
            square,
            size=None if self.offset else (side, side),
            scale_factor=(scale, scale) if self.offset else None,
            mode="bicubic",
            antialias=self.antialias,
        )
        return resampled.permute(0, 2, 3, 1).reshape(1, -1, width).to(grid.dtype)


def _is_square(number: int) -> bool:
    """Return whether a number of tokens is that of a square grid, of more than one."""
    return number > 1 and math.isqrt(number) ** 2 == number
