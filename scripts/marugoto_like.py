"""Stand-ins for marugoto's classes: exports get its class paths without marugoto.

fastai's export stores classes by module and name. `installed` makes the classes below importable
as ``marugoto.data`` and ``marugoto.mil.*`` within a block: to train and export, or to read such an
export back with fastai's `load_learner`.

They compute the same as marugoto's (https://github.com/KatherLab/marugoto, marugoto/mil/model.py
and marugoto/mil/data.py) but are written anew; bags are looked up by name in `FEATURES`, so that an
export holds no path.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FEATURES: dict[str, torch.Tensor] = {}
"""The bags' features by name, (instances, channels) float32."""


def attention_branch(n_in: int) -> nn.Sequential:
    """Return the network from an embedding to its attention logit."""
    n_latent = (n_in + 1) // 2
    return nn.Sequential(nn.Linear(n_in, n_latent), nn.Tanh(), nn.Linear(n_latent, 1))


class MILModel(nn.Module):
    """Attention MIL: encode instances, average them by attention, classify the average."""

    def __init__(self, n_feats: int, n_out: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_feats, 256), nn.ReLU())
        self.attention = attention_branch(256)
        self.head = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(256), nn.Dropout(), nn.Linear(256, n_out)
        )

    def forward(self, bags: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
        """Return class logits, (bags, classes), of padded bags (bags, instances, channels)."""
        embeddings = self.encoder(bags)
        logits = self.attention(embeddings).squeeze(-1)
        is_padding = torch.arange(bags.shape[1], device=bags.device) >= lens[:, None]
        weights = torch.softmax(logits.masked_fill(is_padding, -1e10), dim=1)
        return self.head((weights[..., None] * embeddings).sum(dim=1))


class MapDataset(Dataset):
    """A dataset whose items are a function of the items of other datasets of equal length."""

    def __init__(self, func: Callable[..., Any], *datasets: Any) -> None:
        self._len = min(len(dataset) for dataset in datasets)
        self._datasets = datasets
        self.func = func

    def __len__(self) -> int:
        return self._len

    def __getitem__(self, index: int) -> Any:
        return self.func(*(dataset[index] for dataset in self._datasets))

    def new_empty(self) -> MapDataset:
        """Return the dataset itself: fastai exports it, and it holds the classes."""
        return self


class EncodedDataset(MapDataset):
    """Targets, each turned into a (1, classes) float32 tensor by an sklearn encoder."""

    def __init__(self, encode: Any, values: np.ndarray) -> None:
        super().__init__(self._unsqueeze_to_float32, values)
        self.encode = encode

    def _unsqueeze_to_float32(self, value: Any) -> torch.Tensor:
        encoded = self.encode.transform(np.array(value).reshape(1, -1))
        return torch.tensor(encoded, dtype=torch.float32)


@dataclass
class BagDataset(Dataset):
    """Bags of instances; each bag is a list of names in `FEATURES`.

    A bag is cut to ``bag_size`` random instances or padded with zeros to it; None takes all.
    """

    bags: Any
    bag_size: int | None = None

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        features = torch.cat([FEATURES[name] for name in self.bags[index]])
        if self.bag_size is None:
            return features, len(features)
        chosen = features[torch.randperm(len(features))[: self.bag_size]]
        padding = chosen.new_zeros(self.bag_size - len(chosen), chosen.shape[1])
        return torch.cat([chosen, padding]), len(chosen)


def zip_bag_targ(
    bag: tuple[torch.Tensor, int], target: torch.Tensor
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Return features, number of instances and target as one flat item."""
    return (*bag, target.squeeze())


_MODULES: dict[str, tuple[Any, ...]] = {
    "marugoto": (),
    "marugoto.data": (MapDataset, EncodedDataset),
    "marugoto.mil": (),
    "marugoto.mil.model": (MILModel,),
    "marugoto.mil.data": (BagDataset, zip_bag_targ),
}


@contextmanager
def installed() -> Iterator[None]:
    """Make the stand-ins importable as marugoto's modules within the block.

    An installed marugoto is set aside for the block and put back afterwards.
    """
    before = {name: sys.modules.get(name) for name in _MODULES}
    for name, members in _MODULES.items():
        module = ModuleType(name)
        for member in members:
            member.__module__ = name
            setattr(module, member.__name__, member)
        sys.modules[name] = module
    try:
        yield
    finally:
        for members in _MODULES.values():
            for member in members:
                member.__module__ = __name__
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
