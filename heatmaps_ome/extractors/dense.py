"""Convolutional trunks without their pooling: the whole map is the features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class DenseExtractor:
    """A trunk that maps (n, 3, h, w) to (n, channels, ceil(h / stride), ceil(w / stride)).

    Mixed precision (bfloat16) is used on GPUs that have it; its digest then differs, so that
    cached features never mix precisions.
    """

    name: str
    trunk: nn.Module
    weights_digest: str
    channels: int
    device: torch.device
    stride_px: int = 32
    halo_px: int = 224
    # A 3×3 (or 7×7) convolution of stride 2 with symmetric padding is centred on even pixels,
    # so cell j looks at pixel 32·j, whose centre is 32·j + 0.5: models.md D.4.
    centre_px: float = 0.5

    def __post_init__(self) -> None:
        """Lay the weights out as convolutions are fastest: on a CPU in two thirds of the time."""
        self.trunk.to(memory_format=torch.channels_last)

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """The number type of the forward pass."""
        on_gpu = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return "bfloat16" if on_gpu else "float32"

    @property
    def digest(self) -> str:
        """Sha256 of architecture name, weights and precision."""
        text = f"{self.name} {self.weights_digest} {self.precision} {self.stride_px}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return (channels, rows, cols) float32 features; see Extractor."""
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        # (rows, cols, channels) is the layout of channels_last already: no copy is made.
        images = images.permute(2, 0, 1)[None].float() / 255
        mean = torch.tensor(IMAGENET_MEAN, device=self.device)[:, None, None]
        std = torch.tensor(IMAGENET_STD, device=self.device)[:, None, None]
        mixed = self.precision != "float32"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, mixed):
            features = self.trunk((images - mean) / std)
        return features[0].float().cpu().numpy()
