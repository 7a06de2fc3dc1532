"""Writes features in TRIDENT's layout, which TRIDENT, CLAM's forks and MIL-Lab train on.

``features``, (n, channels), and ``coords``, (n, 2) int64: the upper left corner (x, y) of each tile
in level-0 pixels, with the attributes of TRIDENT's files but ``savetodir``, which is a private
path. Attributes of our own begin with ``heatmaps_ome_``: true sizes, as TRIDENT's are whole pixels,
and the request that a later run knows the file by.
"""

from __future__ import annotations

import errno
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import h5py
import numpy as np

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.features.store import kept
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.features.tile_lattice import TileLattice
    from heatmaps_ome.geometry import Window

ENDING: Final = ".h5"
FORMAT: Final = 1
"""Increased when the content of the files changes, so that a later run does not take them for its
own."""
_OWN: Final = "heatmaps_ome_"
_REQUEST: Final = f"{_OWN}request"
_MAGNIFICATIONS: Final = (1, 2, 5, 10, 20, 40, 60, 80, 100)
"""Nominal ones; 10 stands for 1 µm per pixel."""


@dataclass(frozen=True, eq=False)
class TileTable:
    """A slide's tiles, before there are features.

    Attributes
    ----------
    name : str
        The slide's name.
    slide_shape : Shape
        Its size at level 0.
    lattice : TileLattice
    count : int
        Number of tiles.
    n_beyond : int
        Tiles that reach beyond the slide.
    request : str
        Digest of everything that determines the file's content.
    """

    name: str
    slide_shape: Shape
    lattice: TileLattice
    count: int
    n_beyond: int
    request: str

    def places(self, tiles: Sequence[Window]) -> np.ndarray:
        """Return the corners of tiles in whole level-0 pixels, (n, 2) int64, x first."""
        corners = [self.lattice.pixels.l0_from_g(YX(tile.row, tile.col)) for tile in tiles]
        l0_xy = np.array([(corner.x, corner.y) for corner in corners], np.float64).reshape(-1, 2)
        return np.floor(l0_xy + 0.5).astype(np.int64)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of ``coords``."""
        size, mpp = self.lattice.size, self.lattice.pixels.mpp
        l0_side, l0_stride = self.lattice.l0_side, self.lattice.l0_stride
        side = math.sqrt(l0_side.y * l0_side.x)
        own = _nominal_magnification(mpp)
        return {
            "name": self.name,
            "patch_size": size.side_px,
            "patch_size_level0": max(1, round(side)),
            "level0_magnification": own,
            # By TRIDENT's definition, patch_size · level-0 / target magnification is the side.
            "target_magnification": _plain(own * size.side_px / side),
            "overlap": _plain(size.overlap_px),
            "level0_width": self.slide_shape.cols,
            "level0_height": self.slide_shape.rows,
            f"{_OWN}format": FORMAT,
            f"{_OWN}side_level0_xy": [l0_side.x, l0_side.y],
            f"{_OWN}stride_level0_xy": [l0_stride.x, l0_stride.y],
            f"{_OWN}side_um": size.um_side,
            f"{_OWN}mpp_xy": [mpp.x, mpp.y],
            f"{_OWN}tiles_beyond_slide": self.n_beyond,
            _REQUEST: self.request,
        }


class TridentFile:
    """A file that is being written, from the first tile to the last.

    HDF5 makes the file with room for all tiles, whose numbers lie in one piece each; these are
    written as bytes at their place, so that a full disk is an ordinary error. HDF5 would try to
    write once more, and fail, whenever it closes any part of the file.

    Parameters
    ----------
    file : BinaryIO
    offsets : tuple of int
        First bytes of the features and of the coordinates.
    """

    def __init__(
        self, file: BinaryIO, offsets: tuple[int, int], table: TileTable, dtype: np.dtype
    ) -> None:
        self._file, self._offsets, self._table, self._dtype = file, offsets, table, dtype
        self._done = 0

    def add(self, tiles: Sequence[Window], features: np.ndarray) -> int:
        """Write the next tiles, and return the number of tiles so far.

        Parameters
        ----------
        features : (n, channels) float32

        Raises
        ------
        ExtractorError
            If a feature is no number, or too large for the file's type.
        OSError
            If the file cannot be written.
        ValueError
            If there are more tiles than the table has.
        """
        if self._done + len(tiles) > self._table.count:
            raise ValueError(f"there are more than {self._table.count} tiles")
        rows = (kept(features, self._dtype), self._table.places(tiles))
        for first, values in zip(self._offsets, rows, strict=True):
            self._file.seek(first + self._done * values[:1].nbytes)
            self._file.write(np.ascontiguousarray(values).tobytes())
        self._done += len(tiles)
        return self._done

    def finish(self) -> None:
        """Refuse a file in which tiles lack.

        Raises
        ------
        ValueError
            If tiles lack.
        """
        if self._done != self._table.count:
            raise ValueError(f"{self._done} of {self._table.count} tiles have features")
        self._file.flush()


@contextmanager
def writing(
    path: Path, table: TileTable, extractor: TileEncoder, dtype: np.dtype
) -> Iterator[TridentFile]:
    """Yield a file to add tiles to, which is put in its place as a whole in the end.

    Parameters
    ----------
    dtype : np.dtype
        float32 or float16.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    stored = dtype.newbyteorder("<")
    try:
        with replacing(path) as partial:
            try:
                offsets = _begin(partial, table, extractor, stored)
            except RuntimeError as error:  # HDF5's, for some of a disk's faults
                raise OSError(errno.EIO, "HDF5 cannot make it") from error
            with partial.open("r+b") as file:
                written = TridentFile(file, offsets, table, stored)
                yield written
                written.finish()
    except HeatmapsError:
        raise
    except OSError as error:
        raise disk_error(path, error) from error


