"""DSMIL and its variants: tiles weigh by their likeness to the critical instance of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from heatmaps_ome.models.networks.network import (
    Network,
    in_row_blocks,
    require_sizes,
    row_blocks,
)
from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.protocol import Additivity

_FLOATS_AT_ONCE = 1 << 24


class Dsmil(Network):
    """Dual-stream MIL (Li et al. 2021, arXiv:2011.08939).

    With h the embeddings, c(h) the logits of instances and m_k the instance with the largest
    logit of class k, the weights are A_k = softmaxᵢ(q(hᵢ) · q(h_{m_k}) / √Q), the pooled values
    B_k = Σᵢ A_ik v(hᵢ), the bag's logits those of a convolution over all B, and the prediction
    (c(h_{m_k})_k + bag_k) / 2. In the original, h are the features; q is a layer, or two with a
    ReLU between and a tanh at the end (a deep query); and v is the identity, or a layer that is
    rectified (a ReLU) or not.

    Attributes
    ----------
    averaged : bool
        Whether the prediction is the mean of both streams, and not the bag's alone.
    normed : bool
        Whether B is normalised (LayerNorm).
    """

    family = "DSMIL"
    additivity: Additivity = "given a choice"
    averaged: ClassVar[bool] = True
    normed: ClassVar[bool] = False

    def __init__(
        self,
        n_features: int,
        n_layers: int,
        n_embedding: int,
        n_query: int,
        n_classes: int,
        *,
        deep_query: bool,
        value: str,
    ) -> None:
        super().__init__()
        require_sizes(widths=(n_features, n_embedding, n_query, n_classes), layers=(n_layers + 1,))
        widths = [n_features, *[n_embedding] * n_layers]
        self.encoder = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        sizes = [n_embedding, *[n_query] * (2 if deep_query else 1)]
        self.query = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        if value not in ("none", "linear", "rectified"):
            raise Unusable("has a value layer of a kind that is not known")
        self.value = nn.Identity() if value == "none" else nn.Linear(n_embedding, n_embedding)
        self.rectified = value == "rectified"
        self.norm = nn.LayerNorm(n_embedding) if self.normed else nn.Identity()
        self.instance = nn.Linear(n_embedding, n_classes)
        self.bag = nn.Conv1d(n_classes, n_classes, n_embedding)

    def forward(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags, (bags, C); see Network."""
        del um_places
        embeddings = self._embed(features)  # (bags, n, E)
        instances, weights = self._streams(embeddings)  # (bags, n, C) each
        bag = self.bag(self.norm(self._pooled(embeddings, weights)))[..., 0]  # (bags, C)
        return (instances.amax(dim=1) + bag) / 2 if self.averaged else bag

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the tiles' weights for each class, (n, C), which sum to 1."""
        del um_places
        return self._streams(self._embed(features[None]))[1][0]

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the tiles' shares of the logits, (n, C), with the critical instances as they are.

        The largest instance logit is the critical instance's; the bag's bias is shared by weight;
        LayerNorm's standard deviation counts as given.
        """
        del um_places
        embeddings = self._embed(features[None])
        instances, weights = self._streams(embeddings)
        pooled = self._pooled(embeddings, weights)[0]  # (C, E)
        kernel, offset = self._folded_kernel(pooled)
        shares = weights[0].mean(dim=1, keepdim=True) * self.bag.get_parameter("bias")  # (n, C)
        start = 0
        for block in row_blocks(embeddings):
            values = self._values(block[0])  # (rows, E)
            rows = slice(start, start + len(values))
            for own in range(kernel.shape[1]):
                logits = values @ kernel[:, own].T + offset[:, own]  # (rows, C)
                shares[rows] += weights[0, rows, own, None] * logits
            start += len(values)
        if not self.averaged:
            return shares
        critical = instances[0].argmax(dim=0, keepdim=True)  # (1, C)
        return shares.scatter_add(0, critical, instances[0].gather(0, critical)) / 2

    def logits_without_each(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits without each tile, (n, C); see Network.

        The other weights sum to 1 again: (B_c - A_ic vᵢ) / (1 - A_ic). NaN for critical instances,
        and where a tile has most of a weight, so that the difference would lose digits.
        """
        del um_places
        embeddings = self._embed(features[None])
        instances, weights = self._streams(embeddings)
        pooled = self._pooled(embeddings, weights)  # (1, C, E)
        largest = instances[0].amax(dim=0)  # (C,)
        n_rows = max(1, _FLOATS_AT_ONCE // pooled.numel())
        parts = []
        for block, own in zip(embeddings[0].split(n_rows), weights[0].split(n_rows), strict=True):
            share = own[..., None]  # (rows, C, 1)
            others = (pooled - share * self._values(block)[:, None]) / (1 - share)  # (rows, C, E)
            bag = self.bag(self.norm(others))[..., 0]  # (rows, C)
            logits = (largest + bag) / 2 if self.averaged else bag
            parts.append(logits.masked_fill((own > 0.5).any(dim=1, keepdim=True), float("nan")))
        result = torch.cat(parts)
        result[instances[0].argmax(dim=0)] = float("nan")
        return result

    def _folded_kernel(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the convolution's kernel, (C, C, E), and offsets, (C, C), for values v.

        With a LayerNorm of gain γ and offset β, whose standard deviation s_c of B_c is given:
        w · (γ (v - mean(v)) / s_c + β).
        """
        kernel = self.bag.weight
        if not isinstance(self.norm, nn.LayerNorm):
            return kernel, kernel.new_zeros(kernel.shape[:2])
        spread = (pooled.var(dim=1, unbiased=False) + self.norm.eps).sqrt()  # (C,)
        scaled = kernel * self.norm.weight / spread[:, None]
        centred = scaled - scaled.mean(dim=2, keepdim=True)
        return centred, (kernel * self.norm.bias).sum(dim=2)

    def _embed(self, features: torch.Tensor) -> torch.Tensor:
        return in_row_blocks(self._embed_rows, features) if len(self.encoder) else features

    def _embed_rows(self, rows: torch.Tensor) -> torch.Tensor:
        for layer in self.encoder:
            rows = layer(rows).relu()
        return rows

    def _queries(self, embeddings: torch.Tensor) -> torch.Tensor:
        if len(self.query) == 1:
            return self.query[0](embeddings)
        return self.query[1](self.query[0](embeddings).relu()).tanh()

    def _values(self, embeddings: torch.Tensor) -> torch.Tensor:
        values = self.value(embeddings)
        return values.relu() if self.rectified else values

    def _streams(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the instances' logits and the tiles' weights, (bags, n, C) each."""
        instances = in_row_blocks(self.instance, embeddings)
        critical = instances.argmax(dim=1)  # (bags, C)
        places = critical[..., None].expand(-1, -1, embeddings.shape[-1])
        wanted = self._queries(embeddings.gather(1, places))  # (bags, C, Q)
        scale = wanted.shape[-1] ** 0.5
        likeness = in_row_blocks(
            lambda rows: self._queries(rows) @ wanted.transpose(1, 2) / scale, embeddings
        )
        return instances, likeness.softmax(dim=1)

    def _pooled(self, embeddings: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return B, (bags, C, E)."""
        shape = (len(embeddings), weights.shape[-1], embeddings.shape[-1])
        pooled = embeddings.new_zeros(shape)
        start = 0
        for block in row_blocks(embeddings):
            own = weights[:, start : start + block.shape[1]]
            pooled = pooled + own.transpose(1, 2) @ self._values(block)
            start += block.shape[1]
        return pooled


class MilLabDsmil(Dsmil):
    """MIL-Lab's variant: layers embed the features first, and B is normalised."""

    family = "MIL-Lab DSMIL"
    normed = True


class TorchmilDsmil(Dsmil):
    """torchmil's variant, of one output: the prediction is that of the bag."""

    family = "torchmil DSMIL"
    averaged = False
