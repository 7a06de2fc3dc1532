"""Patch encoders as dense feature maps, and the registry that finds them by name."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import ExtractorError

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor

REGISTRY: Final = {
    "retccl": "heatmaps_ome.extractors.retccl:load",
    "tiny": "heatmaps_ome.extractors.tiny_dense:load",
}
"""Extractor name → ``module:function`` that loads it, called with (weights, device, precision)."""


def load_extractor(name: str, weights: Path | None, device: str, precision: str) -> Extractor:
    """Return the extractor of that name with its weights on a device.

    Parameters
    ----------
    precision : "auto", "float32" or "bfloat16"
        "auto": whichever the device computes faster.

    Raises
    ------
    ExtractorError
        If there is no such extractor, or its weights are missing or do not fit.
    """
    if name not in REGISTRY:
        close = difflib.get_close_matches(name.casefold(), REGISTRY, 1)
        hint = f"did you mean {close[0]}? It takes" if close else "choose from"
        raise ExtractorError(
            f"--extractor: there is no extractor {name!r}; {hint} {', '.join(REGISTRY)}"
        )
    # torch takes seconds to import, and reading the registry does not need it.
    from heatmaps_ome.extractors.precision import resolved

    module, function = REGISTRY[name].split(":")
    load = getattr(importlib.import_module(module), function)
    return load(weights, device, resolved(precision, device))
