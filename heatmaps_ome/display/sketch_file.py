"""A slide's sketch as an HDF5 file, of which a fit reads some kilobytes.

The file has four datasets: ``facts``, JSON in UTF-8, and the rows ``steps``, ``counts`` and ``low``
(see `Sketch`), in chunks that are shuffled and deflated. Chunks are unpacked here, one by one and
up to their size, as HDF5 itself does not survive damaged ones (see `hdf5_chunks`).
"""

from __future__ import annotations

import io
import json
import math
import zlib
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from heatmaps_ome.display.sketch import Sketch, SketchFacts, sketch_of
from heatmaps_ome.errors import HeatmapsError, ResultError
from heatmaps_ome.features.files.hdf5 import dataset, opened, read
from heatmaps_ome.features.files.hdf5_chunks import filters_of
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.storage.digests import finite
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

_FORMAT: Final = "heatmaps-ome sketch 1"
_ROWS: Final = {
    "steps": (np.dtype("<u2"), 8192), "counts": (np.dtype("<u4"), 8192),
    "low": (np.dtype("<u2"), 1024),
}  # fmt: skip
"""Type of the numbers of each row, and how many are in a chunk. The first two rows are read as a
whole; of the last one a fit reads a chunk or two where a quantile may lie."""
_MOST_FACTS_BYTES: Final = 8 << 20
_COMPRESSION: Final = 4
_BINS: Final = 1 << 16


def write_sketch(heatmaps: HeatmapSet | Sketch, path: Path) -> None:
    """Write a slide's sketch, replacing the file as a whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    sketch = heatmaps if isinstance(heatmaps, Sketch) else sketch_of(heatmaps)
    try:
        with replacing(path) as partial:
            partial.write_bytes(_packed(sketch))
    except OSError as error:
        raise disk_error(path, error) from error


def _packed(sketch: Sketch) -> bytes:
    """Return the bytes of a sketch's file; equal for equal slides."""
    target = io.BytesIO()
    facts = json.dumps(_record(sketch)).encode("ascii")
    # Each HDF5 since 1.10 reads this, and the chunks' index takes a tenth of the oldest form's.
    with h5py.File(target, "w", libver=("v110", "v110")) as file:
        file.create_dataset("facts", data=np.frombuffer(facts, np.uint8))
        for name, (dtype, chunk) in _ROWS.items():
            row = getattr(sketch, name)
            file.create_dataset(
                name, data=row[0 : len(row)], dtype=dtype, chunks=(chunk,), maxshape=(None,),
                shuffle=True, compression="gzip", compression_opts=_COMPRESSION,
            )  # fmt: skip
    return target.getvalue()


def _record(sketch: Sketch) -> dict[str, Any]:
    facts = asdict(sketch.facts)
    sizes = iter(sketch.sizes.tolist())
    maps = {kind: [next(sizes) for _ in range(n)] for kind, n in facts.pop("maps").items()}
    prediction = [finite(value) for value in facts.pop("prediction")]
    return {"format": _FORMAT, **facts, "prediction": prediction, "maps": maps}


@contextmanager
def open_sketch(path: Path) -> Iterator[Sketch]:
    """Open a slide's sketch, to read parts of it.

    Raises
    ------
    ResultError
        If there is none, or it is damaged or foreign; also for what is read while it is open.
    """
    try:
        with opened(path) as file:
            yield _sketch(file, path)
    except HeatmapsError:
        raise
    except Unfit as reason:
        raise ResultError(f"{printable(path)} is no sketch to fit a scaling to: it {reason}") from (
            reason
        )
    except OSError as error:
        raise ResultError(
            f"{printable(path)} cannot be read ({error.strerror or error}); make the slide's maps "
            "again"
        ) from error


