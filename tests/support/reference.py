"""The formulas of KatherLab's create_heatmaps.py, slowly and in our own words: a test's oracle.

Lines are those of the last version in KatherLab/highres-WSI-heatmaps. Nothing of its code is here:
each function states what a passage computes, mistakes included, for tests to hold ours against.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import openslide

TARGET_MPP = 256 / 224
PIECES = 8
CELL_PX = 32


def slide_mosaic(slide: openslide.OpenSlide) -> np.ndarray:
    """Return the slide at 256/224 µm per pixel as 8 × 8 pieces, each resized by itself.

    create_heatmaps.py:184-218. The pieces are equal, their size in level-0 pixels rounded up and
    in network pixels rounded to nearest; µm per pixel are those along x on both axes. Alpha is
    dropped (create_heatmaps.py:180), so that what is transparent, beyond the slide too, is black.
    """
    l0_cols, l0_rows = (math.ceil(size / PIECES) for size in slide.dimensions)
    scale = float(slide.properties["openslide.mpp-x"]) / TARGET_MPP
    cols, rows = round(l0_cols * scale), round(l0_rows * scale)
    mosaic = np.empty((PIECES * rows, PIECES * cols, 3), np.uint8)
    for row in range(PIECES):
        for col in range(PIECES):
            region = slide.read_region((col * l0_cols, row * l0_rows), 0, (l0_cols, l0_rows))
            piece = without_alpha(region).resize((cols, rows))
            mosaic[row * rows : (row + 1) * rows, col * cols : (col + 1) * cols] = np.asarray(piece)
    return mosaic


def without_alpha(region: Image.Image) -> Image.Image:
    """Return RGBA as RGB by forgetting alpha: create_heatmaps.py:180."""
    return Image.fromarray(np.asarray(region)[..., :3])


def features_in_slices(trunk: torch.nn.Module, pixels: np.ndarray, slices: int) -> np.ndarray:
    """Return (channels, rows, cols) features of equal vertical slices put side by side.

    create_heatmaps.py:342-354. No slice sees its neighbours, and the columns that are left over
    at the right are lost.
    """
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = torch.from_numpy(((pixels / 255 - mean) / std).transpose(2, 0, 1)).float()
    width = pixels.shape[1] // slices
    with torch.inference_mode():
        maps = [
            trunk(image[None, :, :, index * width : (index + 1) * width])[0]
            for index in range(slices)
        ]
    return torch.cat(maps, dim=2).numpy()


def gaussian_blurred(features: np.ndarray, cells: int = 15) -> np.ndarray:
    """Return features blurred with a Gaussian of the kernel size's usual sigma.

    create_heatmaps.py:361-364: glass counts like tissue, and edges are mirrored.
    """
    sigma = 0.3 * ((cells - 1) / 2 - 1) + 0.8
    offsets = np.arange(cells) - cells // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    reach = cells // 2
    padded = np.pad(
        features.astype(np.float64), ((0, 0), (reach, reach), (reach, reach)), "reflect"
    )
    rows, cols = features.shape[1:]
    down = sum(w * padded[:, i : i + rows] for i, w in enumerate(weights))
    return sum(w * down[:, :, i : i + cols] for i, w in enumerate(weights)).astype(np.float32)


def attention_logits(parts: dict[str, torch.nn.Module], features: np.ndarray) -> np.ndarray:
    """Return (rows, cols) attention: w₂ · tanh(W₁ relu(W₀ f + b₀) + b₁) + b₂.

    create_heatmaps.py:285-295, 368.
    """
    hidden = _embedded(parts, features)
    first, last = parts["attention"][0], parts["attention"][2]
    return _affine(last, np.tanh(_affine(first, hidden)))[0].astype(np.float32)


def scores(
    parts: dict[str, torch.nn.Module], features: np.ndarray, *, forget_norm: bool = True
) -> np.ndarray:
    """Return (classes, rows, cols) softmax of the head, by default without its BatchNorm's state.

    create_heatmaps.py:297-307, 369-370. A fresh BatchNorm2d (mean 0, variance 1) stands in for the
    learned one, as its ``state_dict`` is assigned rather than loaded (create_heatmaps.py:221-224).
    """
    hidden = _embedded(parts, features)
    norm, linear = parts["head"][1], parts["head"][3]
    if forget_norm:
        normal = hidden / math.sqrt(1 + norm.eps)
    else:
        mean, variance, gain, shift = (
            part.detach().double().numpy()[:, None, None]
            for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        normal = (hidden - mean) / np.sqrt(variance + norm.eps) * gain + shift
    logits = _affine(linear, normal)
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).astype(np.float32)


def _embedded(parts: dict[str, torch.nn.Module], features: np.ndarray) -> np.ndarray:
    """Return relu(W f + b) of every cell, float64."""
    return np.maximum(_affine(parts["encoder"][0], features.astype(np.float64)), 0)


def _affine(linear: torch.nn.Module, values: np.ndarray) -> np.ndarray:
    """Return W v + b of every cell of (channels, rows, cols) values: create_heatmaps.py:231-243."""
    weight, bias = linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy()
    return np.tensordot(weight, values, 1) + bias[:, None, None]


def tissue_mask(mosaic: np.ndarray, shape: Sequence[int], threshold: float = 224) -> np.ndarray:
    """Return the (rows, cols) cells that are darker than a threshold in the shrunk slide.

    create_heatmaps.py:373-380.
    """
    shrunk = Image.fromarray(mosaic).resize((shape[1], shape[0]))
    return np.asarray(shrunk.convert("L")) < threshold


def attention_position(
    attention: np.ndarray, mask: np.ndarray, lower: float = 0.01, upper: float = 1.0
) -> np.ndarray:
    """Return where attention lies on its colour map, in [0, 1].

    create_heatmaps.py:386-391, 420-421.
    """
    low, high = np.quantile(attention[mask].astype(np.float64), [lower, upper])
    return np.clip((attention - low) / (high - low), 0, 1)


def score_position(
    score: np.ndarray, mask: np.ndarray, n_classes: int, quantile: float = 0.95
) -> np.ndarray:
    """Return where a class's score lies on its colour map: (p − 1/C) / 2q + 1/C, in [0, 1].

    create_heatmaps.py:393-401, 436-439; q is a quantile of |p − 1/C| over the tissue.
    """
    chance = 1 / n_classes
    q = np.quantile(np.abs(score[mask].astype(np.float64) - chance), quantile)
    return np.clip(((score - chance) / (2 * q) + chance) * mask, 0, 1)


def attention_image(position: np.ndarray, mask: np.ndarray, colours: str = "magma") -> np.ndarray:
    """Return the (rows, cols, 4) uint8 attention.png: create_heatmaps.py:424-426."""
    rgba = matplotlib.colormaps[colours](position)
    rgba[..., 3] = mask
    return (rgba * 255).astype(np.uint8)


def score_image(
    position: np.ndarray, attention: np.ndarray, mask: np.ndarray, colours: str = "coolwarm"
) -> np.ndarray:
    """Return the (rows, cols, 4) uint8 map.png, as opaque as attention is high.

    create_heatmaps.py:441-445.
    """
    rgba = matplotlib.colormaps[colours](position)
    rgba[..., 3] = attention * mask
    return (rgba * 255).astype(np.uint8)


def overlay(image: np.ndarray, size_px: Sequence[int]) -> np.ndarray:
    """Return a map enlarged to the picture of the slide by nearest neighbour.

    create_heatmaps.py:430, 447: the cells are squares that fill the picture, wherever the network
    looked and whatever part of a last cell lies on the slide.
    """
    enlarged = Image.fromarray(image).resize((size_px[1], size_px[0]), Image.Resampling.NEAREST)
    return np.asarray(enlarged)
