"""The networks that are no chain of encoder, attention and head; one module each.

A new network is a module with a class of `network.Network`'s kind, and a row.
"""

from typing import Final

REGISTRY: Final[dict[str, str]] = {
    "class-attention": "heatmaps_ome.models.networks.class_attention:ClassAttention",
    "dsmil": "heatmaps_ome.models.networks.dsmil:Dsmil",
    "marugoto-vit": "heatmaps_ome.models.networks.class_token:MarugotoVit",
    "millab-dsmil": "heatmaps_ome.models.networks.dsmil:MilLabDsmil",
    "millab-transformer": "heatmaps_ome.models.networks.class_token:MilLabTransformer",
    "millab-transmil": "heatmaps_ome.models.networks.trans_mil:MilLabTransMil",
    "quantile-gate": "heatmaps_ome.models.networks.quantile_gate:QuantileGate",
    "stamp-barspoon": "heatmaps_ome.models.networks.barspoon:Barspoon",
    "stamp-linear": "heatmaps_ome.models.networks.mean_pool:MeanPoolLinear",
    "stamp-mlp": "heatmaps_ome.models.networks.mean_pool:MeanPoolMlp",
    "stamp-trans_mil": "heatmaps_ome.models.networks.trans_mil:StampTransMil",
    "stamp-vit": "heatmaps_ome.models.networks.stamp_vit:StampVit",
    "stamp-vit-alibi": "heatmaps_ome.models.networks.stamp_vit:StampAlibiVit",
    "torchmil-dsmil": "heatmaps_ome.models.networks.dsmil:TorchmilDsmil",
}
"""Architecture → ``module:Class``."""
