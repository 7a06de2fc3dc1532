"""Pyramidal slide files made from arrays, which OpenSlide opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyvips

if TYPE_CHECKING:
    from pathlib import Path


def write_slide(path: Path, rgb: np.ndarray, mpp: float | None = 0.5) -> Path:
    """Write (rows, cols, 3) uint8 as a lossless tiled pyramid; Aperio-like where mpp is known."""
    image = pyvips.Image.new_from_array(rgb).copy(interpretation="srgb")
    text = "Aperio Image Library v12\n" + f"{rgb.shape[1]}x{rgb.shape[0]}"
    if mpp is not None:
        text += f"|AppMag = 20|MPP = {mpp}"
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    image.tiffsave(
        str(path), tile=True, tile_width=256, tile_height=256, pyramid=True, compression="deflate",
        bigtiff=True,
    )  # fmt: skip
    return path


def speckled(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Return purple noise on the left two thirds and glass on the rest: (rows, cols, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (rows // 8 + 1, cols // 8 + 1, 3)).astype(np.uint8)
    rgb = coarse.repeat(8, axis=0).repeat(8, axis=1)[:rows, :cols].copy()
    rgb[..., 1] //= 2
    rgb[:, cols * 2 // 3 :] = 243
    return rgb
