"""The dense trunks that recipes name: networks whose last map, averaged, is a tile's feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.resnet50 import ResNet50

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from heatmaps_ome.extractors.recipe import Recipe


@dataclass(frozen=True)
class Trunk:
    """A dense trunk, and what a run needs to know of it.

    Attributes
    ----------
    build : callable
        Makes the network with weights of no meaning.
    float32_bytes_per_px : int
        Peak memory of a pass in float32, per network pixel; measured on a CPU.
    stride_px, halo_px : int
    centre_px : float
        As those of `DenseExtractor`.
    """

    build: Callable[[], nn.Module]
    float32_bytes_per_px: int
    stride_px: int = 32
    halo_px: int = 224
    centre_px: float = 0.5


TRUNKS: Final = {
    "resnet50": Trunk(ResNet50, 240),
    # A cell is the mean of 2 × 2 of the third stage's, which lie 16 px apart.
    "resnet50-trunc": Trunk(lambda: ResNet50(n_stages=3), 240, halo_px=160, centre_px=8.5),
}
"""Name in recipes → trunk."""


def trunk_of(recipe: Recipe) -> Trunk:
    """Return the trunk that a recipe names.

    Raises
    ------
    ExtractorError
        If there is none of that name.
    """
    name = recipe.network.dense
    if name not in TRUNKS:
        raise ExtractorError(
            f"the recipe {recipe.name} names the dense network {name!r}; there are "
            f"{', '.join(TRUNKS)}"
        )
    return TRUNKS[name]
