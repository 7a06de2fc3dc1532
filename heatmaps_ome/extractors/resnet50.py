"""ResNet-50 without pooling and classifier: He et al. 2016, https://arxiv.org/abs/1512.03385.

As in torchvision and timm, whose parameters have the same names, a stage's stride is that of its
first 3×3 convolution. It is written out here because importing either takes as long as reading a
slide: both import the compiler of torch.
"""

from __future__ import annotations

import math
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Final

from torch import fx, nn

from heatmaps_ome.extractors.speed.narrowing import narrowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from heatmaps_ome.geometry import Window

fx.wrap("narrowed")

_STAGES: Final = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, number of blocks and stride of each stage."""
_EXPANSION: Final = 4
"""Output channels of a block per channel of its width."""
_CELL_PX: Final = 32


class ResNet50(nn.Module):
    """Maps (n, 3, h, w) images to their (n, 2048, ceil(h / 32), ceil(w / 32)) features.

    Parameters
    ----------
    n_stages : 4 or 3
        With three stages the map has 1024 channels, and a cell is the mean of the 2 × 2 that lie
        in 32 × 32 pixels: those of CLAM's truncated ResNet-50, whose feature of a tile is the
        mean of all.
    """

    def __init__(self, n_stages: int = len(_STAGES)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for number, (width, n_blocks, stride) in enumerate(_STAGES[:n_stages], start=1):
            blocks = [_Bottleneck(channels, width, stride)]
            channels = width * _EXPANSION
            blocks += [_Bottleneck(channels, width, 1) for _ in range(1, n_blocks)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        per_cell = 2 ** (len(_STAGES) - n_stages)
        # The last cells of an image may have fewer pixels: no mean takes what lies beyond it.
        self.cells = nn.AvgPool2d(per_cell, ceil_mode=True) if per_cell > 1 else None

    def forward(self, images: torch.Tensor, keep: Window | None = None) -> torch.Tensor:
        """Return the last map.

        Parameters
        ----------
        images : (n, 3, h, w)
        keep : Window or None
            The cells of the map that are needed, if not all.

        Returns
        -------
        (n, 2048 or 1024, ceil(h / 32), ceil(w / 32)), or the rows and columns of ``keep``
        """
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        halo_before = None
        for block, stride, halo in _with_halos(self._blocks()):
            maps = block(maps)
            if halo != halo_before:
                maps = narrowed(maps, keep, _CELL_PX // stride, halo, halo_before)
                halo_before = halo
        return maps if self.cells is None else self.cells(maps)

    def _blocks(self) -> list[_Bottleneck]:
        """Return the blocks of all stages."""
        return [module for module in self.modules() if isinstance(module, _Bottleneck)]


class _Bottleneck(nn.Module):
    """Three convolutions, and a shortcut: the input or, if it is of another size, its projection.

    Parameters
    ----------
    channels : int
        Channels of the input.
    width : int
        Channels in between; the output has four times as many.
    stride : int
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    @property
    def stride(self) -> int:
        """Pixels of the input for each of the output."""
        return self.conv2.stride[0]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return (n, 4 · width, …) maps."""
        inner = self.relu(self.bn1(self.conv1(maps)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        # Computed last: the first convolution's output, the largest map of all, is freed by now.
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return self.relu(self.bn3(self.conv3(inner)) + shortcut)


def _with_halos(blocks: list[_Bottleneck]) -> Iterator[tuple[_Bottleneck, int, int]]:
    """Yield each block, the stride of its maps, and the halo, in cells, of the blocks after it.

    A block sees one pixel beyond each side of those that its 3 × 3 convolution is centred on.
    """
    strides = list(accumulate((block.stride for block in blocks), mul, initial=4))[1:]
    reach, halos = 0, []
    for block, stride in zip(reversed(blocks), reversed(strides), strict=True):
        halos.append(math.ceil(reach * stride / _CELL_PX))
        reach = block.stride * reach + 1
    yield from zip(blocks, strides, reversed(halos), strict=True)
