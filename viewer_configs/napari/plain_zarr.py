"""Checks of JSON files and zarr arrays that a stranger may have made, before they are read.

An array is read only if its type and all of its codecs are on the lists below: others run code
(pickled objects), or give no numbers. Every chunk has to unpack to its nominal size, so that a few
bytes cannot fill the memory. Nothing but the standard library is imported: a copy of this module
lies beside the script for napari.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_JSON_BYTES: Final = 16 << 20
MOST_LIST_BYTES: Final = 1 << 30
"""Longest list of the slides in an output folder: some hundred thousand."""
MOST_CHUNK_BYTES: Final = 64 << 20
MOST_WHOLE_BYTES: Final = 256 << 20
"""Bytes of an array that is read as a whole, unless so much lies on disk that it must be real."""
MOST_EXPANSION: Final = 256
"""Times that an array read as a whole may be larger than its files."""
_MOST_SIDE, _MOST_AXES, _MOST_INNER_CHUNKS = 1 << 22, 5, 1 << 16
_SLACK_BYTES = 1 << 16
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCK_BYTES: Final = 1 << 17

DTYPES_V2: Final = re.compile(r"\|[biu]1|[<>][iu][248]|[<>]f[248]")
DTYPES_V3: Final = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "int64": 8, "uint64": 8, "float16": 2, "float32": 4, "float64": 8,
}  # fmt: skip
"""Type → bytes of a number."""
COMPRESSORS: Final = frozenset({"blosc", "zstd", "zlib", "gzip", "lz4"})
ARRAY_CODECS: Final = frozenset({"transpose", "bytes", "sharding_indexed"})
METADATA: Final = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"})


@dataclass(frozen=True)
class Layout:
    """How the numbers of an array lie on disk.

    Attributes
    ----------
    shape, chunk : tuple of int
        ``chunk`` is what one file holds.
    item_bytes : int
    compressor : str or None
    inner : tuple of int or None
        Shape of the chunks inside a shard; None without shards.
    index_at_end : bool
        Whether a shard's index lies at its end.
    index_bytes : int
        Size of the index beyond its 16 bytes per chunk.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    item_bytes: int
    compressor: str | None
    inner: tuple[int, ...] | None = None
    index_at_end: bool = True
    index_bytes: int = 0

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a file's numbers."""
        return math.prod(self.chunk) * self.item_bytes


def require_regular(path: Path) -> None:
    """Check that a path is a file of its own: no link, pipe or device.

    Raises
    ------
    ValueError, OSError
        If it is not, or not there.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path.name} is no regular file")


def read_object(path: Path, most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any]:
    """Return the object in a JSON file.

    Parameters
    ----------
    most_bytes : int
        The longest file that is read.

    Raises
    ------
    ValueError, OSError
        If it is no regular file, too large, no JSON or no object.
    """
    require_regular(path)
    if path.stat().st_size > most_bytes:
        raise ValueError(f"{path.name} has more than {most_bytes >> 20} MiB")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no object")
    return content


def inside(folder: Path, name: object) -> Path:
    """Return the path of something in a folder that a file names.

    Raises
    ------
    ValueError
        If the name leads out of the folder.
    """
    parts = str(name).split("/")
    if not isinstance(name, str) or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} names nothing in {folder.name}")
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of {folder.name}")
    return path


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the metadata of a store of zarr v2 or v3; OSError or ValueError if it is damaged."""
    version3 = path / "zarr.json"
    if version3.exists():
        return read_object(version3)["attributes"]
    return read_object(path / ".zattrs")


def require_plain_array(folder: Path, *, whole: bool = False) -> None:
    """Check an array of zarr v2 or v3 before it is read.

    Parameters
    ----------
    whole : bool
        Whether all of it is to be read at once.

    Raises
    ------
    ValueError, OSError
        If there is no array, or it is damaged, or not to be read.
    """
    layout, on_disk = _layout(folder), 0
    for path in _files(folder):
        size = path.stat().st_size
        on_disk += size
        if path.name not in METADATA:
            with path.open("rb") as file:
                require_nominal(file, size, layout)
    whole_bytes = math.prod(layout.shape) * layout.item_bytes
    if whole and whole_bytes > max(MOST_WHOLE_BYTES, MOST_EXPANSION * on_disk):
        raise ValueError(f"an array of {layout.shape} numbers cannot be in {on_disk} bytes")


def _layout(folder: Path) -> Layout:
    """Return the layout of an array; ValueError if it is damaged or not to be read."""
    version3 = folder / "zarr.json"
    if version3.exists():
        return layout_of(read_object(version3))
    if (folder / ".zattrs").exists():
        read_object(folder / ".zattrs")
    return layout_of(read_object(folder / ".zarray"))


def layout_of(facts: dict[str, Any], most_chunk_bytes: int = MOST_CHUNK_BYTES) -> Layout:
    """Return the layout that a ``.zarray`` or a ``zarr.json`` states.

    Raises
    ------
    ValueError
        If it is damaged, or the array, or chunks of so many bytes, are not to be read.
    """
    try:
        layout = (_layout_v3 if "node_type" in facts else _layout_v2)(facts)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its metadata is damaged ({type(error).__name__}: {error})") from error
    return _checked(layout, most_chunk_bytes)


