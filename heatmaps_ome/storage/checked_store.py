"""A zarr store that gives no byte of a piece without having compared it with its checksum."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from heatmaps_ome.storage.pieces import GrowingPiece

Missing: TypeAlias = Literal["refused", "refused once written", "absent"]
"""How chunks that are not there are taken: as damage; as damage if they were written, as metadata
always are; or, like files that are damaged, as absent, so that they can be written."""
_METADATA: Final = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


class CheckedStore(WrapperStore[LocalStore]):
    """The files of a piece that grows.

    Parameters
    ----------
    missing : Missing
    """

    def __init__(
        self, piece: GrowingPiece, missing: Missing, store: LocalStore | None = None
    ) -> None:
        super().__init__(LocalStore(piece.folder) if store is None else store)
        self._piece = piece
        self._missing: Missing = missing

    def _with_store(self, store: LocalStore) -> CheckedStore:
        # Called for a store that is read only.
        return type(self)(self._piece, self._missing, store)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file.

        Raises
        ------
        DamagedPieceError
            If it is damaged; see `Missing`.
        """
        if byte_range is not None:
            raise NotImplementedError("files of the cache are read as a whole")
        data = await asyncio.to_thread(self._read, key)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _read(self, key: str) -> bytes | None:
        try:
            is_chunk = key.rpartition("/")[2] not in _METADATA
            return self._piece.read(key, required=is_chunk and self._missing == "refused")
        except DamagedPieceError:
            if self._missing == "absent":
                return None
            raise

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return several files; see `get`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether a file is there; raises as `get` does."""
        return await asyncio.to_thread(self._read, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file with its checksum.

        Raises
        ------
        OutputError
            If the disk cannot be written.
        """
        await asyncio.to_thread(self._piece.write, key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file unless it is there; see `set`."""
        if not await self.exists(key):
            await self.set(key, value)


def create_array(piece: GrowingPiece, **description: Any) -> None:
    """Write the metadata of an array, in the place of any that lie there; chunks stay.

    Parameters
    ----------
    description
        See ``zarr.create_array``.

    Raises
    ------
    OutputError
        If the disk cannot be written.
    """
    files: dict[str, Buffer] = {}
    zarr.create_array(MemoryStore(files), **description)
    for name, content in files.items():
        piece.write(name, content.to_bytes())
