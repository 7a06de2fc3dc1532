"""Slides that are weighted means of their tiles' logits: shares and leave-one-out, exact.

A slide's logits are z = Σᵢ wᵢ lᵢ, with w the softmax of the attention over the tiles and l the
logits of tile i alone. Without tile i the weights of the others sum to 1 again:
(z − wᵢ lᵢ) / (1 − wᵢ).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import ModelError
from heatmaps_ome.maps.explanations.forwards import ROWS_AT_ONCE, Forwards, by_output
from heatmaps_ome.maps.formulas import running_means

if TYPE_CHECKING:
    from collections.abc import Callable

_TOLERANCE = 1e-3
"""Relative difference from the model's own logits above which it pools in another way."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """The tiles of a slide whose logits are weighted means of the tiles' own.

    Attributes
    ----------
    attention : (1, n) or (C, n) float64
        Logits before the softmax over the tiles, for all outputs or for each.
    logits : (C, n) float64
        Logits of the tiles alone.
    """

    attention: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, attention: np.ndarray | None, tile_logits: np.ndarray) -> Pooled:
        """Return the tiles from arrays as explanations have them; without attention, all alike."""
        n_tiles = tile_logits.shape[1]
        rows = np.zeros(n_tiles) if attention is None else attention
        return cls(np.atleast_2d(rows).astype(np.float64), tile_logits.astype(np.float64))

    @property
    def shares(self) -> np.ndarray:
        """Weights of the tiles, (1, n) or (C, n) float64; each row sums to 1."""
        weights = np.exp(self.attention - self.attention.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    @property
    def contributions(self) -> np.ndarray:
        """Shares of the slide's logits, (C, n) float64, which sum to them."""
        return self.shares * self.logits

    def without_each(self) -> np.ndarray:
        """Return the slide's (C, n) float64 logits without each tile; NaN for an only tile."""
        if self.logits.shape[1] == 1:
            return np.full(self.logits.shape, np.nan)
        shares, parts = np.broadcast_to(self.shares, self.logits.shape), self.contributions
        whole = parts.sum(axis=1, keepdims=True)
        # At most one tile has more than half of the weight. There the difference would be between
        # nearly equal numbers, so the other tiles are summed anew.
        dominant = shares > 0.5
        without = (whole - parts) / np.where(dominant, 1.0, 1.0 - shares)
        for output, tile in np.argwhere(dominant):
            others = np.delete(np.arange(self.logits.shape[1]), tile)
            without[output, tile] = self._means(output, others)[-1]
        return without

    def curves(self, order: np.ndarray) -> np.ndarray:
        """Return the (C, n) logits while tiles are removed in an order: without 0 .. n − 1."""
        last_first = order[::-1]
        if len(self.attention) == 1:
            means = running_means(self.attention[0, last_first], self.logits[:, last_first])
        else:
            means = np.stack(
                [self._means(output, last_first) for output in range(len(self.logits))]
            )
        return means[:, ::-1]

    def _means(self, output: int, tiles: np.ndarray) -> np.ndarray:
        """Return one output's (m,) weighted means of the first 1, 2 .. m of some tiles."""
        attention = self.attention[output if len(self.attention) > 1 else 0]
        return running_means(attention[tiles], self.logits[output : output + 1, tiles])[0]


def read_pooled(
    forwards: Forwards, progress: Callable[[int, int], None]
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return attention, (n,) or (C, n), and tile logits, (C, n), of a pooled model; float32.

    Tiles do not depend on one another, so that they are read some at a time.

    Raises
    ------
    ModelError
        If the weighted mean of the tiles' logits is not what the model predicts.
    """
    weights, values = read_each(forwards, progress)
    _require_pooling(forwards, weights, values)
    return weights, values


def read_each(
    forwards: Forwards, progress: Callable[[int, int], None]
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return attention, (n,) or (C, n), and tile logits, (C, n), of each tile alone; float32."""
    model = forwards.model
    attention: list[np.ndarray] = []
    logits: list[np.ndarray] = []
    for features, um_places in forwards.in_parts(progress):
        part = model.attention(features, um_places)
        if part is not None:
            attention.append(by_output(part))
        logits.append(by_output(model.tile_logits(features, um_places)))
    weights = np.concatenate(attention, axis=-1) if attention else None
    return weights, np.concatenate(logits, axis=1)


def _require_pooling(
    forwards: Forwards, attention: np.ndarray | None, tile_logits: np.ndarray
) -> None:
    """Hold the closed form against the model's own prediction from the first tiles."""
    first = np.arange(min(ROWS_AT_ONCE, forwards.n_tiles))
    some = None if attention is None else attention[..., first]
    expected = forwards.logits(first)
    computed = Pooled.of(some, tile_logits[:, first]).contributions.sum(axis=1)
    largest = max(1.0, float(np.abs(expected).max()))
    if np.abs(computed - expected).max() > _TOLERANCE * largest:
        raise ModelError(
            f"the {forwards.model.family} model predicts logits {expected.round(4).tolist()}, and "
            f"the mean of its tiles' logits, weighted by attention, is "
            f"{computed.round(4).tolist()}; its additivity is not 'pooled': use --explain drop-one"
        )
