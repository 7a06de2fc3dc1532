"""How maps follow from other maps of the same slide: exact, on arrays alone, without a network.

The slide's logits are Σᵢ aᵢ sᵢ, with a the softmax of the attention over the tissue and sᵢ the
class logits of cell i alone (design.md section 7). Without some cells the attention of the others
sums to 1 again, so that every such prediction follows from attention and contributions aᵢ sᵢ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_SHARE = 1e-30
"""Attention share below which a contribution, a float32, has lost digits."""
_REACH = 256.0
"""Logits over which exp neither overflows nor vanishes in float64."""


def undefined_reason(
    tissue: np.ndarray, attention: np.ndarray | None, contributions: np.ndarray | None
) -> str:
    """Return why predictions without some cells are undefined; empty if they are not.

    Parameters
    ----------
    tissue : (rows, cols) bool
    attention : (rows, cols) float32, logits; or None
    contributions : (classes, rows, cols) float32, logits; or None
    """
    if contributions is None or attention is None:
        return "the model's head is not affine"
    if not tissue.any():
        return "the slide has no tissue"
    numbers = (attention[tissue], contributions[:, tissue])
    if not all(np.isfinite(values).all() for values in numbers):
        return "some cells have no finite attention or contribution"
    return ""


def leave_one_out(
    tissue: np.ndarray, attention: np.ndarray, scores: np.ndarray, contributions: np.ndarray
) -> np.ndarray:
    """Return by how much each class's probability falls if a cell is taken from the slide.

    With L the slide's logits, those without cell i are (L − aᵢ sᵢ) / (1 − aᵢ). The fall is
    softmax(L) − softmax(those): above zero where the cell speaks for the class.

    Parameters
    ----------
    tissue : (rows, cols) bool
    attention : (rows, cols) float32, logits
    scores : (classes, rows, cols) float32, in [0, 1]
    contributions : (classes, rows, cols) float32, logits

    Returns
    -------
    (classes, rows, cols) float32, in [-1, 1]
        NaN where no tissue is and for a slide's only cell, without which nothing remains.
    """
    fall = np.full(contributions.shape, np.nan, np.float32)
    if undefined_reason(tissue, attention, contributions) or np.count_nonzero(tissue) == 1:
        return fall
    cells = Cells.of(tissue, attention, scores, contributions)
    whole = cells.contributions.sum(axis=1, keepdims=True)
    # At most one cell has more than half of the attention. There the difference would be between
    # nearly equal numbers, so the other cells are summed anew.
    dominant = cells.shares > 0.5
    without = (whole - cells.contributions) / np.where(dominant, 1.0, 1.0 - cells.shares)
    if dominant.any():
        others = running_means(cells.attention[~dominant], cells.logits[:, ~dominant])[:, -1:]
        without[:, dominant] = others
    fall[:, tissue] = softmax(whole) - softmax(without)
    return fall


def evidence(contributions: np.ndarray) -> np.ndarray:
    """Return how much each cell speaks for each class: its contribution less the classes' mean.

    The softmax does not see a number that all classes share, so only aᵢ (sᵢ of the class less the
    mean of sᵢ over all classes) moves the class's probability.

    Parameters
    ----------
    contributions : (classes, rows, cols) float32, logits
        Two classes or more.

    Returns
    -------
    (classes, rows, cols) float32, logits
        Above zero where a cell speaks for the class, below zero where against it; NaN where no
        tissue is.
    """
    # Infinite contributions cannot be centred; they give NaN.
    with np.errstate(invalid="ignore"):
        return contributions - contributions.mean(axis=0, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Cells:
    """The tissue cells of a slide, in float64.

    Attributes
    ----------
    attention, shares : (n,) float64
        Logits, and their softmax.
    contributions, logits : (classes, n) float64
        Shares of the slide's logits, and the logits of the cells alone; a cell's logits may be
        off by a number that all classes have in common.
    """

    attention: np.ndarray
    shares: np.ndarray
    contributions: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(
        cls,
        tissue: np.ndarray,
        attention: np.ndarray,
        scores: np.ndarray,
        contributions: np.ndarray,
    ) -> Cells:
        """Return the cells of a slide; for the arguments see `leave_one_out`."""
        logits_of_attention = attention[tissue].astype(np.float64)
        parts = contributions[:, tissue].astype(np.float64)
        shares = softmax(logits_of_attention)
        # Where the share is too small for a contribution, logits follow from the scores: these are
        # their softmax, and a number that all classes share changes no probability of the slide.
        exact = shares > _LEAST_SHARE
        least = float(np.finfo(np.float32).tiny)
        positive = np.maximum(scores[:, tissue].astype(np.float64), least)
        logits = np.where(exact, parts / np.where(exact, shares, 1.0), np.log(positive))
        return cls(logits_of_attention, shares, parts, logits)

    def curves(self, order: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Return some classes' (len(indices), n) probabilities while cells are removed in order."""
        last_first = order[::-1]
        means = running_means(self.attention[last_first], self.logits[:, last_first])
        return softmax(means)[indices, ::-1]


def running_means(attention: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the attention-weighted means of the first 1, 2 .. n cells' logits: (classes, n).

    Cells are added, never taken away, so that nothing is lost where nearly all of the attention is
    gone; weights are relative to the largest attention so far, to within ``_REACH``, so that none
    of those that count vanishes whatever comes later.
    """
    level = np.floor(np.maximum.accumulate(attention) / _REACH)
    starts = np.flatnonzero(np.diff(level, prepend=np.nan) != 0)
    sums = np.empty((len(logits) + 1, len(attention)))
    carried, before = np.zeros((len(sums), 1)), level[0]
    for start, stop in pairwise([*starts.tolist(), len(attention)]):
        weights = np.exp(attention[start:stop] - level[start] * _REACH)
        part = sums[:, start:stop]
        part[0] = weights
        part[1:] = weights * logits[:, start:stop]
        np.cumsum(part, axis=1, out=part)
        part += carried * np.exp((before - level[start]) * _REACH)
        carried, before = part[:, -1:].copy(), level[start]
    return sums[1:] / sums[0]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis; NaN stays NaN."""
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)
