"""Resizes and crops tiles as encoders' trainings did: by PIL, to the last grey level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from heatmaps_ome.extractors.recipe import Transform

_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def transformed(tiles: np.ndarray, transform: Transform) -> np.ndarray:
    """Return the pixels of tiles that a network takes, before they are normalised.

    Equal to ``Resize`` and ``CenterCrop`` of torchvision on PIL's images, which published
    transforms are made of.

    Parameters
    ----------
    tiles : (n, side, side, 3) uint8

    Returns
    -------
    (n, network_px, network_px, 3) uint8
    """
    side = transform.resize_px
    if tiles.shape[1:3] != (side, side):
        kind = _FILTERS[transform.interpolation]
        images = (Image.fromarray(tile).resize((side, side), kind) for tile in tiles)
        tiles = (
            np.stack([np.asarray(image) for image in images])
            if len(tiles)
            else np.empty((0, side, side, 3), np.uint8)
        )
    # Halves are rounded to even, as torchvision does.
    first = round((side - transform.network_px) / 2)
    kept = slice(first, first + transform.network_px)
    return tiles[:, kept, kept]
