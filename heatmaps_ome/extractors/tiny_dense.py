"""The demo's extractor: a small trunk with trained weights in the package."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.extractors.tiny import (
    CHANNELS,
    HALO_PX,
    STRIDE_PX,
    WEIGHTS_NAME,
    tiny_trunk,
)

if TYPE_CHECKING:
    from pathlib import Path


def load(weights: Path | None, device: str, precision: str) -> DenseExtractor:
    """Return the demo's extractor with its packaged weights.

    Raises
    ------
    ExtractorError
        If other weights are given: only the packaged ones fit.
    """
    if weights is not None:
        raise ExtractorError(
            f"the extractor tiny brings its own weights and cannot take {weights}; leave out "
            "--extractor-weights"
        )
    packaged = resources.files("heatmaps_ome") / "demo" / "data" / WEIGHTS_NAME
    return DenseExtractor(
        name="tiny",
        build=tiny_trunk,
        device=device,
        precision=precision,
        weights_digest=hashlib.sha256(packaged.read_bytes()).hexdigest(),
        channels=CHANNELS,
        float32_bytes_per_px=44,
        stride_px=STRIDE_PX,
        halo_px=HALO_PX,
    )
