"""Writes index-mapped images (see `Patchwork`) as pyramidal BigTIFF.

tifffile writes the file; isal compresses a tile in a tenth of the time that zlib takes. Tiles are
drawn only as they are written. All empty tiles, most of a slide, point to one place in the file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from isal import isal_zlib

from heatmaps_ome.errors import OutputError
from heatmaps_ome.ome.tiff_pyramid import TILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.display.patchwork import Patchwork
    from heatmaps_ome.geometry import YX

_COMPRESSION_LEVEL = 0
"""The fastest level of isal; it writes the same bytes in every process. Levels 1 and 2 write half
the bytes, but the matches that they find depend on memory addresses: one file in thirty differs
from run to run. Level 3 takes thirty times as long."""
_UM_PER_CM = 10_000
_TILE_OFFSETS, _TILE_BYTE_COUNTS = 324, 325


def write_picture(picture: Patchwork, path: Path, description: str, um_pixel: YX) -> None:
    """Write a picture and its halves down to a single tile, the coarser levels in SubIFDs.

    Parameters
    ----------
    picture : Patchwork
        Its sides are even at every level but the coarsest (see ``padded_shape``).
    um_pixel : YX
        Size of the picture's pixels in µm.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        _write_levels(picture, path, description, um_pixel)
        _place_empty_tiles(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}); is there space left?") from error


def _write_levels(picture: Patchwork, path: Path, description: str, um_pixel: YX) -> None:
    """Write all levels; their empty tiles have neither a place nor a size yet."""
    coarser = 0
    while max(picture.shape.halved(coarser)) > TILE:
        coarser += 1
    with tifffile.TiffWriter(path, bigtiff=True, byteorder="<") as file:
        for level in range(coarser + 1):
            picture = picture.halved() if level else picture
            file.write(
                _tiles(picture),
                shape=(*picture.shape, 4),
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="adobe_deflate",
                photometric="rgb",
                extrasamples=("unassalpha",),
                subifds=None if level else coarser,
                subfiletype=1 if level else None,
                # As bytes: tifffile takes text for ASCII.
                description=None if level else description.encode(),
                resolution=tuple(_UM_PER_CM / um / 2**level for um in (um_pixel.x, um_pixel.y)),
                resolutionunit="centimeter",
                metadata=None,
                software=False,
            )


def _tiles(picture: Patchwork) -> Iterator[bytes]:
    """Yield a picture's tiles as zlib streams, row by row; no bytes for those that are empty."""
    rows, cols = (
        np.pad(index, (0, -len(index) % TILE), mode="edge").reshape(-1, TILE)
        for index in (picture.rows, picture.cols)
    )
    above, tiles = np.empty(0), []
    for strip_rows in rows:
        # Where patches are larger than a tile, many strips show the same rows of patches.
        if not np.array_equal(strip_rows, above):
            above, tiles = strip_rows, list(_strip(picture.patches, strip_rows, cols))
        yield from tiles


def _strip(patches: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> Iterator[bytes]:
    """Yield the tiles of a strip.

    Parameters
    ----------
    patches : (n, m, 4) uint8
    rows : (TILE,) int64
        Row of patches for each row of pixels.
    cols : (tiles, TILE) int64
        Column of patches for each column of pixels.
    """
    # Different rows are put together once and then repeated: a tenth of the time of single pixels.
    different, repeated = np.unique(rows, return_inverse=True)
    lines = patches[different].view(np.uint32)[..., 0]
    filled = lines.max(axis=0)[cols].max(axis=1) > 0
    for across, tile_is_filled in zip(cols, filled, strict=True):
        if tile_is_filled:
            pixels = lines.take(across, axis=1).take(repeated, axis=0)
            yield isal_zlib.compress(pixels.data, _COMPRESSION_LEVEL)
        else:
            yield b""


def _place_empty_tiles(path: Path) -> None:
    """Append one empty tile to a file and let all tiles without a place point to it."""
    empty = isal_zlib.compress(bytes(4 * TILE * TILE), _COMPRESSION_LEVEL)
    with tifffile.TiffFile(path, mode="r+") as file:
        at = file.filehandle.seek(0, os.SEEK_END)
        file.filehandle.write(empty)
        finest = file.pages.first
        for page in (finest, *(coarser.aspage() for coarser in finest.pages or ())):
            offsets = [offset or at for offset in page.dataoffsets]
            sizes = [size or len(empty) for size in page.databytecounts]
            page.tags[_TILE_OFFSETS].overwrite(offsets)
            page.tags[_TILE_BYTE_COUNTS].overwrite(sizes)