def _begin(
    path: Path, table: TileTable, extractor: TileEncoder, dtype: np.dtype
) -> tuple[int, int]:
    """Make a file with its attributes and room for its numbers; return their first bytes."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "x", locking="best-effort") as file:
        features, coords = (
            h5py.Dataset(
                h5py.h5d.create(
                    file.id, name, h5py.h5t.py_create(kind), h5py.h5s.create_simple(shape), layout
                )
            )
            for name, kind, shape in (
                (b"features", dtype, (table.count, extractor.channels)),
                (b"coords", np.dtype("<i8"), (table.count, 2)),
            )
        )
        coords.attrs.update(table.attributes())
        features.attrs.update({
            "encoder": extractor.name,
            "name": table.name,
            f"{_OWN}extractor": extractor.digest,
            f"{_OWN}weights_sha256": extractor.weights_digest,
            f"{_OWN}precision": extractor.precision,
        })  # fmt: skip
        # Without any tile there is no room, and nothing to write.
        return features.id.get_offset() or 0, coords.id.get_offset() or 0


def written_tiles(path: Path) -> tuple[str, int, int] | None:
    """Return the facts of a complete file of ours: its request, its tiles, those beyond the slide.

    Returns
    -------
    (str, int, int) or None
        None if there is no regular file, or it is not ours.
    """
    try:
        if not path.is_file():
            return None
        with h5py.File(path, "r", locking=False) as file:
            coords = file["coords"]
            if not isinstance(coords, h5py.Dataset):
                return None
            request = coords.attrs.get(_REQUEST)
            beyond = int(coords.attrs.get(f"{_OWN}tiles_beyond_slide", 0))
            return (request, len(coords), beyond) if isinstance(request, str) else None
    except (OSError, KeyError, TypeError, ValueError, RuntimeError):
        return None


def _nominal_magnification(mpp: YX) -> int:
    """Return the objective that such pixels are named after, such as 20 for 0.5 µm."""
    wanted = -math.log(math.sqrt(mpp.y * mpp.x) / 10)
    return min(_MAGNIFICATIONS, key=lambda own: abs(math.log(own) - wanted))


def _plain(number: float) -> int | float:
    """Return a whole number as an int, and any other as it is.

    >>> _plain(20.000000001), _plain(8.75)
    (20, 8.75)
    """
    return round(number) if math.isclose(number, round(number), abs_tol=1e-6) else number
