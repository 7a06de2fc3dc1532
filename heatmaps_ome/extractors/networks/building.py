"""Builds the networks of recipes: without memory for weights, which a file brings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from heatmaps_ome.errors import ExtractorError

if TYPE_CHECKING:
    from heatmaps_ome.extractors.recipe import Recipe

TIMM_ARGUMENTS: Final = frozenset((
    "act_layer", "block_fn", "channels", "class_token", "depth", "depths", "dims", "drop_path_rate",
    "dynamic_img_pad", "dynamic_img_size", "embed_dim", "fc_norm", "final_norm", "global_pool",
    "img_size", "init_values", "layers", "mlp_layer", "mlp_ratio", "no_embed_class", "num_heads",
    "num_reg_tokens", "patch_size", "pos_embed", "pre_norm", "proj_bias", "qk_norm", "qkv_bias",
    "reg_tokens", "window_size",
))  # fmt: skip
"""Arguments of timm's models that a recipe may give: those of the shape, none that reads files."""
_LARGEST: Final = {"depth": 256, "reg_tokens": 1024}
_LARGEST_NUMBER: Final = 1 << 16
_LAYERS: Final = ("SwiGLUPacked", "SwiGLU", "GluMlp", "Mlp")
"""Kinds of ``mlp_layer`` that a recipe may name; timm takes the class."""
_CLS, _MEAN = "cls", "mean"


class PooledTokens(nn.Module):
    """A transformer of timm's kind, whose tokens are pooled to the tile's feature.

    Parameters
    ----------
    network : nn.Module
        With ``forward_features``, which gives tokens, (n, prefix + patches, width), and
        ``num_prefix_tokens``.
    pooling : "cls", "mean" or "cls+mean"
    """

    def __init__(self, network: nn.Module, pooling: str) -> None:
        super().__init__()
        self.network, self.parts = network, pooling.split("+")
        self.n_prefix: int = network.num_prefix_tokens  # type: ignore[assignment]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the features, (n, channels), of normalised pixels, (n, 3, side, side)."""
        tokens = cast("torch.Tensor", self.network.forward_features(pixels))  # type: ignore[operator]
        pooled = {_CLS: lambda: tokens[:, 0], _MEAN: lambda: tokens[:, self.n_prefix :].mean(1)}
        return torch.cat([pooled[part]() for part in self.parts], dim=1)


def network_of(recipe: Recipe, device: str = "meta") -> nn.Module:
    """Return a recipe's network to features, in evaluation mode, with weights of no meaning.

    Raises
    ------
    ExtractorError
        If the recipe's architecture cannot be had.
    """
    with torch.device(device):
        network = _timms(recipe) if recipe.network.timm else _own(recipe)
    if recipe.network.pooling != "own":
        if getattr(network, "num_prefix_tokens", None) is None:
            raise ExtractorError(
                f"the recipe {recipe.name} pools tokens, which its network has not; leave out "
                "pooling"
            )
        network = PooledTokens(network, recipe.network.pooling)
    return network.eval()


def inner(network: nn.Module) -> nn.Module:
    """Return the network that the weights' file is of."""
    return network.network if isinstance(network, PooledTokens) else network


def lacks_buffers(network: nn.Module) -> bool:
    """Return whether a network has tables that no file holds, as windows' index of positions."""
    state = network.state_dict()
    return any(name not in state for name, _ in network.named_buffers())


def _own(recipe: Recipe) -> nn.Module:
    """Return a network of this package, which is made of timm's layers."""
    require_timm(recipe.name)
    module, function = recipe.network.own.split(":")
    return getattr(importlib.import_module(module), function)(**recipe.network.arguments)


def _timms(recipe: Recipe) -> nn.Module:
    """Return a network of timm, without a classifier."""
    timm = require_timm(recipe.name)
    name = recipe.network.timm
    if not timm.is_model(name):
        raise ExtractorError(
            f"the recipe {recipe.name} names {name!r}, which timm {timm.__version__} has not"
        )
    try:
        return timm.create_model(
            name, pretrained=False, num_classes=0, **_arguments(recipe, recipe.network.arguments)
        )
    except (TypeError, ValueError, RuntimeError, AssertionError, LookupError) as error:
        raise ExtractorError(
            f"the recipe {recipe.name} gives arguments that {name} cannot take ({error})"
        ) from error


def _arguments(recipe: Recipe, given: Any) -> dict[str, Any]:
    """Return arguments for timm, with classes for their names.

    Raises
    ------
    ExtractorError
        If one is none of those that recipes may give.
    """
    arguments = dict(given)
    for name, value in arguments.items():
        if name not in TIMM_ARGUMENTS:
            raise ExtractorError(
                f"the recipe {recipe.name} gives {name}, which is none of "
                f"{', '.join(sorted(TIMM_ARGUMENTS))}"
            )
        most = _LARGEST.get(name, _LARGEST_NUMBER)
        if not isinstance(value, str) and not 0 <= value <= most:
            raise ExtractorError(f"the recipe {recipe.name}: {name} is {value}, not 0 to {most}")
    if "mlp_layer" in arguments:
        layer = arguments["mlp_layer"]
        if layer not in _LAYERS:
            raise ExtractorError(
                f"the recipe {recipe.name}: mlp_layer is {layer!r}, none of {', '.join(_LAYERS)}"
            )
        arguments["mlp_layer"] = getattr(importlib.import_module("timm.layers"), layer)
    return arguments


def require_timm(name: str) -> Any:
    """Return timm.

    Raises
    ------
    ExtractorError
        If it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ExtractorError(
            f"the extractor {name} needs timm: pip install 'heatmaps-ome[encoders]'"
        ) from error
