"""Forward passes of a model over a bag, whole or without some tiles, in the memory of one bag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.models.protocol import MilModel

ROWS_AT_ONCE = 4096
"""Tiles that are converted, scored one by one, or read in bags of the same size, at once."""


MANY_TILES: Final = 4096
"""Tiles from which on a slide gets fewer passes."""
_PASSES_OF_MANY: Final = 512


def most_passes(n_tiles: int) -> int:
    """Return the number of forward passes that a slide's explanation may take.

    A transformer's pass costs the square of the tiles, so that beyond many tiles the passes fall as
    their square: all of them together cost as much as those of a slide of ``MANY_TILES``.

    >>> [most_passes(n) for n in (1_024, 4_096, 8_192, 100_000)]
    [2048, 512, 128, 0]
    """
    if n_tiles <= MANY_TILES:
        return _PASSES_OF_MANY * MANY_TILES // n_tiles
    return _PASSES_OF_MANY * MANY_TILES**2 // n_tiles**2


@runtime_checkable
class ReadsBags(Protocol):
    """A model that also reads several bags of the same size at once, which is faster."""

    def logits_of_bags(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C), from (bags, n, d) and (bags, n, 2)."""
        ...


@runtime_checkable
class LeavesOneOut(Protocol):
    """A model that also knows its logits without each tile by a shorter way than a pass."""

    def logits_without_each(
        self, features: torch.Tensor, um_places: torch.Tensor
    ) -> torch.Tensor | None:
        """Return (n, C) logits, NaN where only a pass gives them; None without such a way."""
        ...


class Forwards:
    """A model and a bag.

    Features stay as they were stored. They are converted to float32 into one buffer, which all
    forward passes use in turn.

    Attributes
    ----------
    model : MilModel
    bag : Bag
    count : int
        Forward passes over the bag or a part of it so far, without those over tiles one by one.
    """

    def __init__(self, model: MilModel, bag: Bag) -> None:
        self.model, self.bag, self.count = model, bag, 0
        self._buffer: torch.Tensor | None = None

    @property
    def n_tiles(self) -> int:
        """Number of tiles of the bag."""
        return len(self.bag.features)

    def tensors(self, chosen: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features, (m, d), and places, (m, 2), of some tiles or all, float32.

        The features are valid until the next call.

        Parameters
        ----------
        chosen : (m,) int, optional
            Indices of the tiles, in the order that the model sees them in.
        """
        rows = np.arange(self.n_tiles) if chosen is None else chosen
        if self._buffer is None or len(self._buffer) < len(rows):
            self._buffer = torch.empty((len(rows), self.bag.features.shape[1]))
        features, target = self._buffer[: len(rows)], self._buffer.numpy()
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            target[start : start + len(part)] = self.bag.features[part]
        return features, torch.from_numpy(self.bag.um_places[rows].astype(np.float32))

    def logits(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the (C,) float64 logits of a bag of some tiles or all."""
        self.count += 1
        with torch.inference_mode():
            return self.model.logits(*self.tensors(chosen)).double().numpy()

    def logits_of(self, bags: Sequence[np.ndarray]) -> np.ndarray:
        """Return the logits of several bags of the same number of tiles, (C, bags) float64.

        Together in as little memory as the whole bag needs, or ``ROWS_AT_ONCE`` tiles.
        """
        model, n_rows = self.model, len(bags[0])
        n_bags = max(1, ROWS_AT_ONCE // n_rows) if isinstance(model, ReadsBags) else 1
        parts = []
        for start in range(0, len(bags), n_bags):
            part = bags[start : start + n_bags]
            if len(part) == 1 or not isinstance(model, ReadsBags):
                parts.append(self.logits(part[0])[None])
                continue
            self.count += len(part)
            features, um_places = self.tensors(np.concatenate(part))
            with torch.inference_mode():
                shape = (len(part), n_rows)
                logits = model.logits_of_bags(
                    features.unflatten(0, shape), um_places.unflatten(0, shape)
                )
            parts.append(logits.double().numpy())
        return np.concatenate(parts).T

    def without_each(self) -> np.ndarray | None:
        """Return the (C, n) float64 logits without each tile, NaN where only a pass gives them.

        None if the model has no such shorter way.
        """
        if not isinstance(self.model, LeavesOneOut):
            return None
        with torch.inference_mode():
            logits = self.model.logits_without_each(*self.tensors())
        return None if logits is None else logits.T.double().numpy().copy()

    def attention(self) -> np.ndarray | None:
        """Return the attention, (n,) or (C, n) float32; None if the model has none."""
        with torch.inference_mode():
            attention = self.model.attention(*self.tensors())
        return None if attention is None else by_output(attention)

    def contributions(self) -> np.ndarray | None:
        """Return exact shares of the logits, (C, n) float32; None if the model has none."""
        with torch.inference_mode():
            contributions = self.model.contributions(*self.tensors())
        return None if contributions is None else by_output(contributions)

    def tile_logits(self, progress: Callable[[int, int], None]) -> np.ndarray:
        """Return the (C, n) float32 logits of each tile as a bag of its own."""
        return np.concatenate(
            [by_output(self.model.tile_logits(*part)) for part in self.in_parts(progress)], axis=1
        )

    def in_parts(
        self, progress: Callable[[int, int], None]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield features and places of all tiles, some at a time, in inference mode."""
        n_tiles = self.n_tiles
        for start in range(0, n_tiles, ROWS_AT_ONCE):
            rows = np.arange(start, min(n_tiles, start + ROWS_AT_ONCE))
            with torch.inference_mode():
                yield self.tensors(rows)
            progress(int(rows[-1]) + 1, n_tiles)


def by_output(values: torch.Tensor) -> np.ndarray:
    """Return (n, C) values as (C, n) float32, and (n,) values as they are."""
    return values.float().numpy().T.copy()
