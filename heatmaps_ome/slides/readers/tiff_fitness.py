"""Checks that the chosen directories of a TIFF are RGB, and that their sizes can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.geometry import Shape
from heatmaps_ome.slides import tiff_head
from heatmaps_ome.slides.readers.tiff_image import Unfit, shape_of
from heatmaps_ome.slides.readers.tiff_segments import JPEG, JPEG_2000, PALETTE, RGB, YCBCR
from heatmaps_ome.slides.refusals import MAKE_TILED, channels_sentence, compression_sentence
from heatmaps_ome.slides.sizes import absurd_directory, absurd_levels, absurd_strips

if TYPE_CHECKING:
    from heatmaps_ome.slides.readers.tiff_image import SlideImage
    from heatmaps_ome.slides.tiff_head import Directory

_COMPRESSIONS: Final = (1, 5, JPEG, 8, 32946, 32773, 34925, 34926, 50000, 50001, *JPEG_2000)
"""None, LZW, JPEG, deflate (two), PackBits, LZMA, Zstandard (two), WebP, and JPEG 2000."""
_MOST_STRIP_BYTES: Final = 2**29
"""Size of a decoded strip, which is always decoded as a whole."""
_GREY: Final = (0, 1)
_COLOURS: Final = {5: "separated inks (CMYK)", 8: "CIELab colours"}
_UNSIGNED: Final = (0, 1, 4)
"""Sample formats of whole numbers without sign, of nothing stated, and of an undefined kind."""


def require_fit(image: SlideImage, size: int, name: str) -> None:
    """Refuse an image that is no RGB, or whose sizes cannot be.

    Parameters
    ----------
    size : int
        Bytes of the file.
    name : str
        The file's name.

    Raises
    ------
    Unfit
        With the reason.
    Damaged
        If the tiles of a level lie beyond the file's end.
    """
    absurd = absurd_levels([shape_of(level) for level in image.directories])
    if absurd is not None:
        raise Unfit(f"{absurd}, which no slide has; the file is damaged: copy it again")
    planar = image.ome is not None and len(image.ome.directories) > 1
    for directory in image.directories:
        reason = absurd_directory(directory, size)
        if reason is None and tiff_head.TILE_WIDTH not in directory:
            reason = absurd_strips(directory, size)
        if reason is not None:
            raise Unfit(f"{reason}, which no slide does; the file is damaged: copy it again")
        _require_compression(directory, name)
        _require_rgb(directory, name, planar, image)
        _require_short_strips(directory, name)
        _require_whole(directory, size)


def _require_compression(directory: Directory, name: str) -> None:
    number = directory.number(tiff_head.COMPRESSION, 1)
    if number not in _COMPRESSIONS:
        raise Unfit(compression_sentence(number, name))


def _require_rgb(directory: Directory, name: str, planar: bool, image: SlideImage) -> None:
    """Refuse what is no RGB of 8 or 16 bits.

    Parameters
    ----------
    planar : bool
        Whether red, green and blue are grey planes, as the OME-XML states.
    """
    kind = directory.number(tiff_head.PHOTOMETRIC, RGB)
    samples = directory.number(tiff_head.SAMPLES, 1)
    bits = {int(n) for n in directory.numbers(tiff_head.BITS, at_most=64)} or {1}
    formats = {int(n) for n in directory.numbers(tiff_head.SAMPLE_FORMAT, at_most=64)} or {1}
    if not formats <= set(_UNSIGNED) or not (bits <= {8} or bits <= {16}):
        stated = " and ".join(map(str, sorted(bits)))
        kinds = "signed or floating-point" if not formats <= set(_UNSIGNED) else "whole"
        raise Unfit(
            f"has {kinds} numbers of {stated} bits per channel, and brightfield slides have 8 or "
            "16; give a brightfield slide in RGB"
        )
    if planar:
        if kind not in _GREY or samples != 1:
            raise Unfit("has other channels than its OME-XML states; write it again")
        return
    joined = image.ome is not None and image.ome.samples in ((3,), (4,))
    if kind in _GREY and not (joined and samples in (3, 4)):
        raise Unfit(channels_sentence(samples if samples > 2 else 1, name))
    _require_colours(kind, samples, bits, directory, name)


def _require_colours(
    kind: int, samples: int, bits: set[int], directory: Directory, name: str
) -> None:
    compression = directory.number(tiff_head.COMPRESSION, 1)
    if kind == PALETTE and samples == 1 and bits == {8}:
        return
    if kind == YCBCR and compression not in (JPEG, *JPEG_2000):
        raise Unfit(f"has YCbCr colours that are not in JPEG; {MAKE_TILED.format(name=name)}")
    if (
        kind == YCBCR
        and directory.number(tiff_head.PLANAR, 1) == 2
        and not _has_rgb_planes(directory)
    ):
        raise Unfit(f"has YCbCr colours in planes; {MAKE_TILED.format(name=name)}")
    if kind in (*_GREY, RGB, YCBCR) and samples in (3, 4):
        return
    if kind in (RGB, YCBCR):
        raise Unfit(channels_sentence(samples, name))
    what = _COLOURS.get(kind, f"colours of another kind (photometric interpretation {kind})")
    raise Unfit(f"has {what}, not RGB; {MAKE_TILED.format(name=name)}")


def _has_rgb_planes(directory: Directory) -> bool:
    """Return whether JPEGs in planes are red, green and blue though the file states YCbCr.

    Bio-Formats states YCbCr for all JPEGs in colour, but writes each channel as a grey one.
    """
    is_jpeg = directory.number(tiff_head.COMPRESSION, 1) == JPEG
    return is_jpeg and "Bio-Formats" in directory.text(tiff_head.SOFTWARE)


def _require_short_strips(directory: Directory, name: str) -> None:
    """Refuse compressed strips that would have to be decoded as a whole and are too large."""
    if tiff_head.TILE_WIDTH in directory or directory.number(tiff_head.COMPRESSION, 1) == 1:
        return
    shape = shape_of(directory)
    rows = min(shape.rows, directory.number(tiff_head.STRIP_ROWS, shape.rows))
    samples = directory.number(tiff_head.SAMPLES, 1)
    strip = Shape(rows, shape.cols)
    needed = strip.rows * strip.cols * samples * directory.number(tiff_head.BITS, 8) // 8
    if needed > _MOST_STRIP_BYTES:
        raise Unfit(
            f"is compressed in strips of {strip.cols} × {strip.rows} pixels, which cannot be read "
            f"part by part; {MAKE_TILED.format(name=name)}"
        )


def _require_whole(directory: Directory, size: int) -> None:
    """Refuse a file that ends before its last tile."""
    tiled = tiff_head.TILE_WIDTH in directory
    begins = directory.numbers(tiff_head.TILE_OFFSETS if tiled else tiff_head.STRIP_OFFSETS)
    counts = directory.numbers(tiff_head.TILE_BYTES if tiled else tiff_head.STRIP_BYTES)
    if len(begins) != len(counts):
        raise Unfit(
            f"has the places of {len(begins)} tiles or strips and the sizes of {len(counts)}; the "
            "file is damaged: copy it again"
        )
    # Tiles that are left out have no bytes. Sums of damaged numbers may be beyond 64 bits.
    beyond_end = (counts > 0) & (begins.astype(float) + counts.astype(float) > size)
    if beyond_end.any():
        beyond = int(begins[beyond_end].min())
        raise tiff_head.Damaged(f"it should go on at byte {beyond}, but has only {size}")
