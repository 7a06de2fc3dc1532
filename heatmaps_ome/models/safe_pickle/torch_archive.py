"""Read a zip archive of `torch.save` into inert values and NumPy arrays, without torch."""

from __future__ import annotations

import math
import struct
import zipfile
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.safe_pickle.inert_pickle import InertPickle, interpret
from heatmaps_ome.models.safe_pickle.inert_values import Global, StorageRef, TensorRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 512 << 20
"""Checkpoints carry the state of the optimizer, twice the weights."""
MAX_ENTRIES = 20_000

ELEMENT_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2,
    "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
}  # fmt: skip
_FLOATS = {"Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": "<u2"}
_ENCRYPTED = 0x1
_ENTRY_SIGNATURE = b"PK\x01\x02"


class WeightBudget:
    """The bytes of weights that a file may still be read as: many layers can share a storage."""

    def __init__(self, n_bytes: int) -> None:
        self._bytes_left = n_bytes

    def pay(self, ref: TensorRef) -> None:
        """Pay for a tensor before it is read.

        Raises
        ------
        Unusable
            The tensor holds no floating numbers, or all tensors together are larger than the file.
        """
        if ref.storage.dtype not in _FLOATS or 0 in ref.shape:
            raise Unusable("has a layer whose weights are not floating numbers")
        self._bytes_left -= math.prod(ref.shape) * ELEMENT_BYTES[ref.storage.dtype]
        if self._bytes_left < 0:
            raise Unusable("has layers that hold more weights than the file")


def float32_values(
    ref: TensorRef, raw: bytes | memoryview
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a tensor's values, a copy, from the bytes of its storage of floating numbers."""
    flat = np.frombuffer(raw, _FLOATS[ref.storage.dtype])[ref.offset :]
    strides = [stride * flat.itemsize for stride in ref.strides]
    values = np.lib.stride_tricks.as_strided(flat, ref.shape, strides, writeable=False)
    if ref.storage.dtype == "BFloat16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # make_layer refuses infinities with a message
        return values.astype(np.float32)


class TorchArchive:
    """An open torch archive: the inert pickle, and its tensors on request."""

    def __init__(self, file: zipfile.ZipFile, n_bytes: int) -> None:
        self._file = file
        self._entries = _checked_entries(file, n_bytes)
        self._prefix = _prefix(self._entries)
        self._budget = WeightBudget(n_bytes)
        if self._entries.get(f"{self._prefix}/byteorder") is not None:
            _require_little_endian(self._read("byteorder"))
        self.pickle: InertPickle = interpret(self._read("data.pkl"), self._storage)

    def tensor(self, ref: TensorRef) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return a tensor's values.

        Returns
        -------
        numpy.ndarray
            A copy of the tensor's shape, float32 for any stored floating type.

        Raises
        ------
        Unusable
            The tensor holds no floating numbers, or all tensors together are larger than the file.
        """
        self._budget.pay(ref)
        return float32_values(ref, self._read(f"data/{ref.storage.key}"))

    def _read(self, name: str) -> bytes:
        with _zip_errors():
            return self._file.read(self._entries[f"{self._prefix}/{name}"])

    def _storage(self, persistent_id: Any) -> StorageRef:
        if not isinstance(persistent_id, tuple) or len(persistent_id) != 5:
            raise Unusable("is damaged: its pickle refers to what is not a storage")
        kind, torch_type, key, _location, n_elements = persistent_id
        name = torch_type.qualname if isinstance(torch_type, Global) else ""
        dtype = name.removeprefix("torch.").removesuffix("Storage")
        entry = self._entries.get(f"{self._prefix}/data/{key}") if isinstance(key, str) else None
        if kind != "storage" or dtype not in ELEMENT_BYTES or entry is None:
            raise Unusable("is damaged: its pickle refers to a storage that the file lacks")
        if type(n_elements) is not int or n_elements * ELEMENT_BYTES[dtype] != entry.file_size:
            raise Unusable("is damaged: a storage is not as long as its pickle says")
        return StorageRef(key, dtype, n_elements)


def read_torch_archive(path: Path) -> TorchArchive:
    """Read a zip archive of `torch.save` into memory, checked before any content is read.

    Raises
    ------
    Unsafe
        Its pickle has a part that the safe reader refuses.
    Unusable
        The file is not such an archive, is damaged, or is too large.
    """
    n_bytes = path.stat().st_size
    if n_bytes > MAX_FILE_BYTES:
        raise Unusable(f"has {n_bytes} bytes, too many for an attention-MIL model")
    data = path.read_bytes()
    if data.count(_ENTRY_SIGNATURE) > MAX_ENTRIES:  # each would become an object
        raise Unusable(f"has over {MAX_ENTRIES} entries, too many for an attention-MIL model")
    with _zip_errors():
        file = zipfile.ZipFile(BytesIO(data))
    return TorchArchive(file, len(data))


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    except (
        ArithmeticError, EOFError, LookupError, RuntimeError, ValueError,
        struct.error, zipfile.BadZipFile,
    ):  # fmt: skip
        raise Unusable("is damaged: its zip archive cannot be read") from None


def _checked_entries(file: zipfile.ZipFile, n_bytes: int) -> dict[str, zipfile.ZipInfo]:
    infos = file.infolist()
    for info in infos:
        is_stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ENCRYPTED
        if not is_stored or info.compress_size != info.file_size:
            raise Unusable("has compressed or encrypted entries, which torch never writes")
    if sum(info.file_size for info in infos) > n_bytes:
        raise Unusable("is damaged: its entries claim to be larger than the file")
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise Unusable("is damaged: it has two entries of the same name")
    return entries


def _prefix(entries: dict[str, zipfile.ZipInfo]) -> str:
    prefixes = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(prefixes) != 1:
        raise Unusable("is a zip archive but not one of torch's, which hold one data.pkl")
    return prefixes[0]


def _require_little_endian(byte_order: bytes) -> None:
    if byte_order != b"little":
        raise Unusable("was written on a big-endian machine, which is not supported")
