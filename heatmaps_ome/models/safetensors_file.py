"""Read safetensors files of any program: float tensors by key, and the texts of the header."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.models.refusals import Unusable

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES: Final = 512 << 20
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as the file has it: its type, its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    raw: bytes | bytearray = field(repr=False)

    def read(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the values, float32 for any floating type; Unusable for any other."""
        code = _FLOATS.get(self.dtype)
        if code is None or 0 in self.shape:
            raise Unusable("has a layer whose weights are not floating numbers")
        values = np.frombuffer(self.raw, code)
        if values.size != math.prod(self.shape):
            raise Unusable("is damaged: a tensor is not as long as its shape says")
        if self.dtype == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):
            return values.astype(np.float32).reshape(self.shape)


def is_safetensors(start: bytes) -> bool:
    """Return whether a file's first bytes are those of safetensors: a length, then JSON."""
    return start[8:].startswith(b"{")


def has_metadata(path: Path, key: str) -> bool:
    """Return whether the header of a file has a text under a key; False if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return key in (file.metadata() or {})
    except SafetensorError:
        return False


def read_safetensors(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of a file by key, and the texts of its header.

    Raises
    ------
    Unusable
        It is damaged or too large.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    n_bytes = path.stat().st_size
    if n_bytes > MAX_FILE_BYTES:
        raise Unusable(f"has {n_bytes} bytes, too many for a model of bags")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        tensors = deserialize(path.read_bytes())
    except SafetensorError as error:
        raise Unusable("is damaged: it is not a complete safetensors file") from error
    return {
        key: StoredTensor(entry["dtype"], tuple(entry["shape"]), entry["data"])
        for key, entry in tensors
    }, metadata
