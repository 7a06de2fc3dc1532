"""An attention-MIL classifier, ready to be applied to the cells of a slide."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models.covariates import (
    Covariate,
    CovariateValue,
    covariate_columns,
    covariate_values,
    describe_covariates,
)
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.stored import MARUGOTO, StoredModel, with_columns
from heatmaps_ome.models.tanh_gate import TanhGate
from heatmaps_ome.models.target import Target, classes_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.models.layers import Layer
    from heatmaps_ome.models.protocol import Additivity

_AFFINE_IN_EVALUATION = (nn.Flatten, nn.BatchNorm1d, nn.Dropout, nn.Identity, nn.Linear)
_TILES_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class AttentionMIL:
    """An attention-MIL classifier, with the covariates of one patient once they are known.

    With e = encoder(f), the slide's logits are head(Σᵢ softmaxᵢ(attention(e)) eᵢ), and its class
    probabilities their softmax (Ilse et al. 2018, arXiv:1802.04712; marugoto's
    ``mil/model.py``).

    Attributes
    ----------
    encoder, attention_net, head : torch.nn.Module
        In evaluation mode, float32, on the CPU until `to` is called.
    classes : tuple of str
        In the order of the head's outputs.
    n_features : int
        Features per cell, without the covariates' columns.
    covariate_columns : tuple of float or None
        Columns appended to every cell's features; empty for most models, and None as long as the
        covariates have no values (see `with_covariates`).
    target_label : str or None
        The column of the clinical table that the classes come from.
    digest : str
        sha256, in hex, of structure, weights, classes, target label and the encoding of covariates,
        but not of their values: the same for an export.pkl and for its conversion.
    covariates : tuple of Covariate
        The covariates that the columns encode.
    covariate_values : tuple of CovariateValue
        Their values; empty as long as there are none.
    own_target : Target or None
        The meaning of the outputs, if they are no classes with names.
    family : str
        For people.
    """

    encoder: nn.Module
    attention_net: nn.Module
    head: nn.Module
    classes: tuple[str, ...]
    n_features: int
    covariate_columns: tuple[float, ...] | None
    target_label: str | None
    digest: str
    covariates: tuple[Covariate, ...] = ()
    covariate_values: tuple[CovariateValue, ...] = ()
    own_target: Target | None = None
    family: str = MARUGOTO

    @property
    def target(self) -> Target:
        """The meaning of the outputs; see MilModel."""
        return self.own_target or classes_target(self.classes, self.target_label)

    @property
    def additivity(self) -> Additivity:
        """The way from tiles to the slide's logits; see MilModel."""
        return "pooled" if self.is_additive else "none"

    @property
    def knows_single_tiles(self) -> bool:
        """Return True: a bag of one tile is pooled as any other; see MilModel."""
        return True

    @property
    def cache_digest(self) -> str:
        """The digest of the model and of its covariates' values: of all that maps depend on."""
        return with_columns(self.digest, self.covariate_columns or ())

    def with_covariates(self, values: Mapping[str, str]) -> AttentionMIL:
        """Return the model with the covariates of a patient.

        Parameters
        ----------
        values : mapping of str to str
            Covariate name to value. A missing one is imputed if the training did so.

        Raises
        ------
        ModelError
            A value is missing, is not allowed, or belongs to no covariate.
        """
        try:
            return self.with_values(covariate_values(self.covariates, values))
        except Unusable as reason:
            raise ModelError(f"the model {reason}") from reason

    def with_values(self, values: Sequence[CovariateValue]) -> AttentionMIL:
        """Return the model with a value for each of its covariates, in their order."""
        columns = covariate_columns(self.covariates, values)
        return replace(self, covariate_columns=columns, covariate_values=tuple(values))

    def to(self, device: torch.device | str) -> AttentionMIL:
        """Return a copy on another device; this model is not moved."""
        parts = {
            "encoder": deepcopy(self.encoder).to(device),
            "attention_net": deepcopy(self.attention_net).to(device),
            "head": deepcopy(self.head).to(device),
        }
        return replace(self, **parts)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of cells.

        Parameters
        ----------
        features : torch.Tensor
            (n, n_features) float32, without the covariates' columns.

        Returns
        -------
        torch.Tensor
            (n, E) float32.
        """
        return self.embed_projected(self.project(features))

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Return the output of the encoder's first layer, if it is linear, for cells.

        The layer is an affine map, so a mean of its outputs is its output for the mean of features;
        and its output has an eighth of the numbers.

        Parameters
        ----------
        features : torch.Tensor
            (n, n_features) float32, without the covariates' columns.

        Returns
        -------
        torch.Tensor
            (n, P) float32.

        Raises
        ------
        ModelError
            The covariates have no values yet.
        """
        if self.covariate_columns is None:
            raise ModelError(
                f"the model needs values of {describe_covariates(self.covariates)}; give them with "
                "with_covariates"
            )
        if self.covariate_columns:
            constant = features.new_tensor(self.covariate_columns).expand(len(features), -1)
            features = torch.cat([features, constant], dim=1)  # mil/data.py: features come first
        first, _ = self._halves
        return first(features)

    def embed_projected(self, projected: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of cells from the output of `project`: (n, P) to (n, E)."""
        _, rest = self._halves
        return rest(projected)

    @property
    def _halves(self) -> tuple[nn.Module, nn.Module]:
        """The encoder's first layer, if it is linear, and the rest."""
        if isinstance(self.encoder, nn.Sequential) and isinstance(self.encoder[0], nn.Linear):
            return self.encoder[0], self.encoder[1:]
        return nn.Identity(), self.encoder

    def attention_logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the attention of cells before the softmax over the slide: (n, E) to (n,)."""
        return self.attention_net(embeddings).squeeze(-1)

    def class_logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the head's logits, with BatchNorm's learned state: (n, E) to (n, C)."""
        return self.head(embeddings)

    def logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the slide's logits, (C,); see MilModel."""
        del um_places
        # The softmax is taken block by block, so that no block's embeddings are kept.
        peak = features.new_full((), -torch.inf)
        total, pooled = features.new_zeros(()), features.new_zeros(())
        for block in features.split(_TILES_AT_ONCE):
            embeddings = self.embed(block)  # (rows, E)
            attention = self.attention_logits(embeddings)
            earlier, peak = peak, torch.maximum(peak, attention.detach().max())
            weights = (attention - peak).exp()
            total = total * (earlier - peak).exp() + weights.sum()
            pooled = pooled * (earlier - peak).exp() + weights @ embeddings  # (E,)
        return self.class_logits((pooled / total)[None])[0]

    def tile_logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of each tile as a bag of its own, (n, C); see MilModel."""
        del um_places
        blocks = features.split(_TILES_AT_ONCE)
        return torch.cat([self.class_logits(self.embed(block)) for block in blocks])

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the attention of tiles before the softmax, (n,); see MilModel."""
        del um_places
        blocks = features.split(_TILES_AT_ONCE)
        return torch.cat([self.attention_logits(self.embed(block)) for block in blocks])

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return shares that sum to `logits`, (n, C), if the head is affine; see MilModel."""
        if not self.is_additive:
            return None
        weights = self.attention(features, um_places).softmax(dim=0)
        return weights[:, None] * self.tile_logits(features, um_places)

    @property
    def is_additive(self) -> bool:
        """Whether the slide's logits are exactly the attention-weighted mean of the cells'.

        True where the head is affine in evaluation mode, so that
        head(Σᵢ aᵢ eᵢ) = Σᵢ aᵢ head(eᵢ) for weights that sum to 1.
        """
        leaves = [module for module in self.head.modules() if not list(module.children())]
        containers = [module for module in self.head.modules() if list(module.children())]
        return (
            all(type(leaf) in _AFFINE_IN_EVALUATION for leaf in leaves)
            and all(type(container) is nn.Sequential for container in containers)
            and any(type(leaf) is nn.Linear for leaf in leaves)
        )


def from_stored(stored: StoredModel) -> AttentionMIL:
    """Return a model, whose covariates have no values yet."""
    return AttentionMIL(
        encoder=_module(stored.encoder),
        attention_net=_module(stored.attention),
        head=_module(stored.head),
        classes=stored.classes,
        n_features=stored.n_features,
        covariate_columns=None if stored.covariates else (),
        target_label=stored.target_label,
        digest=stored.digest,
        covariates=stored.covariates,
        own_target=stored.target,
        family=stored.family,
    )


def _module(layers: Sequence[Layer]) -> nn.Sequential:
    module = nn.Sequential(*map(_torch_layer, layers))
    return module.eval().requires_grad_(False)


def _torch_layer(layer: Layer) -> nn.Module:
    n_inputs, n_outputs = layer.n_inputs, layer.n_outputs
    options: dict[str, Any] = dict(layer.options)
    sizes = {
        "Linear": (n_inputs, n_outputs),
        "BatchNorm1d": (n_inputs,),
        "LayerNorm": (n_inputs,),
        "TanhGate": (n_inputs, n_outputs),
    }.get(layer.kind, ())
    kind = TanhGate if layer.kind == "TanhGate" else getattr(nn, layer.kind)
    module = kind(*sizes, **options)
    # An older state dict's missing num_batches_tracked is filled in by torch itself.
    module.load_state_dict({name: torch.tensor(value) for name, value in layer.tensors.items()})
    return module
