"""The networks that are no chain of encoder, attention and head; one module each.

A new network is a module with a class of `network.Network`'s kind, and a row.
"""

from typing import Final

REGISTRY: Final[dict[str, str]] = {
    "marugoto-vit": "heatmaps_ome.models.networks.class_token:MarugotoVit",
    "millab-transformer": "heatmaps_ome.models.networks.class_token:MilLabTransformer",
    "millab-transmil": "heatmaps_ome.models.networks.trans_mil:MilLabTransMil",
    "stamp-barspoon": "heatmaps_ome.models.networks.barspoon:Barspoon",
    "stamp-linear": "heatmaps_ome.models.networks.mean_pool:MeanPoolLinear",
    "stamp-mlp": "heatmaps_ome.models.networks.mean_pool:MeanPoolMlp",
    "stamp-trans_mil": "heatmaps_ome.models.networks.trans_mil:StampTransMil",
    "stamp-vit": "heatmaps_ome.models.networks.stamp_vit:StampVit",
    "stamp-vit-alibi": "heatmaps_ome.models.networks.stamp_vit:StampAlibiVit",
}
"""Architecture → ``module:Class``."""
