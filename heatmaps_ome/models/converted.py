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
from heatmaps_ome.models.covariates import Covariate
from heatmaps_ome.models.families import ModelFile
from heatmaps_ome.models.layers import MAX_LAYERS, Layer, is_known, make_layer
from heatmaps_ome.models.layers import tensor_names as names_of_kind
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.stored import PARTS, StoredModel, layer_specs, tensors_by_name
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import require_replaceable

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.models.attention_mil import AttentionMIL

    Tensors = dict[str, np.ndarray[Any, Any]]

FORMAT_VERSION = 2
"""1 had no values for missing covariates; models without such values are still written so."""
METADATA_KEY = "heatmaps_ome_model"
MAX_FILE_BYTES = 128 << 20
_MAX_DESCRIPTION = 1 << 20
_MAX_TENSORS = 3 * MAX_LAYERS * 4


def write_converted(
    model: AttentionMIL | StoredModel,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write a model without its pickle; the file appears whole or not at all.

    Parameters
    ----------
    model : AttentionMIL or StoredModel
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
    stored = model if isinstance(model, StoredModel) else _stored(model, path)
    parts = {part: getattr(stored, part) for part in PARTS}
    metadata = {METADATA_KEY: json.dumps(_description(stored), ensure_ascii=False)}
    _write_whole(path, save(tensors_by_name(parts), metadata))


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
    """Return whether a file begins as one of safetensors; see Family."""
    return start[8:].startswith(b"{")


def read_file(path: Path) -> ModelFile:
    """Read what `write_converted` wrote, without torch and without values for covariates.

    Raises
    ------
    ModelError
        The file is not of this format, or is damaged.
    """
    with naming(path):
        text, tensors = _read_safetensors(path)
        description = _parse(text)
        stored = StoredModel(
            **{part: _layers(part, description.get(part), tensors) for part in PARTS},
            classes=_texts(description.get("classes")),
            target_label=description.get("target_label"),
            covariates=tuple(map(_covariate, _list(description.get("covariates")))),
        )
        if tensors:
            raise Unusable("is damaged: it holds tensors that belong to no layer")
        if stored.digest != description.get("digest"):
            raise Unusable("is damaged: its contents are not those that its digest was made of")
        return ModelFile(stored)


def _stored(model: AttentionMIL, path: Path) -> StoredModel:
    from heatmaps_ome.models.learner import layers_of

    parts = {"encoder": model.encoder, "attention": model.attention_net, "head": model.head}
    try:
        return StoredModel(
            **{part: layers_of(module, torch_to_array) for part, module in parts.items()},
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


def _description(stored: StoredModel) -> dict[str, Any]:
    return {
        "format_version": _version(stored),
        **layer_specs({part: getattr(stored, part) for part in PARTS}),
        **stored.labels(),
        "digest": stored.digest,
    }


def _version(stored: StoredModel) -> int:
    """Return the lowest version that describes a model, so that most programs read it."""
    imputes = any(
        covariate.imputed is not None or covariate.takes_unseen for covariate in stored.covariates
    )
    return FORMAT_VERSION if imputes else 1


def _write_whole(path: Path, data: bytes) -> None:
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise disk_error(path, error, "MODEL_SAFETENSORS") from error


def _read_safetensors(path: Path) -> tuple[str, Tensors]:
    from safetensors import SafetensorError, safe_open

    n_bytes = path.stat().st_size
    if n_bytes > MAX_FILE_BYTES:
        raise Unusable(f"has {n_bytes} bytes, too many for an attention-MIL model")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            if text is None:
                raise Unusable("is a safetensors file that was not made by convert-model")
            names = list(file.keys())
            if len(names) > _MAX_TENSORS:
                raise Unusable("has too many tensors for an attention-MIL model")
            if any(file.get_slice(name).get_dtype() != "F32" for name in names):
                raise Unusable("is damaged: it holds tensors that are not float32")
            return text, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise Unusable("is damaged: it is not a complete safetensors file") from error


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
