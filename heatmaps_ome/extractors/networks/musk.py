"""MUSK's features at two scales: those that its authors compute for MIL.

MUSK: Xiang et al., Nature 638 (2025) 769-778. Scales: Shi et al., https://arxiv.org/abs/2403.13043.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from heatmaps_ome.extractors.networks.vits import vision_transformer

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def two_scales(**arguments: Any) -> nn.Module:
    """Return a transformer, `vision_transformer`, that sees an image and its enlarged quarters.

    Raises
    ------
    ImportError
        If timm is missing.
    """
    return _TwoScales(vision_transformer(**arguments)).eval()


class _TwoScales(nn.Module):
    """Maps (n, 3, side, side) normalised images to (n, 2 · width).

    The class token of the image, and the mean of those of its four quarters, each enlarged to the
    image's side.
    """

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature of each image."""
        side = images.shape[-1]
        enlarged = F.interpolate(images.float(), scale_factor=2, mode="bicubic").to(images.dtype)
        # One after the other, so that a pass needs no more memory than one of the image.
        quarters = [
            self.network(enlarged[:, :, top : top + side, left : left + side])
            for top in (0, side)
            for left in (0, side)
        ]
        return torch.cat([self.network(images), torch.stack(quarters).mean(0)], dim=1)
