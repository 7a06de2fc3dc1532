"""Blends pixels as OpenSlide does where a region begins between two pixels of a level.

OpenSlide 4 draws each tile by cairo, and pixman computes in floats: a pixel is the bilinear mean of
four; what several tiles have a part in is added up tile by tile, in 8 bits each time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.geometry import YX, Shape

_FIXED: Final = 65536
"""Parts of a pixel that pixman knows."""
_UNIT: Final = np.float32(1 / 255)


def fraction(place: float) -> tuple[int, float]:
    """Return the whole pixels of a place on a level, and the rest as pixman rounds it."""
    whole = math.floor(place)
    rest = math.floor((place - whole) * _FIXED + 0.5) / _FIXED
    return (whole, rest) if rest < 1 else (whole + 1, 0.0)


def blended(
    pixels: np.ndarray, rest: YX, tile: Shape, first: tuple[int, int], shape: Shape
) -> np.ndarray:
    """Return the pixels between those of a level, with alpha.

    Parameters
    ----------
    pixels : (rows + 1, cols + 1, 3) uint8
        Of the level; one more than are asked for, or fewer where the level ends.
    rest : YX
        Where the first pixel lies between its neighbours, in [0, 1).
    tile : Shape
        Of the file's tiles.
    first : (row, col)
        Place of the first pixel on the level.
    shape : Shape
        Pixels to return.

    Returns
    -------
    (rows, cols, 4) uint8, RGBA with the colours multiplied; alpha below 255 where the level ends
    """
    colours = np.zeros((shape.rows + 1, shape.cols + 1, 3), np.float32)
    colours[: pixels.shape[0], : pixels.shape[1]] = pixels
    colours *= _UNIT
    weights = _weights(rest)
    out = np.full((*shape, 4), 255, np.uint8)
    out[..., :3] = _eight_bits(_sum(_taps(colours), weights))
    alpha = np.zeros((*colours.shape[:2], 1), np.float32)
    alpha[: pixels.shape[0], : pixels.shape[1]] = 1
    taps = [_taps(colours), _taps(alpha)]
    rows = _seams(first[0], shape.rows, tile.rows, pixels.shape[0]) if rest.y else []
    cols = _seams(first[1], shape.cols, tile.cols, pixels.shape[1]) if rest.x else []
    for index, sides in (
        (np.s_[rows, :], ((0, 1), (2, 3))),
        (np.s_[:, cols], ((0, 2), (1, 3))),
        (np.ix_(rows, cols), ((0,), (1,), (2,), (3,))),
    ):
        parts = [np.concatenate([one[n][index] for one in taps], axis=-1) for n in range(4)]
        out[index] = _painted(
            [_sum([parts[n] for n in side], [weights[n] for n in side]) for side in sides]
        )
    return out


def _taps(source: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return pixels, their right and lower neighbours, and those between the two."""
    return source[:-1, :-1], source[:-1, 1:], source[1:, :-1], source[1:, 1:]


def on_background(blend: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Return RGB of colours multiplied with alpha, on a background, as OpenSlideFile has it."""
    alpha = blend[..., 3]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(blend[..., :3])
    colours = 255 * blend[..., :3].astype(np.uint32) // np.maximum(alpha, 1)[..., None]
    region = Image.fromarray(np.minimum(colours, 255).astype(np.uint8))
    canvas = Image.new("RGB", region.size, background)
    canvas.paste(region, mask=Image.fromarray(alpha))
    return np.asarray(canvas)


def _weights(rest: YX) -> list[np.float32]:
    """Return the shares of a pixel, its right and lower neighbour, and the one between them."""
    down, across, one = np.float32(rest.y), np.float32(rest.x), np.float32(1)
    return [
        (one - across) * (one - down), across * (one - down), (one - across) * down, across * down,
    ]  # fmt: skip


def _seams(first: int, count: int, side: int, on_level: int) -> list[int]:
    """Return the rows or columns whose neighbour is on another tile, or beyond the level."""
    return [n for n in range(count) if (first + n + 1) % side == 0 or n + 1 >= on_level]


def _sum(taps: Sequence[np.ndarray], weights: Sequence[np.float32]) -> np.ndarray:
    total = taps[0] * weights[0]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        # Without a part between two rows or columns nothing is added.
        if weight:
            total += tap * weight
    return total


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return values in [0, 1] as uint8: pixman's float_to_unorm."""
    return np.minimum(values * np.float32(256), np.float32(255)).astype(np.uint8)


def _painted(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of what tiles give to pixels, added in 8 bits by cairo's SATURATE.

    OpenSlide draws the last tile first.

    Parameters
    ----------
    parts : sequence of (..., 4) float32, RGBA with the colours multiplied
    """
    out = np.zeros(parts[0].shape, np.uint8)
    for part in parts[::-1]:
        drawn = out * _UNIT
        alpha = part[..., 3:]
        share = np.ones_like(alpha)
        np.divide(1 - drawn[..., 3:], alpha, out=share, where=alpha > 0)
        out = _eight_bits(np.minimum(part * np.minimum(share, 1) + drawn, 1))
    return out
