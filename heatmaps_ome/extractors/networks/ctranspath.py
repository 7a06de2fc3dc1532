"""CTransPath: a Swin-T whose patches are embedded by three convolutions.

Wang et al., Medical Image Analysis 81 (2022) 102559. A tile's feature is the mean of its last
7 × 7 map of 768 channels. CHIEF's patch encoder (Wang et al., Nature 634 (2024) 970-978) is the
same network with other weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

SIDE_PX: Final = 224
_PATCH_PX = 4


def ctranspath() -> nn.Module:
    """Return the network in evaluation mode, its weights unset.

    Indices and masks of its windows are computed here, and are in no file of weights.

    Raises
    ------
    ImportError
        If timm is missing.
    """
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=SIDE_PX,
        patch_size=_PATCH_PX,
        num_classes=0,
        global_pool="avg",
        embed_dim=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        # timm is given a class, but calls it as a function of its arguments.
        embed_layer=_ConvolutionalStem,
        weight_init="skip",
    ).eval()


class _ConvolutionalStem(nn.Module):
    """Embeds patches of 4 × 4 pixels, each of which sees 7 × 7.

    Two 3 × 3 convolutions of stride 2, which double an eighth of the width, and a projection.

    Parameters
    ----------
    img_size : int
        The side of the images, pixels.
    patch_size : int
        4: the two strides.
    in_chans, embed_dim : int
        Channels of the images and of the patches.
    norm_layer : callable
        Makes the normalisation of the patches.
    others : object
        Arguments for patch embeddings of other kinds.
    """

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        norm_layer: Callable[[int], nn.Module],
        **others: Any,
    ) -> None:
        del others
        super().__init__()
        self.grid_size = (img_size // patch_size,) * 2
        widths = (in_chans, embed_dim // 8, embed_dim // 4)
        layers: list[nn.Module] = []
        for channels, width in pairwise(widths):
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(widths[-1], embed_dim, 1))
        self.proj = nn.Sequential(*layers)
        self.norm = norm_layer(embed_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, side / 4, side / 4, channels) of (n, 3, side, side)."""
        return self.norm(self.proj(images).permute(0, 2, 3, 1))
