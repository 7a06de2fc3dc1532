"""Read what `torch.save` wrote before version 1.6 into inert values and arrays, without torch.

Such a file is no archive: five pickles follow one another (a magic number, the format's version,
the machine, the content, the keys of its storages), then the storages in that order, each as
its number of elements (int64) and the elements.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.safe_pickle.inert_pickle import MAX_PICKLE_BYTES, InertPickle, interpret
from heatmaps_ome.models.safe_pickle.inert_values import Global, StorageRef, TensorRef
from heatmaps_ome.models.safe_pickle.torch_archive import (
    ELEMENT_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    WeightBudget,
    float32_values,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle: the magic number 0x1950a86a20f9469cfc6c."""
_FORMAT_VERSION = 1001
_COUNT = struct.Struct("<q")


class LegacyFile:
    """A torch file of before 1.6 in memory: the inert pickle, and its tensors on request."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._storages: dict[str, StorageRef] = {}
        self._budget = WeightBudget(len(data))
        if not data.startswith(START):
            raise Unusable("is not a file of torch.save")
        self._next_pickle()
        version, machine = self._next_pickle().root, self._next_pickle().root
        if version != _FORMAT_VERSION or not isinstance(machine, dict):
            raise Unusable("is of a format of torch before 1.6 that is not known")
        if machine.get("little_endian") is not True:
            raise Unusable("was written on a big-endian machine, which is not supported")
        self.pickle = self._next_pickle()
        self._places = self._storage_places(self._next_pickle().root)

    def tensor(self, ref: TensorRef) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return a tensor's values, a copy, float32; Unusable as with `TorchArchive.tensor`."""
        self._budget.pay(ref)
        start = self._places[ref.storage.key]
        end = start + ref.storage.n_elements * ELEMENT_BYTES[ref.storage.dtype]
        return float32_values(ref, memoryview(self._data)[start:end])

    def _next_pickle(self) -> InertPickle:
        window = self._data[self._position : self._position + MAX_PICKLE_BYTES]
        pickle = interpret(window, self._storage)
        self._position += pickle.n_bytes
        return pickle

    def _storage(self, persistent_id: Any) -> StorageRef:
        if not isinstance(persistent_id, tuple) or len(persistent_id) != 6:
            raise Unusable("is damaged: its pickle refers to what is not a storage")
        kind, torch_type, key, _location, n_elements, view = persistent_id
        name = torch_type.qualname if isinstance(torch_type, Global) else ""
        dtype = name.removeprefix("torch.").removesuffix("Storage")
        is_sound = kind == "storage" and isinstance(key, str) and type(n_elements) is int
        if not is_sound or dtype not in ELEMENT_BYTES or not 0 <= n_elements <= len(self._data):
            raise Unusable("is damaged: its pickle refers to a storage that the file lacks")
        if view is not None:
            raise Unusable("has storages that are parts of others, which is not supported")
        ref = StorageRef(key, dtype, n_elements)
        if self._storages.setdefault(key, ref) != ref or len(self._storages) > MAX_ENTRIES:
            raise Unusable("is damaged: its pickle describes a storage in two ways")
        return ref

    def _storage_places(self, keys: Any) -> dict[str, int]:
        """Return where the elements of each storage begin, in bytes."""
        texts = keys if isinstance(keys, list) else []
        if len(texts) != len(self._storages) or {key for key in texts if isinstance(key, str)} != (
            set(self._storages)
        ):
            raise Unusable("is damaged: it lists other storages than it has")
        places: dict[str, int] = {}
        position = self._position
        for key in texts:
            ref = self._storages[key]
            start = position + _COUNT.size
            position = start + ref.n_elements * ELEMENT_BYTES[ref.dtype]
            if position > len(self._data):
                raise Unusable("is damaged: it ends before its tensors do")
            if _COUNT.unpack(self._data[start - _COUNT.size : start]) != (ref.n_elements,):
                raise Unusable("is damaged: a storage is not as long as its pickle says")
            places[key] = start
        return places


def read_legacy_file(path: Path) -> LegacyFile:
    """Read a torch file of before 1.6 into memory.

    Raises
    ------
    Unsafe
        A pickle in it has a part that the safe reader refuses.
    Unusable
        The file is not such a file, is damaged, or is too large.
    """
    n_bytes = path.stat().st_size
    if n_bytes > MAX_FILE_BYTES:
        raise Unusable(f"has {n_bytes} bytes, too many for an attention-MIL model")
    return LegacyFile(path.read_bytes())
