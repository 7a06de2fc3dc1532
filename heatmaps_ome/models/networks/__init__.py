"""The networks that are no chain of encoder, attention and head; one module each.

A new network is a module with a class of `network.Network`'s kind, and a row.
"""

from typing import Final

REGISTRY: Final[dict[str, str]] = {
    "stamp-linear": "heatmaps_ome.models.networks.mean_pool:MeanPoolLinear",
    "stamp-mlp": "heatmaps_ome.models.networks.mean_pool:MeanPoolMlp",
}
"""Architecture → ``module:Class``."""
