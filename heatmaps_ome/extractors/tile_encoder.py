"""Encoders of tiles by a recipe: the network, its transform and its weights."""

from __future__ import annotations

import gc
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.loading import weights_of
from heatmaps_ome.extractors.networks.building import inner, lacks_buffers, network_of
from heatmaps_ome.extractors.networks.memory import peak_bytes
from heatmaps_ome.extractors.normalising import normalisation, normalised
from heatmaps_ome.extractors.precision import DTYPES
from heatmaps_ome.extractors.transforming import transformed
from heatmaps_ome.memory import give_back

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.extractors.recipe import Recipe

_ROUNDED = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True, eq=False)
class RecipeEncoder:
    """An encoder of tiles: see TileEncoder.

    Attributes
    ----------
    recipe : Recipe
    weights : Path
        The file of weights, which is read when the network is first needed.
    weights_digest : str
        Its sha256.
    device : str
        The torch device to compute on.
    precision : "float32" or "bfloat16"
    where : str
        The end of a sentence: where the right weights are to be had.
    """

    recipe: Recipe
    weights: Path
    weights_digest: str
    device: str
    precision: str
    where: str

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def channels(self) -> int:
        """Length of a feature vector."""
        return self.recipe.channels

    @property
    def tile_px(self) -> int:
        """Side of the tiles that it was made for."""
        return self.recipe.tile_px

    @property
    def digest(self) -> str:
        """Sha256 of name, recipe, weights and precision."""
        text = f"{self.name} {self.recipe.digest} {self.weights_digest} {self.precision}"
        return hashlib.sha256(text.encode()).hexdigest()

    def unfit_side(self, side_px: int) -> str:
        """Return "": tiles of any side are resized, as in training."""
        del side_px
        return ""

    def tile_bytes(self, side_px: int) -> int:
        """Return the peak memory of a pass for each of its tiles, in bytes."""
        # The tile itself, resized, and as PIL has both.
        return self._pass_bytes + 2 * 3 * (side_px**2 + self.recipe.transform.resize_px**2)

    def prepare(self) -> None:
        """Build the network; see TileEncoder."""
        _ = self.network

    @cached_property
    def _pass_bytes(self) -> int:
        """Peak memory of a pass for each tile in float32, in bytes."""
        return peak_bytes(network_of(self.recipe), self.recipe.transform.network_px)

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, on the device."""
        network = network_of(self.recipe)
        _require_channels(network, self.recipe)
        state = weights_of(inner(network), self.weights, self.recipe, self.where)
        if lacks_buffers(network):
            network = network_of(self.recipe, "cpu")
        inner(network).load_state_dict(state, strict=True, assign=True)
        del state
        network.requires_grad_(requires_grad=False)
        if self.precision != "float32":
            _round_products(network, DTYPES[self.precision])
        network = network.to(self.device)
        gc.collect()
        give_back()
        return network

    @cached_property
    def _normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        transform = self.recipe.transform
        return normalisation(transform.mean, transform.std, self.device)

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        """Return the (n, channels) float32 features of tiles; see TileEncoder."""
        images = torch.from_numpy(np.ascontiguousarray(transformed(pixels, self.recipe.transform)))
        on_gpu = torch.device(self.device).type == "cuda"
        if on_gpu:
            images = images.pin_memory()
        network, factors = self.network, self._normalisation
        with torch.inference_mode(), self._rounding():
            images = images.to(self.device, non_blocking=True)
            features = network(normalised(images, *factors, torch.float32))
            return features.float().cpu().numpy()

    def _rounding(self) -> torch.autocast:
        """Return the context in which products are rounded to the precision."""
        kind = torch.device(self.device).type
        rounds = self.precision != "float32"
        return torch.autocast(kind, DTYPES[self.precision] if rounds else None, enabled=rounds)


def _round_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Store what products are made with in the type that autocast rounds it to at each pass.

    The features are those of autocast to the last bit, and half of the memory is spared.
    Normalisations, and the sums from layer to layer, stay in float32: cast as a whole, a
    ViT's features would be off by more.
    """
    for module in network.modules():
        if isinstance(module, _ROUNDED):
            module.to(dtype)


def _require_channels(network: nn.Module, recipe: Recipe) -> None:
    """Refuse a recipe whose network gives features of another length, or none."""
    side = recipe.transform.network_px
    try:
        shape = tuple(network(torch.empty(1, 3, side, side, device="meta")).shape)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise ExtractorError(
            f"the network of the recipe {recipe.name} takes no tiles of {side} px ({error})"
        ) from error
    if shape != (1, recipe.channels):
        raise ExtractorError(
            f"the network of the recipe {recipe.name} gives an array of "
            f"{' × '.join(map(str, shape[1:]))} for a tile, not the {recipe.channels} features "
            "that the recipe states"
        )
