"""The layers that a model may have, as plain values (kind, options, tensors) without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.refusals import Unsafe, Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Tensor = np.ndarray[Any, np.dtype[np.float32]]

MAX_LAYERS = 64
"""Largest number of layers in each of encoder, attention and head."""


@dataclass(frozen=True)
class _Kind:
    """The tensors and options of a kind of layer.

    `shapes` names each tensor's dimensions by a letter (``i``: inputs, ``o``: outputs, ``n``:
    both); `defaults` are the values of tensors that may be absent; `options` the attributes that
    change a result in evaluation, with torch's defaults; `fixed` the attributes with only one
    supported value.
    """

    shapes: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, float | str] = field(default_factory=dict)
    fixed: Mapping[str, int] = field(default_factory=dict)


_AFFINE = {"weight": 1.0, "bias": 0.0}
_KINDS: Mapping[str, _Kind] = {
    "Linear": _Kind({"weight": "oi", "bias": "o"}, {"bias": 0.0}),
    "BatchNorm1d": _Kind(
        {"running_mean": "n", "running_var": "n", "weight": "n", "bias": "n"},
        _AFFINE,
        {"eps": 1e-5},
    ),
    "LayerNorm": _Kind({"weight": "n", "bias": "n"}, {"bias": 0.0}, {"eps": 1e-5}),
    "Flatten": _Kind(fixed={"start_dim": 1, "end_dim": -1}),
    "GELU": _Kind(options={"approximate": "none"}),
    "Dropout": _Kind(),
    "Identity": _Kind(),
    "ReLU": _Kind(),
    "Sigmoid": _Kind(),
    "Tanh": _Kind(),
    "TanhGate": _Kind(
        {"tanh_weight": "oi", "tanh_bias": "o", "gate_weight": "oi", "gate_bias": "o"},
        {"tanh_bias": 0.0, "gate_bias": 0.0},
    ),
}
_MODULES_OF_LAYERS = ("torch.nn.modules.", "heatmaps_ome.models.tanh_gate.")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer in evaluation mode.

    Attributes
    ----------
    kind : str
        Its class in `torch.nn`, one of the supported ones, or "TanhGate" (`tanh_gate`).
    options : dict
        Other attributes that its result depends on.
    tensors : dict
        Name to values, float32; absent scales and offsets are filled in, so that equal layers
        compare equal whether or not they were stored.
    """

    kind: str
    options: Mapping[str, float | str]
    tensors: Mapping[str, Tensor] = field(repr=False)

    def __str__(self) -> str:
        sizes = _sizes(self)
        return (
            f"{self.kind}({', '.join(str(sizes[letter]) for letter in 'ino' if letter in sizes)})"
        )

    @property
    def n_inputs(self) -> int | None:
        """The input width, or None if any will do."""
        sizes = _sizes(self)
        return sizes.get("i", sizes.get("n"))

    @property
    def n_outputs(self) -> int | None:
        """The output width, or None if it is that of the input."""
        sizes = _sizes(self)
        return sizes.get("o", sizes.get("n"))


def is_known(kind: str) -> bool:
    """Return whether a layer of this kind can be made."""
    return kind in _KINDS


def kind_of(class_name: str) -> str:
    """Return the kind of a torch layer's full class name.

    Raises
    ------
    Unsafe
        The kind is not supported.
    """
    kind = class_name.rpartition(".")[2]
    if not class_name.startswith(_MODULES_OF_LAYERS) or not is_known(kind):
        raise Unsafe(f"has a layer {class_name}, which is not supported")
    return kind


def tensor_names(kind: str) -> tuple[str, ...]:
    """Return the tensors of a layer of this kind."""
    return tuple(_KINDS[kind].shapes)


def option_names(kind: str) -> tuple[str, ...]:
    """Return the attributes that `make_layer` takes for this kind."""
    return (*_KINDS[kind].options, *_KINDS[kind].fixed)


def make_layer(kind: str, options: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Layer:
    """Return a checked layer.

    Parameters
    ----------
    kind : str
        A supported kind.
    options : mapping
        Values for `option_names`; None or absent means torch's default.
    tensors : mapping
        Values for `tensor_names`, float32; those with a default may be absent.

    Raises
    ------
    Unusable
        Tensors or options do not fit the kind.
    """
    rules = _KINDS[kind]
    for name, value in rules.fixed.items():
        if options.get(name) not in (None, value):
            raise Unusable(f"has a {kind} whose {name} is not {value}, which is not supported")
    filled = {name: _filled(kind, name, tensors) for name in sorted(rules.shapes)}
    layer = Layer(kind, _checked_options(kind, options), filled)
    _sizes(layer)
    return layer


def chain_width(layers: Sequence[Layer], n_inputs: int | None = None) -> int | None:
    """Return the output width of layers for an input width (None: any).

    Raises
    ------
    Unusable
        A layer's input width is not the output width of the layer before.
    """
    width = n_inputs
    for layer in layers:
        if None not in (width, layer.n_inputs) and width != layer.n_inputs:
            raise Unusable(f"has a {layer} that is given {width} values")
        width = layer.n_outputs or width
    return width


def input_width(layers: Sequence[Layer]) -> int | None:
    """Return the input width of the first layer that fixes one."""
    return next((layer.n_inputs for layer in layers if layer.n_inputs is not None), None)


def _filled(kind: str, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None:
        default = _KINDS[kind].defaults.get(name)
        model = next(iter(tensors.values()), None)
        if default is None or model is None:
            raise Unusable(f"has a {kind} without its {name}")
        tensor = np.full(model.shape[:1], default, np.float32)
    if not np.isfinite(tensor).all():
        raise Unusable(f"has a {kind} whose {name} holds values that are not finite numbers")
    return tensor


def _checked_options(kind: str, options: Mapping[str, Any]) -> dict[str, float | str]:
    checked = {}
    for name, default in _KINDS[kind].options.items():
        value = default if options.get(name) is None else options[name]
        is_number = isinstance(value, float) and 0 <= value < 1
        if not is_number if isinstance(default, float) else value not in ("none", "tanh"):
            raise Unusable(f"has a {kind} with an impossible {name}")
        checked[name] = value
    return checked


def _sizes(layer: Layer) -> dict[str, int]:
    """Return the size of each lettered dimension, the same in all tensors."""
    sizes: dict[str, int] = {}
    for name, letters in _KINDS[layer.kind].shapes.items():
        shape = layer.tensors[name].shape
        fits = len(shape) == len(letters) and 0 not in shape
        if not fits or any(
            sizes.setdefault(x, n) != n for x, n in zip(letters, shape, strict=True)
        ):
            raise Unusable(f"has a {layer.kind} whose tensors do not fit together")
    return sizes
