"""The small convolutional network behind the demo: layers, geometry and packaged weights."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from torch import fx, nn

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.speed.narrowing import narrowed

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from heatmaps_ome.geometry import Window

fx.wrap("narrowed")

WEIGHTS_NAME = "tiny-extractor.safetensors"
CHANNELS = 96
"""Features per cell."""
STRIDE_PX = 32
"""Network pixels from one cell to the next."""
RECEPTIVE_FIELD_PX = 111
"""Side of the square of network pixels that a cell sees: 1 + 2·(1 + 2 + 4 + 8 + 8 + 16 + 16)."""
HALO_PX = 128
"""Margin in network pixels, a multiple of the stride, beyond which pixels do not reach a cell."""

_STAGES = ((3, 16, False), (16, 24, False), (24, 32, True), (32, 64, True), (64, CHANNELS, False))
"""Per stage: channels in, channels out, whether a second convolution follows."""


def _convolution(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class TinyTrunk(nn.Module):
    """Five stages of 3x3 convolutions, each of which halves the resolution.

    Every convolution has padding 1, so cell j looks at ``receptive_field_px`` network pixels
    centred on the middle of pixel 32·j, i.e. on 32·j + 0.5 in corner coordinates.

    Attributes
    ----------
    channels, stride_px, receptive_field_px, halo_px : int
    """

    channels = CHANNELS
    stride_px = STRIDE_PX
    receptive_field_px = RECEPTIVE_FIELD_PX
    halo_px = HALO_PX

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out, twice in _STAGES:
            layers.append(_convolution(channels_in, channels_out, 2))
            if twice:
                layers.append(_convolution(channels_out, channels_out, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: torch.Tensor, keep: Window | None = None) -> torch.Tensor:
        """Return the map of features.

        Parameters
        ----------
        pixels : (n, 3, h, w) float, ImageNet-normalised RGB at 256/224 µm per pixel
        keep : Window or None
            The cells of the map that are needed, if not all.

        Returns
        -------
        (n, channels, ceil(h / 32), ceil(w / 32)) float, not negative
            Or the rows and columns of ``keep``.
        """
        return narrowed(self.layers(pixels), keep, cell_px=1, halo=0, before=None)


def tiny_trunk(weights_path: Path | None = None) -> TinyTrunk:
    """Return the network in eval mode with its trained weights.

    Parameters
    ----------
    weights_path : Path, optional
        A safetensors file; None takes the packaged weights.

    Raises
    ------
    ExtractorError
        When the file cannot be read or holds other tensors than the network's.
    """
    if weights_path is not None:
        return _loaded(weights_path)
    with as_file(files("heatmaps_ome") / "demo" / "data" / WEIGHTS_NAME) as packaged:
        return _loaded(packaged)


def _loaded(path: Path) -> TinyTrunk:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    trunk = TinyTrunk()
    try:
        trunk.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ExtractorError(
            f"{path} cannot be read as safetensors ({error}); give the tiny extractor's weights"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ExtractorError(
            f"{path} holds other tensors than the tiny extractor's ({reason}); give its own weights"
        ) from error
    return trunk.eval()
