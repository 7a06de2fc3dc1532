"""Reads tensors from files of ``torch.save`` without torch, and without running their pickle."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.features.files.numbers import filled_from
from heatmaps_ome.features.files.refusals import Unfit, brief
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.safe_pickle.inert_pickle import interpret
from heatmaps_ome.models.safe_pickle.inert_values import Global, StorageRef, TensorRef
from heatmaps_ome.models.safe_pickle.legacy_file import START, LegacyFile
from heatmaps_ome.storage.regular_file import open_regular, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 32 << 30
_MOST_LEGACY_BYTES: Final = 4 << 30
_MOST_PICKLE: Final = 4 << 20
_MOST_ENTRIES: Final = 256
_TYPES: Final = {
    "Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": "<u2",
    "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip
"""Torch's names of storages → NumPy's types; bfloat16 is the upper half of a float32."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors in a file: by their keys, or by "" for a single one.

    Raises
    ------
    Unfit
        If it is damaged, or holds other objects.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        try:
            if file.read(len(START)) == START:
                return _legacy_tensors(path)
            with zipfile.ZipFile(file) as archive:
                return _tensors(archive, file.seek(0, 2))
        except zipfile.BadZipFile as error:
            raise Unfit(
                "is no file of torch, or is cut short; copy it again, or give the h5 file of the "
                "features"
            ) from error
        except Unusable as reason:
            raise Unfit(f"{reason}; only tensors are read") from reason
        except (LookupError, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
            raise Unfit(f"is damaged ({brief(error)}); copy it again") from error


def _legacy_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors in a file of torch before 1.6, as CLAM's older ones, as float32."""
    legacy = LegacyFile(read_bytes(path, _MOST_LEGACY_BYTES))
    return {name: legacy.tensor(ref) for name, ref in _items(legacy.pickle.root).items()}


def _tensors(archive: zipfile.ZipFile, n_bytes: int) -> dict[str, np.ndarray]:
    infos = archive.infolist()
    if len(infos) > _MOST_ENTRIES or n_bytes > _MOST_BYTES:
        raise Unfit("is no file of features: it has too many entries, or too large ones")
    entries = {info.filename: info for info in infos}
    for info in infos:
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        if not stored or info.file_size != info.compress_size or info.file_size > n_bytes:
            raise Unfit("has compressed entries, which torch never writes")
    [pickle] = [name for name in entries if name.endswith("/data.pkl")]
    if entries[pickle].file_size > _MOST_PICKLE:
        raise Unfit("holds too many objects for a file of features")
    prefix = pickle.removesuffix("data.pkl")
    order = entries.get(f"{prefix}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise Unfit("was written on a machine of another byte order; save it again")
    root = interpret(archive.read(pickle), lambda key: _storage(key, prefix, entries)).root
    items = _items(root)
    if sum(_bytes_of(ref) for ref in items.values()) > n_bytes:
        raise Unfit("holds tensors that are larger than the file")
    return {name: _values(ref, archive, prefix) for name, ref in items.items()}


def _items(root: Any) -> dict[str, TensorRef]:
    """Return the tensors of a pickle's root: one, or those of a dictionary."""
    if isinstance(root, TensorRef):
        return {"": root}
    if isinstance(root, dict):
        tensors = {
            str(key)[:200]: value for key, value in root.items() if isinstance(value, TensorRef)
        }
        if tensors:
            return tensors
    raise Unfit("holds no tensor of features; it may be a model")


def _storage(key: Any, prefix: str, entries: dict[str, zipfile.ZipInfo]) -> StorageRef:
    if not isinstance(key, tuple) or len(key) != 5 or not isinstance(key[1], Global):
        raise Unfit("is damaged: its pickle refers to something that is no storage")
    kind, torch_type, name, _location, n_elements = key
    dtype = torch_type.qualname.removeprefix("torch.").removesuffix("Storage")
    entry = entries.get(f"{prefix}data/{name}") if isinstance(name, str) else None
    if kind != "storage" or dtype not in _TYPES or entry is None or type(n_elements) is not int:
        raise Unfit("is damaged: its pickle refers to a storage that the file lacks")
    if n_elements * np.dtype(_TYPES[dtype]).itemsize != entry.file_size:
        raise Unfit("is damaged or cut short: a storage has another length than stated")
    return StorageRef(name, dtype, n_elements)


def _bytes_of(ref: TensorRef) -> int:
    return math.prod(ref.shape) * np.dtype(_TYPES[ref.storage.dtype]).itemsize


def _values(ref: TensorRef, archive: zipfile.ZipFile, prefix: str) -> np.ndarray:
    """Return a tensor's numbers, as stored but for bfloat16."""
    dtype = np.dtype(_TYPES[ref.storage.dtype])
    flat = np.empty(ref.storage.n_elements, dtype)
    with archive.open(f"{prefix}data/{ref.storage.key}") as file:
        filled_from(file, flat)
    if 0 in ref.shape:
        return np.empty(ref.shape, dtype)
    strides = [stride * dtype.itemsize for stride in ref.strides]
    values = np.lib.stride_tricks.as_strided(flat[ref.offset :], ref.shape, strides)
    if ref.storage.dtype == "BFloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values
