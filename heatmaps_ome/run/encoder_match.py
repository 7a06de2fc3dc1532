"""Whether an encoder gives the features that models were trained on, by their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import OptionError
from heatmaps_ome.extractors.recipe_files import encoders_with

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.models.model_set import ModelSet


def require_match(models: ModelSet, encoder: TileEncoder) -> None:
    """Refuse models trained on features of another length; all models share one length.

    Raises
    ------
    OptionError
        With the encoders whose features have the models' length.
    """
    n_features = models.first.n_features
    if n_features != encoder.channels:
        raise OptionError(
            f"{models.paths[0].name} was trained on {n_features} features per tile, but "
            f"the extractor {encoder.name} gives {encoder.channels}; choose the model's own "
            f"with --extractor{_candidates(n_features)}"
        )


def _candidates(n_features: int) -> str:
    """Return the end of a sentence that names the encoders of a length of features."""
    names = encoders_with(n_features)
    return f" ({n_features}: {', '.join(names)})" if names else ""
