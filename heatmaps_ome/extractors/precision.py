"""The number type of a network's computation: bfloat16 on devices where it is faster."""

from __future__ import annotations

from typing import Final

import torch

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precision's name → type of weights and activations."""

_CPU_CHECKS: Final = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
"""Functions of ``torch.cpu`` (2.6 has both) that report instructions for bfloat16."""


def resolved(precision: str, device: str) -> str:
    """Return "float32" or "bfloat16"; "auto" depends on the device.

    A precision given by name is used as it is: on a device without instructions for it bfloat16 is
    slower, but its values are no worse.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if _computes_bfloat16_faster(torch.device(device)) else "float32"


def _computes_bfloat16_faster(device: torch.device) -> bool:
    """Return whether a device has instructions that multiply bfloat16."""
    if device.type == "cuda":
        # Tensor cores multiply bfloat16 from compute capability 8.0 on; older cards emulate it.
        # torch.cuda.is_bf16_supported() asks for the current card only, not for cuda:N.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        checks = (getattr(torch.cpu, name, None) for name in _CPU_CHECKS)
        return any(check is not None and check() for check in checks)
    return False
