"""Products with the matrix of distances between tiles, which is never held as a whole."""

from __future__ import annotations

from typing import Any

import torch

FLOATS_AT_ONCE = 1 << 24


class _DistanceProduct(torch.autograd.Function):
    """Recomputes the distances for the gradient rather than keeping them."""

    @staticmethod
    def forward(
        ctx: Any, um_rows: torch.Tensor, um_columns: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(um_rows, um_columns)
        return _product(um_rows, um_columns, values)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[None, None, torch.Tensor]:
        um_rows, um_columns = ctx.saved_tensors
        return None, None, _product(um_columns, um_rows, grad_outputs[0])


def distance_product(
    um_rows: torch.Tensor, um_columns: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Return the sums of values weighted by distance, (bags, rows, d), differentiable in `values`.

    Parameters
    ----------
    um_rows, um_columns : (bags, rows, 2) and (bags, columns, 2) float32, µm
    values : (bags, columns, d) float32
    """
    return _DistanceProduct.apply(um_rows, um_columns, values)  # type: ignore[no-any-return]


def _product(um_rows: torch.Tensor, um_columns: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    n_rows = max(1, FLOATS_AT_ONCE // (um_columns.shape[0] * um_columns.shape[1]))
    # The way by matrix products is off by a tile's side on large slides.
    mode = "donot_use_mm_for_euclid_dist"
    parts = [
        torch.cdist(block, um_columns, compute_mode=mode) @ values
        for block in um_rows.split(n_rows, dim=1)
    ]
    return torch.cat(parts, dim=1)