def _sketch(file: h5py.File, path: Path) -> Sketch:
    record = _facts_of(file)
    try:
        facts, sizes = _read_facts(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unfit(f"has damaged facts ({error!r}); make the slide's maps again") from error
    rows = {name: _StoredRow(file, name) for name in _ROWS}
    return Sketch(printable(path), facts, np.array(sizes, np.int64), **rows)


def _facts_of(file: h5py.File) -> dict[str, Any]:
    """Return the facts' JSON object."""
    stored = dataset(file, "facts")
    if stored is None or stored.dtype != np.uint8 or stored.ndim != 1:
        raise Unfit("is another HDF5 file; give the folder that `heatmaps-ome maps` wrote")
    n_bytes = int(stored.shape[0])
    if n_bytes > _MOST_FACTS_BYTES:
        raise Unfit(f"has {n_bytes} bytes of facts, which are not read")
    try:
        record = json.loads(read(stored).tobytes())
    except (ValueError, RecursionError) as error:
        raise Unfit("has damaged facts; make the slide's maps again") from error
    form = record.pop("format", None) if isinstance(record, dict) else None
    if form != _FORMAT:
        raise Unfit(f"is of the format {str(form)[:60]!r}; make the slide's maps again")
    return record


def _read_facts(record: Mapping[str, Any]) -> tuple[SketchFacts, list[int]]:
    """Return the facts and the number of bins of each map; any error if they are damaged."""
    classes = tuple(map(str, record["classes"]))
    names = {str(kind): tuple(map(str, group)) for kind, group in record["names"].items()}
    bins = {kind: [int(size) for size in sizes] for kind, sizes in record["maps"].items()}
    for kind, sizes in bins.items():
        expected = len(names.get(kind, classes)) if KINDS[kind].per_class else 1
        if KINDS[kind].scale == "categories" or len(sizes) != expected:
            raise ValueError(f"{len(sizes)} maps of {kind}")
        if not all(0 <= size <= _BINS for size in sizes):
            raise ValueError(f"bins of {kind}")
    prediction = [math.nan if value is None else float(value) for value in record["prediction"]]
    middle = record["middle"]
    facts = SketchFacts(
        classes=classes,
        names=names,
        chance=float(record["chance"]),
        middle=None if middle is None else float(middle),
        prediction=tuple(prediction),
        cells=int(record["cells"]),
        maps={kind: len(sizes) for kind, sizes in bins.items()},
        factors={kind: int(factor) for kind, factor in record["factors"].items()},
    )
    if len(prediction) != len(classes) or facts.cells < 0 or not math.isfinite(facts.chance):
        raise ValueError("its prediction, its cells or its chance")
    return facts, [size for sizes in bins.values() for size in sizes]


class _StoredRow:
    """A dataset of numbers, read chunk by chunk.

    Raises
    ------
    Unfit
        If it is not as `write_sketch` writes it.
    """

    def __init__(self, file: h5py.File, name: str) -> None:
        item = dataset(file, name)
        dtype, chunk = _ROWS[name]
        if (
            item is None
            or item.dtype != dtype
            or item.ndim != 1
            or item.chunks != (chunk,)
            or [number for number, _ in filters_of(item)]
            != [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]
        ):
            raise Unfit(f"has other numbers {name!r} than a sketch; make the slide's maps again")
        self._item, self._dtype, self._size = item, dtype, chunk
        self._file_bytes = file.id.get_filesize()
        self._start, self._numbers = -1, np.empty(0, dtype)

    def __len__(self) -> int:
        return int(self._item.shape[0])

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the numbers of a part, whose ends lie within the row."""
        if part.stop > len(self):
            raise Unfit("has fewer numbers than it states; make the slide's maps again")
        pieces = [
            self._chunk(start)[max(part.start - start, 0) : part.stop - start]
            for start in range(part.start // self._size * self._size, part.stop, self._size)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0, self._dtype)

    def _chunk(self, start: int) -> np.ndarray:
        """Return the numbers of a chunk; the last one read is kept for the next part."""
        if start != self._start:
            self._start, self._numbers = start, self._unpacked(start)
        return self._numbers

    def _unpacked(self, start: int) -> np.ndarray:
        size = self._dtype.itemsize
        n_bytes = self._size * size
        place = self._item.id.get_chunk_info_by_coord((start,))
        ends = (place.byte_offset or 0) + place.size
        # Deflate adds some bytes to what it cannot make smaller.
        if place.filter_mask or not 0 < place.size <= 2 * n_bytes or ends > self._file_bytes:
            raise Unfit("has a damaged chunk; make the slide's maps again")
        packed = self._item.id.read_direct_chunk((start,))[1]
        try:
            unpacked = zlib.decompressobj().decompress(packed, n_bytes + 1)
        except zlib.error as error:
            raise Unfit("has a damaged chunk; make the slide's maps again") from error
        if len(unpacked) != n_bytes:
            raise Unfit("has a damaged chunk; make the slide's maps again")
        # Shuffled: the first bytes of all numbers, then the second ones, and so on.
        columns = np.frombuffer(unpacked, np.uint8).reshape(size, self._size)
        return np.ascontiguousarray(columns.T).view(self._dtype).ravel()
