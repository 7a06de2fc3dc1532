"""CTransPath by the formulas of its papers, without windows that wrap around: for comparison."""

from itertools import pairwise

import torch
import torch.nn.functional as F

DEPTHS = (2, 2, 6, 2)
HEADS = (3, 6, 12, 24)
WIDTHS = (96, 192, 384, 768)
WINDOW = 7


def published_state(seed: int) -> dict[str, torch.Tensor]:
    """Return random tensors by the names of ``ctranspath.pth``, with its tables and masks."""
    random = torch.Generator().manual_seed(seed)
    state = {}

    def add(name: str, *shape: int, around: float = 0.0, sd: float = 0.02):
        state[name] = around + sd * torch.randn(shape, generator=random)

    def add_norm(name: str, width: int):
        add(f"{name}.weight", width, around=1, sd=0.2)
        add(f"{name}.bias", width, sd=0.2)

    def add_linear(name: str, out: int, width: int):
        add(f"{name}.weight", out, width, sd=width**-0.5)
        add(f"{name}.bias", out, sd=0.2)

    for place, (channels, width) in ((0, (3, 12)), (3, (12, 24))):
        add(f"patch_embed.proj.{place}.weight", width, channels, 3, 3, sd=0.3)
        add_norm(f"patch_embed.proj.{place + 1}", width)
        add(f"patch_embed.proj.{place + 1}.running_mean", width)
        state[f"patch_embed.proj.{place + 1}.running_var"] = 0.5 + torch.rand(
            width, generator=random
        )
        state[f"patch_embed.proj.{place + 1}.num_batches_tracked"] = torch.tensor(9)
    add("patch_embed.proj.6.weight", 96, 24, 1, 1, sd=0.2)
    add("patch_embed.proj.6.bias", 96)
    add_norm("patch_embed.norm", 96)
    for stage, (depth, heads, width) in enumerate(zip(DEPTHS, HEADS, WIDTHS, strict=True)):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            add_norm(f"{name}.norm1", width)
            add(f"{name}.attn.relative_position_bias_table", 169, heads, sd=0.5)
            state[f"{name}.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
            add_linear(f"{name}.attn.qkv", 3 * width, width)
            add_linear(f"{name}.attn.proj", width, width)
            add_norm(f"{name}.norm2", width)
            add_linear(f"{name}.mlp.fc1", 4 * width, width)
            add_linear(f"{name}.mlp.fc2", width, 4 * width)
            if block % 2 and stage < 3:
                state[f"{name}.attn_mask"] = torch.zeros(64 // 4**stage, 49, 49)
        if stage < 3:
            add(f"layers.{stage}.downsample.reduction.weight", 2 * width, 4 * width)
            add_norm(f"layers.{stage}.downsample.norm", 4 * width)
    add_norm("norm", 768)
    return state


def feature(state: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """Return the (768,) feature of a normalised (3, 224, 224) image; float64 throughout."""
    state = {name: tensor.double() for name, tensor in state.items()}
    x = stem(state, image.double())
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            # A map that is a single window has no windows to shift.
            shift = WINDOW // 2 if block % 2 and len(x) > WINDOW else 0
            x = x + attention(state, f"{name}.attn", norm(state, f"{name}.norm1", x), heads, shift)
            inner = F.gelu(linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", x)))
            x = x + linear(state, f"{name}.mlp.fc2", inner)
        if stage < 3:
            name = f"layers.{stage}.downsample"
            corners = [x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]]
            x = norm(state, f"{name}.norm", torch.cat(corners, -1))
            x = x @ state[f"{name}.reduction.weight"].T
    return norm(state, "norm", x).mean((0, 1))


def stem(state, image: torch.Tensor) -> torch.Tensor:
    """Return (56, 56, 96): two convolutions of stride 2 with batch norm and ReLU, a projection."""
    x = image[None]
    for place in (0, 3):
        name = f"patch_embed.proj.{place + 1}"
        x = F.conv2d(x, state[f"patch_embed.proj.{place}.weight"], stride=2, padding=1)
        mean, variance, weight, bias = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.relu((x - mean) / (variance + 1e-5).sqrt() * weight + bias)
    weight = state["patch_embed.proj.6.weight"][:, :, 0, 0]
    patches = torch.einsum("oc,chw->hwo", weight, x[0]) + state["patch_embed.proj.6.bias"]
    return norm(state, "patch_embed.norm", patches)


def attention(state, name: str, x: torch.Tensor, heads: int, shift: int) -> torch.Tensor:
    """Attend within rectangles: windows that start ``shift`` in, and what is left at the edges.

    What a cyclic shift brings together and a mask takes apart again is never together here.
    """
    side = len(x)
    edges = sorted({0, *range(shift, side, WINDOW), side})
    out = torch.empty_like(x)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            part = x[top:bottom, left:right]
            out[top:bottom, left:right] = rectangle(state, name, part, heads)
    return out


def rectangle(state, name: str, x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the attention among all places of one rectangle."""
    rows, cols, width = x.shape
    q, k, v = (
        part.reshape(rows * cols, heads, -1).transpose(0, 1)
        for part in linear(state, f"{name}.qkv", x).reshape(rows * cols, 3 * width).chunk(3, -1)
    )
    y, x_ = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    y, x_ = y.flatten(), x_.flatten()
    dy, dx = y[:, None] - y, x_[:, None] - x_
    bias = state[f"{name}.relative_position_bias_table"][(dy + 6) * 13 + dx + 6]
    logits = q @ k.transpose(1, 2) * (width / heads) ** -0.5 + bias.permute(2, 0, 1)
    mixed = (logits.softmax(-1) @ v).transpose(0, 1).reshape(rows, cols, width)
    return linear(state, f"{name}.proj", mixed)


def linear(state, name: str, x: torch.Tensor) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(state, name: str, x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / ((centred**2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]
