"""The content of a model file whose network is no chain of encoder, attention and head."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored import digest_of, require_features

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from heatmaps_ome.models.target import Target

MOST_TENSORS = 4096


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A trained network of one of the known architectures as plain values.

    Attributes
    ----------
    architecture : str
        Key in `networks.REGISTRY`: "stamp-vit".
    arguments : mapping of str → number, text or bool
        All that the network is built from but its tensors: numbers of heads and layers, …
    tensors : mapping of str → float32 array
        By the names of our own module's state dict.
    target : Target
    n_features : int
        Features of a tile.
    notes : tuple of str
        Sentences for people on all that the file lacks and that is taken from elsewhere.

    Raises
    ------
    Unusable
        If tensors are too many, or hold values that are no finite numbers.
    """

    architecture: str
    arguments: Mapping[str, float | int | str | bool]
    tensors: Mapping[str, np.ndarray[Any, Any]] = field(repr=False)
    target: Target
    n_features: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tensors) > MOST_TENSORS:
            raise Unusable(f"has {len(self.tensors)} tensors, too many for a model of bags")
        for name, tensor in self.tensors.items():
            if not np.isfinite(tensor).all():
                raise Unusable(f"has a tensor {name} with values that are not finite numbers")
        require_features(self.n_features)

    @cached_property
    def digest(self) -> str:
        """The sha256, in hex, of all that results depend on."""
        specs = {"architecture": self.architecture, "arguments": dict(self.arguments)}
        return digest_of(specs, dict(self.tensors), self.target.record())
