"""Writes seeded checkpoints of others' networks of any size, under the originals' keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from heatmaps_ome.models.checkpoint import read_checkpoint
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.network_model import from_stored_network

ZOO = Path(__file__).parents[3] / "shared" / "data" / "zoo"
PATIENT = "PATIENT-0815"
FOLDER = "/hospital/features"

State = dict[str, np.ndarray]


class Drawing:
    """Draws the tensors of a state dict, one layer after the other."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.state: State = {}

    def tensor(self, name: str, *shape: int) -> None:
        """Draw a tensor of standard normal numbers."""
        self.state[name] = self.rng.normal(size=shape).astype("f4")

    def linear(self, name: str, n_in: int, n_out: int, *, bias: bool = True) -> None:
        """Draw a linear layer."""
        self.state[f"{name}.weight"] = (self.rng.normal(size=(n_out, n_in)) / n_in**0.5).astype(
            "f4"
        )
        if bias:
            self.state[f"{name}.bias"] = self.rng.normal(size=n_out).astype("f4") / 2

    def norm(self, name: str, width: int) -> None:
        """Draw a LayerNorm that changes its input."""
        self.state[f"{name}.weight"] = self.rng.uniform(0.5, 2, size=width).astype("f4")
        self.state[f"{name}.bias"] = self.rng.normal(size=width).astype("f4") / 2

    def packed(self, name: str, width: int) -> None:
        """Draw the tensors of torch's MultiheadAttention."""
        self.linear("in", width, 3 * width)
        self.state[f"{name}.in_proj_weight"] = self.state.pop("in.weight")
        self.state[f"{name}.in_proj_bias"] = self.state.pop("in.bias")
        self.linear(f"{name}.out_proj", width, width)


def stamp_vit(
    n_features: int = 6, width: int = 12, n_layers: int = 3, n_hidden: int = 10, n_outputs: int = 4
) -> State:
    """Return the state dict of STAMP's vit."""
    drawing = _ends(n_features, width, n_outputs)
    for layer in range(n_layers):
        drawing.packed(f"transformer.layers.{layer}.0.mhsa", width)
        _stamp_block(drawing, f"transformer.layers.{layer}", width, n_hidden)
    return drawing.state


