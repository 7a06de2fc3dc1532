"""The shareable form of a model: safetensors with a JSON description, without training data.

An export.pkl carries the file names of all training and validation patients and their labels.
The converted file holds the layers' tensors and, in its metadata, the fields of `StoredModel`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ModelError, OutputError
from heatmaps_ome.models.covariates import Covariate, require_labels
from heatmaps_ome.models.families import ModelFile
from heatmaps_ome.models.layers import MAX_LAYERS, Layer, is_known, make_layer
from heatmaps_ome.models.layers import tensor_names as names_of_kind
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.renaming import with_facts
from heatmaps_ome.models.safetensors_file import has_metadata, is_safetensors, read_safetensors
from heatmaps_ome.models.stored import (
    MARUGOTO,
    PARTS,
    StoredModel,
    layer_specs,
    tensors_by_name,
)
from heatmaps_ome.models.stored_network import MOST_TENSORS, StoredNetwork
from heatmaps_ome.models.target import Target
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import require_replaceable

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.models.model_facts import ModelFacts

    Tensors = dict[str, np.ndarray[Any, Any]]

FORMAT_VERSION = 3
"""Each model is written in the lowest version that holds it.

1: classifiers with named classes; 2: with values for missing covariates; 3: other targets, gated
attention, and networks.
"""
METADATA_KEY = "heatmaps_ome_model"
_NETWORK_PREFIX = "network."
_MAX_DESCRIPTION = 1 << 20
_MAX_TENSORS = max(3 * MAX_LAYERS * 4, MOST_TENSORS)


def write_converted(
    model: AttentionMIL | StoredModel | StoredNetwork,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write a model without its pickle; the file appears whole or not at all.

    Parameters
    ----------
    model : AttentionMIL, StoredModel or StoredNetwork
        The covariates' encoding is written; the values in an AttentionMIL are not.
    path : str or os.PathLike
        Conventionally ``NAME.safetensors``.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        The file exists and `overwrite` is not given, or cannot be written.
    ModelError
        The model has layers that cannot be described (it was read with --allow-pickle).
    """
    from safetensors.numpy import save

    path = Path(path)
    require_target(path, overwrite=overwrite)
    if isinstance(model, StoredNetwork):
        tensors = {f"{_NETWORK_PREFIX}{name}": values for name, values in model.tensors.items()}
        description = _network_description(model)
    else:
        stored = model if isinstance(model, StoredModel) else _stored(model, path)
        tensors = tensors_by_name({part: getattr(stored, part) for part in PARTS})
        description = _description(stored)
    metadata = {METADATA_KEY: json.dumps(description, ensure_ascii=False)}
    _write_whole(path, save(tensors, metadata))


def require_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that a converted model cannot be written to.

    Raises
    ------
    OutputError
        If a file is there and may not be overwritten, or there is anything else, or no folder.
    """
    try:
        require_replaceable(path)
        is_taken = os.path.lexists(path)
        # A folder on the way that is a file is an error too.
        path.parent.stat()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}; choose another place"
        ) from error
    if is_taken and not overwrite:
        raise OutputError(f"{path} exists; remove it, or add --overwrite")


def recognises(path: Path, start: bytes) -> bool:
    """Return whether a file is one of safetensors with our metadata; see Family."""
    return is_safetensors(start) and has_metadata(path, METADATA_KEY)


def read_file(path: Path, facts: ModelFacts) -> ModelFile:
    """Read what `write_converted` wrote, without torch and without values for covariates.

    Raises
    ------
    ModelError
        The file is not of this format, or is damaged.
    """
    with naming(path):
        text, tensors = _read_safetensors(path)
        description = _parse(text)
        if "architecture" in description:
            stored = _network(description, tensors)
        else:
            stored = _chain(description, tensors)
        if tensors:
            raise Unusable("is damaged: it holds tensors that belong to no layer")
        if stored.digest != description.get("digest"):
            raise Unusable("is damaged: its contents are not those that its digest was made of")
        return ModelFile(with_facts(stored, facts))


def _chain(description: dict[str, Any], tensors: Tensors) -> StoredModel:
    """Return the model of a description, whose tensors are taken."""
    target = description.get("target")
    family = description.get("family", MARUGOTO)
    require_labels([family], "family")
    encoder, attention, head = (_layers(part, description.get(part), tensors) for part in PARTS)
    return StoredModel(
        encoder=encoder,
        attention=attention,
        head=head,
        classes=_texts(description.get("classes")),
        target_label=description.get("target_label"),
        covariates=tuple(map(_covariate, _list(description.get("covariates")))),
        target=None if target is None else _target(target),
        family=family,
    )


def _network(description: dict[str, Any], tensors: Tensors) -> StoredNetwork:
    """Return the network of a description, whose tensors are taken."""
    architecture, arguments = description["architecture"], description.get("arguments")
    n_features = description.get("n_features")
    if (
        not isinstance(arguments, dict)
        or not all(isinstance(value, bool | int | float | str) for value in arguments.values())
        or not isinstance(architecture, str)
        or type(n_features) is not int
    ):
        raise Unusable("is damaged: its description of a network is not one")
    named = [name for name in tensors if name.startswith(_NETWORK_PREFIX)]
    own = {name.removeprefix(_NETWORK_PREFIX): tensors.pop(name) for name in named}
    target = _target(description.get("target"))
    return StoredNetwork(architecture, arguments, own, target, n_features)


def _target(record: Any) -> Target:
    try:
        return Target.of_record(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unusable("is damaged: its description of the target is not one") from None


def _stored(model: AttentionMIL, path: Path) -> StoredModel:
    from heatmaps_ome.models.learner import layers_of

    parts = (model.encoder, model.attention_net, model.head)
    try:
        encoder, attention, head = (layers_of(part, torch_to_array) for part in parts)
        return StoredModel(
            encoder=encoder,
            attention=attention,
            head=head,
            classes=model.classes,
            target_label=model.target_label,
            covariates=model.covariates,
            target=model.own_target,
            family=model.family,
        )
    except Unusable as reason:
        raise ModelError(f"{path} is not written, as the model {reason}") from reason


def torch_to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """Return a live tensor's values as a float32 array of its own."""
    return tensor.detach().cpu().float().numpy().copy()


