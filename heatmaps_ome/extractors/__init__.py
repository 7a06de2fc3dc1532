"""Patch encoders, and the registry that finds them by name."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.recipe import USUAL_PX

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.extractors.recipe import Recipe

REGISTRY: Final = {
    "tiny": "heatmaps_ome.extractors.tiny_dense:load",
}
"""Name of an encoder that is no recipe → ``module:function`` that loads it, called with (weights,
device, precision). All others are recipes, files in the folder ``recipes``."""

TIMM: Final = "timm:"
"""Beginning of the names of encoders that timm describes whole."""


def extractor_names() -> tuple[str, ...]:
    """Return the names of all encoders in the package."""
    from heatmaps_ome.extractors.recipe_files import packaged_names

    return (*packaged_names(), *REGISTRY)


def load_extractor(
    name: str, weights: Path | None, device: str, precision: str, *, download: bool = False
) -> TileEncoder:
    """Return the extractor of that name with its weights on a device.

    Parameters
    ----------
    name : str
        That of a recipe or of the registry, ``timm:NAME``, or the path of a recipe's file.
    precision : "auto", "float32" or "bfloat16"
        "auto": whichever the device computes faster.
    download : bool
        Whether weights that no cache has are fetched from their hub.

    Raises
    ------
    ExtractorError
        If there is no such extractor, or its weights are missing or do not fit.
    """
    recipe = None if name in REGISTRY else find_recipe(name)
    # torch takes seconds to import, and reading the registry does not need it.
    from heatmaps_ome.extractors.precision import resolved

    precision = resolved(precision, device)
    if recipe is not None:
        from heatmaps_ome.extractors import from_recipe

        return from_recipe.load(recipe, weights, device, precision, download=download)
    module, function = REGISTRY[name].split(":")
    load = getattr(importlib.import_module(module), function)
    return load(weights, device, precision)


def usual_tile_px(name: str) -> int:
    """Return the side of the tiles that an encoder was made for; 224 where only it knows."""
    if name in REGISTRY:
        return USUAL_PX
    try:
        return find_recipe(name).tile_px
    except ExtractorError:
        # Loading it reports the reason.
        return USUAL_PX


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name, of ``timm:NAME``, or in a file.

    Raises
    ------
    ExtractorError
        If there is none.
    """
    from heatmaps_ome.extractors.recipe_files import (
        SUFFIX,
        packaged_names,
        packaged_recipe,
        read_recipe,
    )

    if name in packaged_names():
        return packaged_recipe(name)
    if name.startswith(TIMM):
        from heatmaps_ome.extractors.timm_recipes import timm_recipe

        return timm_recipe(name)
    if name.endswith(SUFFIX):
        return read_recipe(Path(name))
    names = extractor_names()
    close = difflib.get_close_matches(name.casefold(), names, 1)
    hint = (
        f"did you mean {close[0]}? heatmaps-ome extractors lists them all"
        if close
        else (f"choose from {', '.join(names)}, timm:NAME or the file of a recipe (.toml)")
    )
    raise ExtractorError(f"--extractor: there is no extractor {name!r}; {hint}")
