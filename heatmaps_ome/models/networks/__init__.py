"""The networks that are no chain of encoder, attention and head; one module each.

A new network is a module with a class of `network.Network`'s kind, and a row.
"""

from typing import Final

REGISTRY: Final[dict[str, str]] = {
    "class-attention": "heatmaps_ome.models.networks.class_attention:ClassAttention",
    "dsmil": "heatmaps_ome.models.networks.dsmil:Dsmil",
    "millab-dsmil": "heatmaps_ome.models.networks.dsmil:MilLabDsmil",
    "torchmil-dsmil": "heatmaps_ome.models.networks.dsmil:TorchmilDsmil",
    "quantile-gate": "heatmaps_ome.models.networks.quantile_gate:QuantileGate",
    "stamp-linear": "heatmaps_ome.models.networks.mean_pool:MeanPoolLinear",
    "stamp-mlp": "heatmaps_ome.models.networks.mean_pool:MeanPoolMlp",
}
"""Architecture → ``module:Class``."""
