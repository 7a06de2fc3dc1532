"""Readers of the tables of tiles that other tools leave: features and scores with their places."""

from heatmaps_ome.features.files.bags import read_bag
from heatmaps_ome.features.files.finding import find_tiles_of
from heatmaps_ome.features.files.on_slide import check_on_slide, tissue_share
from heatmaps_ome.features.files.scores import read_scores
from heatmaps_ome.features.slide_facts import SlideFacts, facts_of

__all__ = [
    "SlideFacts",
    "check_on_slide",
    "facts_of",
    "find_tiles_of",
    "read_bag",
    "read_scores",
    "tissue_share",
]