def _layout_v2(facts: dict[str, Any]) -> Layout:
    """Return the layout that a ``.zarray`` states."""
    if facts.get("zarr_format") != 2:
        raise ValueError(f"zarr_format is {facts.get('zarr_format')!r}, not 2")
    dtype, compressor = facts["dtype"], facts["compressor"]
    if not isinstance(dtype, str) or not DTYPES_V2.fullmatch(dtype):
        raise ValueError(f"the type {dtype!r} is not one of plain numbers")
    if facts.get("filters"):
        raise ValueError(f"filters {facts['filters']!r} are not read")
    name = None if compressor is None else compressor["id"]
    _require_compressor(name)
    shape, chunk = _lengths(facts["shape"], 0), _lengths(facts["chunks"], 1)
    return Layout(shape, chunk, int(dtype[2:]), name)


def _layout_v3(facts: dict[str, Any]) -> Layout:
    """Return the layout that the ``zarr.json`` of an array states."""
    if facts.get("zarr_format") != 3 or facts.get("node_type") != "array":
        raise ValueError("zarr.json describes no array of zarr 3")
    dtype = facts["data_type"]
    if not isinstance(dtype, str) or dtype not in DTYPES_V3:
        raise ValueError(f"the type {dtype!r} is not one of plain numbers")
    if facts.get("storage_transformers") or facts["chunk_grid"]["name"] != "regular":
        raise ValueError("its chunks are not regular")
    shape = _lengths(facts["shape"], 0)
    chunk = _lengths(facts["chunk_grid"]["configuration"]["chunk_shape"], 1)
    names = _codec_names(facts["codecs"])
    if "sharding_indexed" not in names:
        return Layout(shape, chunk, DTYPES_V3[dtype], _compressor_of(names))
    if names != ["sharding_indexed"]:
        raise ValueError(f"codecs {', '.join(names)} are not read together")
    shard = facts["codecs"][0]["configuration"]
    inner, index = _codec_names(shard["codecs"]), _codec_names(shard["index_codecs"])
    if "sharding_indexed" in inner or index not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError(f"shards with {', '.join([*inner, *index])} are not read")
    return Layout(
        shape, chunk, DTYPES_V3[dtype], _compressor_of(inner), _lengths(shard["chunk_shape"], 1),
        shard.get("index_location", "end") == "end", 4 * ("crc32c" in index),
    )  # fmt: skip


def _codec_names(codecs: list[dict[str, Any]]) -> list[str]:
    """Return the names of codecs of zarr v3; ValueError for one that is on no list."""
    names = [codec["name"] if isinstance(codec, dict) else codec for codec in codecs]
    for name in names:
        if name not in ARRAY_CODECS | COMPRESSORS | {"crc32c"}:
            raise ValueError(f"the codec {name!r} is not read")
    return names


def _compressor_of(names: list[str]) -> str | None:
    """Return the one compressor of some codecs, which has to follow the numbers' bytes."""
    after = names[names.index("bytes") + 1 :]
    packing = [name for name in after if name != "crc32c"]
    if len(packing) > 1 or names[: names.index("bytes")] not in ([], ["transpose"]):
        raise ValueError(f"codecs {', '.join(names)} are not read together")
    # After a checksum the compressed bytes would not be the first.
    if packing and after[0] != packing[0]:
        raise ValueError(f"codecs {', '.join(names)} are not read in this order")
    name = packing[0] if packing else None
    _require_compressor(name)
    return name


def _require_compressor(name: object) -> None:
    if name is not None and name not in COMPRESSORS:
        raise ValueError(f"the codec {name!r} is not read")


def _lengths(values: Any, least: int) -> tuple[int, ...]:
    """Return the lengths of axes; ValueError unless they are whole numbers in bounds."""
    if not isinstance(values, list) or not 1 <= len(values) <= _MOST_AXES:
        raise ValueError(f"{values!r} is no list of lengths")
    for value in values:
        if type(value) is not int or not least <= value <= _MOST_SIDE:
            raise ValueError(f"{value!r} is no length of an axis")
    return tuple(values)


