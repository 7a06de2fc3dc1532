"""Loads a file of weights for a network, strictly: each tensor is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.layouts import Unfit, fitted
from heatmaps_ome.extractors.weights_file import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from heatmaps_ome.extractors.recipe import Recipe


def weights_of(
    network: nn.Module, path: Path, recipe: Recipe, where: str
) -> dict[str, torch.Tensor]:
    """Return the weights in a file by a network's names, float32 and in memory.

    Parameters
    ----------
    network : nn.Module
        On any device, "meta" too: its weights are not read.
    where : str
        The end of a sentence: where the right weights are to be had.

    Raises
    ------
    ExtractorError
        If the file cannot be read, or holds other weights.
    """
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = read_state(path, where)
    try:
        fit = fitted(state, shapes, recipe.weights)
    except Unfit as error:
        raise ExtractorError(
            f"{path} does not hold the weights of {recipe.title}: {error}; {where}"
        ) from None
    # Published weights may be halves. A file that is mapped would be read again at each pass.
    return {
        key: value.to(torch.float32, copy=True) if value.is_floating_point() else value.clone()
        for key, value in fit.items()
    }
