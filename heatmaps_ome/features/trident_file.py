"""Writes features in TRIDENT's layout, which TRIDENT, CLAM's forks and MIL-Lab train on.

``features``, (n, channels), and ``coords``, (n, 2) int64: the upper left corner (x, y) of each tile
in level-0 pixels, with the attributes of TRIDENT's files but ``savetodir``, which is a private
path. Attributes of our own begin with ``heatmaps_ome_``: true sizes, as TRIDENT's are whole pixels,
and the request that a later run knows the file by.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from heatmaps_ome.features.store import kept
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor
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
    request : str
        Digest of everything that determines the file's content.
    """

    name: str
    slide_shape: Shape
    lattice: TileLattice
    count: int
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
        }


class TridentFile:
    """A file that is being written, from the first tile to the last."""

    def __init__(self, path: Path, file: h5py.File, table: TileTable, dtype: np.dtype) -> None:
        self._path, self._file, self._table, self._dtype = path, file, table, dtype
        self._done = self._beyond = 0

    @property
    def n_beyond(self) -> int:
        """Tiles so far that reach beyond the slide."""
        return self._beyond

    def add(self, tiles: Sequence[Window], features: np.ndarray) -> int:
        """Write the next tiles, and return the number of tiles so far.

        Parameters
        ----------
        features : (n, channels) float32

        Raises
        ------
        ExtractorError
            If a feature is no number, or too large for the file's type.
        OutputError
            If the file cannot be written.
        """
        rounded, places = kept(features, self._dtype), self._table.places(tiles)
        rows = slice(self._done, self._done + len(tiles))
        try:
            self._file["features"][rows] = rounded  # pyright: ignore[reportIndexIssue]
            self._file["coords"][rows] = places  # pyright: ignore[reportIndexIssue]
        except OSError as error:
            raise disk_error(self._path, error) from error
        self._done += len(tiles)
        self._beyond += sum(map(self._table.lattice.reaches_beyond, tiles))
        return self._done

    def finish(self) -> None:
        """Write that all tiles are there.

        Raises
        ------
        ValueError
            If tiles lack.
        """
        if self._done != self._table.count:
            raise ValueError(f"{self._done} of {self._table.count} tiles have features")
        coords = self._file["coords"]
        coords.attrs[f"{_OWN}tiles_beyond_slide"] = self._beyond
        coords.attrs[_REQUEST] = self._table.request


@contextmanager
def writing(
    path: Path, table: TileTable, extractor: Extractor, dtype: np.dtype
) -> Iterator[TridentFile]:
    """Yield a file to add tiles to, which is put in its place as a whole in the end.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        with replacing(path) as partial, h5py.File(partial, "x", locking="best-effort") as file:
            features = file.create_dataset("features", (table.count, extractor.channels), dtype)
            coords = file.create_dataset("coords", (table.count, 2), np.int64)
            coords.attrs.update(table.attributes())
            features.attrs.update({
                "encoder": extractor.name,
                "name": table.name,
                f"{_OWN}extractor": extractor.digest,
                f"{_OWN}weights_sha256": extractor.weights_digest,
                f"{_OWN}precision": extractor.precision,
            })  # fmt: skip
            written = TridentFile(path, file, table, dtype)
            yield written
            written.finish()
    except FileExistsError as error:
        raise disk_error(path, error) from error


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
