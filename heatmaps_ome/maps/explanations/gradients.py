"""Integrated gradients: shares of a logit difference that each tile has along a straight path.

Sundararajan et al. 2017, arXiv:1703.01365. Along x(t) = b + t (x − b), from a baseline bag b to the
bag x, tile i has the share ∫ (xᵢ − bᵢ) · ∂logit/∂xᵢ dt, and the shares sum to logit(x) − logit(b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from heatmaps_ome.maps.explanations.forwards import most_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.maps.explanations.forwards import Forwards

FIRST_STEPS: Final = 8
MOST_STEPS: Final = 256
PROMISE: Final = 0.01
"""Residual of every model whose logits follow its features without leaps."""
TOLERANCE: Final = 0.005
"""Residual at which the number of steps suffices: half of the promise."""

_LEAST_RATIO = 1e-3


@dataclass(frozen=True, eq=False)
class IntegratedGradients:
    """Shares of the slide's logits by integrated gradients.

    Attributes
    ----------
    logits : (C,) float64
        Of the slide.
    baseline_logits : (C,) float64
        Of the bag that the path begins at.
    shares : (C, n) float64
        They sum to logits − baseline_logits but for the residual.
    steps : int
        Points of the path at which gradients were taken.
    baseline : str
        For people: the tile that the path begins at, at every place.
    """

    logits: np.ndarray
    baseline_logits: np.ndarray
    shares: np.ndarray
    steps: int
    baseline: str

    @property
    def residual(self) -> float:
        """Largest error of the shares' sum, relative to the logits and to their difference.

        To the smaller of both, at their largest output; where one is less than a thousandth of the
        other, to that thousandth, because float32 resolves no more.
        """
        difference = self.logits - self.baseline_logits
        error = float(np.abs(self.shares.sum(axis=1) - difference).max())
        sizes = sorted(float(np.abs(values).max()) for values in (self.logits, difference))
        scale = max(sizes[0], _LEAST_RATIO * sizes[1])
        return error / scale if scale > 0 else 0.0

    @property
    def contributions(self) -> np.ndarray:
        """Shares of the slide's logits, (C, n) float32.

        The baseline's logits, which no tile is responsible for, are shared equally by all tiles.
        """
        n_tiles = self.shares.shape[1]
        return (self.shares + self.baseline_logits[:, None] / n_tiles).astype(np.float32)


def integrated_gradients(
    forwards: Forwards, logits: np.ndarray, progress: Callable[[int, int], None]
) -> IntegratedGradients:
    """Return integrated gradients from the slide's mean tile or, if they fit better, from zeros.

    From the mean tile the residual is the smaller one for every smooth model that was tried; zeros
    are tried where it stays above ``PROMISE``, as where a choice among tiles leaps on the way.
    """
    features, _ = forwards.tensors()
    mean = features.double().mean(dim=0).float()
    best = _along_path(forwards, logits, (mean, "the slide's mean tile"), progress)
    if best.residual > PROMISE:
        zeros = (torch.zeros_like(mean), "a tile whose features are all 0")
        other = _along_path(forwards, logits, zeros, progress)
        best = min(best, other, key=lambda result: result.residual)
    return best


def _along_path(
    forwards: Forwards,
    logits: np.ndarray,
    start: tuple[torch.Tensor, str],
    progress: Callable[[int, int], None],
) -> IntegratedGradients:
    """Return integrated gradients from a tile, with a name, at the points of Gauss and Legendre.

    They are doubled until the residual is within ``TOLERANCE``, or two doublings do not halve it.
    """
    tile, name = start
    features, um_places = forwards.tensors()
    forwards.count += 1
    with torch.inference_mode():
        repeated = tile.expand_as(features).contiguous()
        start_logits = forwards.model.logits(repeated, um_places).double().numpy()
    del repeated
    residuals: list[float] = []
    steps, limit = FIRST_STEPS, min(MOST_STEPS, most_passes(forwards.n_tiles))
    while True:
        shares = _shares(forwards, tile, steps, progress)
        result = IntegratedGradients(logits, start_logits, shares, steps, name)
        residuals.append(result.residual)
        stays = len(residuals) > 2 and residuals[-1] > residuals[-3] / 2
        if result.residual <= TOLERANCE or stays or 2 * steps > limit:
            return result
        steps *= 2


def _shares(
    forwards: Forwards, baseline: torch.Tensor, steps: int, progress: Callable[[int, int], None]
) -> np.ndarray:
    """Return the shares of all tiles, (C, n) float64, from gradients at some points of the path."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros((len(forwards.model.target.outputs), forwards.n_tiles))
    features, um_places = forwards.tensors()
    for done, (node, weight) in enumerate(zip(nodes, weights, strict=True), start=1):
        # Nodes lie in −1 .. 1 and the weights sum to 2.
        point = torch.lerp(baseline, features, (float(node) + 1) / 2)
        for index, gradient in enumerate(gradients(forwards, point, um_places)):
            # Without another array of the features' size.
            shares = torch.einsum("nd,nd->n", gradient, features) - torch.mv(gradient, baseline)
            total[index] += weight / 2 * shares.double().numpy()
        progress(done, steps)
    return total


def gradients(
    forwards: Forwards, point: torch.Tensor, um_places: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Yield the gradient of each of the slide's logits with respect to a bag's features, (n, d)."""
    forwards.count += 1
    point = point.detach().requires_grad_()
    with torch.enable_grad():
        logits = forwards.model.logits(point, um_places)
    for index in range(len(logits)):
        again = index < len(logits) - 1
        [gradient] = torch.autograd.grad(logits[index], point, retain_graph=again)
        yield gradient