def stamp_alibi(
    n_features: int = 6,
    width: int = 12,
    n_layers: int = 3,
    n_heads: int = 3,
    n_hidden: int = 10,
    n_outputs: int = 2,
) -> State:
    """Return the state dict of STAMP's vit with ALiBi."""
    drawing = _ends(n_features, width, n_outputs)
    for layer in range(n_layers):
        name = f"transformer.layers.{layer}.0.mhsa"
        for head in range(n_heads):
            for part in ("query", "key", "value"):
                drawing.linear(f"{name}.{part}_encoders.{head}", width, width // n_heads)
            own = f"{name}.attentions.{head}"
            drawing.state[f"{own}.bias_scale"] = drawing.rng.uniform(0, 0.1, 1).astype("f4")
            mean = drawing.rng.uniform(500, 1000, 1).astype("f4")
            drawing.state[f"{own}.scale_distance.running_mean"] = mean
            drawing.state[f"{own}.scale_distance.items_so_far"] = np.full(1, 8, "f4")
        drawing.linear(f"{name}.fc", width, width)
        _stamp_block(drawing, f"transformer.layers.{layer}", width, n_hidden)
    return drawing.state


def stamp_trans_mil(n_features: int = 6, width: int = 16, n_outputs: int = 2) -> State:
    """Return the state dict of STAMP's trans_mil."""
    drawing = Drawing()
    drawing.linear("_fc1.0", n_features, width)
    drawing.tensor("cls_token", 1, 1, width)
    for name in ("layer1", "layer2"):
        _nystrom_block(drawing, name, "attn", width, 8)
    _square_convolutions(drawing, width)
    drawing.norm("norm", width)
    drawing.linear("_fc2", width, n_outputs)
    return drawing.state


def mil_lab_trans_mil(
    n_features: int = 6, width: int = 12, n_layers: int = 3, n_heads: int = 3, n_fc: int = 2
) -> State:
    """Return the state dict of MIL-Lab's TransMIL with 5 classes."""
    drawing = _mil_lab_ends(n_features, width, n_fc)
    for layer in range(n_layers):
        _nystrom_block(drawing, f"blocks.{layer}", "attention", width, n_heads)
    _square_convolutions(drawing, width)
    return drawing.state


def mil_lab_transformer(
    n_features: int = 6, width: int = 16, n_layers: int = 2, n_hidden: int = 0, n_fc: int = 1
) -> State:
    """Return the state dict of MIL-Lab's transformer with 5 classes."""
    drawing = _mil_lab_ends(n_features, width, n_fc)
    for layer in range(n_layers):
        drawing.norm(f"blocks.{layer}.norm", width)
        drawing.packed(f"blocks.{layer}.attention", width)
        if n_hidden:
            drawing.norm(f"blocks.{layer}.norm2", width)
            drawing.linear(f"blocks.{layer}.mlp.0", width, n_hidden)
            drawing.linear(f"blocks.{layer}.mlp.3", n_hidden, width)
    return drawing.state


def marugoto_vit(
    n_features: int = 6, width: int = 16, n_layers: int = 2, inner: int = 24, n_outputs: int = 2
) -> State:
    """Return the state dict of marugoto's and STAMP 1.0's ViT."""
    drawing = Drawing()
    drawing.linear("fc.0", n_features, width)
    drawing.tensor("cls_token", 1, 1, width)
    for layer in range(n_layers):
        name = f"transformer.layers.{layer}"
        drawing.norm(f"{name}.0.norm", width)
        drawing.linear(f"{name}.0.fn.to_qkv", width, 3 * inner, bias=False)
        drawing.linear(f"{name}.0.fn.to_out.0", inner, width)
        drawing.norm(f"{name}.1.norm", width)
        drawing.linear(f"{name}.1.fn.net.0", width, 9)
        drawing.linear(f"{name}.1.fn.net.3", 9, width)
    drawing.norm("mlp_head.0", width)
    drawing.linear("mlp_head.1", width, n_outputs)
    return drawing.state


def stamp_1_1(n_features: int = 6, width: int = 16, n_layers: int = 2, n_outputs: int = 2) -> State:
    """Return the state dict of STAMP 1.1's TransMIL, which is a ViT."""
    drawing = Drawing()
    drawing.linear("fc.0", n_features, width)
    drawing.tensor("cls_token", width)
    for layer in range(n_layers):
        name = f"transformer.layers.{layer}"
        drawing.norm(f"{name}.0.norm", width)
        drawing.packed(f"{name}.0.mhsa", width)
        drawing.norm(f"{name}.1.mlp.0", width)
        drawing.linear(f"{name}.1.mlp.1", width, 9)
        drawing.linear(f"{name}.1.mlp.4", 9, width)
    drawing.norm("transformer.norm", width)
    drawing.linear("mlp_head.0", width, n_outputs)
    return drawing.state


def hyper_parameters(**changes: Any) -> dict[str, Any]:
    """Return hyper-parameters as STAMP stores them, patients and folders among them."""
    return {
        "task": "classification",
        "supported_features": "tile",
        "categories": ["high", "low", "mid", "none"],
        "ground_truth_label": "grade",
        "n_heads": 3,
        "stamp_version": "2.5.0",
        "train_patients": [PATIENT, f"{PATIENT}-2"],
        "valid_patients": [f"{PATIENT}-3"],
        "clini_table": f"{FOLDER}/clini.csv",
        **changes,
    }


def write_lightning(path: Path, state: State, prefix: str = "model.", **changes: Any) -> Path:
    """Write a Lightning checkpoint of a state dict under a prefix."""
    tensors = {f"{prefix}{key}": torch.from_numpy(value) for key, value in state.items()}
    content = {"epoch": 3, "state_dict": tensors, "hyper_parameters": hyper_parameters(**changes)}
    torch.save(content, path)
    return path


def write_plain(path: Path, state: State, prefix: str = "") -> Path:
    """Write a plain state dict."""
    torch.save({f"{prefix}{key}": torch.from_numpy(value) for key, value in state.items()}, path)
    return path


def model_of(path: Path, dialect: Any, facts: Any = NO_FACTS) -> Any:
    """Return the model of a file by a dialect's module, which must recognise it."""
    checkpoint = read_checkpoint(path)
    assert dialect.recognises(checkpoint)
    return from_stored_network(dialect.read(checkpoint, facts))


def bag(n_tiles: int, n_features: int = 6, seed: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and places in µm of seeded tiles."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_tiles, n_features)).astype("f4")
    um_places = rng.uniform(0, 3000, size=(n_tiles, 2)).astype("f4")
    return torch.from_numpy(features), torch.from_numpy(um_places)


def _ends(n_features: int, width: int, n_outputs: int) -> Drawing:
    drawing = Drawing()
    drawing.tensor("class_token", width)
    drawing.linear("project_features.0", n_features, width)
    drawing.norm("transformer.norm", width)
    drawing.linear("mlp_head.0", width, n_outputs)
    return drawing


def _stamp_block(drawing: Drawing, name: str, width: int, n_hidden: int) -> None:
    drawing.norm(f"{name}.0.norm", width)
    drawing.norm(f"{name}.1.0", width)
    drawing.linear(f"{name}.1.1", width, n_hidden)
    drawing.linear(f"{name}.1.4", n_hidden, width)


def _mil_lab_ends(n_features: int, width: int, n_fc: int) -> Drawing:
    drawing = Drawing()
    for index in range(n_fc):
        drawing.linear(f"patch_embed.{3 * index}", width if index else n_features, width)
    drawing.tensor("cls_token", 1, 1, width)
    drawing.norm("norm", width)
    drawing.linear("classifier", width, 5)
    return drawing


def _nystrom_block(drawing: Drawing, name: str, attention: str, width: int, n_heads: int) -> None:
    inner = n_heads * (width // n_heads)
    drawing.norm(f"{name}.norm", width)
    drawing.linear(f"{name}.{attention}.to_qkv", width, 3 * inner, bias=False)
    drawing.linear(f"{name}.{attention}.to_out.0", inner, width)
    drawing.tensor(f"{name}.{attention}.res_conv.weight", n_heads, 1, 33, 1)


def _square_convolutions(drawing: Drawing, width: int) -> None:
    for side, name in ((7, "proj"), (5, "proj1"), (3, "proj2")):
        drawing.tensor(f"pos_layer.{name}.weight", width, 1, side, side)
        drawing.tensor(f"pos_layer.{name}.bias", width)
