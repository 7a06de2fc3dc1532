"""The command ``extractors``: the encoders, their sources, and what they lack on this machine."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.cli.layout import page_for, table, wrapped
from heatmaps_ome.errors import OptionError
from heatmaps_ome.extractors import REGISTRY, find_recipe
from heatmaps_ome.extractors.recipe_files import packaged_names
from heatmaps_ome.extractors.weights_places import cached_weights, where_from
from heatmaps_ome.options import ExtractorsOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.extractors.recipe import Recipe

DESCRIPTION = (
    "List the encoders that create and extract know by name, and what each lacks on this machine. "
    "timm:NAME is any model of timm, and a file NAME.toml is a recipe of your own."
)
_HEAD: Final = ("name", "features", "tile", "applied", "licence", "lacks")
_NUMBERS: Final = (1, 2)
_TIMM: Final = "timm"


def extractors(words: Sequence[str]) -> int:
    """Run ``extractors``."""
    parser = OptionsParser(ExtractorsOptions, "heatmaps-ome extractors", DESCRIPTION)
    options = parser.parse_args(words)
    for name in set(options.extractors) & set(REGISTRY):
        raise OptionError(f"{name} is no recipe: it has its weights in the package")
    recipes = [find_recipe(name) for name in options.extractors or packaged_names()]
    if options.json:
        sys.stdout.write(json.dumps([_facts(recipe) for recipe in recipes], indent=2) + "\n")
    elif options.extractors:
        sys.stdout.write("\n\n".join(map(_description, recipes)) + "\n")
    else:
        sys.stdout.write(_listing(recipes))
    return 0


def _listing(recipes: Sequence[Recipe]) -> str:
    """Return a table of encoders, and what its words mean."""
    page = page_for(sys.stdout, verbose=True)
    lines = table([_HEAD, *map(_row, recipes)], page.width, _NUMBERS)
    meanings = (
        "applied dense: to whole regions, with a value for each 32 network pixels; tiles: to one "
        "tile after the other.",
        "Weights are given with --extractor-weights, taken from the local cache of their hub, or "
        "fetched with --download. heatmaps-ome extractors NAME has their source.",
        f"Without weights: {', '.join(REGISTRY)}.",
    )
    notes = [line for text in meanings for line in wrapped(text, page.width)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _row(recipe: Recipe) -> tuple[str, ...]:
    """Return an encoder's row of the table."""
    facts = _facts(recipe)
    return (
        recipe.name, str(recipe.channels), f"{recipe.tile_px} px", facts["applied"],
        recipe.licence or "not known", ", ".join(facts["lacks"]) or "nothing",
    )  # fmt: skip


def _description(recipe: Recipe) -> str:
    """Return an encoder's facts in lines."""
    facts = _facts(recipe)
    texts = {
        "features": str(recipe.channels),
        "tile": _tile_text(recipe),
        "applied": facts["applied"],
        "network": facts["network"],
        "parameters": f"{recipe.network.parameters:,}" if recipe.network.parameters else "",
        "number type of its authors": recipe.trained_in,
        "licence": recipe.licence or "not known",
        "access": "its authors are asked for it" if recipe.weights.gated else "open",
        "weights": " or ".join(recipe.weights.files),
        "source": facts["source"],
        "sha256": ", ".join(recipe.weights.sha256),
        "paper": recipe.paper,
        "on this machine": facts["cached"] or "no weights in the caches of hubs",
        "lacks": ", ".join(facts["lacks"]) or "nothing",
        "use": facts["use"],
        "weights are had": where_from(recipe),
    }
    width = max(map(len, texts))
    lines = [f"  {name:{width}}  {text}" for name, text in texts.items() if text]
    return "\n".join([f"{recipe.name}: {recipe.title}", *lines])


def _tile_text(recipe: Recipe) -> str:
    """Return what becomes of a tile before the network."""
    transform = recipe.transform
    if recipe.is_dense:
        return f"{recipe.tile_px} px, or any multiple of 32 px"
    crop = f", of which the middle {transform.crop_px} px" if transform.crop_px else ""
    return (
        f"{recipe.tile_px} px; any is resized to {transform.resize_px} px "
        f"({transform.interpolation}){crop}"
    )


def _facts(recipe: Recipe) -> dict[str, Any]:
    """Return what is known of an encoder, as JSON has it."""
    weights, network = recipe.weights, recipe.network
    cached = cached_weights(recipe)
    lacks = [] if recipe.is_dense or find_spec(_TIMM) else [_TIMM]
    lacks += [] if cached else ["weights (gated)" if weights.gated else "weights"]
    return {
        "name": recipe.name,
        "title": recipe.title,
        "features": recipe.channels,
        "tile_px": recipe.tile_px,
        "applied": "dense" if recipe.is_dense else "tiles",
        "network": f"timm's {network.timm}" if network.timm else network.own or network.dense,
        "pooling": "mean of the last map" if recipe.is_dense else network.pooling,
        "parameters": network.parameters,
        "trained_in": recipe.trained_in,
        "licence": recipe.licence,
        "gated": weights.gated,
        "paper": recipe.paper,
        "source": (f"https://huggingface.co/{weights.hub}" if weights.hub else weights.page)
        or weights.url,
        "files": list(weights.files),
        "sha256": list(weights.sha256),
        "cached": None if cached is None else str(cached),
        "lacks": lacks,
        "use": f"--extractor {recipe.name}"
        + ("" if cached else f" --extractor-weights {next(iter(weights.files), 'FILE')}"),
    }
