"""Rules for OME-TIFF overlays: levels that every reader finds, straight alpha, one pixel size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import openslide
import tifffile

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.slides.plain_zarr import (
    MOST_CHUNK_BYTES,
    MOST_EXPANSION,
    MOST_WHOLE_BYTES,
    unpacked_size,
)
from heatmaps_ome.validate.levels import area_mean, sampled_tiles
from heatmaps_ome.validate.ome_xml import faults, pixels_of, um_pixel_of
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DEFLATE = (8, 32946)
_READABLE = (1, *_DEFLATE)
"""No compression, and Deflate by its two numbers: Avivator fails on LZW, QuPath on the rest."""
_UM_PER_UNIT = {2: 25400.0, 3: 10000.0}
"""µm in TIFF's inch and centimetre."""
_GREY_LEVELS = 2
_LEAST_ALPHA = 32
"""Below this, the colour of a mean has lost too many bits to be compared with another's."""
_CACHED_TILES = 64


def whole_page(page: tifffile.TiffPage | tifffile.TiffFrame) -> tifffile.TiffPage:
    """Return a page that was read in full."""
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def require_modest(page: tifffile.TiffPage) -> None:
    """Check that a page fits the memory, and that no tile unpacks to more than its size.

    Raises
    ------
    ValueError
        If it does not.
    """
    handle, item_bytes = page.parent.filehandle, np.dtype(page.dtype or "u1").itemsize
    whole, tile = (
        rows * cols * page.samplesperpixel * item_bytes
        for rows, cols in (
            (page.imagelength, page.imagewidth), (page.tilelength, page.tilewidth)
        )
    )  # fmt: skip
    if tile > MOST_CHUNK_BYTES or whole > max(MOST_WHOLE_BYTES, MOST_EXPANSION * handle.size):
        raise ValueError(f"pixels of {page.shape} cannot be in {handle.size} bytes")
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        # The best that deflate can do is to make 1032 bytes one.
        if page.compression in _DEFLATE and length > MOST_CHUNK_BYTES // 1032:
            handle.seek(offset)
            if unpacked_size(handle.read(length), "zlib", tile) > tile:
                raise ValueError("a tile unpacks to more than its size")


