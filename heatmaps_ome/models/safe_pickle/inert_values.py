"""The values that a pickle is read into: none of them can run code, for any file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.refusals import Unsafe, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_DIMENSIONS = 8
_MAX_EXTENT = 1 << 40
_BYTES_PER_PAIR = 16
_DTYPE = re.compile(
    r"(?P<order>[<>=|]?)(?P<kind>b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,5}|O8?)"
)


@dataclass(frozen=True)
class Global:
    """A name that the pickle asks for; it is never looked up."""

    qualname: str


class Node:
    """An object that is never made: its class's name, its arguments and its state."""

    __slots__ = ("args", "qualname", "state")

    def __init__(self, qualname: str, args: tuple[Any, ...]) -> None:
        self.qualname = qualname
        self.args = args
        self.state: Any = None

    def __repr__(self) -> str:
        return f"<inert {self.qualname}>"

    def get(self, name: str) -> Any:
        """Return the attribute in the pickled state, or None."""
        state = self.state
        if isinstance(state, tuple) and state:
            state = state[0]  # (__dict__, __slots__ values)
        return state.get(name) if isinstance(state, dict) else None


class InertDict(dict[Any, Any]):
    """A `collections.OrderedDict` of the pickle, without the attributes it may carry."""


class OpaqueKey:
    """A dict key that is not a small plain value: hashing a nested tuple could take forever."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(frozen=True)
class StorageRef:
    """A tensor's storage: its entry's number, its element type and its number of elements."""

    key: str
    dtype: str
    n_elements: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor's place inside a storage, checked to lie within it; offsets count elements."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.strides):
            raise Unusable("holds a tensor with more or fewer strides than dimensions")
        if 0 in self.shape:
            return
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((extent - 1) * stride for extent, stride in steps)
        # A stride of 0 would let a small storage stand for a huge tensor.
        if last >= self.storage.n_elements or math.prod(self.shape) > self.storage.n_elements:
            raise Unusable("holds a tensor that reaches past its storage")


class DTypeRef:
    """A NumPy dtype of plain numbers, texts or objects."""

    __slots__ = ("kind", "order")

    def __init__(self, code: str) -> None:
        match = _DTYPE.fullmatch(code)
        if match is None:
            raise Unsafe("holds a NumPy array of a type that the safe reader does not know")
        self.order = match["order"]
        self.kind = match["kind"]

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take the byte order from ``(version, byteorder, subdtype, names, fields, …)``."""
        if any(part is not None for part in state[2:5]) or state[1] not in ("<", ">", "=", "|"):
            raise Unsafe("holds a structured NumPy array, which the safe reader does not know")
        self.order = state[1]

    @property
    def is_object(self) -> bool:
        """Whether the array's elements are Python objects."""
        return self.kind.startswith("O")

    def dtype(self) -> np.dtype[Any]:
        """Return the NumPy dtype of plain numbers or texts."""
        return np.dtype(self.order + self.kind)


class ArrayRef:
    """A NumPy array: `values` is a list of inert values, or a flat array of numbers or texts."""

    __slots__ = ("shape", "values")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.values: list[Any] | np.ndarray[Any, Any] = []

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take shape and elements from ``(version, shape, dtype, is_fortran, elements)``."""
        _version, shape, dtype, _is_fortran, raw = state
        if not isinstance(dtype, DTypeRef):
            raise Unusable("holds a NumPy array without a plain type")
        extents = _extents(shape)
        values = raw if dtype.is_object else np.frombuffer(raw or b"", np.uint8)
        item_bytes = 1 if dtype.is_object else dtype.dtype().itemsize
        is_right = isinstance(values, list) if dtype.is_object else isinstance(raw, bytes)
        if not is_right or len(values) != math.prod(extents) * item_bytes:
            raise Unusable("holds a NumPy array whose elements do not fill its shape")
        self.shape = extents
        self.values = values if isinstance(values, list) else values.view(dtype.dtype())


def _extents(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) > _MAX_DIMENSIONS:
        raise Unusable("holds an array with an impossible shape")
    if not all(type(item) is int and 0 <= item <= _MAX_EXTENT for item in value):
        raise Unusable("holds an array with an impossible shape")
    return tuple(value)


def _ordered_dict(args: tuple[Any, ...], charge: Callable[[int], None]) -> InertDict:
    (pairs,) = args or ((),)
    charge(_BYTES_PER_PAIR * len(pairs))
    return InertDict({inert_key(key): value for key, value in pairs})


def _latin1_bytes(args: tuple[Any, ...], charge: Callable[[int], None]) -> bytes:
    text, encoding = args
    if encoding not in ("latin1", "latin-1"):
        raise Unsafe("asks for a text codec other than latin-1, which the safe reader refuses")
    charge(len(text))
    return text.encode("latin-1")


def _no_bytes(args: tuple[Any, ...], _charge: Callable[[int], None]) -> bytes:
    if args:
        raise Unsafe("makes bytes in a way that the safe reader refuses")
    return b""


def _dtype(args: tuple[Any, ...], _charge: Callable[[int], None]) -> DTypeRef:
    return DTypeRef(args[0])


def _array(_args: tuple[Any, ...], _charge: Callable[[int], None]) -> ArrayRef:
    return ArrayRef()


def _array_scalar(args: tuple[Any, ...], _charge: Callable[[int], None]) -> Any:
    dtype, raw = args
    if not isinstance(dtype, DTypeRef) or dtype.is_object:
        raise Unsafe("holds a NumPy scalar of a type that the safe reader does not know")
    (value,) = np.frombuffer(raw, dtype.dtype())
    return value.item()


def _tensor(args: tuple[Any, ...], _charge: Callable[[int], None]) -> TensorRef:
    storage, offset, shape, strides, *_requires_grad_and_hooks = args
    if not isinstance(storage, StorageRef):
        raise Unusable("holds a tensor without a storage")
    (offset,) = _extents((offset,))
    return TensorRef(storage, offset, _extents(shape), _extents(strides))


def _parameter(args: tuple[Any, ...], _charge: Callable[[int], None]) -> Any:
    return args[0]


# The only names of a pickle with an effect; each stands for one of the harmless functions above.
CONSTRUCTORS: Mapping[str, Callable[[tuple[Any, ...], Callable[[int], None]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _latin1_bytes,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _array_scalar,
    "numpy._core.multiarray.scalar": _array_scalar,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def inert_key(key: Any) -> Any:
    """Return a key that is cheap to hash and collides with few others of the same file."""
    if isinstance(key, int) and abs(key) >= _MAX_EXTENT:
        return OpaqueKey(key)  # integers that differ by 2**61 - 1 have the same hash
    if key is None or isinstance(key, str | bytes | int | float | Global):
        return key
    return OpaqueKey(key)
