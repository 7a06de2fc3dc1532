"""Read an export.pkl with fastai, which runs the code in it: only with --allow-pickle."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models.attention_mil import AttentionMIL
from heatmaps_ome.models.converted import torch_to_array
from heatmaps_ome.models.learner import (
    class_names,
    covariates_of,
    layers_of,
    model_parts,
    require_learner,
    target_label,
)
from heatmaps_ome.models.refusals import Unsafe, Unusable, naming
from heatmaps_ome.models.stored import (
    PARTS,
    StoredModel,
    require_classes,
    require_features,
    require_outputs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.models.covariates import Covariate

_LOADING_FAILURES = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, NameError, OSError,
    pickle.PickleError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def read_with_fastai(path: Path) -> AttentionMIL:
    """Read an export.pkl with `fastai.learner.load_learner`, running any code it holds.

    Encoder, attention and head may here be any modules, not only those of the safe reader.

    Parameters
    ----------
    path : pathlib.Path
        A file from a trusted source.

    Raises
    ------
    ModelError
        fastai is not installed or cannot load it, or it is no attention-MIL classifier.
    """
    learner = _load_learner(path)
    with naming(path):
        require_learner(learner)
        model = _model(learner)
        _try_out(model)
        return model


def _model(learner: Any) -> AttentionMIL:
    parts = {name: _prepared(part) for name, part in model_parts(learner).items()}
    classes = class_names(learner)
    require_classes(classes)
    covariates = covariates_of(learner)
    n_features = _n_inputs(parts) - sum(len(covariate.means) for covariate in covariates)
    require_features(n_features)
    label = target_label(learner)
    return AttentionMIL(
        encoder=parts["encoder"],
        attention_net=parts["attention"],
        head=parts["head"],
        classes=classes,
        n_features=n_features,
        covariate_columns=None if covariates else (),
        target_label=label,
        digest=_digest(parts, classes, label, covariates),
        covariates=covariates,
        covariate_values=(),
    )


def _load_learner(path: Path) -> Any:
    with warnings.catch_warnings():
        # fastai repeats the warning of --allow-pickle, and its imports warn of deprecations.
        warnings.simplefilter("ignore")
        try:
            from fastai.learner import load_learner
        except ImportError as error:
            raise ModelError(
                f'{path} can only be read with fastai: pip install "heatmaps-ome[fastai]"'
            ) from error
        try:
            return load_learner(path)
        except _LOADING_FAILURES as error:
            raise ModelError(
                f"{path} cannot be loaded by fastai ({type(error).__name__}); the packages that "
                "it was trained with, such as marugoto, may be missing"
            ) from error


def _prepared(module: nn.Module) -> nn.Module:
    return module.cpu().float().eval().requires_grad_(False)


def _n_inputs(parts: dict[str, nn.Module]) -> int:
    for part in ("encoder", "attention"):
        for module in parts[part].modules():
            if isinstance(module, nn.Linear):
                return module.in_features
    raise Unusable("has no linear layer that says how many features it takes")


def _digest(
    parts: dict[str, nn.Module],
    classes: tuple[str, ...],
    label: str | None,
    covariates: tuple[Covariate, ...],
) -> str:
    try:
        layers = {name: layers_of(part, torch_to_array) for name, part in parts.items()}
    except Unsafe:
        return _digest_of_custom_modules(parts, [classes, label, covariates])
    encoder, attention, head = (layers[name] for name in PARTS)
    return StoredModel(encoder, attention, head, classes, label, covariates).digest


def _digest_of_custom_modules(parts: dict[str, nn.Module], labels: list[Any]) -> str:
    digest = hashlib.sha256(repr(labels).encode())
    for part in parts.values():
        digest.update(repr(part).encode())
        for name, tensor in part.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(torch_to_array(tensor).tobytes())
    return digest.hexdigest()


def _try_out(model: AttentionMIL) -> None:
    """Apply the model to two cells, as custom modules do not state their widths."""
    cells = torch.zeros(2, model.n_features)
    n_columns = sum(len(covariate.means) for covariate in model.covariates)
    model = replace(model, covariate_columns=(0.0,) * n_columns)
    try:
        embeddings = model.embed(cells)
        attention = model.attention_logits(embeddings)
        logits = model.class_logits(embeddings)
    except (RuntimeError, TypeError, ValueError) as error:
        raise Unusable(f"cannot be applied to {model.n_features} features per cell") from error
    if attention.shape != (2,):
        raise Unusable("has an attention that does not give one value per cell")
    require_outputs(logits.shape[-1], model.classes)
