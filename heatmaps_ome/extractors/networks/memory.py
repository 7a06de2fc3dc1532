"""The memory that a pass of a network takes, reckoned from the shapes of its layers' outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_COPIES = 2
"""Of a layer's input: the sum that passes it by, and what waits for it."""


def peak_bytes(network: nn.Module, side_px: int) -> int:
    """Return the peak memory for each tile of a pass in float32, in bytes.

    A layer holds its input and output at the same time, and beside it lies the sum that passes a
    block by. Nothing is computed: the network has shapes only.

    Parameters
    ----------
    network : nn.Module
        On the device "meta".
    """
    peaks = [3 * side_px**2 * 8]

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        del module
        peaks.append(_COPIES * _bytes(inputs) + _bytes((output,)))

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with torch.inference_mode():
            network(torch.empty(1, 3, side_px, side_px, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return max(peaks)


def _bytes(values: tuple[Any, ...]) -> int:
    """Return the bytes of tensors."""
    return sum(4 * value.numel() for value in values if isinstance(value, torch.Tensor))
