"""Recipes of any model of timm, by what timm itself states of it: ``timm:NAME``."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.networks.building import require_timm
from heatmaps_ome.extractors.recipe import (
    INTERPOLATIONS,
    NetworkRecipe,
    Recipe,
    Transform,
    WeightsRecipe,
)

if TYPE_CHECKING:
    from torch import nn

PREFIX: Final = "timm:"
_LAYOUTS: Final = (
    "plain", "dinov2-registers", "dinov2", "transformers-registers", "transformers", "swin",
)  # fmt: skip
"""Names by which the same networks are published elsewhere."""


def timm_recipe(name: str) -> Recipe:
    """Return the recipe of a model of timm, with the transform of its own evaluation.

    Raises
    ------
    ExtractorError
        If timm is missing, or has no such model, or one that takes no tiles.
    """
    timm = require_timm(name)
    model = name.removeprefix(PREFIX)
    # A name with a place, such as hf-hub:OWNER/NAME, would be fetched.
    if not model.replace("_", "").replace(".", "").isalnum() or not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), 1)
        hint = f"; did you mean timm:{close[0]}?" if close else ""
        raise ExtractorError(f"--extractor: timm {timm.__version__} has no model {model!r}{hint}")
    import torch

    with torch.device("meta"):
        network = timm.create_model(model, pretrained=False, num_classes=0)
    facts = timm.data.resolve_data_config({}, model=network)
    classifier = network.pretrained_cfg.get("classifier") or ()
    hub = network.pretrained_cfg.get("hf_hub_id") or ""
    return Recipe(
        name=name,
        title=f"timm's {model}",
        channels=_channels(network, facts["input_size"]),
        network=NetworkRecipe(timm=model),
        transform=_transform(name, facts),
        weights=WeightsRecipe(
            hub=hub if hub.count("/") == 1 else "",
            files=("model.safetensors", "pytorch_model.bin") if hub else (),
            layouts=_LAYOUTS,
            unused=tuple(
                f"{part}." for part in ([classifier] if isinstance(classifier, str) else classifier)
            ),
        ),
        tile_px=facts["input_size"][1],
        licence=network.pretrained_cfg.get("license") or "",
        paper=network.pretrained_cfg.get("paper_ids") or "",
    )


def _channels(network: nn.Module, size: tuple[int, int, int]) -> int:
    """Return the length of a network's features, which is on the device "meta"."""
    import torch

    return network.eval()(torch.empty(1, *size, device="meta")).shape[-1]


def _transform(name: str, facts: dict[str, Any]) -> Transform:
    """Return the transform that timm evaluates a model with."""
    channels, height, width = facts["input_size"]
    if channels != 3 or height != width:
        raise ExtractorError(
            f"--extractor: {name} takes pictures of {channels} × {height} × {width}, no square "
            "tiles of RGB"
        )
    if facts["interpolation"] not in INTERPOLATIONS or facts["crop_mode"] == "border":
        raise ExtractorError(
            f"--extractor: {name} was evaluated with {facts['interpolation']} interpolation and "
            f"{facts['crop_mode']} crops, which are not supported; give a recipe's file"
        )
    resized = math.floor(height / facts["crop_pct"])
    return Transform(
        resize_px=resized,
        crop_px=height if resized != height else 0,
        interpolation=facts["interpolation"],
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
    )
