"""The reference's algorithm, written anew, with the same running time and memory.

As in KatherLab's create_heatmaps.py (line numbers refer to it), all of the slide is read from level
0 into memory and, beside it, converted to floats; it goes through the network in a few wide slices;
the slide is written as JPEG; overlays are enlarged to the picture by nearest neighbour.
``tests/support/reference.py`` has the formulas.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import openslide
import reference
import torch
from PIL import Image
from torchvision.transforms.functional import gaussian_blur, normalize, to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SLICE_VALUES = 0xA800000
"""Number of values in a slice: create_heatmaps.py:342."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLUR_CELLS = 15


def run_reference(
    path: Path, trunk: torch.nn.Module, parts: dict[str, torch.nn.Module], out: Path
) -> None:
    """Write attention and score overlays of a slide as the reference does."""
    out.mkdir(parents=True, exist_ok=True)
    with openslide.OpenSlide(path) as slide:
        mosaic = reference.slide_mosaic(slide)
    Image.fromarray(mosaic).save(out / "slide.jpg")
    features = gaussian_blur(features_of(trunk, mosaic), BLUR_CELLS)
    with torch.inference_mode():
        cells = features.flatten(1).T
        hidden = parts["encoder"](cells)
        attention = parts["attention"](hidden)[:, 0].reshape(features.shape[1:]).numpy()
        score = torch.softmax(parts["head"](hidden), 1)[:, 0].reshape(features.shape[1:]).numpy()
    mask = reference.tissue_mask(mosaic, attention.shape)
    place = reference.attention_position(attention, mask)
    hot = reference.score_position(score, mask, 2)
    images = {
        "attention": reference.attention_image(place, mask),
        "map": reference.score_image(hot, place, mask),
    }
    picture = Image.fromarray(mosaic).convert("RGBA")
    for name, image in images.items():
        over = Image.fromarray(reference.overlay(image, mosaic.shape[:2]))
        Image.alpha_composite(picture, over).convert("RGB").save(out / f"{name}_overlayed.jpg")


def features_of(trunk: torch.nn.Module, mosaic: np.ndarray) -> torch.Tensor:
    """Return (channels, rows, cols) float32 features: create_heatmaps.py:330-354."""
    image = normalize(to_tensor(mosaic), MEAN, STD)
    slices = math.ceil(image.numel() / SLICE_VALUES)
    width = image.shape[2] // slices
    with torch.inference_mode():
        return torch.cat(
            [trunk(image[None, :, :, n * width : (n + 1) * width])[0] for n in range(slices)], dim=2
        )
