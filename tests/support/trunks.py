"""Real trunks in their authors' own words, with weights of a seed or of the package."""

from functools import cache

import timm
from make_test_weights import seeded_resnet50
from torch import nn

from heatmaps_ome.extractors.tiny import tiny_trunk

_seeded = cache(lambda: seeded_resnet50(0))


class Resnet(nn.Module):
    """ResNet-50 up to its last map, in timm's own words."""

    def __init__(self):
        super().__init__()
        self.resnet = timm.create_model("resnet50", num_classes=0)
        self.resnet.load_state_dict(_seeded())

    def forward(self, images):
        return self.resnet.forward_features(images)


TRUNKS = {"retccl": Resnet, "tiny": tiny_trunk}
"""Extractor's name → what builds its trunk."""
