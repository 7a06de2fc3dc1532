"""Groups and arrays of OME-Zarr on disk: zarr v2 for NGFF 0.4, sharded zarr v3 for NGFF 0.5.

Specifications: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.ome.ome_xml import ome_xml
from heatmaps_ome.ome.pyramid import BYTE_CODEC, CHUNK
from heatmaps_ome.storage.whole import link

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import zarr

    from heatmaps_ome.geometry import Shape
    from heatmaps_ome.ome.ome_xml import OmeImage

    Ngff = Literal["0.4", "0.5"]
    """Version of the specification that a store keeps to."""

LABEL_CHUNK = 2048
PLAIN_CHUNK = 65_536
"""Side of a label's chunk, a power of two too. Labels compress a hundredfold, so that chunks of
four times the pixels still have some 40 KB, and there are a quarter of the files."""
SHARD_COLS = 8192
"""Width of a shard. It is one chunk high: stores are written strip by strip from the top, and a
strip is a row of chunks. Each strip completes its shards, so that none is written twice."""

_SPECIFIED = ("multiscales", "omero", "image-label", "labels")
"""Keys of the specification; all others are our own."""


@dataclass(frozen=True)
class Group:
    """A group that was created.

    Attributes
    ----------
    path : Path
    ngff : "0.4" or "0.5"
        What its arrays keep to as well.
    """

    path: Path
    ngff: Ngff

    def create_array(self, name: str, **description: Any) -> zarr.Array:
        """Create an array of the group, as ``zarr.create_array`` does."""
        import zarr

        zarr_format = 2 if self.ngff == "0.4" else 3
        array = zarr.create_array(self.path / name, zarr_format=zarr_format, **description)
        for path in (self.path / name / ".zattrs", self.path / name / "zarr.json"):
            if path.exists():
                _write_compact(path, json.loads(path.read_bytes()))
        return array


def create_group(path: Path, attributes: Mapping[str, Any], ngff: Ngff = "0.4") -> Group:
    """Create a group.

    The two specifications of zarr have few words about groups; zarr itself takes five times as
    long for them, and a slide has dozens.

    Parameters
    ----------
    attributes : mapping
        As NGFF 0.4 has them.

    Raises
    ------
    FileExistsError
        If there is a group already.
    """
    plain: dict[str, Any] = json_ready(dict(attributes))
    path.mkdir(parents=True, exist_ok=True)
    if ngff == "0.4":
        files = {".zgroup": {"zarr_format": 2}, ".zattrs": plain}
    else:
        attributes = _as_0_5(plain)
        files = {"zarr.json": {"attributes": attributes, "zarr_format": 3, "node_type": "group"}}
    for name, content in files.items():
        (path / name).touch(exist_ok=False)
        _write_compact(path / name, content)
    return Group(path, ngff)


def _write_compact(path: Path, content: Mapping[str, Any]) -> None:
    """Write a node's metadata without blanks, in half the bytes, and no file for none of them."""
    if content:
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        path.write_text(text, encoding="utf-8")
    else:
        path.unlink()


def create_array(
    group: Group,
    name: str,
    shape: Shape,
    dtype: Literal["uint8", "float32"],
    channels: int | None = None,
    channels_per_chunk: int = 1,
) -> zarr.Array:
    """Create a level in the group's version: chunks of 1024 × 1024, or 2048 × 2048 for a label.

    Values that fit into less have one chunk of the next power of two, as chunks are packed whole:
    of a slide of 200 × 300 cells, each map would else unpack to 4 MB. Empty chunks of values are
    not written. zarr does not look for empty chunks of pictures and
    labels, as that would take longer than compressing them: see `write_label`.

    Parameters
    ----------
    channels : int or None
        Length of the first axis; None for a label, which has none.
    channels_per_chunk : int
        All three for RGB: neuroglancer draws colour only from a chunk that holds all of it.
    """
    floating = dtype == "float32"
    first = () if channels is None else (channels,)
    first_chunk = () if channels is None else (channels_per_chunk,)
    whole = (*first, *shape)
    is_rgb = channels == 3 and not floating
    chunk = LABEL_CHUNK if channels is None else CHUNK
    if floating:
        chunk = min(chunk, 1 << (max(shape) - 1).bit_length())
    stored = (
        _sharded(whole, chunk, is_rgb=is_rgb)
        if group.ngff == "0.5"
        else _chunked(floating=floating)
    )
    return group.create_array(
        name,
        shape=whole,
        chunks=(*first_chunk, chunk, chunk),
        dtype=dtype,
        fill_value=float("nan") if floating else 0,
        config={"write_empty_chunks": not floating},
        **stored,
    )


def create_rgb_levels(group: Group, shape: Shape, n_levels: int) -> list[zarr.Array]:
    """Create the levels 0, 1, 2, … of a (3, rows, cols) picture, finest first.

    Parameters
    ----------
    shape : Shape
        Size of the finest level.
    """
    return [
        create_array(group, str(level), shape.halved(level), "uint8", 3, 3)
        for level in range(n_levels)
    ]


