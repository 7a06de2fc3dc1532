"""The dialects of checkpoints: which keys and shapes are whose, and the model that they hold.

A new dialect is a module with the two functions of `dialect.DialectModule`, and a row.
"""

from typing import Final

from heatmaps_ome.models.dialects.dialect import Dialect

REGISTRY: Final[dict[str, Dialect]] = {
    "chief": Dialect("CHIEF", "heatmaps_ome.models.dialects.chief"),
    "clam": Dialect("CLAM", "heatmaps_ome.models.dialects.clam"),
    "dsmil": Dialect("DSMIL", "heatmaps_ome.models.dialects.dsmil"),
    "histobistro": Dialect("HistoBistro AttentionMIL", "heatmaps_ome.models.dialects.histobistro"),
    "marugoto": Dialect(
        "marugoto attention MIL",
        "heatmaps_ome.models.dialects.marugoto",
        needs="with --task for a single output",
    ),
    "millab-abmil": Dialect("MIL-Lab ABMIL", "heatmaps_ome.models.dialects.millab_abmil"),
    "millab-dsmil": Dialect("MIL-Lab DSMIL", "heatmaps_ome.models.dialects.millab_dsmil"),
    "slideflow": Dialect(
        "slideflow attention MIL",
        "heatmaps_ome.models.dialects.slideflow",
        sidecar="mil_params.json",
        facts=("gate", "temperature"),
        tasks=("classification", "regression"),
        needs="with --attention-gate and --temperature, which are 0 and 1 unless the training set "
        "them, or with its mil_params.json beside",
    ),
    "millab-transformers": Dialect(
        "MIL-Lab transformer", "heatmaps_ome.models.dialects.millab_transformers"
    ),
    "stamp": Dialect("STAMP", "heatmaps_ome.models.dialects.stamp"),
    "stamp-v1": Dialect("STAMP 1 or marugoto ViT", "heatmaps_ome.models.dialects.stamp_v1"),
    "torchmil-abmil": Dialect("torchmil ABMIL", "heatmaps_ome.models.dialects.torchmil_abmil"),
    "torchmil-dsmil": Dialect("torchmil DSMIL", "heatmaps_ome.models.dialects.torchmil_dsmil"),
    "trident": Dialect("TRIDENT ABMIL", "heatmaps_ome.models.dialects.trident"),
    "xmil": Dialect("xMIL attention MIL", "heatmaps_ome.models.dialects.xmil"),
}
"""Name, as --family takes it → dialect."""
