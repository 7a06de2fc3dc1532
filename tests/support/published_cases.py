"""Small encoders of other programs: their tensors' names, and weights that seeds give."""

import json
import re
from pathlib import Path

import numpy as np
import torch

RECORDED = Path(__file__).parent.parent / "extractors" / "published_outputs.json"
"""Case → names and shapes of its tensors, and the features that the other program computed."""
TRUE_SHAPES = RECORDED.with_name("published_shapes.json")
"""Recipe → number of blocks, and names and shapes of its file's tensors with one block of them."""
SIDE = 32
N_IMAGES = 2
BLOCK = re.compile(r"\b(layers?)\.0\.")
"""The number of the only block that is recorded."""


def cases() -> dict[str, dict]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def true_state(recipe: str) -> dict[str, torch.Tensor]:
    """Return a file's tensors in their true shapes, all blocks of them, without numbers."""
    case = json.loads(TRUE_SHAPES.read_text(encoding="utf-8"))[recipe]
    state = {}
    for name, shape in case["shapes"].items():
        for block in range(case["depth"] if BLOCK.search(name) else 1):
            state[BLOCK.sub(rf"\g<1>.{block}.", name)] = torch.empty(shape, device="meta")
    return state


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