def _checked(layout: Layout, most_bytes: int) -> Layout:
    """Return a layout whose shapes fit one another; ValueError for another."""
    inner = layout.inner or layout.chunk
    fits = len(layout.shape) == len(layout.chunk) == len(inner)
    if not fits or any(whole % part for whole, part in zip(layout.chunk, inner, strict=True)):
        raise ValueError(f"chunks of {layout.chunk} with {inner} do not fit {layout.shape}")
    limit = most_bytes if layout.inner is None else max(most_bytes, MOST_WHOLE_BYTES)
    if math.prod(inner) * layout.item_bytes > most_bytes or layout.chunk_bytes > limit:
        raise ValueError(f"a chunk of {layout.chunk} numbers is too large")
    if math.prod(layout.chunk) // math.prod(inner) > _MOST_INNER_CHUNKS:
        raise ValueError(f"a shard of {layout.chunk} has too many chunks")
    return layout


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of an array; ValueError for a link, a pipe or a device."""
    for path in folder.iterdir():
        if path.is_symlink():
            raise ValueError(f"{path.name} in it is a link")
        if path.is_dir():
            yield from _files(path)
        else:
            require_regular(path)
            yield path


def require_nominal(file: BinaryIO, size: int, layout: Layout) -> None:
    """Check that a file of chunks unpacks to the size that its array states; else ValueError.

    Parameters
    ----------
    file, size : binary file, int
        At its beginning, and its length in bytes.
    """
    if size > 2 * layout.chunk_bytes + _SLACK_BYTES + 16 * _MOST_INNER_CHUNKS:
        raise ValueError(f"a chunk of {size} bytes is too large")
    if layout.inner is None:
        _require_size(file, size, layout.compressor, layout.chunk_bytes)
        return
    inner_bytes = math.prod(layout.inner) * layout.item_bytes
    for offset, length in _index(file, size, layout):
        if offset + length > size:
            raise ValueError("a shard is cut")
        file.seek(offset)
        _require_size(file, length, layout.compressor, inner_bytes)


def _index(file: BinaryIO, size: int, layout: Layout) -> list[tuple[int, int]]:
    """Return offset and length of each chunk in a shard that has it."""
    count = math.prod(layout.chunk) // math.prod(layout.inner or layout.chunk)
    file.seek(max(0, size - 16 * count - layout.index_bytes) if layout.index_at_end else 0)
    table = file.read(16 * count)
    if len(table) < 16 * count:
        raise ValueError("a shard is cut")
    pairs = struct.iter_unpack("<QQ", table)
    return [(offset, length) for offset, length in pairs if offset != 2**64 - 1]


def _require_size(file: BinaryIO, length: int, compressor: str | None, wanted: int) -> None:
    """Check that compressed bytes, which begin where a file is, unpack to a size."""
    size = length
    if compressor in ("zlib", "gzip"):
        size = unpacked_size(file.read(length), compressor, wanted)
    elif compressor is not None:
        head = file.read(min(length, 18))
        if compressor == "zstd" and _is_sizeless(head):
            _require_bounded(head + file.read(length - len(head)), wanted)
            return
        size = _stated(head, compressor)
    if size != wanted:
        raise ValueError(f"a chunk unpacks to {size} bytes, not to {wanted}")


def _stated(head: bytes, compressor: str) -> int:
    """Return the unpacked size in the header of compressed bytes; ValueError without one."""
    if compressor == "blosc" and len(head) >= 16:
        return struct.unpack_from("<I", head, 4)[0]
    if compressor == "lz4" and len(head) >= 4:
        return struct.unpack_from("<I", head)[0]
    if compressor == "zstd" and head[:4] == _ZSTD and len(head) >= 6:
        return _stated_by_zstd(head)
    raise ValueError("a chunk is damaged")


def _is_sizeless(head: bytes) -> bool:
    """Return whether a frame of zstd, as streams write it, does not state its size."""
    return head[:4] == _ZSTD and len(head) > 5 and head[4] >> 6 == 0 and not head[4] & 0x20


def _require_bounded(frame: bytes, wanted: int) -> None:
    """Check a zstd frame of unknown size by its blocks (RFC 8878, 3.1.1.2): none has over 128 KiB.

    Raises
    ------
    ValueError
        If it is cut, is not the only one, or may unpack to many times the size that is wanted.
    """
    place, bound, is_last = 6 + (0, 1, 2, 4)[frame[4] & 3], 0, False
    while not is_last:
        header = int.from_bytes(frame[place : place + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        # 0: as it is; 1: a byte repeated; 2: compressed.
        bound += _ZSTD_BLOCK_BYTES if kind == 2 else size
        place += 3 + (1 if kind == 1 else size)
        if kind == 3 or place > len(frame):
            raise ValueError("a chunk is damaged")
    if len(frame) - place > 4 * (frame[4] >> 2 & 1) or bound > 4 * wanted + _ZSTD_BLOCK_BYTES:
        raise ValueError(f"a chunk does not state its size, which is to be {wanted}")


def _stated_by_zstd(head: bytes) -> int:
    """Return the size in the header of a frame (RFC 8878, 3.1.1.1); ValueError without one."""
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    width = {0: 1 if single else 0, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    field = head[start : start + width]
    if width == 0 or len(field) < width:
        raise ValueError("a chunk does not state its size")
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


def unpacked_size(data: bytes, compressor: str, limit: int) -> int:
    """Return the unpacked size, up to one byte more than a limit; ValueError if damaged."""
    unpacker = zlib.decompressobj(wbits=31 if compressor == "gzip" else 15)
    try:
        size = len(unpacker.decompress(data, limit + 1))
    except zlib.error as error:
        raise ValueError(f"a chunk is damaged ({error})") from error
    return size if not unpacker.unused_data else limit + 1