def _network_description(stored: StoredNetwork) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "architecture": stored.architecture,
        "arguments": dict(stored.arguments),
        "target": stored.target.record(),
        "n_features": stored.n_features,
        "digest": stored.digest,
    }


def _description(stored: StoredModel) -> dict[str, Any]:
    family = {} if stored.family == MARUGOTO else {"family": stored.family}
    return {
        "format_version": _version(stored),
        **family,
        **layer_specs({part: getattr(stored, part) for part in PARTS}),
        **stored.labels(),
        "digest": stored.digest,
    }


def _version(stored: StoredModel) -> int:
    """Return the lowest version that describes a model, so that most programs read it."""
    kinds = {layer.kind for part in PARTS for layer in getattr(stored, part)}
    if stored.target is not None or "TanhGate" in kinds:
        return FORMAT_VERSION
    imputes = any(
        covariate.imputed is not None or covariate.takes_unseen for covariate in stored.covariates
    )
    return 2 if imputes else 1


def _write_whole(path: Path, data: bytes) -> None:
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise disk_error(path, error, "MODEL_SAFETENSORS") from error


def _read_safetensors(path: Path) -> tuple[str, Tensors]:
    tensors, metadata = read_safetensors(path)
    if len(tensors) > _MAX_TENSORS:
        raise Unusable("has too many tensors for an attention-MIL model")
    if any(tensor.dtype != "F32" for tensor in tensors.values()):
        raise Unusable("is damaged: it holds tensors that are not float32")
    return metadata[METADATA_KEY], {name: tensor.read() for name, tensor in tensors.items()}


def _parse(text: str) -> dict[str, Any]:
    if len(text) > _MAX_DESCRIPTION:
        raise Unusable("has a description that is too long for an attention-MIL model")
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable("is damaged: its description is not JSON") from None
    if not isinstance(description, dict):
        raise Unusable("is damaged: its description is not a JSON object")
    version = description.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise Unusable(
            f"is of format version {version!r}, and this program reads 1 to {FORMAT_VERSION}; "
            "upgrade heatmaps-ome or convert the model again"
        )
    return description


def _layers(part: str, specs: Any, tensors: Tensors) -> tuple[Layer, ...]:
    layers = []
    for index, spec in enumerate(_list(specs)[: MAX_LAYERS + 1]):
        if not isinstance(spec, dict) or not isinstance(spec.get("layer"), str):
            raise Unusable("is damaged: its description of a layer is not one")
        kind = spec["layer"]
        if not is_known(kind):
            raise Unusable("has a layer that this program does not know; upgrade heatmaps-ome")
        names = {name: f"{part}.{index}.{name}" for name in names_of_kind(kind)}
        own = {name: tensors.pop(full) for name, full in names.items() if full in tensors}
        layers.append(make_layer(kind, spec, own))
    return tuple(layers)


def _covariate(entry: Any) -> Covariate:
    if not isinstance(entry, dict):
        raise Unusable("is damaged: its description of a covariate is not one")
    categories = entry.get("categories")
    return Covariate(
        name=entry.get("name", ""),
        categories=None if categories is None else _texts(categories),
        means=_numbers(entry.get("means")),
        scales=_numbers(entry.get("scales")),
        imputed=entry.get("imputed"),
        takes_unseen=entry.get("takes_unseen") is True,
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unusable("is damaged: its description lacks a list")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in _list(value)):
        raise Unusable("is damaged: its description holds something else where names belong")
    return tuple(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not all(type(item) in (int, float) for item in _list(value)):
        raise Unusable("is damaged: its description holds something else where numbers belong")
    return tuple(value)
