"""Average dense features over neighbouring tissue cells, so that a cell stands for a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

TILE_CELLS = 7
"""Cells along a 224-px tile at 32 px per cell, the area that a training feature averages."""


@dataclass(frozen=True)
class Pooling:
    """How features are averaged.

    Attributes
    ----------
    kind : "mean", "gaussian" or "none"
        "mean" is the reference's of August 2022 (AvgPool2d(7, 1, padding=3)), "gaussian" that of
        its last version (create_heatmaps.py:361-364), "none" that of its ``--no-pool``.
    cells : int
        Odd width of the kernel in cells; 1 for "none".
    """

    kind: Literal["mean", "gaussian", "none"] = "mean"
    cells: int = TILE_CELLS

    def __post_init__(self) -> None:
        """Refuse kernels without a middle."""
        if self.cells < 1 or self.cells % 2 == 0:
            raise ValueError(
                f"a pooling kernel of {self.cells} cells has no middle; give an odd one"
            )

    @property
    def reach(self) -> int:
        """Cells to either side that enter an average."""
        return 0 if self.kind == "none" else self.cells // 2

    def kernel(self) -> np.ndarray:
        """Return the one-dimensional weights, which sum to 1: (2 · reach + 1,) float32."""
        if self.kind == "none":
            return np.ones(1, np.float32)
        if self.kind == "mean":
            return np.full(self.cells, 1 / self.cells, np.float32)
        # torchvision.transforms.functional.gaussian_blur's default sigma for a kernel size.
        sigma = 0.3 * ((self.cells - 1) * 0.5 - 1) + 0.8
        offsets = np.arange(self.cells) - self.cells // 2
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        return (weights / weights.sum()).astype(np.float32)


def pool(features: np.ndarray, tissue: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Return features averaged over the tissue cells in reach, cropped by that reach.

    Glass and cells beyond the slide have no weight, so that neither bleeds in.

    Parameters
    ----------
    features : (rows + 2 · reach, cols + 2 · reach, channels) float32
        Finite, also outside tissue.
    tissue : (rows + 2 · reach, cols + 2 · reach) bool
    pooling : Pooling

    Returns
    -------
    (rows, cols, channels) float32; zero where no tissue cell is in reach
    """
    weights = torch.from_numpy(tissue.astype(np.float32))[..., None]
    total = _smoothed(torch.from_numpy(features) * weights, pooling)
    share = _smoothed(weights, pooling)
    # A kernel's tail can be below float's smallest step from zero only by rounding.
    return torch.where(share > 1e-7, total / share.clamp_min(1e-7), 0).numpy()


def _smoothed(maps: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return (h, w, channels) maps convolved along both axes, without padding.

    The convolutions are products with band matrices: channels lie side by side, so a product is
    many times faster than convolutions of one channel each.
    """
    height, width, channels = maps.shape
    rows = _band(height, pooling) @ maps.reshape(height, width * channels)
    return _band(width, pooling) @ rows.reshape(-1, width, channels)


def _band(size: int, pooling: Pooling) -> torch.Tensor:
    """Return the (size - 2 · reach, size) float32 matrix that averages along an axis."""
    kernel = pooling.kernel()
    band = np.zeros((size - len(kernel) + 1, size), np.float32)
    for offset, weight in enumerate(kernel):
        np.fill_diagonal(band[:, offset:], weight)
    return torch.from_numpy(band)
