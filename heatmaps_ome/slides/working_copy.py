"""A slide's pixels at the network's resolution, read once and kept on disk in levels.

Decoding a slide takes ten times as long as reading it back from this copy. So tissue, features,
previews and the OME-Zarr's image are all made from the copy, also by later runs; its chunks have
the layout of the OME-Zarr, into which they are linked unchanged. Chunks are verified when they are
read or linked; if one is damaged, or was removed, the slide is copied again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from heatmaps_ome.errors import HeatmapsError, OutputError
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.ome.pyramid import CHUNK, levels_from_strips, n_levels
from heatmaps_ome.slides.copy_levels import CopyLevels
from heatmaps_ome.slides.reader import require_unchanged, source_of
from heatmaps_ome.slides.reading import read_strips
from heatmaps_ome.slides.resampling import Resampler
from heatmaps_ome.slides.waiting import READING, waiting
from heatmaps_ome.storage.cache import PixelsKey
from heatmaps_ome.storage.cache_users import release
from heatmaps_ome.storage.inventory import discard
from heatmaps_ome.storage.pieces import ATTEMPTS, GrowingPiece
from heatmaps_ome.storage.records import DamagedPieceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.slides.bad_tiles import BadTiles
    from heatmaps_ome.slides.reader import ReadFrom, SlideReader

_Read = TypeVar("_Read")
_BAD_TILES = "bad-tiles.json"
"""File with the damaged tiles that were left blank, if they were to be."""


class WorkingCopy:
    """A SlideReader that reads from its copy, and from the slide where the copy is too coarse.

    From the first read on a thread fills the copy from top to bottom. A read waits for the rows
    that it needs, so that work from top to bottom overlaps with the copying.

    Parameters
    ----------
    slide : SlideReader
        The slide itself; closed with the copy.
    fingerprint : str
        The slide's fingerprint, passed in because computing it reads megabytes.
    lattice : Grid
        Lattice of the copy's finest level, anchored at the slide's corner.
    cache : Path
        Folder of the cache; the copy's folder in it depends on the slide's content.
    threads : int
        Threads that read the slide.

    Raises
    ------
    OutputError
        If the cache cannot be used.
    """

    def __init__(
        self, slide: SlideReader, fingerprint: str, lattice: Grid, cache: Path, threads: int
    ) -> None:
        self._slide, self._lattice, self._threads = slide, lattice, threads
        self._fingerprint, self._cache = fingerprint, cache
        self._piece = GrowingPiece(cache, PixelsKey(source_of(self), lattice.l0_cell), slide.name)
        self._shapes = [
            lattice.shape.halved(level) for level in range(n_levels(lattice.shape, CHUNK))
        ]
        l0_pixels = [lattice.downsampled(level).l0_cell for level in range(len(self._shapes))]
        self._l0_pixels = l0_pixels
        self._resampler = Resampler(self._shapes, l0_pixels, self._read_tile, CHUNK)
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._closed = self._stopped = False
        self._filling: threading.Thread | None = None
        self._healing = threading.Lock()
        self._n_healed = 0
        self._levels = CopyLevels(self._piece, self._shapes)
        complete = self._levels.is_complete() and self._knows_bad_tiles()
        self._rows = [shape.rows if complete else 0 for shape in self._shapes]

    @property
    def folder(self) -> Path:
        """The copy's folder in the cache."""
        return self._piece.folder

    @property
    def path(self) -> Path:
        """The slide's file."""
        return self._slide.path

    @property
    def name(self) -> str:
        """The slide's name."""
        return self._slide.name

    @property
    def shape(self) -> Shape:
        """The slide's size at level 0."""
        return self._slide.shape

    @property
    def mpp(self) -> YX:
        """µm per level-0 pixel."""
        return self._slide.mpp

    @property
    def bounds(self) -> Window:
        """The slide's non-empty rectangle at level 0."""
        return self._slide.bounds

    @property
    def mpp_source(self) -> str:
        """Where ``mpp`` was found."""
        return self._slide.mpp_source

    @property
    def own_mpp(self) -> YX | None:
        """µm per level-0 pixel as the slide states it."""
        return self._slide.own_mpp

    @property
    def pixels(self) -> str:
        """What else the pixels' values depend on."""
        return self._slide.pixels

    @property
    def decoding(self) -> Mapping[str, Any]:
        """How the slide's pixels are read, for the records."""
        return self._slide.decoding

    @property
    def bad_tiles(self) -> BadTiles:
        """Whether damaged tiles are errors; else those that were left blank."""
        return self._slide.bad_tiles

    @property
    def read_from(self) -> ReadFrom:
        """The slide's levels that the copy is read from."""
        return self._slide.read_from

    def fingerprint(self) -> str:
        """Return a digest of the slide's content."""
        return self._fingerprint

    def level_folders(self, lattice: Grid) -> list[Path]:
        """Return the folders of the arrays of all levels, finest first, complete and verified.

        Parameters
        ----------
        lattice : Grid
            The lattice of the finest array; the list is empty if it is not the copy's own.

        Returns
        -------
        list of Path
            zarr v2 arrays of (3, rows, cols) uint8, chunked and compressed as OME-Zarr's.
        """
        if lattice != self._lattice:
            return []
        return self._intact(self._verified_folders)

    def fill(self, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Wait until the copy is complete.

        Parameters
        ----------
        progress : callable
            Called with (rows done, rows in all) of the finest level.

        Raises
        ------
        SlideError, OutputError
            If copying failed.
        """
        for level, shape in enumerate(self._shapes):
            for rows in range(0, shape.rows + CHUNK, CHUNK):
                self._wait(level, min(rows, shape.rows))
                if level == 0:
                    progress(min(rows, shape.rows), shape.rows)
        if self._filling is not None:
            self._filling.join()
            # The slide is checked once more after its last row.
            self._wait(0, 0)

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """Return a window of the slide on a lattice; see SlideReader.

        Raises
        ------
        SlideError
            If a tile of the slide is damaged; names the place.
        """
        level = self._resampler.level_for(lattice.l0_cell)
        own = self._l0_pixels[level]
        if own == lattice.l0_cell and lattice.l0_origin == YX(0.0, 0.0):
            return self._stored(level, window)
        # A lattice finer than the copy has to come from the slide.
        if own.y > lattice.l0_cell.y * 1.01 or own.x > lattice.l0_cell.x * 1.01:
            return self._slide.read(lattice, window)
        return self._resampler.read(lattice, window, level)

    def forget(self) -> None:
        """Free the cached pixels."""
        self._resampler.forget()
        self._slide.forget()

    def interrupt(self) -> None:
        """Have all that wait for the copy, now or later, end with KeyboardInterrupt."""
        with self._changed:
            self._failure, self._closed = KeyboardInterrupt(), True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop copying, close the slide and free the cached pixels."""
        self._closed = True
        if self._filling is not None:
            self._filling.join()
        self.forget()
        self._slide.close()

    def release(self) -> None:
        """Note that this process has done with the closed copy, so that others may discard it."""
        release(self._cache, self.folder)

    def discard(self) -> None:
        """Remove the closed copy from the cache, unless another process uses it."""
        discard(self._cache, self.folder)

    def _fill(self) -> None:
        """Copy the slide, strip by strip."""
        try:
            strips = read_strips(self._slide, self._lattice, CHUNK, self._threads)
            for level, row, strip in levels_from_strips(strips, len(self._shapes), CHUNK):
                if self._closed or self._stopped:
                    return
                self._levels.write(level, row, strip)
                with self._changed:
                    self._rows[level] = row + len(strip)
                    self._changed.notify_all()
            require_unchanged(self._slide, self._fingerprint)
            if self.bad_tiles.policy == "blank":
                self._piece.write(_BAD_TILES, self.bad_tiles.text())
            # The slide itself is hardly read again.
            self._slide.forget()
        # Waiting threads must learn of any error.
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _knows_bad_tiles(self) -> bool:
        """Return whether the tiles that the copy left blank are known, if any are to be."""
        if self.bad_tiles.policy == "fail":
            return True
        try:
            text = self._piece.read(_BAD_TILES)
        except DamagedPieceError as damage:
            self._piece.warn(damage)
            return False
        return text is not None and self.bad_tiles.load(text)

    def _fail(self, error: Exception) -> None:
        """Record the failure and wake all waiting threads."""
        with self._changed:
            self._failure = error
            if isinstance(error, OSError) and not isinstance(error, HeatmapsError):
                self._failure = self._piece.error(error)
            self._changed.notify_all()

    def _wait(self, level: int, row_stop: int) -> None:
        """Wait for rows of a level."""
        with self._changed:
            if self._filling is None and self._rows[-1] < self._shapes[-1].rows:
                self._filling = threading.Thread(target=self._fill, name="copy", daemon=True)
                self._filling.start()
            if self._rows[level] < row_stop:
                with waiting(READING):
                    self._changed.wait_for(
                        lambda: self._rows[level] >= row_stop or self._failure is not None
                    )
            if self._failure is not None:
                raise self._failure

    def _stored(self, level: int, window: Window) -> np.ndarray:
        """Return a window of a level, white beyond it."""
        inside = window.common(Window(0, 0, *self._shapes[level]))
        if inside.area == 0:
            return np.full((window.rows, window.cols, 3), 255, np.uint8)
        pixels = self._intact(lambda: self._read_level(level, inside))
        if inside == window:
            return pixels
        out = np.full((window.rows, window.cols, 3), 255, np.uint8)
        out[inside.within(window).slices] = pixels
        return out

    def _read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level."""
        return self._stored(level, tile.common(Window(0, 0, *self._shapes[level])))

    def _read_level(self, level: int, window: Window) -> np.ndarray:
        """Return a window that lies on a level, once its rows are copied."""
        self._wait(level, window.row_stop)
        return self._levels.read(level, window)

    def _verified_folders(self) -> list[Path]:
        """Return the folders of all levels, once they are complete and verified."""
        self.fill()
        self._levels.require_intact(self._threads)
        return self._levels.folders

    def _intact(self, read: Callable[[], _Read]) -> _Read:
        """Return the value of a read; if it finds the copy damaged, the slide is copied again."""
        for _ in range(ATTEMPTS):
            n_healed = self._n_healed
            try:
                return read()
            except DamagedPieceError as damage:
                self._copy_again(damage, n_healed)
        raise OutputError(
            f"{self.folder} is damaged as soon as it is written; check the disk, or choose another "
            "place with --cache-dir"
        )

    def _copy_again(self, damage: DamagedPieceError, n_healed: int) -> None:
        """Begin the copy anew, unless another thread did so since ``n_healed`` was read."""
        with self._healing:
            if n_healed != self._n_healed:
                return
            self._piece.warn(damage)
            self._stopped = True
            if self._filling is not None:
                self._filling.join()
            self._levels.open()
            with self._changed:
                self._stopped, self._filling = False, None
                self._rows = [0 for _ in self._shapes]
                self._n_healed += 1
