"""Makes an encoder from its recipe and a file of weights."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import torch

from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.extractors.loading import weights_of
from heatmaps_ome.extractors.tile_encoder import RecipeEncoder
from heatmaps_ome.extractors.trunks import trunk_of
from heatmaps_ome.extractors.weights_file import require_weights
from heatmaps_ome.extractors.weights_places import find_weights, where_from
from heatmaps_ome.storage.digests import file_digest

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.extractors.recipe import Recipe

logger = logging.getLogger(__name__)


def load(
    recipe: Recipe, weights: Path | None, device: str, precision: str, *, download: bool
) -> TileEncoder:
    """Return the encoder of a recipe.

    Parameters
    ----------
    weights : Path or None
        None looks in the local caches of hubs.
    precision : "float32" or "bfloat16"
    download : bool
        Whether to fetch weights that no cache has.

    Raises
    ------
    ExtractorError
        If the weights are missing. Building the network raises it too, if they are unreadable or
        another network's.
    """
    where = where_from(recipe)
    weights = find_weights(recipe, download=download) if weights is None else weights
    require_weights(weights, where, recipe.network.parameters)
    digest = file_digest(weights)
    if not recipe.weights.is_published(digest):
        logger.warning(
            "%s is not the published %s file (sha256 %s)", weights.name, recipe.title, digest
        )
    if not recipe.is_dense:
        return RecipeEncoder(recipe, weights, digest, device, precision, where)
    trunk = trunk_of(recipe)
    return DenseExtractor(
        name=recipe.name,
        build=partial(_built, recipe, weights),
        device=device,
        precision=precision,
        weights_digest=digest,
        channels=recipe.channels,
        float32_bytes_per_px=trunk.float32_bytes_per_px,
        stride_px=trunk.stride_px,
        halo_px=trunk.halo_px,
        centre_px=trunk.centre_px,
        tile_px=recipe.tile_px,
        mean=recipe.transform.mean,
        std=recipe.transform.std,
    )


def _built(recipe: Recipe, weights: Path) -> nn.Module:
    """Return a dense network with its weights.

    Raises
    ------
    ExtractorError
        If the file cannot be read, or is another network's.
    """
    # On "meta" the network takes no memory of its own: the weights are assigned below.
    with torch.device("meta"):
        network = trunk_of(recipe).build()
    network.load_state_dict(weights_of(network, weights, recipe, where_from(recipe)), assign=True)
    return network.eval()
