"""Convolutional trunks without their pooling: the last map holds the features."""

from __future__ import annotations

import gc
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from heatmaps_ome.extractors.normalising import normalisation, normalised
from heatmaps_ome.extractors.precision import DTYPES
from heatmaps_ome.extractors.recipe import IMAGENET_MEAN, IMAGENET_STD, USUAL_PX
from heatmaps_ome.extractors.speed.folding import folded
from heatmaps_ome.extractors.speed.fusing import PooledInStrips, fused
from heatmaps_ome.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.geometry import Window

_GIVEN_AS = {"float32": torch.float32, "bfloat16": torch.float16}


def ready(trunk: nn.Module, device: str, precision: str) -> nn.Module:
    """Return a copy of a float32 trunk, optimised for speed on a device.

    Normalisation is folded into the convolutions before the weights are rounded, which makes
    bfloat16 not only faster but also closer to float32. Convolutions are fastest with channels
    last: on a CPU they take two thirds of the time. On a CPU, sums and ReLUs are fused into
    convolutions too.

    Parameters
    ----------
    precision : "float32" or "bfloat16"
        Number type of weights and activations. Autocast, which leaves the weights in float32 and
        rounds them at each pass, gives the same features to the last bit, but for those fusions.
    """
    optimised = folded(trunk).to(device, DTYPES[precision]).to(memory_format=torch.channels_last)
    if torch.device(device).type != "cpu":
        return optimised
    optimised = fused(optimised)
    for module in optimised.modules():
        if isinstance(module, PooledInStrips):
            # The largest map of all is freed here, and the following maps need less memory.
            module.register_forward_hook(lambda *_: give_back())
    return optimised


@dataclass(frozen=True, eq=False)
class DenseExtractor:
    """A trunk that maps (n, 3, h, w) to (n, channels, ceil(h / stride), ceil(w / stride)).

    Its second argument is the Window of cells of the map that are needed, or None for all.

    The digest differs between precisions, so that cached features never mix them.

    Attributes
    ----------
    build : callable
        Makes the trunk, in evaluation mode and float32. It is called when the network is first
        needed: a run with all maps in the cache loads neither it nor the libraries behind it.
    device : str
        The torch device to compute on.
    precision : "float32" or "bfloat16"
    float32_bytes_per_px : int
        Peak memory of a pass in float32, per network pixel; measured on a CPU.
    tile_px : int
        Side of a training tile, in network pixels.
    mean, std : three floats
        Of red, green and blue from 0 to 1, by which pixels are normalised.
    """

    name: str
    build: Callable[[], nn.Module]
    device: str
    precision: str
    weights_digest: str
    channels: int
    float32_bytes_per_px: int
    stride_px: int = 32
    halo_px: int = 224
    # A 3×3 (or 7×7) convolution of stride 2 with symmetric padding is centred on even pixels,
    # so cell j looks at pixel 32·j, whose centre is 32·j + 0.5: models.md D.4.
    centre_px: float = 0.5
    tile_px: int = USUAL_PX
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @cached_property
    def trunk(self) -> nn.Module:
        """The network, optimised for device and precision."""
        trunk = ready(self.build(), self.device, self.precision)
        # Free the unfused network, which refers to itself: 90 MB of weights.
        gc.collect()
        give_back()
        return trunk

    def unfit_side(self, side_px: int) -> str:
        """Return why it takes no tiles of a side; see TileEncoder."""
        step = self.stride_px
        if side_px % step == 0:
            return ""
        least = max(1, side_px // step) * step
        return (
            f"takes tiles whose side is a multiple of {step} px, and {side_px} is none; give "
            f"{least} or {least + step}"
        )

    def tile_bytes(self, side_px: int) -> int:
        """Return the peak memory of a pass for each of its tiles, in bytes."""
        return self.bytes_per_px * side_px**2

    def prepare(self) -> None:
        """Build the network; see Extractor."""
        _ = self.trunk

    @property
    def digest(self) -> str:
        """Sha256 of architecture name, weights and precision."""
        text = f"{self.name} {self.weights_digest} {self.precision} {self.stride_px}"
        if (self.mean, self.std) != (IMAGENET_MEAN, IMAGENET_STD):
            text = f"{text} {self.mean} {self.std}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def bytes_per_px(self) -> int:
        """Peak memory of a pass, per network pixel."""
        # The image as it is read, and the fragments that a pass leaves, are not halved.
        halved = 20 + self.float32_bytes_per_px // 2
        return self.float32_bytes_per_px if self.precision == "float32" else halved

    @cached_property
    def _normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Factor and summand, (3,) float32, from 0-255 to mean 0, SD 1."""
        return normalisation(self.mean, self.std, self.device)

    def __call__(self, pixels: np.ndarray, keep: Window | None = None) -> np.ndarray:
        """Return (channels, rows, cols) features; see Extractor."""
        return self._maps(pixels[None], keep)[0].numpy()

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """Return the (n, channels) float32 means of tiles' whole maps; see Extractor."""
        return self._maps(pixels).float().mean((2, 3)).numpy()

    def _maps(self, pixels: np.ndarray, keep: Window | None = None) -> torch.Tensor:
        """Return the last maps of images, (n, channels, rows, cols) on the CPU.

        numpy has no bfloat16, but float16, which has more digits. float32 would hold the same
        values, and conversions to and fro would take a twentieth of a run's time.

        Parameters
        ----------
        pixels : (n, rows, cols, 3) uint8
        """
        images = torch.from_numpy(np.ascontiguousarray(pixels))
        if torch.device(self.device).type == "cuda":
            # From pinned memory a copy runs at the bus's speed and in parallel to the CPU. Bytes
            # are sent, a quarter of the size of the floats that they become there.
            images = images.pin_memory()
        # Both are made outside of inference mode, whose tensors cannot have gradients.
        trunk, normalisation = self.trunk, self._normalisation
        with torch.inference_mode():
            images = images.to(self.device, non_blocking=True)
            # trunk(…) instead of forward would keep the images until the last layer is done.
            maps = trunk.forward(normalised(images, *normalisation, DTYPES[self.precision]), keep)
            return maps.to(_GIVEN_AS[self.precision]).cpu()
