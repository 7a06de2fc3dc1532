"""A level of an OME-Zarr: an array whose chunks are checked, decoded once, and kept with bounds."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import MemoryStore

from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.slides.ngff_image import MOST_CHUNK_BYTES
from heatmaps_ome.slides.plain_zarr import METADATA, layout_of, require_nominal
from heatmaps_ome.slides.zarr_tree import joined, object_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from heatmaps_ome.slides.plain_zarr import Layout
    from heatmaps_ome.slides.zarr_tree import Tree

_CACHED_BYTES: Final = 256 << 20
"""Decoded chunks of all levels: a row of them across a slide, or one chunk that is larger."""
_LARGE_BYTES: Final = 32 << 20
"""Chunks above this are decoded one after another, whatever the number of threads."""


class ZarrLevel:
    """An array of a store, as pixels of y and x.

    Parameters
    ----------
    path : str
        Its name in the store.
    axes : tuple of str
        The names of its axes; all but c, y and x have length 1.

    Attributes
    ----------
    shape, chunk : Shape
        Of the level, and of its chunks.
    n_channels : int or None
        None without an axis c.
    dtype : numpy dtype
    extents : dict of str to int
        The length of each axis.

    Raises
    ------
    ValueError
        If the array is damaged or not to be read.
    OSError
        If the metadata cannot be read.
    """

    def __init__(self, tree: Tree, path: str, axes: tuple[str, ...]) -> None:
        facts, name = _facts(tree, path)
        layout = layout_of(facts, MOST_CHUNK_BYTES)
        if len(layout.shape) != len(axes):
            raise ValueError(f"array {path} has {len(layout.shape)} axes, not {len(axes)}")
        self._axes = axes
        store = _CheckedStore(tree, path, {name: facts}, layout)
        self._array = zarr.open_array(store, mode="r", zarr_format=facts["zarr_format"])
        self.extents = dict(zip(axes, layout.shape, strict=True))
        self.shape = Shape(self.extents["y"], self.extents["x"])
        chunks = dict(zip(axes, layout.inner or layout.chunk, strict=True))
        self.chunk = Shape(chunks["y"], chunks["x"])
        self.n_channels = self.extents.get("c")
        self.dtype = np.dtype(self._array.dtype)
        self.chunk_bytes = self.chunk.rows * self.chunk.cols * (self.n_channels or 1)
        self.chunk_bytes *= layout.item_bytes

    def read(self, window: Window) -> np.ndarray:
        """Return a window on the level, (rows, cols, channels) of its dtype.

        Raises
        ------
        Exception
            What codecs raise for damaged chunks; ValueError for absurd ones.
        OSError
            If a file cannot be read.
        """
        of_axis = {"y": slice(window.row, window.row_stop), "x": slice(window.col, window.col_stop),
                   "c": slice(None)}  # fmt: skip
        values = np.asarray(self._array[tuple(of_axis.get(axis, 0) for axis in self._axes)])
        left = [axis for axis in self._axes if axis in of_axis]
        wanted = [axis for axis in "yxc" if axis in left]
        return values.transpose([left.index(axis) for axis in wanted])

    def chunks_under(self, window: Window) -> list[Window]:
        """Return the parts on the level of the chunks that a window touches."""
        rows, cols = self.chunk
        whole = Window(0, 0, *self.shape)
        return [
            Window(row, col, rows, cols).common(whole)
            for row in range(window.row // rows * rows, window.row_stop, rows)
            for col in range(window.col // cols * cols, window.col_stop, cols)
        ]


class ChunkCache:
    """Decoded chunks, the latest used ones; each is decoded once, also for several threads."""

    def __init__(self) -> None:
        self._lock, self._large = threading.Lock(), threading.Lock()
        self._chunks: OrderedDict[tuple[int, Window], np.ndarray] = OrderedDict()
        self._coming: dict[tuple[int, Window], Future[np.ndarray]] = {}
        self._n_bytes = 0

    def get(
        self, key: tuple[int, Window], n_bytes: int, decode: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return a chunk by its level and place; whatever ``decode`` raises, if it is not there.

        Parameters
        ----------
        n_bytes : int
            Size of the chunk when it is decoded.
        """
        from concurrent.futures import Future

        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
                return chunk
            future = self._coming.get(key)
            is_first = future is None
            if future is None:
                future = self._coming[key] = Future()
        if not is_first:
            return future.result()
        try:
            if n_bytes > _LARGE_BYTES:
                with self._large:
                    chunk = self._put(key, decode())
            else:
                chunk = self._put(key, decode())
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._coming[key]
        future.set_result(chunk)
        return chunk

    def _put(self, key: tuple[int, Window], chunk: np.ndarray) -> np.ndarray:
        """Add a chunk, and forget those that were not used for the longest time."""
        with self._lock:
            self._chunks[key] = chunk
            self._n_bytes += chunk.nbytes
            while self._n_bytes > _CACHED_BYTES and len(self._chunks) > 1:
                _, oldest = self._chunks.popitem(last=False)
                self._n_bytes -= oldest.nbytes
        return chunk

    def clear(self) -> None:
        """Forget all chunks."""
        with self._lock:
            self._chunks.clear()
            self._n_bytes = 0