def take_levels(folders: Sequence[Path], image: Path) -> bool:
    """Fill the levels of an image with existing chunks if they fit; return whether they do.

    Files are hard-linked, or copied where they cannot be: chunks are never changed, only replaced.

    Parameters
    ----------
    folders : sequence of Path
        Arrays that hold the image's levels, finest first; may be empty.
    image : Path
        Where the image's own levels 0, 1, 2, … lie, still empty.
    """
    pairs = [(folder, image / str(level)) for level, folder in enumerate(folders)]
    # Chunks are the same only if shape, type, layout and codec are.
    alike = all(_array_facts(source) == _array_facts(target) for source, target in pairs)
    if not pairs or _array_facts(pairs[0][0]) is None or not alike:
        return False
    try:
        for source, target in pairs:
            facts = _array_facts(source) or {}
            for name in chunk_names(facts["shape"], facts["chunks"]):
                link(source / name, target / name)
    except FileNotFoundError:
        # Another process removed them meanwhile.
        return False
    return True


def chunk_names(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[str]:
    """Yield the paths of all chunks of an array of zarr v2, with ``/`` between the dimensions."""
    counts = (-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    for place in product(*map(range, counts)):
        yield "/".join(map(str, place))


def _array_facts(folder: Path) -> dict[str, Any] | None:
    """Return the metadata of an array of zarr v2, or None if the folder is none."""
    try:
        return json.loads((folder / ".zarray").read_bytes())
    except (OSError, ValueError):
        return None


def write_label(level: zarr.Array, row: int, strip: np.ndarray) -> None:
    """Write whole rows of a label, (rows, cols) uint8, from ``row`` on.

    Empty chunks, or shards, are not written: most of a slide with its glass is empty.
    """
    unit = (level.shards or level.chunks)[-1]
    held = np.unique(np.flatnonzero(strip.any(axis=0)) // unit)
    for run in np.split(held, np.flatnonzero(np.diff(held) > 1) + 1):
        if run.size:
            span = slice(run[0] * unit, (run[-1] + 1) * unit)
            level[row : row + len(strip), span] = strip[:, span]


def create_plain_array(group: Group, name: str, values: np.ndarray) -> None:
    """Write an array that is no picture: a file for each row of the first axis where there are few.

    Parameters
    ----------
    values : (k, n) or (n, k) array of numbers
    """
    stored = (
        {"compressors": _compressor_v3()} if group.ngff == "0.5"
        else _chunked(floating=True)
    )  # fmt: skip
    chunk = tuple(max(1, min(size, PLAIN_CHUNK)) for size in values.shape)
    array = group.create_array(
        name, shape=values.shape, chunks=chunk, dtype=values.dtype,
        fill_value=float("nan"), config={"write_empty_chunks": True}, **stored,
    )  # fmt: skip
    if values.size:
        array[...] = values


def _compressor_v3() -> Any:
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=5)


def _chunked(*, floating: bool) -> dict[str, Any]:
    """Return how zarr v2 stores an array: a file per chunk, by the one codec that QuPath reads."""
    from numcodecs import Blosc

    return {
        "compressors": Blosc("zstd", 5) if floating else BYTE_CODEC,
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    }


def _sharded(shape: tuple[int, ...], chunk: int, *, is_rgb: bool) -> dict[str, Any]:
    """Return how zarr v3 stores an array: a file per row of chunks, or a few for a wide slide."""
    from zarr.codecs import ZstdCodec

    chunks_across = -(-shape[-1] // chunk)
    return {
        "shards": (*shape[:-2], chunk, min(SHARD_COLS, chunks_across * chunk)),
        "compressors": ZstdCodec(level=1 if is_rgb else 5),
        "dimension_names": ("c", "y", "x")[-len(shape) :],
    }


def _as_0_5(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return metadata of NGFF 0.4 as 0.5 has it: under ``ome``, with one version for all of it."""
    specified = {
        key: _without_version(value) for key, value in attributes.items() if key in _SPECIFIED
    }
    own = {key: value for key, value in attributes.items() if key not in _SPECIFIED}
    if "labels" in specified:
        # Vizarr looks for the list of labels where 0.4 has it (src/ome.ts:343, version 0.3.0).
        own["labels"] = specified["labels"]
    return ({"ome": {"version": "0.5", **specified}} if specified else {}) | own


def _without_version(value: Any) -> Any:
    """Return an entry, or entries, of the metadata without the version that 0.4 has in each."""
    if isinstance(value, list):
        return [_without_version(part) for part in value]
    if isinstance(value, dict):
        return {key: part for key, part in value.items() if key != "version"}
    return value


def write_ome_xml(path: Path, image: OmeImage, ngff: Ngff) -> None:
    """Write ``OME/METADATA.ome.xml`` into a zarr: QuPath reads the pixel size from it only."""
    create_group(path / "OME", {}, ngff)
    xml = ome_xml(image, planes=False)
    (path / "OME" / "METADATA.ome.xml").write_text(xml, encoding="utf-8")
