"""Options that have no effect with the models or on the device of a run, which is reported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.extractors.precision import resolved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from heatmaps_ome.models.model_set import ModelSet
    from heatmaps_ome.run.settings import RunSettings

logger = logging.getLogger(__name__)


def warn_of_idle_encoder_options(settings: RunSettings) -> None:
    """Log a warning for each option of the encoder, which given features need not."""
    for flag in settings.sourced.slide:
        logger.warning("%s has no effect: the features are given, and no encoder runs", flag)


def warn_of_idle_colours(settings: RunSettings, kinds: Collection[str]) -> None:
    """Log a warning for each option on the look of a kind that none of the given maps is of.

    Parameters
    ----------
    kinds : collection of str
        The kinds of the given maps.
    """
    style, usual, asked = settings.drawing.look.style, Style(), settings.drawing.asked
    given = {
        "--att-cmap": ("attention", style.attention_map != usual.attention_map),
        "--att-alpha": ("attention", style.attention_alpha != usual.attention_alpha),
        "--att-lower-threshold": ("attention", "attention_lower" in asked),
        "--att-upper-threshold": ("attention", "attention_upper" in asked),
        "--contribution-cmap": ("contribution", style.contribution_map != usual.contribution_map),
    }
    for flag, (kind, is_given) in given.items():
        if is_given and kind not in kinds:
            logger.warning("%s has no effect: none of the maps is of the kind %s", flag, kind)


def warn_of_idle_options(
    settings: RunSettings, models: ModelSet, device: str, *, has_cells: bool = True
) -> None:
    """Log a warning for each of them; options that are idle beside others warn by themselves.

    Parameters
    ----------
    has_cells : bool
        Whether maps have a value for each cell of a slide; else for each of its tiles.
    """
    by_unit = _idle_by_unit(settings, has_cells=has_cells)
    for sentence in (*by_unit, *_idle_options(settings, models, device)):
        logger.warning("%s", sentence)


def _idle_by_unit(settings: RunSettings, *, has_cells: bool) -> Iterator[str]:
    sourced = settings.sourced
    for flag in sourced.features:
        if flag != "--explain":
            yield f"{flag} has no effect without --features: the maps are made of the slide itself"
        elif has_cells:
            yield (
                "--explain has no effect: maps of cells have exact contributions; add --tile-px "
                "224 for maps of tiles"
            )
    for flag in () if has_cells else sourced.cells:
        yield f"{flag} has no effect: each tile goes through the encoder alone"


def _idle_options(settings: RunSettings, models: ModelSet, device: str) -> Iterator[str]:
    style = settings.drawing.look.style
    if style.contribution_map != Style().contribution_map and all(
        model.additivity == "none" for model in models.models
    ):
        yield (
            "--contribution-cmap has no effect: the head of the model is not affine, so its maps "
            "have no contributions"
        )
    if settings.encoder.precision == "bfloat16" and resolved("auto", device) == "float32":
        yield f"--precision bfloat16 is slower than float32 on {device}, and no more exact"
    if device.startswith("cuda") and settings.resources.max_memory is not None:
        yield "--max-memory has no effect on the network's blocks, which the GPU holds"
