"""The protocol of models: a bag of tiles in; logits, attention and, where exact, shares out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from heatmaps_ome.models.covariates import Covariate, CovariateValue
    from heatmaps_ome.models.target import Target

Additivity = Literal["pooled", "given a choice", "none"]
"""How a slide's logits follow from its tiles.

"pooled": Σᵢ softmaxᵢ(attention) · (logits of tile i alone), so that contributions and predictions
without a tile have a closed form; "given a choice": contributions are exact, but a tile's removal
may change a choice among tiles (a critical instance, a quantile), so that predictions without it
are computed anew; "none": there are no exact contributions.
"""


class MilModel(Protocol):
    """A trained model of bags of tiles, float32, in evaluation mode.

    All methods take ``features``, (n, n_features) float32, and ``um_places``, (n, 2) float32: x and
    y of the tiles' top left corners in µm, in the frame of the features' file, of which most
    models make no use. n is at least 1. Memory must not grow faster than n but for the features.

    Attributes
    ----------
    family : str
        For people: "STAMP vit".
    target : Target
        The meaning of the C outputs.
    n_features : int
    digest : str
        sha256 in hex of all that results depend on.
    additivity : Additivity
    knows_single_tiles : bool
        Whether a bag of one tile is anything like the bags of its training, so that scores of
        single tiles mean something.
    """

    # Read-only, so that frozen dataclasses are such models.
    @property
    def family(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> Target: ...  # noqa: D102
    @property
    def n_features(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def additivity(self) -> Additivity: ...  # noqa: D102
    @property
    def knows_single_tiles(self) -> bool: ...  # noqa: D102

    def logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the slide's logits, (C,), as in the training's own prediction; differentiable."""
        ...

    def tile_logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of each tile as a bag of its own, (n, C)."""
        ...

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the attention of tiles, (n,) or, if each output has its own, (n, C).

        Logits before the softmax over the tiles where the model has such, else weights; None where
        it has none. A "pooled" model without attention weighs all tiles alike.
        """
        ...

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return shares of the slide's logits, (n, C), that sum to `logits`; None if not exact."""
        ...


class CovariateModel(MilModel, Protocol):
    """A model that takes covariates of the patient beside the tiles' features.

    Attributes
    ----------
    covariates : tuple of Covariate
    """

    @property
    def covariates(self) -> tuple[Covariate, ...]: ...  # noqa: D102

    def with_values(self, values: Sequence[CovariateValue]) -> CovariateModel:
        """Return the model with a value for each of its covariates, in their order."""
        ...


def takes_covariates(model: MilModel) -> TypeGuard[CovariateModel]:
    """Return whether a model takes covariates; most kinds of models take none."""
    return bool(getattr(model, "covariates", ()))
