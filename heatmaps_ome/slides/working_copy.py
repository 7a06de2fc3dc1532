"""A slide's pixels at the network's resolution, read once and kept on disk in levels.

Decoding a slide takes ten times as long as reading it back from this copy. So tissue, features,
previews and the OME-Zarr's image are all made from the copy, also by later runs; its chunks have
the layout of the OME-Zarr, into which they are linked unchanged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import zarr

from heatmaps_ome.errors import HeatmapsError, OutputError
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.ome.pyramid import BYTE_CODEC, CHUNK, levels_from_strips, n_levels, write_rgb
from heatmaps_ome.slides.reader import require_unchanged, source_of
from heatmaps_ome.slides.reading import read_strips
from heatmaps_ome.slides.resampling import Resampler
from heatmaps_ome.storage.cache import WHOLE_CHUNKS, PixelsKey, folder_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heatmaps_ome.slides.bad_tiles import BadTiles
    from heatmaps_ome.slides.reader import ReadFrom, SlideReader

_COMPLETE = "complete"
"""File written last, with the number of the other files."""
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
        self._fingerprint = fingerprint
        self.folder = folder_of(cache, PixelsKey(source_of(self), lattice.l0_cell))
        self._shapes = [
            lattice.shape.halved(level) for level in range(n_levels(lattice.shape, CHUNK))
        ]
        l0_pixels = [lattice.downsampled(level).l0_cell for level in range(len(self._shapes))]
        self._l0_pixels = l0_pixels
        self._resampler = Resampler(self._shapes, l0_pixels, self._read_tile, CHUNK)
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._closed = False
        self._filling: threading.Thread | None = None
        try:
            complete = _is_complete(self.folder) and self.bad_tiles.load(self.folder / _BAD_TILES)
            self._levels = [self._opened(level) for level in range(len(self._shapes))]
        except OSError as error:
            raise OutputError(
                f"the cache {cache} cannot be used ({error.strerror}); choose another with "
                "--cache-dir"
            ) from error
        self._rows = [shape.rows if complete else 0 for shape in self._shapes]

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
        """Return the folders of the arrays of all levels, finest first, once they are complete.

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
        self.fill()
        return [self.folder / str(level) for level in range(len(self._shapes))]

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

    def close(self) -> None:
        """Stop copying, close the slide and free the cached pixels."""
        self._closed = True
        if self._filling is not None:
            self._filling.join()
        self.forget()
        self._slide.close()

    def _fill(self) -> None:
        """Copy the slide, strip by strip."""
        try:
            strips = read_strips(self._slide, self._lattice, CHUNK, self._threads)
            for level, row, strip in levels_from_strips(strips, len(self._levels), CHUNK):
                if self._closed:
                    return
                write_rgb(self._levels[level], row, strip)
                with self._changed:
                    self._rows[level] = row + len(strip)
                    self._changed.notify_all()
            require_unchanged(self._slide, self._fingerprint)
            self.bad_tiles.save(self.folder / _BAD_TILES)
            (self.folder / _COMPLETE).write_text(_n_files(self.folder))
            # The slide itself is hardly read again.
            self._slide.forget()
        # Waiting threads must learn of any error.
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Record the failure and wake all waiting threads."""
        with self._changed:
            self._failure = error
            if isinstance(error, OSError) and not isinstance(error, HeatmapsError):
                self._failure = OutputError(
                    f"{self.folder} cannot be written ({error.strerror}); free space there or "
                    "choose another place with --cache-dir"
                )
            self._changed.notify_all()

    def _wait(self, level: int, row_stop: int) -> None:
        """Wait for rows of a level."""
        with self._changed:
            if self._filling is None and self._rows[-1] < self._shapes[-1].rows:
                self._filling = threading.Thread(target=self._fill, name="copy", daemon=True)
                self._filling.start()
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
        self._wait(level, inside.row_stop)
        planes = np.asarray(self._levels[level][:, *inside.slices])
        pixels = np.ascontiguousarray(np.moveaxis(planes, 0, 2))
        if inside == window:
            return pixels
        out = np.full((window.rows, window.cols, 3), 255, np.uint8)
        out[inside.within(window).slices] = pixels
        return out

    def _read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level."""
        return self._stored(level, tile.common(Window(0, 0, *self._shapes[level])))

    def _opened(self, level: int) -> zarr.Array:
        """Return the array of a level, created if it does not exist.

        Chunks of a killed run are replaced by identical ones, and two runs can fill one copy at
        the same time.
        """
        folder = self.folder / str(level)
        if (folder / ".zarray").is_file():
            return zarr.open_array(folder, mode="r+", zarr_format=2, config=WHOLE_CHUNKS)
        return zarr.create_array(
            folder,
            shape=(3, *self._shapes[level]),
            chunks=(3, CHUNK, CHUNK),
            dtype="uint8",
            fill_value=0,
            compressors=BYTE_CODEC,
            zarr_format=2,
            chunk_key_encoding={"name": "v2", "separator": "/"},
            config=WHOLE_CHUNKS,
        )


def _is_complete(folder: Path) -> bool:
    """Return whether a copy was completed and still has all its files."""
    marker = folder / _COMPLETE
    return marker.is_file() and marker.read_text() == _n_files(folder)


def _n_files(folder: Path) -> str:
    """Return the number of files of a copy's levels: a missing chunk would read as black."""
    return str(sum(path.is_file() for path in folder.glob("*/**/*")))