class _CheckedStore(MemoryStore):
    """The files of an array: metadata that were checked, and chunks that are before they are given.

    Parameters
    ----------
    metadata : dict
        Name → object of the array's metadata.
    """

    def __init__(
        self, tree: Tree, path: str, metadata: dict[str, dict[str, Any]], layout: Layout
    ) -> None:
        import json

        from zarr.core.buffer import default_buffer_prototype

        buffer = default_buffer_prototype().buffer
        super().__init__(
            {
                name: buffer.from_bytes(json.dumps(facts).encode())
                for name, facts in metadata.items()
            },
            read_only=True,
        )
        self._tree, self._path, self._layout = tree, path, layout
        self._checked: set[str] = set()

    async def get(
        self, key: str, prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:  # fmt: skip
        """Return a file or a part of it; None if it is not there.

        Raises
        ------
        ValueError
            If it is no regular file, or unpacks to another size than a chunk's.
        OSError
            If it cannot be read.
        """
        if key.rpartition("/")[2] in METADATA or prototype is None:
            return await super().get(key, prototype, byte_range)
        data = await asyncio.to_thread(self._chunk, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return several files; see `get`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def _chunk(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        with self._tree.open(joined(self._path, key)) as opened:
            if opened is None:
                return None
            file, size = opened
            if byte_range is None:
                data = _whole(file, size, self._layout)
                require_nominal(io.BytesIO(data), len(data), self._layout)
                return data
            if key not in self._checked:
                require_nominal(file, size, self._layout)
                self._checked.add(key)
            return _part(file, size, byte_range)


def _whole(file: Any, size: int, layout: Layout) -> bytes:
    """Return a file's bytes, or one more than any chunk has."""
    data = file.read(min(size, 2 * layout.chunk_bytes + (1 << 21)))
    if len(data) < size:
        raise ValueError(f"a chunk of {size} bytes is too large or cut")
    return data


def _part(file: Any, size: int, part: ByteRequest) -> bytes:
    """Return a part of a file."""
    start, stop = 0, size
    if isinstance(part, RangeByteRequest):
        start, stop = part.start, part.end
    elif isinstance(part, OffsetByteRequest):
        start = part.offset
    elif isinstance(part, SuffixByteRequest):
        start = max(0, size - part.suffix)
    if not 0 <= start <= stop <= size:
        raise ValueError("a shard is cut")
    file.seek(start)
    return file.read(stop - start)


def _facts(tree: Tree, path: str) -> tuple[dict[str, Any], str]:
    """Return the metadata of an array, and the name of their file."""
    for name in ("zarr.json", ".zarray"):
        facts = object_in(tree, joined(path, name))
        if facts is not None:
            return facts, name
    raise ValueError(f"array {path} is missing")
