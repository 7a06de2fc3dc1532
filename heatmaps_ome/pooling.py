"""Averaging of dense features over neighbouring tissue cells, so that a cell stands for a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import conv2d

TILE_CELLS = 7
"""Cells along a 224-px tile at 32 px per cell: what a model's training features average."""


@dataclass(frozen=True)
class Pooling:
    """How features are averaged.

    Attributes
    ----------
    kind : "mean", "gaussian" or "none"
        "mean" is the reference's of August 2022 (AvgPool2d(7, 1, padding=3)), "gaussian" that of
        its last version (create_heatmaps.py:361-364), "none" what its ``--no-pool`` gave.
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

    Glass has no weight, and nor has what lies beyond the slide, so that neither bleeds in.

    Parameters
    ----------
    features : (channels, rows + 2 · reach, cols + 2 · reach) float32
    tissue : (rows + 2 · reach, cols + 2 · reach) bool
    pooling : Pooling

    Returns
    -------
    (channels, rows, cols) float32; zero where no tissue cell is in reach
    """
    weights = torch.from_numpy(tissue.astype(np.float32))[None]
    weighted = torch.from_numpy(features) * weights
    total = _smoothed(weighted, pooling)
    share = _smoothed(weights, pooling)
    # A kernel's tail can be below float's smallest step from zero only by rounding.
    return torch.where(share > 1e-7, total / share.clamp_min(1e-7), 0).numpy()


def _smoothed(maps: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return (channels, h, w) maps convolved along both axes, without padding."""
    kernel = torch.from_numpy(pooling.kernel())
    rows = conv2d(maps[:, None], kernel.view(1, 1, -1, 1))
    return conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]
