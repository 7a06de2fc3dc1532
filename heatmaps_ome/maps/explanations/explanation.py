"""The explanation of a model's prediction from a bag: arrays by tile, and how they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

Explain = Literal["auto", "contributions", "drop-one", "ig", "single"]
"""auto: the exact explanation where the model has one, else drop-one; contributions: exact shares
of the logits; drop-one: predictions without each tile; ig: integrated gradients; single: the logits
of each tile as a bag of its own."""
Compat = Literal["stamp", "clam"]
"""The program whose own picture is reproduced, to compare with."""
COMPAT: Final[tuple[Compat, ...]] = get_args(Compat)


@dataclass(frozen=True, eq=False)
class Explanation:
    """A model's prediction from the n tiles of a bag, and the part that each tile has in it.

    Tiles are in the order of the bag, outputs in that of the target.

    Attributes
    ----------
    logits : (C,) float64
        The slide's logits.
    prediction : (C,) float64
        The target's predictions from them: probabilities, the value or the risk.
    method : str
        For people: "exact contributions and leave-one-out".
    attention : (n,) or (C, n) float32, or None
        As the model gives it; (C, n) where each output has its own, None where there is none.
    tile_logits : (C, n) float32 or None
        Logits of each tile as a bag of its own.
    contributions : (C, n) float32 or None
        Shares of the logits, which sum to them: exactly, or within ``residual``.
    without : (C, n) float64 or None
        Logits of the slide without the tile or, where tiles are removed by regions, without the
        tile's region. NaN where nothing would remain.
    fall : (C, n) float32 or None
        By how much the prediction falls without the tile: above zero where the tile speaks for the
        output. A region's fall is shared equally by its tiles, so that sums over tiles are sums
        over regions. NaN where nothing would remain.
    residual : float or None
        For integrated gradients: the largest difference between the sum of the contributions and a
        logit, relative to the logits and to their difference from the baseline's.
    regions : int
        Tiles along the side of a region that is removed at once: k of k × k; 1 for single tiles.
    forwards : int
        Forward passes over the bag or most of it; tiles one by one do not count.
    notes : tuple of str
        Sentences on all that limits the explanation.
    """

    logits: np.ndarray
    prediction: np.ndarray
    method: str
    attention: np.ndarray | None = field(default=None, repr=False)
    tile_logits: np.ndarray | None = field(default=None, repr=False)
    contributions: np.ndarray | None = field(default=None, repr=False)
    without: np.ndarray | None = field(default=None, repr=False)
    fall: np.ndarray | None = field(default=None, repr=False)
    residual: float | None = None
    regions: int = 1
    forwards: int = 0
    notes: tuple[str, ...] = ()