class Overlay:
    """An OME-TIFF read with tifffile, tile by tile.

    Attributes
    ----------
    path : Path
    pages : list of tifffile.TiffPage
        The levels, finest first.
    chained : list of tifffile.TiffPage
        The levels for readers that follow the chain of directories.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = tifffile.TiffFile(path)
        try:
            self.chained = [whole_page(page) for page in self._file.pages]
            finest = self.chained[0]
            self.pages = [finest, *(whole_page(page) for page in finest.pages or ())]
            for page in self.pages:
                require_modest(page)
        except BaseException:
            self._file.close()
            raise
        self.tile = lru_cache(_CACHED_TILES)(self._tile)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """(rows, cols) of every level."""
        return tuple(Shape(page.imagelength, page.imagewidth) for page in self.pages)

    @property
    def xml(self) -> str:
        """The OME-XML."""
        return self.pages[0].description

    @property
    def kind(self) -> str:
        """The file's kind, as tifffile recognises it."""
        return self._file.series[0].kind

    @property
    def um_pixel(self) -> YX:
        """Size of the finest level's pixels in µm, by OME-XML."""
        return um_pixel_of(pixels_of(self.xml))

    def _tile(self, level: int, row: int, col: int) -> np.ndarray:
        """Return one tile of a level: (rows, cols, samples)."""
        page = self.pages[level]
        across = -(-page.imagewidth // page.tilewidth)
        index = row * across + col
        handle = self._file.filehandle
        handle.seek(page.dataoffsets[index])
        data = handle.read(page.databytecounts[index])
        decoded = page.decode(data, index, jpegtables=page.jpegtables)[0]
        if decoded is None:
            raise ValueError(f"tile {index} of level {level} is not there")
        return np.asarray(decoded)[0]

    def at(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return pixels of the finest level: (n, samples)."""
        page = self.pages[0]
        high, wide = page.tilelength, page.tilewidth
        pixels = np.empty((len(rows), page.samplesperpixel), np.uint8)
        # In the order of tiles, so that each is decoded once.
        for n in np.lexsort((cols // wide, rows // high)):
            tile = self.tile(0, int(rows[n]) // high, int(cols[n]) // wide)
            pixels[n] = tile[rows[n] % high, cols[n] % wide]
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _ome_xml(overlay: Overlay) -> Iterator[str]:
    """Demand OME-XML that agrees with the pixels."""
    page = overlay.pages[0]
    yield from faults(overlay.xml, overlay.shapes[0], page.samplesperpixel, 1, str(page.dtype))
    if overlay.kind != "ome":
        yield f"tifffile takes it for {overlay.kind!r}, not for an OME-TIFF"


def _levels(overlay: Overlay) -> Iterator[str]:
    """Demand exact halves in SubIFDs (Bio-Formats) and in the chain (OpenSlide)."""
    for level, (finer, coarser) in enumerate(
        zip(overlay.shapes, overlay.shapes[1:], strict=False), start=1
    ):
        if finer != Shape(coarser.rows * 2, coarser.cols * 2):
            yield f"level {level} has {tuple(coarser)} pixels, not half of {tuple(finer)}"
    coarsest, page = overlay.shapes[-1], overlay.pages[-1]
    if max(coarsest) > max(page.tilelength, page.tilewidth):
        yield f"the coarsest level has {tuple(coarsest)} pixels, more than a tile"
    offsets = [[page.offset for page in pages] for pages in (overlay.pages, overlay.chained)]
    if offsets[0] != offsets[1]:
        yield (
            f"SubIFDs have {len(offsets[0])} levels and the chain of directories "
            f"{len(offsets[1])}; QuPath reads the first, OpenSlide the second"
        )
    with openslide.OpenSlide(overlay.path) as slide:
        seen = tuple(Shape(rows, cols) for cols, rows in slide.level_dimensions)
    if seen != overlay.shapes:
        yield f"OpenSlide sees levels of {[tuple(shape) for shape in seen]}"


def _compression(overlay: Overlay) -> Iterator[str]:
    """Demand tiles without loss that QuPath reads."""
    yield from compression_faults(overlay.pages)


def compression_faults(levels: Sequence[tifffile.TiffPage]) -> Iterator[str]:
    """Yield the levels that have no tiles, or a compression that QuPath cannot read."""
    for level, page in enumerate(levels):
        if page.compression not in _READABLE or page.predictor not in (1, 2):
            yield (
                f"level {level} is compressed with {page.compression!r}, predictor "
                f"{page.predictor!r}; use deflate"
            )
        if not page.is_tiled:
            yield f"level {level} has no tiles"


def _alpha(overlay: Overlay) -> Iterator[str]:
    """Demand RGB with straight alpha side by side, and no colour where alpha is 0."""
    for level, page in enumerate(overlay.pages):
        form = (page.samplesperpixel, page.planarconfig, page.photometric, page.dtype)
        if form != (4, 1, 2, np.uint8) or tuple(page.extrasamples) != (2,):
            yield (
                f"level {level} has {page.samplesperpixel} samples of {page.dtype}, extra "
                f"samples {tuple(map(int, page.extrasamples))}; overlays are RGB and straight alpha"
            )
            return
    for row, col in sampled_tiles(_tiles(overlay, 0)):
        tile = overlay.tile(0, row, col)
        if tile[..., :3][tile[..., 3] == 0].any():
            yield f"transparent pixels have a colour in the tile of row {row}, column {col}"


def _physical_size(overlay: Overlay) -> Iterator[str]:
    """Demand one pixel size in OME-XML (Bio-Formats) and in the tags (OpenSlide)."""
    yield from physical_size_faults(overlay.pages[0], overlay.um_pixel)


def physical_size_faults(page: tifffile.TiffPage, wanted: YX) -> Iterator[str]:
    """Yield how the tags' pixel size differs from OME-XML's, in µm."""
    tags = page.tags
    per_unit = _UM_PER_UNIT[int(tags["ResolutionUnit"].value)]
    ratios = [tags[name].value for name in ("YResolution", "XResolution")]
    um_pixel = YX(*(per_unit * below / above for above, below in ratios))
    if not np.allclose(um_pixel, wanted, rtol=1e-4):
        yield f"the tags say pixels of {tuple(um_pixel)} µm, OME-XML {tuple(wanted)}"


def _tiles(overlay: Overlay, level: int) -> Shape:
    """Return how many tiles a level has down and across."""
    page, shape = overlay.pages[level], overlay.shapes[level]
    return Shape(-(-shape.rows // page.tilelength), -(-shape.cols // page.tilewidth))


def _levels_agree(overlay: Overlay) -> Iterator[str]:
    """Demand that each level is the mean of the finer one, colours weighed by alpha."""
    for level in range(1, len(overlay.pages)):
        finer = _tiles(overlay, level - 1)
        for row, col in sampled_tiles(finer):
            page = overlay.pages[level]
            wanted = _alpha_mean(overlay.tile(level - 1, row, col))
            rows, cols = wanted.shape[:2]
            top, left = row % 2 * page.tilelength // 2, col % 2 * page.tilewidth // 2
            quarter = overlay.tile(level, row // 2, col // 2)[top : top + rows, left : left + cols]
            off = np.abs(quarter - wanted)
            off[..., :3][wanted[..., 3] < _LEAST_ALPHA] = 0
            shape = overlay.shapes[level]
            inside = off[
                : shape.rows - row * page.tilelength // 2, : shape.cols - col * page.tilewidth // 2
            ]
            if inside.max(initial=0) > _GREY_LEVELS:
                yield (
                    f"level {level} differs by up to {inside.max():.0f} grey levels from the mean "
                    f"of level {level - 1} in its tile of row {row}, column {col}"
                )


def _alpha_mean(rgba: np.ndarray) -> np.ndarray:
    """Return the mean of 2 × 2 pixels with straight alpha, (rows / 2, cols / 2, 4) float64."""
    alpha = rgba[..., 3:].astype(np.float64)
    mean = area_mean(alpha)
    weighed = area_mean(rgba[..., :3] * alpha)
    colour = np.divide(weighed, mean, out=np.zeros_like(weighed), where=mean > 0)
    return np.concatenate([colour, mean], axis=2)


OVERLAY: tuple[Rule[Overlay], ...] = (
    Rule("tiff-ome-xml", "OME-XML is valid, without &#…; and agrees with the pixels", _ome_xml),
    Rule("tiff-levels", "levels halve exactly, in SubIFDs and in the chain", _levels),
    Rule("tiff-compression", "tiles are compressed as QuPath can read them", _compression),
    Rule("tiff-alpha", "pixels are RGB with straight alpha", _alpha),
    Rule("tiff-physical-size", "OME-XML and tags state one pixel size", _physical_size),
    Rule("tiff-levels-agree", "each level is the mean of the finer one", _levels_agree),
)
"""Rules for ``*.ome.tiff``."""
