"""Decodes the tiles or strips of one directory of a TIFF."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np

from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.slides.readers.strict_jpeg import StrictJpeg, is_available

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tifffile import TiffPage

JPEG, WEBP = 7, 50001
JPEG_2000: Final = (33003, 33004, 33005, 34712)
RGB, PALETTE, YCBCR = 2, 3, 6
"""Photometric interpretations of TIFF."""
_SAMPLINGS: Final = (None, (1, 1), (2, 1), (2, 2), (1, 2), (4, 1))
"""Horizontal and vertical subsampling of colours that libjpeg-turbo decodes at once."""
_JCS_GREY, _JCS_RGB, _JCS_YCBCR = 1, 2, 3
"""Colour spaces of libjpeg: J_COLOR_SPACE in jpeglib.h."""
_VIRTUAL_BYTES: Final = 2**20
"""Size of the strips that uncompressed pictures are read in, whatever theirs are."""
DECODERS_ERRORS: Final = (ValueError, RuntimeError, NotImplementedError, OverflowError)
"""What tifffile and imagecodecs raise for damaged tiles."""


class Segments:
    """The tiles or strips of a directory: their places in the file, and their pixels.

    Parameters
    ----------
    page : TiffPage
        RGB of 8 or 16 bits, or a palette; its numbers are checked.

    Attributes
    ----------
    shape : Shape
        Pixels of the picture.
    tile : Shape
        Pixels of a tile, or of a strip.
    n_planes : int
        Planes that each sample has for itself; 1 where samples are interleaved.
    """

    def __init__(self, page: TiffPage) -> None:
        self._page = page
        self.shape = Shape(page.imagelength, page.imagewidth)
        self.n_planes = page.samplesperpixel if page.planarconfig == 2 else 1
        self._samples = 1 if page.planarconfig == 2 else page.samplesperpixel
        self._plain = _is_plain(page)
        if page.is_tiled:
            self.tile = Shape(page.tilelength, page.tilewidth)
        else:
            self.tile = Shape(min(page.rowsperstrip, self.shape.rows), self.shape.cols)
        if self._plain:
            rows = max(1, _VIRTUAL_BYTES // self._row_bytes)
            self.tile = Shape(min(rows, self.shape.rows), self.shape.cols)
        self._across = -(-self.shape.cols // self.tile.cols)
        self._down = -(-self.shape.rows // self.tile.rows)
        # Made once here, as threads share it.
        self._decode = page.decode
        self._codec = _image_codec(page)

    @property
    def _row_bytes(self) -> int:
        page = self._page
        return self.shape.cols * self._samples * (1 if page.dtype is None else page.dtype.itemsize)

    def richest(self) -> Window:
        """Return the tile with the most bytes."""
        number = int(np.argmax(self._page.databytecounts)) % (self._across * self._down)
        row, col = divmod(number, self._across)
        return Window(row * self.tile.rows, col * self.tile.cols, *self.tile)

    def under(self, window: Window) -> list[Window]:
        """Return the tiles or strips that a window of the picture touches."""
        rows, cols = self.tile
        return [
            Window(row, col, rows, cols)
            for row in range(window.row // rows * rows, window.row_stop, rows)
            for col in range(window.col // cols * cols, window.col_stop, cols)
        ]

    def place(self, tile: Window, plane: int) -> tuple[int, int]:
        """Return the first byte and the bytes of a tile; 0 bytes if the file leaves it out."""
        page = self._page
        if self._plain:
            rows = min(tile.row_stop, self.shape.rows) - tile.row
            return page.dataoffsets[0] + tile.row * self._row_bytes, rows * self._row_bytes
        index = self._index(tile, plane)
        return page.dataoffsets[index], page.databytecounts[index]

    def decode(self, data: bytes, tile: Window, plane: int) -> np.ndarray:
        """Return the samples of a tile, (rows, cols, samples) uint8 or uint16.

        Those of an edge may end where the picture ends.

        Raises
        ------
        ValueError or RuntimeError
            If the data is damaged: `DECODERS_ERRORS`.
        """
        if self._plain:
            dtype = np.dtype(self._page.parent.byteorder + np.dtype(self._page.dtype).char)
            pixels = np.frombuffer(data, dtype).reshape(-1, self.shape.cols, self._samples)
            return pixels.astype(dtype.newbyteorder("="), copy=False)
        if self._codec is not None:
            return self._checked(self._codec, data, tile)
        pixels, _, _ = self._decode(data, self._index(tile, plane))
        if pixels is None:
            raise ValueError("no pixels")
        return pixels[0]

    def _checked(
        self, codec: Callable[[bytes, np.ndarray], Any], data: bytes, tile: Window
    ) -> np.ndarray:
        """Decode a picture of its own size, unless that is another than the tile's.

        What it claims could fill the memory, so decoders get the memory to write to.
        """
        whole = Window(0, 0, *self.shape)
        inside = tile.common(whole)
        sizes = [(tile.rows, tile.cols), (inside.rows, tile.cols), (inside.rows, inside.cols)]
        if not self._page.is_tiled:
            sizes = [(inside.rows, tile.cols), (tile.rows, tile.cols)]
        error: ValueError | None = None
        for rows, cols in dict.fromkeys(sizes):
            shape = (rows, cols, self._samples) if self._samples > 1 else (rows, cols)
            out = np.empty(shape, self._page.dtype)
            try:
                codec(data, out)
            except ValueError as other:
                error = other
                continue
            return out.reshape(rows, cols, self._samples)
        raise error or ValueError("no size")

    def _index(self, tile: Window, plane: int) -> int:
        """Return the number of a tile in the fields of the directory."""
        row, col = tile.row // self.tile.rows, tile.col // self.tile.cols
        return (plane * self._down + row) * self._across + col


def _is_plain(page: TiffPage) -> bool:
    """Return whether a picture lies in the file in one piece, so that any rows can be read."""
    return bool(
        page.compression == 1
        and not page.is_tiled
        and page.planarconfig != 2
        and page.fillorder == 1
        and page.bitspersample in (8, 16)
        and page.is_contiguous
    )


def _image_codec(page: TiffPage) -> Callable[[bytes, np.ndarray], Any] | None:
    """Return the decoder of a compression whose data states its own size; else None."""
    if page.compression == JPEG and is_strict(page):
        return StrictJpeg(page.jpegtables, page.photometric == YCBCR)
    if page.compression == JPEG:
        (own, rgb), tables = jpeg_colours(page), page.jpegtables
        return lambda data, out: imagecodecs.jpeg8_decode(
            data, tables=tables, colorspace=own, outcolorspace=rgb, out=out
        )
    if page.compression in JPEG_2000:
        return lambda data, out: imagecodecs.jpeg2k_decode(data, out=out)
    if page.compression == WEBP:
        alpha = page.samplesperpixel == 4
        return lambda data, out: imagecodecs.webp_decode(data, hasalpha=alpha, out=out)
    return None


def is_strict(page: TiffPage) -> bool:
    """Return whether a directory of JPEGs is decoded by `StrictJpeg`: RGB in usual samplings."""
    return (
        is_available()
        and page.photometric in (RGB, YCBCR)
        and (page.samplesperpixel, page.bitspersample, page.planarconfig) == (3, 8, 1)
        and (page.photometric == RGB or page.subsampling in _SAMPLINGS)
    )


def jpeg_colours(page: TiffPage) -> tuple[int | None, int | None]:
    """Return the colour space of a directory's JPEGs and that to decode to, as libjpeg's numbers.

    The photometric interpretation decides, as in libtiff: Aperio's JPEGs in RGB carry no marker
    of it. JFIF's marker is of YCbCr, though, and files of older Bio-Formats state RGB beside it.
    None leaves it to the JPEG.
    """
    if page.planarconfig == 2:
        return None, _JCS_GREY
    if page.extrasamples:
        return None, None
    if page.photometric == YCBCR:
        return _JCS_YCBCR, _JCS_RGB
    if page.photometric == RGB:
        return (None if page.is_jfif else _JCS_RGB), _JCS_RGB
    return None, None


class SegmentCache:
    """Decoded tiles within a number of bytes; what several threads ask for is decoded once.

    Parameters
    ----------
    limit : int
        Bytes; the last tile is always kept, as it may be a whole picture.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._lock = threading.Lock()
        self._tiles: OrderedDict[Hashable, np.ndarray | None] = OrderedDict()
        self._awaited: dict[Hashable, Future[np.ndarray | None]] = {}

    def get(self, key: Hashable, decode: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """Return a cached tile, or decode it; raises what decoding raises."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            awaited, is_first = self._awaited.get(key, Future()), key not in self._awaited
            self._awaited[key] = awaited
        return self._first(key, decode, awaited) if is_first else awaited.result()

    def _first(
        self,
        key: Hashable,
        decode: Callable[[], np.ndarray | None],
        awaited: Future[np.ndarray | None],
    ) -> np.ndarray | None:
        """Decode a tile that no other thread decodes, for those that wait for it too."""
        try:
            tile = decode()
        except BaseException as error:
            with self._lock:
                del self._awaited[key]
            awaited.set_exception(error)
            raise
        with self._lock:
            del self._awaited[key]
            self._add(key, tile)
        awaited.set_result(tile)
        return tile

    def _add(self, key: Hashable, tile: np.ndarray | None) -> None:
        self._tiles[key] = tile
        self._bytes += _n_bytes(tile)
        while self._bytes > self._limit and len(self._tiles) > 1:
            _, old = self._tiles.popitem(last=False)
            self._bytes -= _n_bytes(old)

    def clear(self) -> None:
        """Free all tiles."""
        with self._lock:
            self._tiles.clear()
            self._bytes = 0


def _n_bytes(tile: np.ndarray | None) -> int:
    return 0 if tile is None else tile.nbytes
