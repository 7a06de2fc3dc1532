"""Small encoders of other programs: their tensors' names, and weights that seeds give."""

import json
from pathlib import Path

import numpy as np
import torch

RECORDED = Path(__file__).parent.parent / "extractors" / "published_outputs.json"
"""Case → names and shapes of its tensors, and the features that the other program computed."""
SIDE = 32
N_IMAGES = 2


def cases() -> dict[str, dict]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def weights(shapes: dict[str, list[int]], seed: int = 5) -> dict[str, torch.Tensor]:
    """Return tensors from a seed; those of normalisations and layer scales lie around 1."""
    random = np.random.RandomState(seed)  # its numbers are the same in all versions of NumPy
    tensors = {}
    for name in sorted(shapes):
        numbers = 0.2 * random.standard_normal(shapes[name])
        is_factor = len(shapes[name]) == 1 and name.endswith(("weight", "lambda1"))
        tensors[name] = torch.tensor(numbers + is_factor, dtype=torch.float32)
    return tensors


def images(side: int = SIDE) -> torch.Tensor:
    """Return (n, 3, side, side) float32 normalised images."""
    numbers = np.random.RandomState(8).standard_normal((N_IMAGES, 3, side, side))
    return torch.tensor(numbers, dtype=torch.float32)
