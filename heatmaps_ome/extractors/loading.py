"""Loads a file of weights for a network, strictly: each tensor is accounted for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import torch

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.layouts import Unfit, fitted
from heatmaps_ome.extractors.recipe_files import encoders_of_size
from heatmaps_ome.extractors.weights_file import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from heatmaps_ome.extractors.recipe import Recipe


_NO_PARAMETER: Final = re.compile(r"(^|\.)(fc|head)\.|\.(running_\w+|num_batches_tracked)$")
"""Keys of classifiers and of the statistics of normalisations."""


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
            f"{path} does not hold the weights of {recipe.title}: {error}{_alike(state, recipe)}; "
            f"{where}"
        ) from None
    # Published weights may be halves. A file that is mapped would be read again at each pass.
    return {
        key: value.to(torch.float32, copy=True) if value.is_floating_point() else value.clone()
        for key, value in fit.items()
    }


def _alike(state: dict[str, torch.Tensor], recipe: Recipe) -> str:
    """Return a part of a sentence: the encoders that a file may be of, by its size."""
    n_parameters = sum(
        value.numel() for key, value in state.items() if not _NO_PARAMETER.search(key)
    )
    names = [name for name in encoders_of_size(n_parameters) if name != recipe.name]
    return f"; it is as large as the weights of {' or '.join(names)}" if names else ""
